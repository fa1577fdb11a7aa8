"""The link that is lent is the one that was meant, or none."""

from __future__ import annotations

import json

import pytest

from tests.kernel.mover.dump import Dump, assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, Result, identity
from tests.kernel.mover.links import MAC, make, make_other, make_up
from tests.kernel.scratch import Netns

OTHER_MAC = "02:00:5e:10:00:99"


def assert_refused(mover: Mover, result: Result, before: Dump) -> None:
    """Exit 1 and one line; the host is as it was and nothing is left."""
    assert result.code == 1, result
    assert result.reason.startswith(f"netdevice-mover: {DEVICE}: ")
    assert result.reason == f"netdevice-mover: {DEVICE}: {mover.error()}"
    assert mover.leftovers() == [f"errors/{DEVICE}"]
    assert_same(mover.host, before)


def test_a_renamed_link_is_found_by_its_mac(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    mover.host.batch([f"link set {DEVICE} down", f"link set {DEVICE} name renamed0"])
    mover.host.batch(["link set renamed0 up"])
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *args).ok()
    assert DEVICE in pod.links()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def twins(host: Netns) -> tuple[str, ...]:
    """Two links of one kind with one MAC; what a CDI file says of the first."""
    make(host, "veth", f"link add twin0 address {MAC} type veth peer name twin1")
    return identity(host)


def test_of_two_links_with_one_mac_the_name_tells(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    args = twins(mover.host)
    mover.attach(containers.of(pod), *args).ok()
    assert DEVICE in pod.links()
    assert "twin0" in mover.host.links()


def test_of_two_links_with_one_mac_the_ifindex_tells_which_was_renamed(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    args = twins(mover.host)
    mover.host.ip("link", "set", DEVICE, "name", "renamed0")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *args).ok()
    assert "renamed0" not in mover.host.links()
    assert "twin0" in mover.host.links()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_two_links_with_one_mac_that_swapped_names_are_refused(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    args = twins(mover.host)
    mover.host.batch([f"link set {DEVICE} name renamed0", f"link set twin0 name {DEVICE}"])
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), *args)
    assert_refused(mover, result, before)
    assert "renamed0" in result.reason


