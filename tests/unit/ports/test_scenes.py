"""What is published, as ports see it."""

from __future__ import annotations

import dataclasses

from netdevice_plugin.model import Device, Interface, Listed, Pool, Snapshot
from netdevice_plugin.offering import InUse, Listing
from netdevice_plugin.ports.keeping import Use
from netdevice_plugin.ports.scenes import scene

POOL = Pool(name="fast")
MAC = "02:00:00:00:00:01"


def listed(name: str, mac: str, *, fault: str = "", lent: bool = False) -> Listed:
    link = Interface(ifindex=1, name=name, mac=mac)
    return Listed(device=Device(name=name, pool="fast", interface=link, lent=lent), fault=fault)


def listing(*devices: Listed) -> Listing:
    return Listing(pool=POOL, devices=devices)


def test_each_device_is_free_held_or_faulty() -> None:
    devices = listing(
        listed("a", "02:00:00:00:00:0A"),
        listed("b", "02:00:00:00:00:0b", fault="no"),
        listed("c", "02:00:00:00:00:0c", lent=True),
        listed("d", "02:00:00:00:00:0d", fault="no"),
        listed("e", ""),
    )
    in_use = InUse(devices={"other": frozenset({"d"})}, serial=7, known=True)
    made = scene(devices, [], in_use, Snapshot(), ["02:00:00:00:00:0a"])
    assert made.uses == {
        "02:00:00:00:00:0a": Use.FREE,
        "02:00:00:00:00:0b": Use.FAULTY,
        "02:00:00:00:00:0c": Use.HELD,
        "02:00:00:00:00:0d": Use.HELD,
    }
    assert (made.free, made.nameless, made.serial, made.known) == (2, 1, 7, True)
    assert made.kept == {"02:00:00:00:00:0a"}


def test_of_two_with_the_same_mac_the_one_in_use_counts() -> None:
    both = listing(listed("a", MAC, lent=True), listed("a.7", MAC))
    assert scene(both, [], InUse(), Snapshot(), []).uses == {MAC: Use.HELD}


def test_what_another_resource_lists_as_held_is_held() -> None:
    mine, other = listing(), listing(listed("a", MAC, lent=True), listed("b", "02:00:00:00:00:02"))
    assert scene(mine, [other], InUse(), Snapshot(), []).uses == {MAC: Use.HELD}


def test_links_and_functions_are_here_by_their_permanent_mac() -> None:
    link = Interface(ifindex=2, name="eth1", mac="02:00:00:00:00:09", permanent_mac=MAC)
    bound = Interface(ifindex=0, name="", mac="02:00:00:00:00:02")
    snapshot = Snapshot(interfaces=(link,), functions=(bound,))
    made = scene(listing(), [], InUse(), snapshot, [])
    assert made.here == {MAC, "02:00:00:00:00:02"}
    assert not made.hidden
    unknown = dataclasses.replace(snapshot, functions=(bound, Interface(ifindex=0, name="")))
    assert scene(listing(), [], InUse(), unknown, []).hidden
