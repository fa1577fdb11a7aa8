from __future__ import annotations

import dataclasses
import pathlib
import struct

import pytest

from netdevice_plugin.attachments import Attachment, Holder, HostLink, Identity, Phase
from netdevice_plugin.inventory.lent import merge, standing
from netdevice_plugin.model import (
    Address,
    Interface,
    PciDevice,
    Protection,
    Route,
    Snapshot,
    VirtualFunction,
)
from tests.unit.inventory.messages import address, ip, link, nexthop, route, u32
from tests.unit.inventory.trees import Tree, vf_address

MAC = "02:00:00:00:00:01"
HARDWARE = HostLink(
    name="eth1", ifindex=7, mac=MAC, permanent_mac="0a:00:00:00:00:01", pci="0000:03:00.0"
)
VIRTUAL = HostLink(name="eth1", ifindex=7, mac=MAC, kind="vlan")


def record(host: HostLink, **fields: object) -> Attachment:
    attachment = Attachment(device="eth1", phase=Phase.ATTACHED, link=host, pod_name="net1")
    return dataclasses.replace(attachment, **fields)  # type: ignore[arg-type]


def lent_only(attachment: Attachment, sysfs: pathlib.Path) -> Interface:
    (found,) = merge(Snapshot(), [attachment], sysfs=sysfs, now=0).interfaces
    return found


def test_nothing_lent_changes_nothing() -> None:
    snapshot = Snapshot(interfaces=(Interface(ifindex=1, name="lo"),))
    assert merge(snapshot, []) is snapshot


def test_a_born_link_adds_none_hides_none_and_is_noted(tmp_path: pathlib.Path) -> None:
    parent = Interface(ifindex=7, name="eth1", mac=MAC)
    namesake = Interface(ifindex=8, name="net1", kind="macvlan", mac=MAC)
    here = Snapshot(interfaces=(parent, namesake))
    link = HostLink(name="net1", ifindex=0, kind="macvlan", mac=MAC)
    born = record(link, born=True, device="lan-0", spec=Identity(link="eth1", ifindex=7))
    merged = merge(here, [born], sysfs=tmp_path, now=0)
    assert merged == dataclasses.replace(here, born=frozenset({"lan-0"}))
    assert merged.interfaces[0] is parent


@pytest.mark.parametrize(("noted", "ended"), [(7, False), (8, True), (None, False)])
def test_a_born_link_ends_with_its_parent_whoever_has_its_name_then(
    noted: int | None, *, ended: bool, tmp_path: pathlib.Path
) -> None:
    here = Snapshot(interfaces=(Interface(ifindex=7, name="eth1", mac=MAC),))
    link = HostLink(name="net1", ifindex=0, kind="macvlan", mac=MAC)
    born = record(link, born=True, device="lan-0", spec=Identity(link="eth1", ifindex=noted))
    merged = merge(here, [born], sysfs=tmp_path, now=0)
    assert merged.bereft == (frozenset({"lan-0"}) if ended else frozenset())


def test_a_born_link_beside_a_moved_one_leaves_that_as_it_is(tmp_path: pathlib.Path) -> None:
    link = HostLink(name="net1", ifindex=0, kind="macvlan")
    born = record(link, born=True, device="lan-0")
    alone = merge(Snapshot(), [record(HARDWARE)], sysfs=tmp_path, now=0)
    both = merge(Snapshot(), [born, record(HARDWARE)], sysfs=tmp_path, now=0)
    assert both == dataclasses.replace(alone, born=frozenset({"lan-0"}))


def test_a_link_renamed_before_it_left_keeps_the_name_of_its_device(
    tmp_path: pathlib.Path,
) -> None:
    host = dataclasses.replace(VIRTUAL, name="wan0", altnames=("eth1", "other"))
    found = lent_only(record(host, spec=Identity(link="eth1")), tmp_path)
    assert (found.name, found.altnames) == ("eth1", ("other", "wan0"))


def test_a_link_is_rebuilt_from_its_record(tmp_path: pathlib.Path) -> None:
    host = HostLink(
        name="eth1",
        ifindex=7,
        kind="veth",
        type=1,
        mac=MAC,
        mtu=1400,
        flags=0x11043,
        alias="word",
        altnames=("other",),
    )
    found = lent_only(
        record(
            host,
            addresses=(address(7, (1, ip("192.0.2.1")), (2, ip("192.0.2.1"))),),
            nexthops=(nexthop(5, (5, u32(7)), (6, ip("192.0.2.5"))),),
            routes=(
                route((1, ip("198.51.100.0")), (4, u32(7)), length=24),
                route((1, ip("203.0.113.0")), (30, u32(5)), length=24),
            ),
        ),
        tmp_path,
    )
    assert found == Interface(
        ifindex=7,
        name="eth1",
        kind="veth",
        mac=MAC,
        mtu=1400,
        flags=0x11043,
        operstate="up",
        carrier=True,
        alias="word",
        altnames=("other",),
        addresses=(Address(family=4, address="192.0.2.1", prefix=24),),
        routes=(
            Route(family=4, destination="198.51.100.0/24", ifindex=7, protocol=3),
            Route(
                family=4,
                destination="203.0.113.0/24",
                ifindex=7,
                gateway="192.0.2.5",
                protocol=3,
                nexthop_id=5,
            ),
        ),
        lent=True,
    )


