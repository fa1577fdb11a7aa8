"""A snapshot shows functions as they were before they were bound."""

from __future__ import annotations

import dataclasses

from netdevice_plugin.functions.merge import merge
from netdevice_plugin.model import Interface, PciDevice, Snapshot
from tests.unit.functions.test_record import BARE, FULL

BOUND = Interface(
    ifindex=0,
    name="",
    driver="vfio-pci",
    pci=PciDevice(address=FULL.address, vendor="8086", driver="vfio-pci", iommu_group=5),
)
STRANGER = dataclasses.replace(BOUND, pci=PciDevice(address="0000:04:00.0", driver="vfio-pci"))


def test_a_function_is_completed_by_its_record() -> None:
    merged = merge(Snapshot(functions=(BOUND, STRANGER)), [FULL])
    shown, other = merged.functions
    assert other == STRANGER
    assert FULL.link
    assert (shown.name, shown.altnames, shown.mac) == ("ens5f0v0", ("enp3s16", "ä"), FULL.link.mac)
    assert (shown.mtu, shown.up, shown.ifindex, shown.driver) == (9000, True, 0, "igbvf")
    assert shown.addresses == FULL.link.addresses
    assert shown.pci == dataclasses.replace(BOUND.pci or STRANGER.pci, driver="igbvf")  # type: ignore[type-var]


def test_a_function_that_had_no_link_has_none() -> None:
    (shown,) = merge(Snapshot(functions=(BOUND,)), [BARE]).functions
    assert (shown.name, shown.driver) == ("", "")


def test_nothing_is_made_of_a_record_alone_and_nothing_lost_without_one() -> None:
    snapshot = Snapshot(functions=(STRANGER,))
    assert merge(snapshot, []) is snapshot
    assert merge(Snapshot(), [FULL]) == Snapshot()
    assert merge(snapshot, [FULL]) == snapshot


def test_a_function_between_two_drivers_is_shown_as_it_was() -> None:
    assert FULL.link
    pci = PciDevice(address=FULL.address, vendor="8086", driver="igbvf", iommu_group=5)
    link = Interface(ifindex=7, name="ens5f0v0", mac=FULL.link.mac, driver="igbvf", pci=pci)
    first = merge(Snapshot(interfaces=(link,)), [FULL])
    assert first == Snapshot(interfaces=(link,))
    (between,) = merge(Snapshot(functions=(STRANGER,)), [FULL], first).functions[:1]
    assert (between.ifindex, between.name, between.pci) == (0, "ens5f0v0", pci)
    bound = merge(Snapshot(functions=(BOUND,)), [FULL])
    assert merge(Snapshot(), [FULL], bound).functions == bound.functions
    assert merge(Snapshot(), [], bound) == Snapshot()


def test_a_lost_link_of_a_function_that_is_bound_is_not_shown() -> None:
    pci = PciDevice(address=FULL.address, driver="igbvf")
    lost = Interface(ifindex=7, name="port0", driver="igbvf", pci=pci, lent=True)
    bound = merge(Snapshot(functions=(BOUND,)), [FULL])
    assert merge(Snapshot(interfaces=(lost,), functions=(BOUND,)), [FULL]) == bound
    assert merge(Snapshot(interfaces=(lost,)), [FULL], bound) == bound  # between two drivers
    of_another = dataclasses.replace(lost, pci=STRANGER.pci)
    assert merge(Snapshot(interfaces=(of_another,)), [FULL]).interfaces == (of_another,)