def test_two_links_with_one_mac_and_neither_name_nor_ifindex_are_refused(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    twins(mover.host)
    before = settled(mover.host)
    args = ("--link", "gone0", "--link-ifindex", "4000", "--link-mac", MAC, "--link-kind", "veth")
    result = mover.attach(containers.of(pod), *args)
    assert_refused(mover, result, before)
    assert DEVICE in result.reason
    assert "twin0" in result.reason


def test_a_name_that_another_link_has_now_is_not_enough(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    mover.host.ip("link", "del", DEVICE)
    make(mover.host, "veth", f"link set {DEVICE} address {OTHER_MAC}")
    before = settled(mover.host)
    assert_refused(mover, mover.attach(containers.of(pod), *args), before)


def test_another_kind_of_link_with_the_same_name_and_mac_is_refused(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    mover.host.ip("link", "del", DEVICE)
    make(mover.host, "ifb")
    before = settled(mover.host)
    assert_refused(mover, mover.attach(containers.of(pod), *args), before)


def test_an_absent_link_is_refused(mover: Mover, pod: Netns, containers: Containers) -> None:
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), "--link", DEVICE, "--link-mac", MAC)
    assert_refused(mover, result, before)


@pytest.mark.parametrize("change", ["name", "ifindex", "kind"])
def test_a_link_without_a_mac_must_match_in_all_else(
    change: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make(mover.host, "tun")
    args = list(identity(mover.host))
    assert "--link-mac" not in args
    position = {"name": 1, "ifindex": 3, "kind": 5}[change]
    args[position] = {"name": "tun9", "ifindex": "4000", "kind": "veth"}[change]
    before = settled(mover.host)
    assert_refused(mover, mover.attach(containers.of(pod), *args), before)


def test_another_ifindex_alone_does_not_matter_where_there_is_a_mac(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = ("--link", DEVICE, "--link-ifindex", "4000", "--link-mac", MAC, "--link-kind", "veth")
    mover.attach(containers.of(pod), *args).ok()
    assert DEVICE in pod.links()


def test_a_mac_that_was_changed_since_is_refused(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    mover.host.ip("link", "set", DEVICE, "address", OTHER_MAC)
    before = settled(mover.host)
    assert_refused(mover, mover.attach(containers.of(pod), *args), before)


def test_a_pci_address_that_the_link_does_not_have_is_refused(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), *identity(mover.host), "--link-pci", "0000:03:00.1")
    assert_refused(mover, result, before)


def test_a_bridge_port_is_refused(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host, "veth", "link add br0 type bridge", f"link set {DEVICE} master br0")
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), *identity(mover.host))
    assert_refused(mover, result, before)
    assert "master" in result.reason


def test_a_bridge_is_refused_by_the_kernel_and_stays_as_it_was(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    mover.host.batch(
        [
            f"link add {DEVICE} address {MAC} type bridge",
            "link add port0 type veth peer name port1",
            f"link set port0 master {DEVICE} up",
            "link set port1 up",
            f"link set {DEVICE} up",
            f"addr add 10.1.0.5/24 dev {DEVICE}",
            f"addr add 2001:db8:1::5/64 dev {DEVICE}",
            f"route add 10.9.0.0/16 via 10.1.0.1 dev {DEVICE}",
        ]
    )
    before = settled(mover.host)
    assert_refused(mover, mover.attach(containers.of(pod), *identity(mover.host)), before)


def test_loopback_is_refused(mover: Mover, pod: Netns, containers: Containers) -> None:
    before = settled(mover.host)
    assert_refused(mover, mover.attach(containers.of(pod), "--link", "lo"), before)


DEFAULTS = {
    "main table": [f"route add default via 10.1.0.1 dev {DEVICE} metric 9"],
    "link scope": [f"route add default dev {DEVICE} metric 9"],
    "table 100": [f"route add default via 10.1.0.1 dev {DEVICE} table 100"],
    "table 20000": [f"route add default via 10.1.0.1 dev {DEVICE} table 20000"],
    "IPv6": [f"route add default via fe80::1 dev {DEVICE} metric 9"],
    "IPv6 in table 100": [f"route add default via fe80::1 dev {DEVICE} table 100"],
    "IPv6 written out": [f"route add ::/0 via fe80::1 dev {DEVICE} metric 9"],
    "one hop of two": [
        f"route add default metric 9 nexthop via 10.2.0.1 dev other0 "
        f"nexthop via 10.1.0.1 dev {DEVICE}"
    ],
    "one IPv6 hop of two": [
        "route add default metric 9 nexthop via fe80::2 dev other0 "
        f"nexthop via fe80::1 dev {DEVICE}"
    ],
    "nexthop object": [
        f"nexthop add id 10 via 10.1.0.1 dev {DEVICE}",
        "route add default metric 9 nhid 10",
    ],
    "nexthop group": [
        f"nexthop add id 10 via 10.1.0.1 dev {DEVICE}",
        "nexthop add id 11 via 10.2.0.1 dev other0",
        "nexthop add id 20 group 11/10",
        "route add default metric 9 nhid 20",
    ],
    "IPv6 nexthop group": [
        f"nexthop add id 10 via fe80::1 dev {DEVICE}",
        "nexthop add id 11 via fe80::2 dev other0",
        "nexthop add id 20 group 11/10",
        "route add ::/0 metric 9 nhid 20",
    ],
}


STACKED = {
    "a macvlan, which the move would reset": [
        f"link add stacked0 link {DEVICE} type macvlan mode bridge",
    ],
    "a macvlan with a default route": [
        f"link add stacked0 link {DEVICE} type macvlan mode bridge",
        "link set stacked0 up",
        "addr add 10.6.0.1/24 dev stacked0",
        "route add default via 10.6.0.254 metric 9",
    ],
    "a vxlan, which the move would destroy": [
        f"link add stacked0 type vxlan id 7 dev {DEVICE} remote 10.1.0.9 dstport 4789",
        "link set stacked0 up",
    ],
}


@pytest.mark.parametrize("commands", STACKED.values(), ids=STACKED.keys())
def test_a_link_that_another_one_stands_on_is_refused(
    commands: list[str], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", *commands)
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), *identity(mover.host))
    assert_refused(mover, result, before)
    assert "stacked0" in result.reason


@pytest.mark.parametrize("commands", DEFAULTS.values(), ids=DEFAULTS.keys())
def test_a_link_that_carries_a_default_route_is_refused(
    commands: list[str], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    make_other(mover.host)
    mover.host.batch(commands)
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), *identity(mover.host))
    assert_refused(mover, result, before)
    assert "default" in result.reason


def test_a_default_route_to_nowhere_is_no_reason(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", "route add blackhole default metric 99 table 100")
    mover.attach(containers.of(pod), *identity(mover.host)).ok()


def test_the_hosts_own_namespace_is_refused(mover: Mover, containers: Containers) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    result = mover.attach(containers.of(mover.host), *identity(mover.host))
    assert_refused(mover, result, before)
    assert "host" in result.reason


def test_a_process_that_is_gone_is_refused(mover: Mover, containers: Containers) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.alone()
    state = container.state()
    container.end()
    args = (*mover.arguments("attach"), *identity(mover.host))
    assert_refused(mover, mover.run(*args, stdin=state), before)


@pytest.mark.parametrize("pid", [None, 0])
def test_a_container_without_a_process_is_refused(
    pid: int | None, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    state = json.loads(containers.of(pod).stopped())
    given = json.dumps(state if pid is None else {**state, "pid": pid})
    args = (*mover.arguments("attach"), *identity(mover.host))
    assert_refused(mover, mover.run(*args, stdin=given), before)