def test_messages_in_a_record_that_make_no_sense_are_left_out(tmp_path: pathlib.Path) -> None:
    good = address(7, (1, ip("192.0.2.1")))
    found = lent_only(
        record(
            VIRTUAL,
            addresses=(b"", good, link(7)[:5], good[:-2]),
            routes=(b"x", route((4, u32(7)))[:-1]),
            nexthops=(b"1",),
        ),
        tmp_path,
    )
    assert [a.address for a in found.addresses] == ["192.0.2.1"]
    assert found.routes == ()


def test_a_lent_vf_is_still_one_of_its_pf(tmp_path: pathlib.Path) -> None:
    tree = Tree(tmp_path)
    pf_path = tree.pf_with_vfs(8)
    tree.netdev(pf_path, "eth0", 2, MAC)
    host = dataclasses.replace(HARDWARE, pci=vf_address(3))
    attachment = record(host)
    assert lent_only(attachment, tmp_path).vf == VirtualFunction(
        number=3, pf_address="0000:03:00.0"
    )
    pf = record(dataclasses.replace(HARDWARE, name="eth0", ifindex=2), device="eth0")
    both = merge(Snapshot(), [pf, attachment], sysfs=tmp_path, now=0).interfaces
    assert both[1].vf == VirtualFunction(number=3, pf_address="0000:03:00.0", pf_name="eth0")
    assert both[1].driver == "igbvf"


def test_an_rdma_device_that_went_along_is_still_that_of_the_link(tmp_path: pathlib.Path) -> None:
    tree = Tree(tmp_path)
    where = tree.pci("0000:03:00.0", "mlx5_core")
    tree.file(f"{where}/infiniband_verbs/uverbs0/abi_version", "1")
    gone = dataclasses.replace(HARDWARE, rdma="mlx5_2")
    nodes = ("/dev/infiniband/uverbs0",)
    found = lent_only(record(gone), tmp_path)
    assert (found.rdma, found.rdma_nodes) == ("mlx5_2", nodes)
    found = lent_only(record(HARDWARE), tmp_path)
    assert (found.rdma, found.rdma_nodes) == ("", ())
    tree.file(f"{where}/infiniband/mlx5_7/node_desc", "x")  # all namespaces have it
    found = lent_only(record(HARDWARE), tmp_path)
    assert (found.rdma, found.rdma_nodes) == ("mlx5_7", nodes)


def shown(live: Interface, attachment: Attachment, tmp_path: pathlib.Path) -> list[bool]:
    """Merge a live link with a record; whether each of the links then shown is lent."""
    snapshot = Snapshot(
        interfaces=(live,),
        protected=(Protection(ifindex=live.ifindex, reason="is a test", hard=False),),
    )
    merged = merge(snapshot, [attachment], sysfs=tmp_path, now=0)
    kept = [one.ifindex for one in merged.protected]
    assert kept == [one.ifindex for one in merged.interfaces if not one.lent]
    return sorted(one.lent for one in merged.interfaces)


