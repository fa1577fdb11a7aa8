"""PCI functions for programs in pods: which are offered, by which pool, and why others are not."""

from __future__ import annotations

import dataclasses

import pytest

from netdevice_plugin import pools
from netdevice_plugin.inventory import uplinks
from netdevice_plugin.model import (
    Address,
    Interface,
    PciDevice,
    PfRange,
    PhysicalFunction,
    Pool,
    Route,
    Selector,
    Snapshot,
    VirtualFunction,
)
from netdevice_plugin.provisioning import Userspace

NIC = Interface(
    ifindex=6,
    name="ens1f1",
    mac="02:00:00:00:00:06",
    driver="igb",
    pci=PciDevice(address="0000:03:00.1", vendor="8086", device="10c9", driver="igb"),
)
VF = Interface(
    ifindex=7,
    name="ens1f0v3",
    driver="igbvf",
    pci=PciDevice(address="0000:03:10.3", vendor="8086", device="10ca", driver="igbvf"),
    vf=VirtualFunction(number=3, pf_address="0000:03:00.0", pf_name="ens1f0"),
)
PF = Interface(
    ifindex=5,
    name="ens1f0",
    driver="igb",
    pci=PciDevice(address="0000:03:00.0", vendor="8086", device="10c9", driver="igb"),
    pf=PhysicalFunction(total_vfs=7, num_vfs=4),
)
BOUND = Interface(  # as sysfs shows it, with no record of what it was before
    ifindex=0,
    name="",
    driver="vfio-pci",
    pci=PciDevice(address="0000:03:10.3", vendor="8086", device="10ca", driver="vfio-pci"),
    vf=VirtualFunction(number=3, pf_address="0000:03:00.0", pf_name="ens1f0"),
)
UNDRIVEN = dataclasses.replace(BOUND, driver="")
COMPLETED = dataclasses.replace(BOUND, name="ens1f0v3", driver="igbvf", mac="02:00:00:00:00:07")
VETH = Interface(ifindex=9, name="eth1", kind="veth")
ALL = Selector(if_names=("*",))


def dpdk(*selectors: Selector, name: str = "dpdk") -> Pool:
    return Pool(name=name, selectors=selectors or (ALL,), userspace=Userspace(driver="vfio-pci"))


LINKS = Pool(name="links", selectors=(ALL,))


def seen(*links: Interface, functions: tuple[Interface, ...] = ()) -> Snapshot:
    return Snapshot(interfaces=links, functions=functions, protected=uplinks.protect(links))


def offered(snapshot: Snapshot, *several: Pool) -> dict[str, str]:
    return {device.name: device.pool for device in pools.assign(snapshot, several).devices}


def reasons(snapshot: Snapshot, *several: Pool) -> dict[str, str]:
    return {one.interface.name: one.reason for one in pools.assign(snapshot, several).refusals}


def test_a_link_of_a_userspace_pool_is_named_after_its_function() -> None:
    (device,) = pools.assign(seen(NIC), (dpdk(),)).devices
    assert (device.name, device.driver, device.interface) == ("pci-0000-03-00-1", "vfio-pci", NIC)
    assert device.userspace


@pytest.mark.parametrize(
    "selector",
    [
        Selector(vendors=("8086",)),
        Selector(devices=("10ca",)),
        Selector(pci_addresses=("0000:03:10.3",)),
        Selector(pf_names=(PfRange(name="ens1f0", vfs=((3, 3),)),)),
        Selector(drivers=("vfio-pci",)),
        Selector(kinds=("physical",)),
    ],
    ids=["vendor", "device", "address", "pf", "driver", "kind"],
)
def test_a_function_without_a_link_is_selected_by_what_sysfs_says(selector: Selector) -> None:
    assert offered(seen(functions=(BOUND,)), dpdk(selector)) == {"pci-0000-03-10-3": "dpdk"}


def test_a_function_that_has_no_name_is_selected_by_none() -> None:
    for globs in (("*",), ("",), ("[!x]*",)):
        assert not offered(seen(functions=(BOUND,)), dpdk(Selector(if_names=globs)))


@pytest.mark.parametrize(
    "selector",
    [
        Selector(if_names=("ens1f0v*",)),
        Selector(drivers=("igbvf",)),
        Selector(macs=("02:00:00:00:00:07",)),
    ],
    ids=["name", "driver", "mac"],
)
def test_a_function_that_we_bound_is_selected_by_what_it_was_before(selector: Selector) -> None:
    assert offered(seen(functions=(COMPLETED,)), dpdk(selector)) == {"pci-0000-03-10-3": "dpdk"}


def test_a_device_has_one_name_bound_or_not() -> None:
    selector = Selector(pf_names=(PfRange(name="ens1f0"),))
    before = offered(seen(VF), dpdk(selector))
    assert before == offered(seen(functions=(COMPLETED,)), dpdk(selector))
    assert before == offered(seen(functions=(BOUND,)), dpdk(selector))


def test_a_function_without_a_link_is_for_userspace_pools_only() -> None:
    by_vendor = Pool(name="links", selectors=(Selector(vendors=("8086",)),))
    assert pools.assign(seen(functions=(BOUND,)), (by_vendor,)).refusals[0].reason == (
        "is no link: its driver is vfio-pci, and only a pool with `driver` can offer it"
    )
    assert pools.assign(seen(functions=(UNDRIVEN,)), (LINKS,)).refusals[0].reason == (
        "is no link: it has no driver, and only a pool with `driver` can offer it"
    )
    assert offered(seen(functions=(BOUND,)), by_vendor, dpdk(Selector(vendors=("8086",)))) == {
        "pci-0000-03-10-3": "dpdk"
    }


