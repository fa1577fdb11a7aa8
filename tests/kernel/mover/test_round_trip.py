"""A link goes into a pod with what it needs there, and comes home as it was."""

from __future__ import annotations

import time

import pytest

from tests.kernel.mover.dump import assert_same, glance, settled
from tests.kernel.mover.harness import (
    DEVICE,
    Containers,
    Mover,
    identifier,
    identity,
    mounts,
)
from tests.kernel.mover.links import KINDS, MAC, make, make_up
from tests.kernel.scratch import Netns

FLAG_UP = 1


def addresses(space: Netns, name: str = DEVICE) -> set[str]:
    """Its addresses of global scope."""
    (link,) = space.json("addr", "show", "dev", name)
    return {
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in link["addr_info"]
        if entry["scope"] == "global"
    }


def routes(space: Netns, *args: str) -> set[str]:
    """Destinations of its unicast routes."""
    return {route["dst"] for route in space.json("route", "show", *args)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_works_in_the_pod_and_comes_home_as_it_was(
    kind: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, kind)
    before = settled(mover.host)
    container = containers.of(pod)

    mover.attach(container, *identity(mover.host)).ok()

    assert DEVICE not in mover.host.links()
    link = pod.links()[DEVICE]
    assert (link["mtu"], link["address"]) == (1400, MAC)
    assert "UP" in link["flags"]
    assert addresses(pod) == {"10.1.0.5/24", "2001:db8:1::5/64"}
    assert "10.9.0.0/16" in routes(pod)
    container.end()
    mover.detach(container).ok()
    assert DEVICE not in pod.links()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_an_address_that_was_not_checked_yet_is_checked_in_the_pod(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    settled(mover.host, glance)  # the kernel takes addresses for unchecked until it comes to them
    for key, value in (("accept_dad", "1"), ("dad_transmits", "600")):  # ten minutes of asking
        mover.host.sysctl(f"ipv6/conf/{DEVICE}/{key}", value)
    pod.sysctl("ipv6/conf/default/accept_dad", "1")
    pod.sysctl("ipv6/conf/default/dad_transmits", "600")
    mover.host.ip("addr", "add", "2001:db8:7::5/64", "dev", DEVICE)
    mover.attach(containers.of(pod), *identity(mover.host)).ok()
    (link,) = pod.json("-6", "addr", "show", "dev", DEVICE)
    tentative = {
        entry["local"]: entry.get("tentative", False)
        for entry in link["addr_info"]
        if entry["scope"] == "global"
    }
    assert tentative == {"2001:db8:7::5": True, "2001:db8:1::5": False}


def test_a_tun_link_without_a_mac_comes_home_as_it_was(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "tun")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert addresses(pod) == {"10.1.0.5/24", "2001:db8:1::5/64"}
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_the_record_says_what_is_lent_and_to_whom(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", f"link property add dev {DEVICE} altname a\\b")
    (link,) = mover.host.json("link", "show", "dev", DEVICE)
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    container = containers.of(pod)
    args = identity(mover.host)

    mover.attach(container, *args, "--as", "net1").ok()

    record = mover.record()
    assert record.text.startswith("format=1\n")
    assert record.text.endswith("\n")
    expected = {
        "device": DEVICE,
        "phase": "attached",
        "netns": identifier(pod.path),
        "pin": str(mover.pin()),
        "pod.name": "net1",
        "spec.link": DEVICE,
        "spec.ifindex": str(link["ifindex"]),
        "spec.mac": MAC,
        "spec.kind": "veth",
        "link.name": DEVICE,
        "link.ifindex": str(link["ifindex"]),
        "link.kind": "veth",
        "link.type": "1",
        "link.mac": MAC,
        "link.mtu": "1400",
        "link.txqlen": str(link["txqlen"]),
        "link.group": "0",
        "link.altname": "a\\x5cb",
    }
    assert {key: record.values.get(key) for key in expected} == {
        key: [value] for key, value in expected.items()
    }
    assert int(record.one("pod.ifindex")) == pod.links()["net1"]["ifindex"]
    assert int(record.one("link.flags")) & FLAG_UP
    assert uptime - 1 <= int(record.one("recorded")) <= uptime + 60
    assert len(record.values["address"]) == 3  # one of each family, and the link-local one
    assert "link.pci" not in record.values or record.one("link.pci") == ""


def test_the_record_names_the_holder(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    name, pid, started, since, *names = mover.record().one("holder").split(" ")
    assert (name, int(pid), int(started)) == (container.id, container.pid, container.started)
    assert abs(int(since) - time.time()) < 60
    assert names == ["default/web-0", "3f0c1c9a-8d7e-4f6c-9b0a-0d8a3a1c2b3d", "app"]


def test_what_a_runtime_does_not_say_of_the_holder_is_a_dash(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    state = container.state(annotations={})
    mover.run(*mover.arguments("attach"), *identity(mover.host), stdin=state).ok()
    assert mover.record().one("holder").split(" ")[4:] == ["-", "-", "-"]


def test_the_pods_namespace_is_pinned_until_the_link_is_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert mounts(mover.run_dir) == [str(mover.pin())]
    assert mover.pin().stat().st_ino == pod.path.stat().st_ino
    mover.detach(container).ok()
    assert mounts(mover.run_dir) == []
    assert not mover.pin().exists()


def test_a_link_that_was_down_is_up_in_the_pod_and_home_again_down(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make(mover.host, "veth", f"addr add 10.1.0.5/24 dev {DEVICE}")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert "UP" in pod.links()[DEVICE]["flags"]
    assert addresses(pod) == {"10.1.0.5/24"}
    mover.detach(container).ok()
    assert "UP" not in mover.host.links()[DEVICE]["flags"]
    assert_same(mover.host, before)


def test_keep_down_leaves_a_link_down_that_was_down(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make(mover.host, "veth", f"addr add 10.1.0.5/24 dev {DEVICE}")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), "--keep-down").ok()
    assert "UP" not in pod.links()[DEVICE]["flags"]
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_keep_down_does_not_take_a_link_down_that_was_up(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.attach(containers.of(pod), *identity(mover.host), "--keep-down").ok()
    assert "UP" in pod.links()[DEVICE]["flags"]


def test_a_bare_link_without_addresses_comes_home_as_it_was(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make(mover.host, "veth")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_the_ifindex_comes_home_even_when_the_pod_has_it_already(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    index = mover.host.links()[DEVICE]["ifindex"]
    pod.ip("link", "add", "eth0", "index", str(index), "type", "veth", "peer", "name", "eth1")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert pod.links()[DEVICE]["ifindex"] != index
    assert int(mover.record().one("pod.ifindex")) == pod.links()[DEVICE]["ifindex"]
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_ipv6_addresses_reach_a_pod_where_ipv6_is_off_by_default(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    pod.sysctl("ipv6/conf/default/disable_ipv6", "1")
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert addresses(pod) == {"10.1.0.5/24", "2001:db8:1::5/64"}
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_a_pod_whose_namespace_a_user_namespace_owns_gets_the_link(
    mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.unprivileged()
    mover.attach(container, *identity(mover.host)).ok()
    assert addresses(container.netns) == {"10.1.0.5/24", "2001:db8:1::5/64"}
    container.end()
    mover.detach(container).ok()
    assert_same(mover.host, before)


@pytest.mark.parametrize(
    "route",
    [
        "10.0.0.0/8 via 10.2.0.1 dev other0",
        "10.0.0.0/8 nexthop via 10.1.0.1 dev ndp0 nexthop via 10.2.0.1 dev other0",
    ],
    ids=["another link's", "a route of two links"],
)
def test_a_route_that_needs_another_link_does_not_go_into_the_pod(
    route: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(
        mover.host,
        "veth",
        "link add other0 type veth peer name other1",
        "link set other1 up",
        "link set other0 up",
        "addr add 10.2.0.5/24 dev other0",
        f"route add {route}",
    )
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert "10.0.0.0/8" not in routes(pod, "table", "all")
    mover.detach(container).ok()
    assert_same(mover.host, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_comes_home_from_a_pod_that_died_with_its_namespace(
    kind: str, mover: Mover, containers: Containers
) -> None:
    make_up(mover.host, kind)
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    container.end()
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_duplicate_address_detection_does_not_keep_addresses_from_coming_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make(mover.host, "veth")
    mover.host.sysctl(f"ipv6/conf/{DEVICE}/accept_dad", "1")
    mover.host.batch([f"link set {DEVICE} up", f"addr add 2001:db8:1::5/64 dev {DEVICE}"])
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(container).ok()
    assert_same(mover.host, before)
