"""Links that a pool makes on a parent: what they are called, and why they cannot be made."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import making, pools
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.inventory import uplinks
from netdevice_plugin.model import (
    Interface,
    PciDevice,
    Pool,
    Route,
    Selector,
    Snapshot,
    is_dns_label,
    pci_address_of,
)
from netdevice_plugin.pools import Assignment
from netdevice_plugin.provisioning import CreatedKind, Creation

PARENT = Interface(
    ifindex=6,
    name="ens2",
    altnames=("lan-side",),
    mac="02:00:00:00:00:06",
    mtu=9000,
    flags=0x11043,
    operstate="up",
    carrier=True,
    speed=10000,
    pci=PciDevice(address="0000:03:00.0", numa_node=1),
)
DEFAULT = Route(family=4, destination="default", ifindex=6)
MACVLAN = Creation(kind=CreatedKind.MACVLAN, parent="ens2", mode="bridge", count=2)
TAGGED = Creation(kind=CreatedKind.VLAN, parent="ens2", vlans=((100, 102),))
EVERYTHING = Pool(name="rest", selectors=(Selector(if_names=("*",)),))


def pool(creation: Creation = MACVLAN, name: str = "shared") -> Pool:
    return Pool(name=name, create=creation)


def seen(*links: Interface, born: tuple[str, ...] = ()) -> Snapshot:
    """A snapshot with what has to stay on the host."""
    return Snapshot(interfaces=links, protected=uplinks.protect(links), born=frozenset(born))


def assign(snapshot: Snapshot, *several: Pool) -> Assignment:
    return pools.assign(snapshot, several or (pool(),))


def faults(snapshot: Snapshot, *several: Pool) -> set[str]:
    """Why the devices cannot be had: of each, or of none."""
    found = assign(snapshot, *several)
    assert len(found.devices) == 2
    return {found.faults.get(device.name, "") for device in found.devices}


def changed(**changes: object) -> Interface:
    return dataclasses.replace(PARENT, **changes)  # type: ignore[arg-type]


def test_there_are_as_many_as_the_pool_says() -> None:
    found = assign(seen(PARENT))
    assert [device.name for device in found.devices] == ["shared-0", "shared-1"]
    assert not found.faults
    assert not found.problems


def test_vlans_are_named_after_their_numbers() -> None:
    found = assign(seen(PARENT), pool(TAGGED))
    assert [device.name for device in found.devices] == ["shared-100", "shared-101", "shared-102"]
    assert [one.made.number for one in found.devices if one.made] == [100, 101, 102]


def test_a_link_is_described_as_it_will_be() -> None:
    device = assign(seen(PARENT)).devices[0]
    assert device.interface == Interface(
        ifindex=0,
        name="shared-0",
        kind="macvlan",
        mtu=9000,
        flags=1,
        operstate="up",
        carrier=True,
        speed=10000,
        lower=6,
    )
    assert device.pci == PARENT.pci
    assert not device.userspace


def test_a_parent_is_found_by_its_altname() -> None:
    by_altname = dataclasses.replace(MACVLAN, parent="lan-side")
    device = assign(seen(PARENT), pool(by_altname)).devices[0]
    assert device.made is not None
    assert device.made.parent.name == "ens2"


def test_a_parent_that_is_gone_is_the_fault_of_all() -> None:
    assert faults(seen()) == {"its parent ens2 is gone"}


def test_a_parent_in_a_pod_is_no_parent() -> None:
    assert faults(seen(changed(lent=True))) == {"its parent ens2 is in a pod"}


def test_a_newcomer_with_the_name_of_a_lent_link_is_the_parent() -> None:
    assert faults(seen(changed(lent=True), changed(ifindex=7))) == {""}


def test_a_port_of_a_bridge_is_no_parent() -> None:
    bridge = Interface(ifindex=2, name="br0", kind="bridge")
    assert faults(seen(bridge, changed(master=2))) == {"its parent ens2 is a port of br0"}


def test_a_bridge_is_a_parent_though_it_is_never_offered() -> None:
    assert faults(seen(changed(kind="bridge", immovable=True))) == {""}


def test_a_link_that_others_stand_on_is_a_parent() -> None:
    upper = Interface(ifindex=9, name="mac0", kind="macvlan", lower=6)
    assert faults(seen(PARENT, upper)) == {""}


def test_a_tunnel_is_no_parent() -> None:
    assert faults(seen(changed(link_type="none"))) == {
        "its parent ens2 is of type none, and not Ethernet"
    }


def test_nothing_is_made_on_a_parent_that_is_down() -> None:
    assert faults(seen(changed(flags=0x1002))) == {"its parent ens2 is down"}


MACVTAP = Interface(ifindex=9, name="tap0", kind="macvtap", lower=6)
BESIDE = {
    "macvtap and ipvlan": ("ipvlan", "l2", "no ipvlan"),
    "macvtap and passthru": ("macvlan", "passthru", "no macvlan in mode passthru"),
    "macvtap and macvlan": ("macvlan", "private", ""),
}


@pytest.mark.parametrize(("kind", "mode", "fault"), BESIDE.values(), ids=BESIDE)
def test_a_link_of_the_hosts_own_may_exclude_others(kind: str, mode: str, fault: str) -> None:
    wanted = Creation(kind=CreatedKind(kind), parent="ens2", mode=mode, count=2)
    text = f"its parent ens2 has tap0, a macvtap, beside which there can be {fault}"
    assert faults(seen(PARENT, MACVTAP), pool(wanted)) == {fault and text}
    assert faults(seen(PARENT, dataclasses.replace(MACVTAP, lent=True)), pool(wanted)) == {""}


@pytest.mark.parametrize("protocol", ["802.1q", "802.1ad"])
def test_a_vlan_that_the_host_has_cannot_be_made(protocol: str) -> None:
    own = Interface(ifindex=9, name="wan", kind="vlan", lower=6, vlan=(protocol, 101))
    found = assign(seen(PARENT, own), pool(TAGGED))
    taken = {"shared-101": "VLAN 101 of ens2 is wan already"} if protocol == "802.1q" else {}
    assert found.faults == taken
    assert not found.problems


UPLINKS = {
    "itself": (changed(routes=(DEFAULT,)),),
    "below": (
        PARENT,
        Interface(ifindex=9, name="ens2.7", kind="vlan", lower=6, routes=(DEFAULT,)),
    ),
}


@pytest.mark.parametrize("links", UPLINKS.values(), ids=UPLINKS)
def test_an_uplink_is_a_parent_only_where_the_pool_says_so(links: tuple[Interface, ...]) -> None:
    found = assign(seen(*links))
    assert all("default route" in fault for fault in found.faults.values())
    assert found.faults.keys() == {"shared-0", "shared-1"}
    (problem,) = found.problems
    assert problem.startswith("pool shared: ens2 cannot be a parent: it ")
    with pytest.raises(ConfigError, match="allowUplink"):
        found.check()
    allowed = dataclasses.replace(MACVLAN, allow_uplink=True)
    assert faults(seen(*links), pool(allowed)) == {""}


@pytest.mark.parametrize("several", [(pool(), EVERYTHING), (EVERYTHING, pool())])
def test_a_parent_is_offered_by_no_pool(several: tuple[Pool, ...]) -> None:
    found = assign(seen(PARENT), *several)
    assert {device.pool for device in found.devices} == {"shared"}
    assert [one.reason for one in found.refusals] == ["is the parent of pool shared"]


def test_a_pool_that_names_a_parent_is_a_mistake() -> None:
    named = Pool(name="net", selectors=(Selector(if_names=("ens2",)),))
    found = assign(seen(PARENT), named, pool())
    assert found.problems == ("pool net: ens2 cannot be offered: it is the parent of pool shared",)


def test_a_parent_that_is_an_uplink_is_refused_as_such() -> None:
    allowed = dataclasses.replace(MACVLAN, allow_uplink=True)
    found = assign(seen(changed(routes=(DEFAULT,))), pool(allowed), EVERYTHING)
    assert [one.reason for one in found.refusals] == ["carries the IPv4 default route"]


def test_a_link_that_is_in_a_pod_is_lent() -> None:
    found = assign(seen(PARENT, born=("shared-1",)))
    assert [device.lent for device in found.devices] == [False, True]
    assert [device.lent for device in assign(seen(PARENT)).devices] == [False, False]


def test_the_parents_loss_is_the_fault_of_lent_ones_too() -> None:
    assert assign(seen(born=("shared-1",))).faults["shared-1"] == "its parent ens2 is gone"


def test_a_link_whose_parent_came_back_as_another_is_no_more() -> None:
    snapshot = dataclasses.replace(seen(PARENT, born=("shared-1",)), bereft=frozenset({"shared-1"}))
    assert assign(snapshot).faults == {"shared-1": "it ended with the parent that it was made on"}


def test_what_did_not_change_is_the_very_same_object() -> None:
    before = assign(seen(PARENT)).devices
    moved = changed(routes=(Route(family=4, destination="10.0.0.0/8", ifindex=6),))
    assert all(a is b for a, b in zip(before, assign(seen(moved)).devices, strict=True))
    assert assign(seen(changed(mtu=1500))).devices != before
    again = assign(seen(PARENT), pool(dataclasses.replace(MACVLAN, mode="vepa"))).devices
    assert again != before


def test_a_link_with_the_name_of_a_device_that_is_made_is_not_offered() -> None:
    namesake = Interface(ifindex=9, name="shared-0", kind="veth")
    found = assign(seen(PARENT, namesake), EVERYTHING, pool())
    assert [device.pool for device in found.devices] == ["shared", "shared"]
    assert {one.interface.name: one.reason for one in found.refusals}["shared-0"] == (
        "would be the device shared-0, which pool shared makes"
    )


def test_a_lent_link_keeps_its_name_until_it_is_home() -> None:
    namesake = Interface(ifindex=9, name="shared-0", kind="veth", lent=True)
    found = assign(seen(PARENT, namesake), EVERYTHING, pool())
    assert {device.name: device.pool for device in found.devices} == {
        "shared-0": "rest",
        "shared-1": "shared",
    }


IPVLAN = Creation(kind=CreatedKind.IPVLAN, parent="ens2", mode="l2", count=2)
APART = {
    "one vlan": (TAGGED, dataclasses.replace(TAGGED, vlans=((102, 103),)), {"other-102"}),
    "macvlan and ipvlan": (MACVLAN, IPVLAN, {"other-0", "other-1"}),
    "two modes of ipvlan": (
        IPVLAN,
        dataclasses.replace(IPVLAN, mode="l3"),
        {"other-0", "other-1"},
    ),
    "passthru": (
        dataclasses.replace(MACVLAN, mode="passthru", count=1),
        MACVLAN,
        {"other-0", "other-1"},
    ),
}
TOGETHER = {
    "other vlans": (TAGGED, dataclasses.replace(TAGGED, vlans=((103, 104),))),
    "other tags": (TAGGED, dataclasses.replace(TAGGED, protocol="802.1ad")),
    "two modes of macvlan": (MACVLAN, dataclasses.replace(MACVLAN, mode="vepa")),
    "vlan and macvlan": (TAGGED, MACVLAN),
    "one mode of ipvlan": (IPVLAN, IPVLAN),
}


@pytest.mark.parametrize("case", APART)
def test_what_one_parent_cannot_have_twice_is_a_mistake_of_the_later_pool(case: str) -> None:
    first, second, names = APART[case]
    found = assign(seen(PARENT), pool(first), pool(second, "other"))
    assert found.faults.keys() == names
    (problem,) = found.problems
    assert problem.startswith("pool other: ")
    assert "pool shared" in problem


@pytest.mark.parametrize("case", TOGETHER)
def test_two_pools_share_a_parent(case: str) -> None:
    first, second = TOGETHER[case]
    found = assign(seen(PARENT), pool(first), pool(second, "other"))
    assert not found.faults
    assert not found.problems


def test_different_parents_have_nothing_to_do_with_each_other() -> None:
    other = Interface(ifindex=7, name="ens3", flags=1)
    elsewhere = dataclasses.replace(TAGGED, parent="ens3")
    found = assign(seen(PARENT, other), pool(TAGGED), pool(elsewhere, "other"))
    assert not found.problems


names = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,61}[A-Za-z0-9]", fullmatch=True)
numbers = st.integers(0, 4095)


@given(names, numbers)
def test_every_pool_makes_names_that_devices_and_links_can_have(name: str, number: int) -> None:
    device, link = making.made_name(name, number), making.pod_name(name, number)
    assert is_dns_label(device)
    assert not pci_address_of(device)
    assert 1 <= len(link) <= 15
    assert link.isascii()


@given(st.lists(st.tuples(names, numbers), min_size=2, max_size=2, unique=True))
def test_no_two_links_have_one_name(two: list[tuple[str, int]]) -> None:
    (one, first), (other, second) = two
    if one.lower() != other.lower() or first != second:
        assert making.made_name(one, first) != making.made_name(other, second)
        assert making.pod_name(one, first) != making.pod_name(other, second)


def test_a_name_like_a_functions_is_written_another_way() -> None:
    assert making.made_name("shared", 7) == "shared-7"
    assert not pci_address_of(making.made_name("pci-0000-03-00", 1))
    assert making.pod_name("shared", 7) == "shared-7"
    assert making.pod_name("a-long-name-of-a-pool", 4094).startswith("a-lon")