def test_what_a_userspace_pool_cannot_have_is_another_pools() -> None:
    by_name = Pool(name="links", selectors=(Selector(if_names=("*", "ens1f0")),))
    assert offered(seen(VETH, PF), dpdk(), by_name) == {"eth1": "links", "ens1f0": "links"}
    assert offered(seen(VETH, PF), dpdk(), LINKS) == {"eth1": "links"}


def test_why_a_link_is_no_function_for_a_program() -> None:
    switch = dataclasses.replace(NIC, name="rep0", port="pf0vf1")
    assert reasons(seen(PF, VETH), dpdk(Selector(if_names=("*", "ens1f0")))) == {
        "ens1f0": "has 4 virtual functions, which would go with its driver",
        "eth1": "is no PCI function, as the pool dpdk needs",
    }
    assert reasons(seen(switch), dpdk()) == {
        "rep0": "stands for another function, and is none itself"
    }


def test_a_pf_without_vfs_is_a_function_as_any_other() -> None:
    empty = dataclasses.replace(PF, pf=PhysicalFunction(total_vfs=7, num_vfs=0))
    assert offered(seen(empty), dpdk()) == {"pci-0000-03-00-0": "dpdk"}


def test_a_link_in_a_pod_is_nobodys_function() -> None:
    lent = dataclasses.replace(NIC, lent=True)
    assert reasons(seen(lent), dpdk()) == {
        "ens1f1": "is in a pod as a link; it is the pool dpdk's when it is home"
    }
    assert offered(seen(lent), dpdk(), LINKS) == {"ens1f1": "links"}


@pytest.mark.parametrize("both", [True, False], ids=["both selected", "one selected"])
def test_a_function_with_two_links_is_not_offered(both: bool) -> None:
    second = dataclasses.replace(NIC, ifindex=8, name="ens1f1d1")
    selector = ALL if both else Selector(if_names=("ens1f1",))
    found = pools.assign(seen(NIC, second), (dpdk(selector),))
    assert not found.devices
    assert "shares its PCI function with ens1f1d1" in {one.reason for one in found.refusals}


def test_a_function_of_an_uplink_is_not_offered() -> None:
    uplink = dataclasses.replace(NIC, routes=(Route(family=4, destination="default", ifindex=6),))
    assert reasons(seen(uplink), dpdk()) == {"ens1f1": "carries the IPv4 default route"}


DEFAULT = Route(family=4, destination="default", ifindex=5)
UPLINK = dataclasses.replace(PF, routes=(DEFAULT,))
VF2 = dataclasses.replace(
    VF,
    ifindex=8,
    name="ens1f0v4",
    pci=PciDevice(address="0000:03:10.4"),
    vf=VirtualFunction(number=4, pf_address="0000:03:00.0", pf_name="ens1f0"),
)
STACKS = {
    "itself": (UPLINK,),
    "vlan": (PF, Interface(ifindex=20, name="ens1f0.7", lower=5, routes=(DEFAULT,))),
    "macvlan": (PF, Interface(ifindex=20, name="mac0", kind="macvlan", lower=5, routes=(DEFAULT,))),
    "bond": (
        dataclasses.replace(PF, master=20),
        Interface(ifindex=20, name="bond0", kind="bond", routes=(DEFAULT,)),
    ),
    "address": (
        dataclasses.replace(PF, addresses=(Address(family=4, address="192.0.2.1", prefix=24),)),
    ),
}


@pytest.mark.parametrize("stack", STACKS)
def test_of_an_uplink_the_vfs_are_offered_and_itself_never(stack: str) -> None:
    links = (*STACKS[stack], VF, VF2)
    snapshot = Snapshot(interfaces=links, protected=uplinks.protect(links, ["192.0.2.1"]))
    userspace = dpdk(Selector(if_names=("ens1f0v4",)))
    assert offered(snapshot, userspace, LINKS) == {
        "ens1f0v3": "links",
        "pci-0000-03-10-4": "dpdk",
    }
    named = Pool(name="net", selectors=(Selector(if_names=("ens1f0",)),))
    assert pools.assign(snapshot, (named,)).problems
    assert not offered(snapshot, named)


def test_a_vf_that_is_part_of_an_uplink_is_one() -> None:
    """A bond over VFs is what many clouds have for an uplink."""
    bond = Interface(ifindex=20, name="bond0", kind="bond", routes=(DEFAULT,))
    port = dataclasses.replace(VF, master=20)
    assert not offered(
        seen(PF, port, bond), dpdk(Selector(if_names=("ens1f0v*",))), LINKS
    ).keys() & {
        "ens1f0v3",
        "pci-0000-03-10-3",
    }


def test_what_did_not_change_is_the_very_same_object() -> None:
    snapshot = seen(NIC, functions=(BOUND,))
    several = (dpdk(ALL, Selector(vendors=("8086",))),)
    first, second = (pools.assign(snapshot, several).devices for _ in range(2))
    assert len(first) == 2
    assert all(a is b for a, b in zip(first, second, strict=True))