def hardware(tmp_path: pathlib.Path, **fields: object) -> Interface:
    """The link of HARDWARE as it fell home: down, under its pod's name, with a new number."""
    tree = Tree(tmp_path)
    tree.pci("0000:03:00.0", "igb")
    pci = lent_only(record(HARDWARE), tmp_path).pci
    one = Interface(
        ifindex=9, name="net1", mac="02:99:00:00:00:00", permanent_mac="0a:00:00:00:00:01", pci=pci
    )
    return dataclasses.replace(one, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", Phase)
def test_hardware_that_fell_home_is_not_shown_twice(tmp_path: pathlib.Path, phase: Phase) -> None:
    assert shown(hardware(tmp_path), record(HARDWARE, phase=phase), tmp_path) == [True]


@pytest.mark.parametrize(
    "fields",
    [{"permanent_mac": "0a:00:00:00:00:02"}, {"pci": None}, {"kind": "vlan", "name": "eth1.5"}],
)
def test_other_hardware_is_shown_beside_the_lent(
    tmp_path: pathlib.Path, fields: dict[str, object]
) -> None:
    assert shown(hardware(tmp_path, **fields), record(HARDWARE), tmp_path) == [False, True]


@pytest.mark.parametrize(
    ("ifindex", "name", "mac", "same"),
    [
        (7, "eth1", MAC, True),
        (12, "net1", MAC, True),  # home, not yet renamed, its number was taken
        (7, "dev7", MAC, True),
        (7, "net1", "02:aa:00:00:00:00", True),  # the pod's MAC is not yet put back
        (12, "eth1.6", MAC, False),  # a sibling on the same parent
        (7, "other", "02:aa:00:00:00:00", False),
        (12, "eth1", "02:aa:00:00:00:00", False),
    ],
)
def test_a_virtual_link_is_known_by_two_of_name_number_and_mac(
    tmp_path: pathlib.Path, ifindex: int, name: str, mac: str, same: bool
) -> None:
    live = Interface(ifindex=ifindex, name=name, mac=mac, kind="vlan")
    expected = [True] if same else [False, True]
    assert shown(live, record(VIRTUAL, pod_ifindex=7), tmp_path) == expected


def test_links_without_a_mac_must_have_the_name_and_the_number(tmp_path: pathlib.Path) -> None:
    bare = record(HostLink(name="tun0", ifindex=7, kind="tun", type=0xFFFE))
    live = Interface(ifindex=7, name="tun0", kind="tun")
    assert shown(live, bare, tmp_path) == [True]
    assert shown(dataclasses.replace(live, ifindex=8), bare, tmp_path) == [False, True]


def test_a_newcomer_with_the_name_of_a_lent_link_is_hard_protected(tmp_path: pathlib.Path) -> None:
    live = Interface(ifindex=12, name="eth1", kind="ifb")
    merged = merge(Snapshot(interfaces=(live,)), [record(VIRTUAL)], sysfs=tmp_path, now=0)
    found = merged.protection(12)
    assert found is not None
    assert found.hard
    assert "in a pod" in found.reason


def test_a_newcomer_with_the_number_of_a_lent_link_protects_only_itself(
    tmp_path: pathlib.Path,
) -> None:
    live = Interface(ifindex=7, name="eth9", kind="ifb")
    uplink = Protection(ifindex=7, reason="carries the IPv4 default route")
    snapshot = Snapshot(interfaces=(live,), protected=(uplink,))
    merged = merge(snapshot, [record(VIRTUAL)], sysfs=tmp_path, now=0)
    assert [(i.name, merged.protection_of(i)) for i in merged.interfaces] == [
        ("eth9", uplink),
        ("eth1", None),
    ]


def merged(
    record: Attachment, sysfs: pathlib.Path, *, reading: int = 1, now: float = 0
) -> Interface:
    (found,) = merge(Snapshot(reading=reading), [record], sysfs=sysfs, now=now).interfaces
    return found


def test_what_did_not_change_since_the_last_time_is_the_very_same_object(
    tmp_path: pathlib.Path,
) -> None:
    tree = Tree(tmp_path)
    tree.netdev(tree.pf_with_vfs(2), "eth0", 2, MAC)
    pf = record(dataclasses.replace(HARDWARE, name="eth0", ifindex=2), device="eth0")
    vf = record(dataclasses.replace(HARDWARE, pci=vf_address(1)))
    live = Snapshot(interfaces=(Interface(ifindex=1, name="lo"),), reading=1)
    first = merge(live, [pf, vf], sysfs=tmp_path, now=0)
    again = merge(live, [dataclasses.replace(pf), vf], sysfs=tmp_path, now=9)
    assert len(first.interfaces) == 3
    assert all(a is b for a, b in zip(first.interfaces, again.interfaces, strict=True))


def test_a_record_that_changed_is_read_again(tmp_path: pathlib.Path) -> None:
    before = merged(record(VIRTUAL), tmp_path)
    after = merged(record(dataclasses.replace(VIRTUAL, alias="new")), tmp_path)
    assert (before.alias, after.alias) == ("", "new")


@pytest.mark.parametrize("reading", [0, 2])
def test_hardware_that_is_pulled_out_while_it_is_lent_is_told(
    tmp_path: pathlib.Path, reading: int
) -> None:
    where = tmp_path / Tree(tmp_path).pci("0000:03:00.0", "igb")
    assert not merged(record(HARDWARE), tmp_path).pulled
    (tmp_path / "bus/pci/devices/0000:03:00.0").unlink()
    found = merged(record(HARDWARE), tmp_path, reading=reading)
    assert found.pulled
    assert found.pci == PciDevice(address="0000:03:00.0")
    assert where.is_dir()


def test_a_link_without_hardware_cannot_be_pulled_out(tmp_path: pathlib.Path) -> None:
    assert not merged(record(VIRTUAL), tmp_path).pulled


@pytest.mark.parametrize(("reading", "driver"), [(1, "igb"), (2, ""), (0, "")])
def test_hardware_is_looked_up_again_when_the_kernel_told_of_some(
    tmp_path: pathlib.Path, reading: int, driver: str
) -> None:
    where = Tree(tmp_path).pci("0000:03:00.0", "igb")
    assert merged(record(HARDWARE), tmp_path).driver == "igb"
    (tmp_path / where / "driver").unlink()
    assert merged(record(HARDWARE), tmp_path, reading=reading).driver == driver


def test_lifetimes_run_on_from_one_time_to_the_next(tmp_path: pathlib.Path) -> None:
    times = struct.pack("=IIII", 100, 200, 0, 0)
    limited = record(VIRTUAL, recorded=0, addresses=(address(7, (2, ip("192.0.2.1")), (6, times)),))
    left = [merged(limited, tmp_path, now=now).addresses[0] for now in (0, 50)]
    assert [(one.preferred, one.valid) for one in left] == [(100, 200), (50, 150)]


@pytest.mark.parametrize("mac", ["02:99:00:00:00:00", "02:99:00:00:00:01"])
def test_a_vf_is_known_by_its_function_if_its_permanent_mac_is_whatever_it_has(
    tmp_path: pathlib.Path, mac: str
) -> None:
    vf = VirtualFunction(number=0, pf_address="0000:03:00.0")
    fields = {"mac": mac, "permanent_mac": "02:99:00:00:00:00"}
    same = mac == fields["permanent_mac"]
    of_vf = hardware(tmp_path, vf=vf, **fields)
    assert shown(of_vf, record(HARDWARE), tmp_path) == ([True] if same else [False, True])
    of_pf = dataclasses.replace(of_vf, vf=None)
    assert shown(of_pf, record(HARDWARE), tmp_path) == [False, True]


HOLDER = Holder(container="c1")
OTHER = "0a:00:00:00:00:02"


@pytest.mark.parametrize(
    ("phase", "holders", "fields", "lent"),
    [
        (Phase.LOST, (), {"permanent_mac": OTHER}, [False]),
        (Phase.LOST, (), {}, [False]),  # itself, plugged again: the mover mends it
        (Phase.LOST, (), {"name": "eth2"}, [False]),
        (Phase.LOST, (), {"permanent_mac": OTHER, "name": "eth2"}, [False, True]),
        (Phase.LOST, (), {"permanent_mac": OTHER, "pci": None}, [False, True]),
        (Phase.LOST, (HOLDER,), {"permanent_mac": OTHER}, [False, True]),
        (Phase.ATTACHED, (), {"permanent_mac": OTHER}, [False, True]),
    ],
    ids=["another", "the same", "renamed", "another name", "another slot", "held", "not lost"],
)
def test_a_lost_nic_that_nobody_holds_makes_way_for_one_in_its_place(
    tmp_path: pathlib.Path,
    phase: Phase,
    holders: tuple[Holder, ...],
    fields: dict[str, object],
    lent: list[bool],
) -> None:
    live = hardware(tmp_path, **{"name": "eth1", **fields})
    one = record(HARDWARE, phase=phase, holders=holders)
    result = merge(Snapshot(interfaces=(live,)), [one], sysfs=tmp_path, now=0)
    assert sorted(found.lent for found in result.interfaces) == lent
    assert standing(result, [one]) == ((one,) if True in lent else ())
    namesakes = [found for found in result.interfaces if found.name == "eth1"]
    assert bool(result.protected) == (len(namesakes) > 1)


@pytest.mark.parametrize("phase", [Phase.LOST, Phase.ATTACHED])
def test_a_lost_nic_is_no_link_any_more_once_a_program_drives_what_is_in_its_slot(
    tmp_path: pathlib.Path, phase: Phase
) -> None:
    bare = Interface(ifindex=0, name="", pci=PciDevice(address=HARDWARE.pci, driver="vfio-pci"))
    one = record(HARDWARE, phase=phase)
    result = merge(Snapshot(functions=(bare,)), [one], sysfs=tmp_path, now=0)
    assert len(result.interfaces) == (phase is not Phase.LOST)
    held = record(HARDWARE, phase=phase, holders=(HOLDER,))
    assert len(merge(Snapshot(functions=(bare,)), [held], sysfs=tmp_path, now=0).interfaces) == 1
