"""PCI functions without a link, their groups and RDMA devices, in sysfs and in snapshots."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from netdevice_plugin.inventory import pfs, uplinks
from netdevice_plugin.inventory.decode import Link
from netdevice_plugin.inventory.mirror import Found, Hardware, Listing, Mirror
from netdevice_plugin.inventory.sysfs import Sysfs, for_userspace
from netdevice_plugin.model import (
    Interface,
    PciDevice,
    PhysicalFunction,
    Route,
    Snapshot,
    VirtualFunction,
)
from tests.unit.inventory.messages import attributes, framed, link, u32
from tests.unit.inventory.trees import Tree, vf_address

PF = "0000:03:00.0"
NETWORK, DISPLAY = "0x020000", "0x030000"


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    return Tree(tmp_path)


def function(
    tree: Tree, address: str, driver: str = "", kind: str = NETWORK, group: int | None = None
) -> str:
    where = tree.pci(address, driver)
    tree.file(f"{where}/class", kind)
    if group is not None:
        grouped(tree, where, group)
    return where


def grouped(tree: Tree, where: str, group: int, name: str = "") -> None:
    tree.file(f"kernel/iommu_groups/{group}/type", "DMA-FQ")
    tree.link(f"{where}/iommu_group", f"kernel/iommu_groups/{group}")
    if name:
        tree.file(f"kernel/iommu_groups/{group}/name", name)


def found(tree: Tree) -> dict[str, str]:
    functions = Sysfs(tree.path).functions()
    assert all(one.unlinked for one in functions)
    return {one.pci.address: one.driver for one in functions if one.pci}


@pytest.mark.parametrize(
    "driver",
    ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_vfio_pci", "hisi-acc-vfio-pci", ""],
)
def test_functions_of_userspace_and_of_nobody_are_found(tree: Tree, driver: str) -> None:
    function(tree, "0000:03:00.1", driver)
    assert found(tree) == {"0000:03:00.1": driver}


@pytest.mark.parametrize("driver", ["igb", "virtio-pci", "mlx5_core", "vfio", "uio"])
def test_functions_of_the_kernels_drivers_have_their_link_elsewhere(
    tree: Tree, driver: str
) -> None:
    function(tree, "0000:03:00.1", driver)
    assert found(tree) == {}
    assert not for_userspace(driver)


def test_functions_that_are_for_something_else_are_left_out(tree: Tree) -> None:
    function(tree, "0000:03:00.1", "vfio-pci", DISPLAY)
    tree.pci("0000:03:00.2")  # without a class
    tree.device("pci", "devices/pci0000:00/not-a-function")
    assert found(tree) == {}


def test_no_pci_at_all_is_no_function(tree: Tree) -> None:
    assert found(tree) == {}


def test_functions_are_in_order_and_know_their_pf(tree: Tree) -> None:
    tree.pf_with_vfs(4)
    for number in range(4):
        where = f"devices/pci0000:00/0000:00:1c.0/{vf_address(number)}"
        tree.file(f"{where}/class", NETWORK)
        if number % 2:
            (tree.path / where / "driver").unlink()
    functions = Sysfs(tree.path).functions()
    assert [one.pci.address for one in functions if one.pci] == [vf_address(1), vf_address(3)]
    assert functions[1].vf == VirtualFunction(number=3, pf_address=PF)
    assert functions[1].pci is not None
    assert (functions[1].pci.vendor, functions[1].pci.numa_node) == ("8086", 1)


def describe(tree: Tree, address: str) -> Interface:
    plain = Interface(ifindex=7, name="eth1", mac="02:00:00:00:00:01")
    return Sysfs(tree.path).describe(Link(plain, "pci", address))


def test_a_function_says_its_group(tree: Tree) -> None:
    function(tree, "0000:03:00.1", "igb", group=17)
    function(tree, "0000:03:00.2", "igb")
    assert [describe(tree, f"0000:03:00.{n}").pci for n in (1, 2)] == [
        dataclasses.replace(
            PciDevice(address=f"0000:03:00.{n}", vendor="8086", device="1521", driver="igb"),
            numa_node=0,
            root="pci0000:00",
            iommu_group=group,
        )
        for n, group in ((1, 17), (2, None))
    ]


def test_a_group_that_vfio_made_up_keeps_nothing_apart(tree: Tree) -> None:
    where = function(tree, "0000:03:00.1", "vfio-pci")
    grouped(tree, where, 0, "vfio-noiommu")
    (one,) = Sysfs(tree.path).functions()
    assert one.pci is not None
    assert one.pci.iommu_group is None


def test_an_rdma_device_has_its_nodes(tree: Tree) -> None:
    where = function(tree, "0000:03:00.1", "mlx5_core")
    for name in ("infiniband/mlx5_1", "infiniband_verbs/uverbs1", "infiniband_verbs/../x"):
        (tree.path / where / name).mkdir(parents=True)
    for name in ("umad1", "issm1", "odd name"):
        (tree.path / where / "infiniband_mad" / name).mkdir(parents=True)
    nodes = ["issm1", "umad1", "uverbs1"]
    assert describe(tree, "0000:03:00.1").rdma_nodes == tuple(
        f"/dev/infiniband/{name}" for name in nodes
    )
    (tree.path / "class/misc/rdma_cm").mkdir(parents=True)
    found = describe(tree, "0000:03:00.1")
    assert found.rdma_nodes[1] == "/dev/infiniband/rdma_cm"
    assert len(found.rdma_nodes) == 4


@pytest.mark.parametrize("elsewhere", ["infiniband_verbs/uverbs1", "net/eth1"])
def test_without_an_rdma_device_there_are_no_nodes(tree: Tree, elsewhere: str) -> None:
    where = function(tree, "0000:03:00.1", "igb")
    (tree.path / where / elsewhere).mkdir(parents=True)
    (tree.path / "class/misc/rdma_cm").mkdir(parents=True)
    assert describe(tree, "0000:03:00.1").rdma_nodes == ()


# In a snapshot

UP = 0x11043
BOUND = Interface(
    ifindex=0,
    name="",
    driver="vfio-pci",
    pci=PciDevice(address="0000:03:10.1", driver="vfio-pci"),
    vf=VirtualFunction(number=1, pf_address=PF),
)


def nic(ifindex: int, name: str, *, flags: int = UP, state: int = 6) -> bytes:
    """A NIC as RTM_NEWLINK has it; `state` is its operstate, 6 for up."""
    several = ((3, f"{name}\0".encode()), (4, u32(1500)), (16, bytes([state])))
    return link(ifindex, *several, (56, attributes((1, b"x"))), flags=flags)


def pf_link(**changes: object) -> Interface:
    link = Interface(
        ifindex=2,
        name="ens1f0",
        operstate="up",
        pci=PciDevice(address=PF),
        pf=PhysicalFunction(total_vfs=7, num_vfs=4),
    )
    return dataclasses.replace(link, **changes)  # type: ignore[arg-type]


def mirror(
    *described: Interface, functions: tuple[Interface, ...] = (BOUND,), mode: str = ""
) -> Mirror:
    made = Mirror(Listing([nic(one.ifindex, one.name) for one in described]))
    wants = made.wants()
    assert wants.hardware
    assert len(wants.devices) == len(described)
    hardware = Hardware(functions, {PF: mode})
    made.accept(wants, Found(devices=described, hardware=hardware))
    return made


def test_functions_are_in_the_snapshot_and_know_the_link_of_their_pf() -> None:
    (one,) = mirror(pf_link()).snapshot().functions
    assert one.vf == VirtualFunction(number=1, pf_address=PF, pf_name="ens1f0", pf_state="up")


def test_a_function_that_has_its_link_by_now_is_none_without() -> None:
    vf = Interface(ifindex=3, name="ens1f0v1", pci=BOUND.pci)
    made = mirror(pf_link(), vf)
    assert made.snapshot().functions == ()
    made.hear([framed(17, nic(3, "ens1f0v1"))])
    assert len(made.snapshot().functions) == 1


def test_functions_are_read_again_when_hardware_changed_and_not_before() -> None:
    made = mirror(pf_link())
    made.hear([framed(16, nic(2, "ens1f0"))])
    assert not made.wants().hardware
    made.devices_changed()
    wants = made.wants()
    assert wants.hardware
    made.accept(wants, Found(devices=[pf_link()], hardware=Hardware()))
    assert made.snapshot().functions == ()
    assert not made.wants().hardware


def test_functions_that_are_as_they_were_are_the_same_objects() -> None:
    made = mirror(pf_link())
    before = made.snapshot()
    made.devices_changed()
    again = dataclasses.replace(BOUND)
    made.accept(made.wants(), Found(devices=[pf_link()], hardware=Hardware((again,))))
    after = made.snapshot()
    assert after.functions[0] is before.functions[0]
    assert after.reading != before.reading
    other = mirror(pf_link(), functions=(dataclasses.replace(BOUND),))
    other.resemble(made)
    assert other.snapshot().functions[0] is before.functions[0]


def test_a_driver_that_is_bound_makes_another_snapshot() -> None:
    made = mirror(pf_link())
    before = made.snapshot()
    made.devices_changed()
    made.accept(made.wants(), Found(devices=[pf_link()], hardware=Hardware()))
    assert made.snapshot() != before


def test_the_state_of_a_pf_is_its_vfs_as_it_changes() -> None:
    vf = Interface(
        ifindex=3,
        name="ens1f0v2",
        pci=PciDevice(address="0000:03:10.2"),
        vf=VirtualFunction(number=2, pf_address=PF),
    )
    made = mirror(pf_link(), vf)
    assert states(made.snapshot()) == ["up", "up"]
    made.hear([framed(16, nic(2, "ens1f0", state=2))])
    wants = made.wants()
    made.accept(wants, Found(devices=[pf_link(operstate="down")]))
    assert states(made.snapshot()) == ["down", "down"]
    made.hear([framed(17, nic(2, "ens1f0"))])
    assert states(made.snapshot()) == ["", ""]


def states(snapshot: Snapshot) -> list[str]:
    several = (*snapshot.interfaces, *snapshot.functions)
    return [one.vf.pf_state for one in several if one.vf]


def test_a_pf_says_the_mode_of_its_switch_for_as_long_as_the_hardware_is_the_same() -> None:
    made = mirror(pf_link(), mode="switchdev")
    assert mode(made) == "switchdev"
    made.hear([framed(16, nic(2, "ens1f0"))])
    made.accept(made.wants(), Found(devices=[pf_link()]))
    assert mode(made) == "switchdev"
    made.devices_changed()
    made.accept(made.wants(), Found(devices=[pf_link()], hardware=Hardware()))
    assert mode(made) == ""


def mode(made: Mirror) -> str:
    pf = made.snapshot().interfaces[0].pf
    assert pf is not None
    return pf.eswitch


def test_links_that_have_nothing_to_do_with_vfs_are_the_same_objects() -> None:
    plain = Interface(ifindex=1, name="eth0")
    links = (plain, pf_link())
    assert pfs.name_pfs(links) is links
    told = pfs.name_pfs(links, {PF: "legacy"})
    assert told[0] is plain
    assert pfs.name_pfs(told, {PF: "legacy"}) is told


def test_what_is_on_top_of_an_uplink_is_told_from_what_is_kept_for_other_reasons() -> None:
    default = Route(family=4, destination="default", ifindex=3)
    links = (
        Interface(ifindex=2, name="eth0"),
        Interface(ifindex=3, name="eth0.7", lower=2, routes=(default,)),
        Interface(ifindex=4, name="br0", kind="bridge"),
        Interface(ifindex=5, name="eth1", master=4),
        Interface(ifindex=6, name="docker0"),
    )
    assert {one.ifindex: one.uplink for one in uplinks.protect(links)} == {
        2: True,
        3: True,
        4: False,
        5: False,
        6: False,
    }
