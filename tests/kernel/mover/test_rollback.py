"""An attach that fails leaves the host as it was, and says which step failed and why."""

from __future__ import annotations

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, identity
from tests.kernel.mover.links import RICH, make_up
from tests.kernel.scratch import Netns

TAKEN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "the link's name": ((f"link add {DEVICE} type veth peer name taken1",), ()),
    "the wanted name": (("link add net1 type veth peer name taken1",), ("--as", "net1")),
    "the wanted name, by an altname": (
        (
            "link add taken0 type veth peer name taken1",
            "link property add dev taken0 altname net1",
        ),
        ("--as", "net1"),
    ),
    "an altname of the link": (("link add enp3s0f0np0 type veth peer name taken1",), ()),
    "an altname of the link, by an altname": (
        (
            "link add taken0 type veth peer name taken1",
            "link property add dev taken0 altname enp3s0f0np0",
        ),
        ("--as", "net1"),
    ),
}
UNREACHABLE = "10.99.0.0/16 via 172.31.0.1"
REFUSED = {
    "a MAC too long": ("--mac", "02:00:00:00:00:00:00:01"),
    "a gateway out of reach": ("--route", UNREACHABLE),
    "an IPv6 gateway out of reach": ("--route", "2001:db8:99::/48 via 2001:db8:98::1"),
    "a route twice": ("--route", "10.99.0.0/16", "--route", "10.99.0.0/16"),
    "an address twice": ("--address", "10.7.0.1/24", "--address", "10.7.0.1/24"),
    "an IPv6 address twice": ("--address", "2001:db8::1/64", "--address", "2001:db8::1/64"),
    "a source that is no address": ("--route", "10.99.0.0/16 src 10.98.0.1"),
}


@pytest.mark.parametrize(("commands", "args"), TAKEN.values(), ids=TAKEN.keys())
def test_a_name_that_is_taken_in_the_pod_leaves_the_link_on_the_host(
    commands: tuple[str, ...],
    args: tuple[str, ...],
    mover: Mover,
    pod: Netns,
    containers: Containers,
) -> None:
    pod.batch(commands)
    pod_before = settled(pod)
    assert_rolled_back(mover, pod, containers, *args)
    assert_same(pod, pod_before)


@pytest.mark.parametrize("args", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_kernel_refuses_leaves_the_link_on_the_host(
    args: tuple[str, ...], mover: Mover, pod: Netns, containers: Containers
) -> None:
    pod_before = settled(pod)
    assert_rolled_back(mover, pod, containers, *args)
    assert_same(pod, pod_before)


def test_an_mtu_that_the_kind_cannot_have_leaves_the_link_on_the_host(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    assert_rolled_back(mover, pod, containers, "--mtu", "9000", kind="macvlan")


def assert_rolled_back(
    mover: Mover, pod: Netns, containers: Containers, *args: str, kind: str = "veth"
) -> None:
    """Exit 1 with device, step and reason; the richly configured link is as it was."""
    make_up(mover.host, kind)
    mover.host.batch(RICH)
    before = settled(mover.host)
    container = containers.of(pod)
    result = mover.attach(container, *identity(mover.host), *args)
    assert result.code == 1, result
    _, device, step, reason = result.reason.split(": ", 3)
    assert device == DEVICE
    assert step
    assert reason
    assert result.reason == f"netdevice-mover: {DEVICE}: {mover.error()}"
    assert mover.leftovers() == [f"errors/{DEVICE}"]
    assert_same(mover.host, before)
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_an_error_is_forgotten_when_the_next_attach_works(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    assert mover.attach(container, "--link", "gone0").code == 1
    assert mover.error()
    mover.attach(container, *identity(mover.host)).ok()
    assert not (mover.run_dir / "errors" / DEVICE).exists()


def test_a_holder_keeps_the_link_when_another_containers_attach_fails(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    holder = containers.of(pod)
    mover.attach(holder, *args).ok()
    before = settled(pod)
    result = mover.attach(containers.of(mover.host), *args, "--wait", "0")
    assert result.code in {1, 3}, result
    assert mover.record().holders == [holder.id]
    assert_same(pod, before)


def test_a_dead_holders_link_is_home_when_the_next_attach_fails(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    holder = containers.alone()
    args = identity(mover.host)
    mover.attach(holder, *args).ok()
    holder.end()
    result = mover.attach(containers.of(pod), *args, "--route", UNREACHABLE)
    assert result.code == 1, result
    assert mover.leftovers() == [f"errors/{DEVICE}"]
    assert_same(mover.host, before)
