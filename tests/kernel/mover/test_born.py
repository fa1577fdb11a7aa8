"""Links that are made in the pod, on one that stays on the host: born there, and gone at return.

macvlan alone, as this kernel may have no other; tests/vm/test_born.py has ipvlan and VLANs.
"""

from __future__ import annotations

import dataclasses
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.mover.dump import Dump, assert_same, eventually, settled
from tests.kernel.mover.elsewhere import hidden_from
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, Result, identity
from tests.kernel.mover.links import PARENT
from tests.kernel.mover.test_killed import KILLED, each_step, killed_at
from tests.kernel.scratch import Netns, netns

BRIDGE = ("--create", "macvlan mode bridge", "--as", "net1")
ADDRESSES = ("--address", "10.7.0.5/24", "--address", "2001:db8:7::5/64")
ALL = (
    *(*ADDRESSES, "--mtu", "1400", "--mac", "02:00:00:00:be:ef"),
    *("--route", "default via 10.7.0.1", "--route", "10.99.0.0/16 via 10.7.0.1 table 7"),
    *("--gateway", "--rule", "from 10.7.0.5/32 table 7", "--neighbour", "proxy 10.7.0.9"),
    *("--neighbour", "10.7.0.1 lladdr 02:00:00:00:00:99", "--sysctl", "ipv4/conf/rp_filter=2"),
)
OWN = (
    "link add eth0 type veth peer name eth0p",
    "link set eth0p up",
    "link set eth0 up",
    "addr add 10.244.0.7/24 dev eth0",
    "route add default via 10.244.0.1",
)


