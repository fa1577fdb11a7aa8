"""Nothing is lost by a mover that is killed, at whichever step."""

from __future__ import annotations

import dataclasses
import itertools
import signal
from collections.abc import Callable

import pytest

from tests.kernel.mover.dump import Dump, assert_same, settled
from tests.kernel.mover.elsewhere import hidden_from
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, Result, identity
from tests.kernel.mover.links import RICH, make_up
from tests.kernel.scratch import Netns

KILLED = -signal.SIGKILL
Heal = Callable[[Mover, Containers, Container, tuple[str, ...]], None]


def killed_at(step: int) -> dict[str, str]:
    """The environment in which a mover is killed at that step."""
    return {"NDM_STEP_KILL": str(step)}


def each_step(run: Callable[[int], Result]) -> int:
    """Run with a kill at the first step, the second, ..., until one run gets to its end."""
    for step in itertools.count(1):
        try:
            if run(step).code != KILLED:
                return step - 1
        except AssertionError as error:
            error.add_note(f"killed at step {step}")
            raise
    raise AssertionError("unreachable")


def rich(host: Netns, kind: str) -> Dump:
    """A link with a bit of everything."""
    make_up(host, kind)
    host.batch(RICH)
    host.sysctl("ipv4/conf/ndp0/rp_filter", "2")
    host.sysctl("ipv6/conf/ndp0/hop_limit", "9")
    return settled(host)


def by_reclaim(
    mover: Mover, containers: Containers, container: Container, args: tuple[str, ...]
) -> None:
    """The runtime kills the container; somebody reclaims."""
    container.end()
    mover.reclaim().ok()


def by_poststop(
    mover: Mover, containers: Containers, container: Container, args: tuple[str, ...]
) -> None:
    """The runtime kills the container and calls poststop (runc does)."""
    container.end()
    mover.detach(container).ok()


def by_the_next_container(
    mover: Mover, containers: Containers, container: Container, args: tuple[str, ...]
) -> None:
    """Nobody cleans up; another container in another pod is next."""
    container.end()
    successor = containers.alone()
    mover.attach(successor, *args).ok()
    mover.detach(successor).ok()
    successor.end()


def by_reclaim_after_one_elsewhere(
    mover: Mover, containers: Containers, container: Container, args: tuple[str, ...]
) -> None:
    """Somebody reclaims where the pin is not seen, to no avail, and then on the host."""
    container.end()
    result = dataclasses.replace(mover, enter=hidden_from(mover.pin())).reclaim()
    assert result.code == 0 or "look for the pin" in result.reason, result
    mover.reclaim().ok()


@pytest.mark.parametrize(
    ("kind", "heal"),
    [
        ("veth", by_reclaim),
        ("veth", by_poststop),
        ("veth", by_the_next_container),
        ("veth", by_reclaim_after_one_elsewhere),
        ("macvlan", by_reclaim),
    ],
)
def test_an_attach_killed_at_any_step_loses_nothing(
    kind: str, heal: Heal, fast_mover: Mover, containers: Containers
) -> None:
    before = rich(fast_mover.host, kind)
    args = identity(fast_mover.host)

    def attach(step: int) -> Result:
        container = containers.alone()
        result = fast_mover.attach(container, *args, env=killed_at(step))
        heal(fast_mover, containers, container, args)
        assert_same(fast_mover.host, before)
        assert fast_mover.leftovers() == []
        return result

    assert each_step(attach) > 10


