"""Movers that race for one device: one winner, a clear loser, nothing lost."""

from __future__ import annotations

import subprocess

from tests.kernel.mover.dump import assert_same, glance, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, finish, identity
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns, netns

ROUNDS = 200


def begin(
    mover: Mover, command: str, container: Container, *args: str
) -> tuple[subprocess.Popen[str], str]:
    """Start a mover that waits for its stdin, so that both can be let go together."""
    state = container.state() if command == "attach" else container.stopped()
    return mover.start(*mover.arguments(command), *args), state


def test_of_two_pods_that_want_one_device_exactly_one_gets_it(
    fast_mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(fast_mover.host)
    before = settled(fast_mover.host, glance)
    args = (*identity(fast_mover.host), "--wait", "0")
    wins = [0, 0]
    with netns("rival") as rival:
        racers = (containers.of(pod), containers.of(rival))
        for _ in range(ROUNDS):
            running = [begin(fast_mover, "attach", racer, *args) for racer in racers]
            results = [finish(process, state) for process, state in running]
            assert sorted(result.code for result in results) == [0, 3], results
            winner = results.index(next(r for r in results if r.code == 0))
            wins[winner] += 1
            assert racers[winner].id in results[1 - winner].reason
            assert DEVICE in (pod, rival)[winner].links()
            assert fast_mover.record().holders == [racers[winner].id]
            fast_mover.detach(racers[winner])
            assert_same(fast_mover.host, before, glance)
    assert sum(wins) == ROUNDS


def test_an_attach_that_races_the_late_detach_of_the_container_before_it_loses_nothing(
    fast_mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(fast_mover.host)
    before = settled(fast_mover.host, glance)
    args = identity(fast_mover.host)
    new = containers.of(pod)
    for _ in range(ROUNDS):
        old = containers.alone()
        fast_mover.attach(old, *args).ok()
        attach = begin(fast_mover, "attach", new, *args)
        detach = begin(fast_mover, "detach", old)
        old.end()
        for process, state in (attach, detach):
            finish(process, state).ok()
        assert DEVICE in pod.links()
        assert fast_mover.record().holders == [new.id]
        fast_mover.detach(new).ok()
        assert fast_mover.leftovers() == []
        assert_same(fast_mover.host, before, glance)


def test_a_restart_in_the_pod_that_races_the_late_detach_loses_nothing(
    fast_mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(fast_mover.host)
    before = settled(fast_mover.host, glance)
    args = identity(fast_mover.host)
    new = containers.of(pod)
    for _ in range(ROUNDS // 2):
        old = containers.of(pod)
        fast_mover.attach(old, *args).ok()
        attach = begin(fast_mover, "attach", new, *args)
        detach = begin(fast_mover, "detach", old)
        old.end()
        for process, state in (attach, detach):
            finish(process, state).ok()
        assert DEVICE in pod.links()
        assert fast_mover.record().holders == [new.id]
        fast_mover.detach(new).ok()
        assert_same(fast_mover.host, before, glance)
