"""What a killed mover made in a pod that lives on is undone by the next one."""

from __future__ import annotations

import pytest

from tests.kernel.mover.dump import Dump, assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, Result, identity
from tests.kernel.mover.test_killed import (
    by_poststop,
    by_reclaim,
    by_the_next_container,
    each_step,
    killed_at,
    rich,
)
from tests.kernel.mover.test_pod_policy import ALL, OWN
from tests.kernel.scratch import Netns

HEALS = (by_reclaim, by_poststop, by_the_next_container)  # in turn: test_killed.py has each


@pytest.fixture
def own(pod: Netns) -> Dump:
    """A pod with links, routes and rules of its own, one of them like one of ours."""
    pod.sysctl("ipv6/conf/default/accept_dad", "0")
    pod.batch([*OWN, "rule add from 10.7.0.5 table 7 priority 299"])
    return settled(pod)


def test_an_attach_killed_at_any_step_leaves_the_pod_as_it_was(
    fast_mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = (*identity(fast_mover.host), *ALL)

    def attach(step: int) -> Result:
        container = containers.of(pod)
        result = fast_mover.attach(container, *args, env=killed_at(step))
        HEALS[step % len(HEALS)](fast_mover, containers, container, args)
        assert_same(pod, own)
        assert_same(fast_mover.host, before)
        assert fast_mover.leftovers() == []
        return result

    assert each_step(attach) > 40


def test_a_detach_killed_at_any_step_leaves_the_pod_as_it_was(
    fast_mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = (*identity(fast_mover.host), *ALL)

    def detach(step: int) -> Result:
        container = containers.of(pod)
        fast_mover.attach(container, *args).ok()
        result = fast_mover.detach(container, env=killed_at(step))
        by_reclaim(fast_mover, containers, container, args)
        assert_same(pod, own)
        assert_same(fast_mover.host, before)
        assert fast_mover.leftovers() == []
        return result

    assert each_step(detach) > 30


def test_a_rollback_killed_at_any_step_leaves_the_pod_as_it_was(
    fast_mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = (*identity(fast_mover.host), *ALL)

    def attach(step: int) -> Result:
        container = containers.of(pod)
        broken = (*args, "--route", "10.98.0.0/16 via 172.31.0.1")
        result = fast_mover.attach(container, *broken, env=killed_at(step))
        by_reclaim(fast_mover, containers, container, args)
        assert_same(pod, own)
        assert_same(fast_mover.host, before)
        return result

    assert each_step(attach) > 60


def test_an_attach_that_is_killed_is_made_good_by_the_same_container(
    fast_mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    before = rich(fast_mover.host, "veth")
    args = (*identity(fast_mover.host), *ALL)
    reference = containers.of(pod)
    fast_mover.attach(reference, *args).ok()
    wanted = settled(pod)
    fast_mover.detach(reference).ok()

    def attach(step: int) -> Result:
        container = containers.of(pod)
        result = fast_mover.attach(container, *args, env=killed_at(step))
        fast_mover.attach(container, *args).ok()
        assert_same(pod, wanted)
        fast_mover.detach(container).ok()
        container.end()
        assert_same(pod, own)
        assert_same(fast_mover.host, before)
        return result

    each_step(attach)


def test_a_device_that_is_killed_leaves_the_rules_of_another_alone(
    fast_mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    host = fast_mover.host
    host.batch([f"link add {name} type veth peer name {name}p" for name in (DEVICE, "ndp1")])
    rule = ("--rule", "iif self table 7 priority 9", "--rule", "from 10.7.0.5 table 7", "--as", "n")
    container = containers.of(pod)
    other = ("--rule", "from 10.7.0.5 table 7")
    fast_mover.attach(container, *identity(host, "ndp1"), *other, device="ndp1").ok()
    seen = settled(pod)

    def attach(step: int) -> Result:
        result = fast_mover.attach(container, *identity(host), *rule, env=killed_at(step))
        fast_mover.reclaim("--force").ok()
        assert_same(pod, seen)
        return result

    assert each_step(attach) > 20
    fast_mover.detach(container, device="ndp1").ok()
    assert_same(pod, own)