@pytest.mark.parametrize(
    ("kind", "holder", "heal"),
    [
        ("veth", "alive", by_reclaim),
        ("veth", "alive", by_poststop),
        ("veth", "dead", by_reclaim),
        ("veth", "dead", by_poststop),
        ("veth", "dead", by_the_next_container),
        ("veth", "dead", by_reclaim_after_one_elsewhere),
        ("macvlan", "dead", by_reclaim),
    ],
)
def test_a_detach_killed_at_any_step_loses_nothing(
    kind: str, holder: str, heal: Heal, fast_mover: Mover, containers: Containers
) -> None:
    before = rich(fast_mover.host, kind)
    args = identity(fast_mover.host)

    def detach(step: int) -> Result:
        container = containers.alone()
        fast_mover.attach(container, *args).ok()
        if holder == "dead":
            container.end()
        result = fast_mover.detach(container, env=killed_at(step))
        heal(fast_mover, containers, container, args)
        assert_same(fast_mover.host, before)
        assert fast_mover.leftovers() == []
        return result

    assert each_step(detach) > 10


@pytest.mark.parametrize("kind", ["veth", "macvlan"])
def test_a_detach_to_a_host_with_its_names_taken_killed_at_any_step_loses_nothing(
    kind: str, fast_mover: Mover, containers: Containers
) -> None:
    before = rich(fast_mover.host, kind)
    args = identity(fast_mover.host)
    number = fast_mover.host.links()[DEVICE]["ifindex"]
    clash = [f"link add {DEVICE} type veth peer name clash1"]
    clash += [f"link property add dev {DEVICE} altname ndp{number}{end}" for end in ("", "-1")]

    def detach(step: int) -> Result:
        container = containers.alone()
        fast_mover.attach(container, *args).ok()
        container.end()
        fast_mover.host.batch(clash)
        result = fast_mover.detach(container, env=killed_at(step))
        assert fast_mover.reclaim().code == 1
        assert fast_mover.record().one("phase") == "stranded"
        assert f"ndp{number}-2" in fast_mover.host.links()
        fast_mover.host.ip("link", "del", DEVICE)
        fast_mover.reclaim().ok()
        assert_same(fast_mover.host, before)
        assert fast_mover.leftovers() == []
        return result

    assert each_step(detach) > 10


def test_an_attach_that_is_killed_is_made_good_by_the_same_container(
    fast_mover: Mover, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = identity(fast_mover.host)
    reference = containers.alone()
    fast_mover.attach(reference, *args).ok()
    wanted = settled(reference.netns)
    fast_mover.detach(reference).ok()

    def attach(step: int) -> Result:
        container = containers.alone()
        result = fast_mover.attach(container, *args, env=killed_at(step))
        fast_mover.attach(container, *args).ok()
        assert_same(container.netns, wanted)
        fast_mover.detach(container).ok()
        container.end()
        assert_same(fast_mover.host, before)
        return result

    each_step(attach)


def test_a_rollback_killed_at_any_step_loses_nothing(
    fast_mover: Mover, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = identity(fast_mover.host)

    def attach(step: int) -> Result:
        container = containers.alone()
        broken = (*args, "--route", "10.99.0.0/16 via 172.31.0.1")
        result = fast_mover.attach(container, *broken, env=killed_at(step))
        container.end()
        assert fast_mover.reclaim().code == 0
        assert_same(fast_mover.host, before)
        return result

    each_step(attach)


def test_a_reclaim_killed_at_any_step_loses_nothing(
    fast_mover: Mover, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = identity(fast_mover.host)

    def reclaim(step: int) -> Result:
        container = containers.alone()
        fast_mover.attach(container, *args).ok()
        container.end()
        result = fast_mover.run(*fast_mover.arguments("reclaim"), env=killed_at(step))
        fast_mover.reclaim().ok()
        assert_same(fast_mover.host, before)
        assert fast_mover.leftovers() == []
        return result

    each_step(reclaim)


def test_every_step_is_named(fast_mover: Mover, containers: Containers) -> None:
    rich(fast_mover.host, "veth")
    log = fast_mover.run_dir.parent / "steps"
    container = containers.alone()
    fast_mover.attach(container, *identity(fast_mover.host), env={"NDM_STEP_LOG": str(log)}).ok()
    numbers, names = zip(
        *(line.split(" ", 1) for line in log.read_text().splitlines()), strict=True
    )
    assert list(map(int, numbers)) == list(range(1, len(numbers) + 1))
    assert all(names)
