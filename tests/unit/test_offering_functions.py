"""A function has two names, as a link and for a program: pods never have both. And links made."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import offering
from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.model import (
    Device,
    Interface,
    PciDevice,
    Pool,
    Selector,
    Snapshot,
    pci_device_name,
)
from netdevice_plugin.offering import InUse, Offering, Present, offer, remember
from netdevice_plugin.provisioning import CreatedKind, Creation, Node, Userspace

ADDRESS = "0000:03:00.1"
NIC = Interface(ifindex=6, name="eth1", driver="igb", pci=PciDevice(address=ADDRESS, driver="igb"))
BOUND = dataclasses.replace(NIC, ifindex=0)  # completed from its record
LENT = dataclasses.replace(NIC, lent=True)
PARENT = Interface(ifindex=9, name="ens2", flags=1, carrier=True)

LINKS = Pool(name="links", selectors=(Selector(pci_addresses=(ADDRESS,)),))
DPDK = dataclasses.replace(LINKS, name="dpdk", userspace=Userspace(driver="vfio-pci"))
SHARED = Pool(
    name="shared",
    create=Creation(kind=CreatedKind.MACVLAN, parent="ens2", mode="bridge", count=2),
)
LINK, FUNCTION = "eth1", pci_device_name(ADDRESS)


def used(serial: int, **by_pool: str) -> InUse:
    devices = {f"networking.k8s.io/{pool}": frozenset({name}) for pool, name in by_pool.items()}
    return InUse(devices=devices, serial=serial, known=True)


def present(
    *interfaces: Interface, pools: tuple[Pool, ...] = (DPDK,), born: str = "", **more: Any
) -> Present:
    """What is seen; a link without an ifindex is a function that has none."""
    links = tuple(one for one in interfaces if one.ifindex)
    functions = tuple(one for one in interfaces if not one.ifindex)
    snapshot = Snapshot(
        interfaces=links, functions=functions, born=frozenset({born} if born else ())
    )
    return Present(snapshot=snapshot, pools=pools, **more)


def faults(found: Offering) -> dict[str, dict[str, str]]:
    return {
        kind.rpartition("/")[2]: {one.device.name: one.fault for one in listing.devices}
        for kind, listing in found.listings.items()
    }


def start(*interfaces: Interface, **more: Any) -> Offering:
    return offer(present(*interfaces, **more), Offering())


def listed(found: Offering, name: str) -> Device:
    (device,) = [
        one.device
        for listing in found.listings.values()
        for one in listing.devices
        if one.device.name == name
    ]
    return device


def record(name: str, phase: Phase = Phase.ATTACHED, error: str = "") -> Attachment:
    return Attachment(device=name, phase=phase, link=HostLink(name=name, ifindex=6), error=error)


GIVEN = f"it is still listed as {FUNCTION}, which a pod may have"
AS_LINK = f"it is still listed as {LINK}, which a pod may have"


def test_a_function_is_listed_bound_or_not() -> None:
    before = start(NIC)
    assert faults(before) == {"dpdk": {FUNCTION: ""}}
    assert faults(offer(present(BOUND), before)) == {"dpdk": {FUNCTION: ""}}


def test_a_function_that_becomes_a_link_is_not_given_out_before_it_is_sure_that_no_pod_has_it() -> (
    None
):
    before = start(NIC, in_use=used(1))
    moved = present(NIC, pools=(LINKS,), in_use=used(1))
    doubt = offer(moved, before)
    assert faults(doubt)["links"] == {LINK: GIVEN}
    assert faults(doubt)["dpdk"] == {FUNCTION: "no pool selects it any more"}
    sure = offer(dataclasses.replace(moved, in_use=used(2)), doubt)
    assert faults(sure) == {"links": {LINK: ""}}


def test_a_function_in_a_pod_stays_with_its_pool_and_is_no_link_for_others() -> None:
    before = start(BOUND, in_use=used(1, dpdk=FUNCTION))
    still = offer(present(BOUND, pools=(LINKS,), in_use=used(2, dpdk=FUNCTION)), before)
    assert faults(still) == {"links": {}, "dpdk": {FUNCTION: ""}}
    early = offer(present(NIC, pools=(LINKS,), in_use=used(3, dpdk=FUNCTION)), still)
    assert faults(early) == {"links": {LINK: GIVEN}, "dpdk": {FUNCTION: ""}}
    doubt = offer(present(NIC, pools=(LINKS,), in_use=used(4)), early)
    assert faults(doubt)["links"] == {LINK: GIVEN}
    over = offer(present(NIC, pools=(LINKS,), in_use=used(5)), doubt)
    assert faults(over)["links"] == {LINK: ""}


def test_a_link_in_a_pod_is_no_function_before_it_is_home() -> None:
    lent = start(LENT, pools=(LINKS,), attachments=(record(LINK),), in_use=used(1, links=LINK))
    pools, in_use = (DPDK,), used(2, links=LINK)
    away = offer(present(LENT, pools=pools, attachments=(record(LINK),), in_use=in_use), lent)
    assert faults(away) == {"dpdk": {}, "links": {LINK: ""}}
    home = offer(present(NIC, pools=pools, in_use=in_use), away)
    assert faults(home) == {"dpdk": {FUNCTION: AS_LINK}, "links": {LINK: ""}}
    doubt = offer(present(NIC, pools=pools, in_use=used(3), now=9.0), home)
    over = offer(present(NIC, pools=pools, in_use=used(4), now=9.0), doubt)
    assert faults(over)["dpdk"] == {FUNCTION: ""}


def test_a_link_that_becomes_a_function_is_not_given_out_in_doubt() -> None:
    before = start(NIC, pools=(LINKS,), in_use=used(1))
    moved = offer(present(NIC, in_use=used(1)), before)
    assert faults(moved)["dpdk"] == {FUNCTION: AS_LINK}


def test_a_device_that_only_its_file_remembers_keeps_its_hardware() -> None:
    known = remember({LINKS.kind: [LINK], DPDK.kind: []}, (LINKS, DPDK))
    found = offer(present(NIC, pools=(DPDK,), in_use=used(1)), known)
    assert faults(found)["dpdk"] == {FUNCTION: AS_LINK}
    known = remember({DPDK.kind: [FUNCTION]}, (DPDK,))
    found = offer(present(NIC, pools=(LINKS,), in_use=used(1)), known)
    assert faults(found)["links"] == {LINK: GIVEN}


def test_a_renamed_nic_is_one_device_as_well() -> None:
    before = start(NIC, pools=(LINKS,), in_use=used(1))
    renamed = dataclasses.replace(NIC, name="lan0")
    doubt = offer(present(renamed, pools=(LINKS,), in_use=used(1)), before)
    assert faults(doubt)["links"] == {LINK: "its link is gone", "lan0": AS_LINK}
    sure = offer(present(renamed, pools=(LINKS,), in_use=used(2)), doubt)
    assert faults(sure) == {"links": {"lan0": ""}}


def test_a_function_that_was_pulled_is_gone() -> None:
    before = start(NIC, in_use=used(1))
    assert faults(offer(present(in_use=used(1)), before)) == {
        "dpdk": {FUNCTION: "its function is gone"}
    }


def test_a_function_has_the_nodes_that_are_known_now() -> None:
    nodes = (Node("/dev/vfio/vfio"), Node("/dev/vfio/12"))
    first = start(NIC)
    assert listed(first, FUNCTION).nodes == ()
    later = offer(present(NIC, nodes=lambda _: nodes), first)
    assert listed(later, FUNCTION).nodes == nodes
    again = offer(present(NIC, nodes=lambda _: nodes), later)
    assert again.listings[DPDK.kind] is later.listings[DPDK.kind]
    retired = offer(present(BOUND, pools=(), nodes=lambda _: nodes), later)
    assert listed(retired, FUNCTION).nodes == nodes


def test_links_are_not_asked_for_nodes() -> None:
    asked: list[str] = []

    def nodes(device: Device) -> tuple[Node, ...]:
        asked.append(device.name)
        return ()

    start(NIC, PARENT, pools=(LINKS, SHARED), nodes=nodes)
    assert asked == []


@pytest.mark.parametrize("in_use", [used(1), used(1, dpdk=FUNCTION)])
def test_what_others_find_wrong_is_a_fault_in_a_pod_or_not(in_use: InUse) -> None:
    before = start(NIC, in_use=in_use)
    wrong = {FUNCTION: "its IOMMU group has eth7"}
    found = offer(present(BOUND, in_use=in_use, faults=wrong), before)
    assert faults(found) == {"dpdk": {FUNCTION: "its IOMMU group has eth7"}}
    assert faults(offer(present(BOUND, in_use=in_use), found)) == {"dpdk": {FUNCTION: ""}}


def test_what_others_find_wrong_with_a_link_is_a_fault() -> None:
    before = start(NIC, pools=(LINKS,))
    found = offer(present(NIC, pools=(LINKS,), faults={LINK: "its port is gone"}), before)
    assert faults(found) == {"links": {LINK: "its port is gone"}}
    lent = present(
        LENT, pools=(LINKS,), faults={LINK: "its port is gone"}, attachments=(record(LINK),)
    )
    assert faults(offer(lent, before)) == {"links": {LINK: "its port is gone"}}
    lost = dataclasses.replace(lent, attachments=(record(LINK, Phase.LOST, "away"),))
    assert faults(offer(lost, before)) == {"links": {LINK: "it is lost: away"}}


def test_a_function_that_no_pool_has_any_more_says_what_is_wrong_with_it() -> None:
    before = start(BOUND, in_use=used(1, dpdk=FUNCTION))
    found = offer(
        present(BOUND, pools=(), in_use=used(2, dpdk=FUNCTION), faults={FUNCTION: "is not bound"}),
        before,
    )
    assert faults(found) == {"dpdk": {FUNCTION: "is not bound"}}


def test_links_that_are_made_have_their_parents_fault_in_pods_too() -> None:
    made: dict[str, Any] = {
        "pools": (SHARED,),
        "attachments": (record("shared-0"),),
        "born": "shared-0",
    }
    before = start(PARENT, **made)
    assert faults(before) == {"shared": {"shared-0": "", "shared-1": ""}}
    assert [one.device.lent for one in before.listings[SHARED.kind].devices] == [True, False]
    gone = "its parent ens2 is gone"
    assert faults(offer(present(**made), before)) == {
        "shared": {"shared-0": gone, "shared-1": gone}
    }


def test_a_link_that_was_made_needs_no_carrier_of_its_own() -> None:
    wanting = dataclasses.replace(SHARED, require_carrier=True)
    assert set(faults(start(PARENT, pools=(wanting,)))["shared"].values()) == {""}
    dark = dataclasses.replace(PARENT, carrier=False)
    assert set(faults(start(dark, pools=(wanting,)))["shared"].values()) == {"it has no carrier"}


def test_links_of_a_pool_that_is_gone_stay_until_their_pods_end() -> None:
    made: dict[str, Any] = {"attachments": (record("shared-0"),), "born": "shared-0"}
    before = start(PARENT, pools=(SHARED,), in_use=used(1), **made)
    retired = offer(present(PARENT, pools=(), in_use=used(2), **made), before)
    assert faults(retired) == {
        "shared": {"shared-0": "", "shared-1": "no pool selects it any more"}
    }
    kept = listed(retired, "shared-0")
    assert kept.lent
    assert kept.made is not None
    sure = offer(present(PARENT, pools=(), in_use=used(3), **made), retired)
    assert faults(sure) == {"shared": {"shared-0": ""}}
    doubt = offer(present(PARENT, pools=(), in_use=used(4)), sure)
    assert faults(offer(present(PARENT, pools=(), in_use=used(5)), doubt)) == {}


def test_a_pool_with_less_of_them_keeps_what_pods_have() -> None:
    made: dict[str, Any] = {"attachments": (record("shared-1"),), "born": "shared-1"}
    before = start(PARENT, pools=(SHARED,), in_use=used(1), **made)
    assert SHARED.create is not None
    one = dataclasses.replace(SHARED, create=dataclasses.replace(SHARED.create, count=1))
    less = offer(present(PARENT, pools=(one,), in_use=used(2), **made), before)
    assert faults(less) == {"shared": {"shared-0": "", "shared-1": ""}}


class World:
    """A function, the pool that selects it, and a pod that takes what is free and ends."""

    def __init__(self) -> None:
        self.pool: Pool | None = DPDK
        self.having = ""
        self.told = used(1)
        self.now = 0.0
        self.offering = Offering()

    def look(self) -> None:
        """Let the agent take a turn, and see that the pod has the function for itself."""
        self.now += 5
        link = {LINK: LENT, FUNCTION: BOUND}.get(self.having, NIC)
        self.offering = offer(
            present(
                link,
                pools=(self.pool,) if self.pool else (),
                in_use=self.told,
                attachments=(record(LINK),) if link is LENT else (),
                now=self.now,
            ),
            self.offering,
        )
        assert len(self.free()) <= 1

    def free(self) -> list[str]:
        """What the kubelet would give to a second pod."""
        return [
            one.device.name
            for listing in self.offering.listings.values()
            for one in listing.devices
            if not one.fault and one.device.name != self.having
        ]

    def ask(self) -> None:
        """Have the kubelet tell what the pod has."""
        keys = {LINK: LINKS.key, FUNCTION: DPDK.key}
        devices = {keys[self.having]: frozenset({self.having})} if self.having else {}
        self.told = InUse(devices=devices, serial=self.told.serial + 1, known=True)

    def take(self) -> None:
        """Give the pod a device, if it has none."""
        self.having = self.having or next(iter(self.free()), "")


@given(
    st.lists(
        st.sampled_from(["look", "ask", "take", "end", "links", "dpdk", "nothing"]), max_size=30
    )
)
def test_whatever_happens_no_two_pods_have_a_function(steps: list[str]) -> None:
    world = World()
    for step in steps:
        if step == "end":
            world.having = ""
        elif step in ("links", "dpdk", "nothing"):
            world.pool = {"links": LINKS, "dpdk": DPDK}.get(step)
        else:
            getattr(world, step)()
        if world.having:
            assert not world.free()


def test_what_is_remembered_of_a_function_is_its_address() -> None:
    known = remember({DPDK.kind: [FUNCTION]}, (DPDK,))
    device = listed(known, FUNCTION)
    assert device.interface.pci == PciDevice(address=ADDRESS)
    assert offering.remember({}, ()).listings == {}