@pytest.fixture
def parent(host: Netns) -> tuple[str, ...]:
    """What names the parent, which has addresses and routes that no pod is to get."""
    host.batch(
        [
            f"addr add 10.50.0.1/24 dev {PARENT}",
            f"route add 10.51.0.0/16 via 10.50.0.2 dev {PARENT}",
        ]
    )
    return identity(host, PARENT)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A node and a pod, and how they are without the link."""

    host: Netns
    pod: Netns
    before: tuple[Dump, Dump]

    def assert_unchanged(self) -> None:
        """Both are as they were."""
        assert_same(self.host, self.before[0])
        assert_same(self.pod, self.before[1])


@pytest.fixture
def place(parent: tuple[str, ...], host: Netns, pod: Netns) -> Place:
    """The pod is as it comes from CNI."""
    pod.sysctl("ipv6/conf/default/accept_dad", "0")
    pod.batch(OWN)
    return Place(host, pod, (settled(host), settled(pod)))


@pytest.fixture
def lent(mover: Mover, containers: Containers, place: Place) -> Iterator[Container]:
    """A container for the link; afterwards both namespaces are as they were."""
    container = containers.of(place.pod)
    yield container
    container.end()
    mover.detach(container).ok()
    place.assert_unchanged()
    assert mover.leftovers() == []


def info(space: Netns, name: str = "net1") -> dict[str, Any]:
    """A link with its addresses."""
    (found,) = space.json("addr", "show", "dev", name)
    return found


def defaults(space: Netns) -> set[tuple[str, str]]:
    found = space.json("route", "show", "default")
    return {(route["gateway"], route["dev"]) for route in found}


def macvlans(space: Netns) -> list[str]:
    return [
        name
        for name, link in space.links().items()
        if link.get("linkinfo", {}).get("info_kind") == "macvlan"
    ]


# ---- what is there ----


def test_it_is_up_and_has_nothing_of_its_parents(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE).ok()
    link = info(pod)
    assert (link["linkinfo"]["info_kind"], link["mtu"]) == ("macvlan", 1500)
    assert link["linkinfo"]["info_data"]["mode"] == "bridge"
    assert {"UP", "LOWER_UP"} <= set(link["flags"])
    assert link["address"] != mover.host.links()[PARENT]["address"]
    assert [one["scope"] for one in link["addr_info"]] == ["link"]
    assert not pod.json("-4", "route", "show", "dev", "net1")
    assert macvlans(mover.host) == []


def test_its_record_names_its_kind_and_nothing_to_come_home_to(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE).ok()
    record = mover.record()
    assert (record.one("born"), record.one("phase")) == ("macvlan", "attached")
    assert (record.one("link.name"), record.one("link.ifindex")) == ("net1", "0")
    assert record.one("spec.link") == PARENT
    assert (record.one("pod.name"), record.one("pod.ifindex")) == (
        "net1",
        str(info(pod)["ifindex"]),
    )
    assert record.one("pod.mac") == info(pod)["address"]
    assert not {"address", "route", "link.mac", "link.conf4"} & record.values.keys()


@pytest.mark.parametrize("mode", ["private", "vepa", "bridge", "passthru"])
def test_it_is_of_the_mode_asked_for(
    mode: str, mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, "--create", f"macvlan mode {mode}", "--as", "net1").ok()
    assert info(pod)["linkinfo"]["info_data"]["mode"] == mode


def test_it_has_all_that_a_moved_link_may_have(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE, *ALL).ok()
    link = info(pod)
    found = {one["local"] for one in link["addr_info"] if one["scope"] == "global"}
    assert found == {"10.7.0.5", "2001:db8:7::5"}
    assert (link["mtu"], link["address"]) == (1400, "02:00:00:00:be:ef")
    assert defaults(pod) == {("10.7.0.1", "net1")}
    assert [one["dst"] for one in pod.json("route", "show", "table", "7")] == ["10.99.0.0/16"]
    assert "7" in {one["table"] for one in pod.json("rule", "show")}
    (neighbour,) = pod.json("neigh", "show", "dev", "net1", "nud", "permanent")
    assert neighbour["lladdr"] == "02:00:00:00:00:99"
    assert pod.sysctl("ipv4/conf/net1/rp_filter") == "2"


def test_a_mac_that_is_asked_for_goes_to_the_parent_with_passthru_and_comes_off_again(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mac = "02:00:00:00:be:ef"
    args = ("--create", "macvlan mode passthru", "--as", "net1", "--mac", mac)
    mover.attach(lent, *parent, *args).ok()
    assert mover.host.links()[PARENT]["address"] == info(pod)["address"] == mac


def test_it_can_stay_down(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE, "--keep-down").ok()
    assert "UP" not in info(pod)["flags"]


def test_pods_that_share_a_nic_reach_each_other(
    mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    pod = place.pod
    with netns("other") as other:
        for number, space in enumerate((pod, other), 1):
            args = (*BRIDGE, "--address", f"10.7.0.{number}/24")
            mover.attach(containers.of(space), *parent, *args, device=f"shared-{number}").ok()
        here = pod.call(lambda: socket.create_server(("10.7.0.1", 0)))
        with here:
            where = here.getsockname()
            other.call(lambda: socket.create_connection(where, timeout=10)).close()
        for number in (1, 2):
            mover.reclaim("--force", device=f"shared-{number}").ok()
        assert macvlans(pod) == macvlans(other) == []
    place.assert_unchanged()


# ---- who has it ----


def test_a_second_container_of_the_pod_finds_it_and_keeps_it(
    mover: Mover, parent: tuple[str, ...], containers: Containers, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE, *ADDRESSES).ok()
    number = info(pod)["ifindex"]
    second = containers.of(pod)
    mover.attach(second, *parent, *BRIDGE).ok()
    mover.attach(second, *parent, *BRIDGE).ok()
    second.end()
    mover.detach(second).ok()
    assert info(pod)["ifindex"] == number


def test_another_pod_is_refused_it_while_a_container_lives(
    mover: Mover, parent: tuple[str, ...], containers: Containers, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE).ok()
    result = mover.attach(containers.alone(), *parent, *BRIDGE, "--wait", "0")
    assert (result.code, "held by container" in result.reason) == (3, True)


def test_that_of_a_dead_container_is_deleted_through_the_pin_before_the_next_is_made(
    mover: Mover, parent: tuple[str, ...], containers: Containers, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE, *ALL).ok()
    lent.end()
    with netns("next") as other:
        successor = containers.of(other)
        mover.attach(successor, *parent, *BRIDGE).ok()
        assert (macvlans(pod), macvlans(other)) == ([], ["net1"])
        mover.detach(successor).ok()
        assert macvlans(other) == []


@pytest.mark.parametrize("pinned", [True, False])
def test_it_is_gone_with_a_container_whose_namespace_dies_first(
    pinned: bool, mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    container = containers.alone()
    mover.attach(container, *parent, *BRIDGE, *ALL).ok()
    container.end()
    if not pinned:
        mover.host.run("umount", mover.pin())
        mover.pin().unlink()
    mover.detach(container).ok()
    place.assert_unchanged()
    assert mover.leftovers() == []


def test_a_pod_with_a_user_namespace_of_its_own_has_it_and_gives_it_back(
    mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    container = containers.unprivileged()
    mover.attach(container, *parent, *BRIDGE, *ALL).ok()
    assert macvlans(container.netns) == ["net1"]
    mover.detach(container).ok()
    assert macvlans(container.netns) == []
    container.end()
    place.assert_unchanged()


def test_where_the_pin_cannot_be_seen_nothing_is_touched(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE).ok()
    lent.end()
    result = dataclasses.replace(mover, enter=hidden_from(mover.pin())).reclaim()
    assert (result.code, "look for the pin" in result.reason) == (1, True)
    assert macvlans(pod) == ["net1"]


# ---- what can happen to it ----


@pytest.mark.parametrize("end", ["pod lives", "pod died"])
def test_a_parent_that_is_gone_has_taken_it_along_and_that_is_no_failure(
    end: str, mover: Mover, parent: tuple[str, ...], containers: Containers, place: Place
) -> None:
    container = containers.of(place.pod)
    mover.attach(container, *parent, *BRIDGE, *ALL).ok()
    mover.host.ip("link", "del", PARENT)
    assert macvlans(place.pod) == []
    if end == "pod died":
        container.end()
    mover.detach(container).ok()
    assert_same(place.pod, place.before[1])
    assert mover.leftovers() == []


def test_a_parent_that_was_renamed_since_is_the_parent(
    mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.host.batch([f"link set {PARENT} down", f"link set {PARENT} name renamed0 up"])
    mover.attach(lent, *parent, *BRIDGE).ok()
    assert macvlans(pod) == ["net1"]
    mover.detach(lent).ok()
    mover.host.batch(
        [
            "link set renamed0 down",
            f"link set renamed0 name {PARENT} up",
            f"route replace 10.51.0.0/16 via 10.50.0.2 dev {PARENT}",
        ]
    )


@pytest.mark.parametrize(
    "change",
    [
        ("link set net1 down", "link set net1 name other1"),
        ("link set net1 group 7", "link set net1 address 02:00:00:00:00:55"),
        ("link add link net1 name theirs type macvlan",),
    ],
    ids=["renamed", "regrouped", "stood upon"],
)
def test_it_goes_whatever_the_pod_has_made_of_it(
    change: tuple[str, ...], mover: Mover, parent: tuple[str, ...], pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE, *ALL).ok()
    pod.batch(change)
    mover.detach(lent).ok()
    if "theirs" in pod.links():  # a macvlan on one is on the parent in truth: the pod's own
        pod.ip("link", "del", "theirs")
    assert macvlans(pod) == []


def test_one_that_the_pod_has_deleted_is_made_anew_for_its_next_container(
    mover: Mover, parent: tuple[str, ...], containers: Containers, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *parent, *BRIDGE, *ALL).ok()
    pod.ip("link", "del", "net1")
    mover.attach(containers.of(pod), *parent, *BRIDGE, *ALL).ok()
    assert macvlans(pod) == ["net1"]
    mover.reclaim("--force").ok()


def test_links_on_the_host_that_look_like_it_are_none_of_its_business(
    mover: Mover, parent: tuple[str, ...], containers: Containers
) -> None:
    container = containers.alone()
    mover.attach(container, *parent, *BRIDGE).ok()
    number = info(container.netns)["ifindex"]
    mover.host.batch(
        [
            f"link add net1 link {PARENT} type macvlan",
            f"link add dev{number} link {PARENT} type macvlan",
        ]
    )
    links = mover.host.links().keys()
    container.end()
    mover.detach(container).ok()
    assert mover.host.links().keys() == links


# ---- what fails ----


def refused(mover: Mover, container: Container, *args: str) -> str:
    """The reason for which an attach failed, and left nothing."""
    result = mover.attach(container, *args)
    assert result.code == 1, result
    kept = [f"errors/{DEVICE}"]
    assert mover.leftovers() == kept
    (mover.run_dir / kept[0]).unlink()
    return result.reason.removeprefix(f"netdevice-mover: {DEVICE}: ")


# What is done before, the arguments, and what the reason has in it.
FAILURES = {
    "down": ((f"link set {PARENT} down",), BRIDGE, "check the parent: it is down; set it up first"),
    "mtu": ((), (*BRIDGE, "--mtu", "1501"), "check the parent: --mtu is more than its own MTU"),
    "mac": ((), (*BRIDGE, "--mac", "02:00:00:01"), "check the link: --mac is not of the length"),
    "gone": (
        (f"link del {PARENT}",),
        BRIDGE,
        f"no link has the MAC, PCI address and kind of {PARENT}",
    ),
    "port": (
        ("link add br0 type bridge", f"link set {PARENT} master br0"),
        BRIDGE,
        "check the link: it is a port of br0",
    ),
    "passthru": (
        (f"link add link {PARENT} name only0 type macvlan mode passthru",),
        BRIDGE,
        f"create the link in the pod: macvlan on {PARENT}, which has links of another kind or "
        "mode on it: Invalid argument",
    ),
    "name": (
        (),
        (*BRIDGE[:2], "--as", "eth0"),
        "look for the name in the pod: the pod has a link named eth0 already",
    ),
    "driver": ((), (*BRIDGE, "--ring", "rx=7"), "change the link's driver in the pod: ring rx=7"),
    "route": (
        (),
        (*BRIDGE, *ALL, "--route", "10.98.0.0/16 via 172.31.0.1"),
        "add in the pod the route 10.98.0.0/16 via 172.31.0.1: ",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_attach_that_fails_says_why_and_leaves_nothing(
    failure: str, mover: Mover, parent: tuple[str, ...], containers: Containers, place: Place
) -> None:
    prepare, args, reason = FAILURES[failure]
    mover.host.batch(prepare)
    before = settled(mover.host)
    assert reason in refused(mover, containers.of(place.pod), *parent, *args)
    assert_same(place.pod, place.before[1])
    assert_same(mover.host, before)


def test_a_parent_in_another_namespace_is_no_parent(
    mover: Mover, parent: tuple[str, ...], containers: Containers, pod: Netns
) -> None:
    with netns("away") as away:
        mover.host.ip("link", "set", PARENT, "netns", away.name)
        reason = refused(mover, containers.of(pod), *parent, *BRIDGE)
    assert reason.startswith("find the link on the host: no link has the MAC")


def test_loopback_is_no_parent(mover: Mover, containers: Containers) -> None:
    reason = refused(mover, containers.alone(), "--link", "lo", *BRIDGE)
    assert reason.startswith("find the link on the host: ")


# ---- a mover that is killed ----


def test_an_attach_killed_at_any_step_leaves_nothing(
    fast_mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    def attach(step: int) -> Result:
        container = containers.of(place.pod)
        result = fast_mover.attach(container, *parent, *BRIDGE, *ALL, env=killed_at(step))
        container.end()
        if step % 2:
            fast_mover.detach(container).ok()
        else:
            fast_mover.reclaim().ok()
        assert macvlans(place.pod) == []
        assert fast_mover.leftovers() == []
        return result

    assert each_step(attach) > 10
    place.assert_unchanged()


def test_an_attach_killed_at_any_step_is_made_good_by_the_same_container_or_another_pods(
    fast_mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    def attach(step: int) -> Result:
        container = containers.alone()
        result = fast_mover.attach(container, *parent, *BRIDGE, *ADDRESSES, env=killed_at(step))
        if step % 2:
            container.end()
            container = containers.alone()
        fast_mover.attach(container, *parent, *BRIDGE, *ADDRESSES).ok()
        assert macvlans(container.netns) == ["net1"]
        fast_mover.detach(container).ok()
        assert macvlans(container.netns) == []
        container.end()
        return result

    assert each_step(attach) > 10
    assert fast_mover.leftovers() == []
    place.assert_unchanged()


@pytest.mark.parametrize("end", ["pod lives", "pod died"])
def test_a_detach_killed_at_any_step_is_ended_by_reclaim(
    end: str, fast_mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    def detach(step: int) -> Result:
        container = containers.alone()
        fast_mover.attach(container, *parent, *BRIDGE, *ALL[:-4]).ok()
        if end == "pod died":
            container.end()
        result = fast_mover.detach(container, env=killed_at(step))
        fast_mover.reclaim("--force").ok()
        if end == "pod lives":
            assert macvlans(container.netns) == []
            container.end()
        assert fast_mover.leftovers() == []
        return result

    assert each_step(detach) > 8
    place.assert_unchanged()


def test_a_rollback_killed_at_any_step_leaves_nothing(
    fast_mover: Mover, parent: tuple[str, ...], place: Place, containers: Containers
) -> None:
    broken = ("--route", "10.98.0.0/16 via 172.31.0.1")

    def attach(step: int) -> Result:
        container = containers.of(place.pod)
        result = fast_mover.attach(container, *parent, *BRIDGE, *broken, env=killed_at(step))
        container.end()
        fast_mover.reclaim().ok()
        assert macvlans(place.pod) == []
        assert [one for one in fast_mover.leftovers() if not one.startswith("errors/")] == []
        return result

    assert each_step(attach) > 10
    place.assert_unchanged()


def kill_before_birth(mover: Mover, container: Container, *args: str) -> None:
    """All is written down, and the link is not there."""
    for step in itertools.count(1):
        assert mover.attach(container, *args, env=killed_at(step)).code == KILLED
        recorded = f"attachments/{DEVICE}" in mover.leftovers()
        if recorded and mover.record().one("phase") == "attaching":
            break
        mover.reclaim().ok()
    assert macvlans(container.netns) == []


def test_a_link_of_the_pods_own_is_never_taken_for_one_that_was_not_made_yet(
    fast_mover: Mover, parent: tuple[str, ...], containers: Containers, pod: Netns
) -> None:
    kill_before_birth(fast_mover, containers.of(pod), *parent, *BRIDGE)
    pod.batch(
        [
            "link add theirs type veth peer name below0",
            "link set below0 up",
            "link add net1 link below0 type macvlan",
        ]
    )
    fast_mover.reclaim("--force").ok()
    assert macvlans(pod) == ["net1"]
    assert fast_mover.leftovers() == []


def test_that_of_another_device_is_never_taken_for_one_that_was_not_made_yet(
    fast_mover: Mover, parent: tuple[str, ...], containers: Containers, pod: Netns
) -> None:
    container = containers.of(pod)
    kill_before_birth(fast_mover, container, *parent, *BRIDGE)
    fast_mover.attach(container, *parent, *BRIDGE, device="other").ok()
    fast_mover.reclaim("--force").ok()
    assert macvlans(pod) == ["net1"]
    fast_mover.reclaim("--force", device="other").ok()
    assert eventually(pod, lambda: not macvlans(pod))
