from __future__ import annotations

import dataclasses
import os
import pathlib

import pytest

from netdevice_plugin.inventory.decode import Link
from netdevice_plugin.inventory.pfs import name_pfs
from netdevice_plugin.inventory.sysfs import Hardware, Sysfs, representor
from netdevice_plugin.model import Interface, PciDevice, PhysicalFunction, VirtualFunction
from tests.unit.inventory.trees import ROOT, Tree, vf_address

MAC = "02:00:00:00:00:01"


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    return Tree(tmp_path)


def link(
    name: str, ifindex: int, *, bus: str = "", device: str = "", mac: str = MAC, port: str = ""
) -> Link:
    return Link(Interface(ifindex=ifindex, name=name, mac=mac, port=port), bus, device)


def describe(tree: Tree, one: Link) -> Interface:
    return Sysfs(tree.path).describe(one)


def test_a_pci_nic(tree: Tree) -> None:
    where = tree.pci("0000:03:00.0", "igb", numa="1")
    tree.netdev(where, "eth1", 7, MAC)
    found = describe(tree, link("eth1", 7, bus="pci", device="0000:03:00.0"))
    assert found == Interface(
        ifindex=7,
        name="eth1",
        mac=MAC,
        speed=10000,
        driver="igb",
        pci=PciDevice(
            address="0000:03:00.0",
            vendor="8086",
            device="1521",
            driver="igb",
            numa_node=1,
            root="pci0000:00",
        ),
    )


def test_no_numa_node_is_none(tree: Tree) -> None:
    tree.pci("0000:03:00.0", numa="-1")
    found = describe(tree, link("eth1", 7, bus="pci", device="0000:03:00.0"))
    assert found.pci is not None
    assert found.pci.numa_node is None


def test_virtio_has_a_driver_of_its_own_and_the_pci_function_below_it(tree: Tree) -> None:
    function = tree.pci("0000:00:03.0", "virtio-pci", numa="-1", ids="1af4:1041")
    tree.device("virtio", f"{function}/virtio2", "virtio_net")
    tree.netdev(f"{function}/virtio2", "eth0", 2, MAC, speed="-1")
    found = describe(tree, link("eth0", 2, bus="virtio", device="virtio2"))
    assert found.driver == "virtio_net"
    assert found.speed is None
    assert found.pci == PciDevice(
        address="0000:00:03.0",
        vendor="1af4",
        device="1041",
        driver="virtio-pci",
        root="pci0000:00",
    )


def test_virtio_over_something_else_than_pci_has_no_pci_address(tree: Tree) -> None:
    tree.device("virtio", "devices/platform/a003e00.virtio_mmio/virtio0", "virtio_net")
    found = describe(tree, link("eth0", 2, bus="virtio", device="virtio0"))
    assert (found.driver, found.pci) == ("virtio_net", None)


@pytest.mark.parametrize(
    ("bus", "below", "driver"),
    [("usb", "usb1/1-1/1-1:1.0", "cdc_ncm"), ("auxiliary", "mlx5_core.sf.2", "mlx5_core.sf")],
)
def test_what_shares_a_pci_function_with_others_is_not_known_by_it(
    tree: Tree, bus: str, below: str, driver: str
) -> None:
    function = tree.pci("0000:00:14.0", "xhci_hcd")
    tree.device(bus, f"{function}/{below}", driver)
    found = describe(tree, link("eth5", 5, bus=bus, device=below.rsplit("/", 1)[-1]))
    assert (found.driver, found.pci) == (driver, None)


def test_a_pf_with_eight_vfs(tree: Tree) -> None:
    pf = tree.pf_with_vfs(8)
    tree.netdev(pf, "eth1", 7, MAC)
    found = describe(tree, link("eth1", 7, bus="pci", device="0000:03:00.0"))
    assert found.pf == PhysicalFunction(
        total_vfs=63, num_vfs=8, vfs=tuple((n, vf_address(n)) for n in range(8))
    )
    assert found.vf is None


def test_more_than_ten_vfs_are_in_the_order_of_their_numbers(tree: Tree) -> None:
    tree.pf_with_vfs(12)
    found = describe(tree, link("eth1", 7, bus="pci", device="0000:03:00.0"))
    assert found.pf is not None
    assert [number for number, _ in found.pf.vfs] == list(range(12))


def test_a_pf_that_has_no_vfs_now_is_still_one(tree: Tree) -> None:
    tree.pf_with_vfs(0)
    found = describe(tree, link("eth1", 7, bus="pci", device="0000:03:00.0"))
    assert found.pf == PhysicalFunction(total_vfs=63, num_vfs=0)


def test_vfs_know_their_number_and_their_pf(tree: Tree) -> None:
    """Only two of the eight have a link: others are in pods, or with vfio-pci."""
    tree.pf_with_vfs(8)
    sysfs = Sysfs(tree.path)
    found = name_pfs(
        (
            sysfs.describe(link("eth1v3", 11, bus="pci", device=vf_address(3))),
            sysfs.describe(link("eth1", 7, bus="pci", device="0000:03:00.0")),
            sysfs.describe(link("eth1v7", 12, bus="pci", device=vf_address(7))),
        )
    )
    assert [i.vf for i in found] == [
        VirtualFunction(number=3, pf_address="0000:03:00.0", pf_name="eth1"),
        None,
        VirtualFunction(number=7, pf_address="0000:03:00.0", pf_name="eth1"),
    ]
    assert [i.pf is None for i in found] == [True, False, True]


def test_a_vf_whose_pf_has_no_link_in_sight(tree: Tree) -> None:
    tree.pf_with_vfs(2)
    found = name_pfs((describe(tree, link("v", 11, bus="pci", device=vf_address(1))),))
    assert found[0].vf == VirtualFunction(number=1, pf_address="0000:03:00.0")


def test_a_pf_name_that_went_away_is_forgotten(tree: Tree) -> None:
    vf = VirtualFunction(number=1, pf_address="0000:03:00.0", pf_name="old")
    found = name_pfs((Interface(ifindex=1, name="v", vf=vf),))
    assert found[0].vf == dataclasses.replace(vf, pf_name="")


def test_two_ports_on_one_function_are_two_links_of_it(tree: Tree) -> None:
    where = tree.pci("0000:03:00.0", "mlx4_core")
    tree.netdev(where, "ens1", 7, MAC, speed="40000")
    tree.netdev(where, "ens1d1", 8, "02:00:00:00:00:02", speed="10000")
    sysfs = Sysfs(tree.path)
    one = sysfs.describe(link("ens1", 7, bus="pci", device="0000:03:00.0"))
    two = sysfs.describe(
        link("ens1d1", 8, bus="pci", device="0000:03:00.0", mac="02:00:00:00:00:02")
    )
    assert one.pci == two.pci
    assert (one.speed, two.speed) == (40000, 10000)


def test_representors_share_the_pfs_function_but_are_no_pf(tree: Tree) -> None:
    where = tree.pf_with_vfs(2)
    tree.file(f"{where}/infiniband/mlx5_0/node_type", "1: CA")
    sysfs = Sysfs(tree.path)
    pf = sysfs.describe(link("eth1", 7, bus="pci", device="0000:03:00.0", port="p0"))
    rep = sysfs.describe(link("eth1_0", 5, bus="pci", device="0000:03:00.0", port="pf0vf0"))
    vf = sysfs.describe(link("v0", 9, bus="pci", device=vf_address(0)))
    assert pf.pf is not None
    assert (rep.pf, rep.rdma) == (None, "")
    named = name_pfs((rep, pf, vf))[2].vf
    assert named is not None
    assert named.pf_name == "eth1"


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        *((port, True) for port in ("pf0vf1", "pf0sf88", "c1pf0vf2", "pf0")),
        *((port, False) for port in ("p0", "", "1")),
    ],
)
def test_port_names_of_representors(port: str, expected: bool) -> None:
    assert representor(port) is expected


def test_an_rdma_device_on_the_same_function(tree: Tree) -> None:
    where = tree.pci("0000:03:00.0", "mlx5_core")
    tree.file(f"{where}/infiniband/mlx5_0/node_type", "1: CA")
    assert describe(tree, link("e", 7, bus="pci", device="0000:03:00.0")).rdma == "mlx5_0"


def test_an_unbound_function_has_no_driver(tree: Tree) -> None:
    tree.pci("0000:03:00.0")
    found = Sysfs(tree.path).function("0000:03:00.0")
    assert found.driver == ""
    assert found.pci is not None
    assert found.pci.driver == ""


def test_the_function_of_a_link_that_is_in_a_pod(tree: Tree) -> None:
    """Its net/ directory is empty, or gone; all else stays."""
    tree.pf_with_vfs(2)
    found = Sysfs(tree.path).function(vf_address(1))
    assert found.driver == "igbvf"
    assert found.vf == VirtualFunction(number=1, pf_address="0000:03:00.0")


def test_the_function_below_virtio_of_a_link_that_is_in_a_pod(tree: Tree) -> None:
    function = tree.pci("0000:00:03.0", "virtio-pci")
    tree.device("virtio", f"{function}/virtio2", "virtio_net")
    found = Sysfs(tree.path).function("0000:00:03.0")
    assert found.driver == "virtio_net"
    assert found.pci is not None
    assert found.pci.driver == "virtio-pci"


def test_a_function_that_was_pulled_out_is_known_by_its_address_alone(tree: Tree) -> None:
    found = Sysfs(tree.path).function("0000:99:00.0")
    assert found == Hardware(pci=PciDevice(address="0000:99:00.0"), present=False)


@pytest.mark.parametrize("address", ["", "../../etc", "0000:03:00.9", "x\0y", "03:00.0"])
def test_what_is_no_pci_address_is_not_looked_for(tree: Tree, address: str) -> None:
    assert Sysfs(tree.path).function(address) == Hardware()


def test_a_virtual_link_has_no_hardware(tree: Tree) -> None:
    tree.netdev(tree.pci("0000:03:00.0", "igb"), "veth0", 7, MAC)
    virtual = Link(Interface(ifindex=7, name="veth0", kind="veth", mac=MAC))
    assert describe(tree, virtual) == virtual.interface


def test_an_old_kernel_tells_the_device_through_its_class(tree: Tree) -> None:
    """Before 5.14 netlink does not name it."""
    tree.netdev(tree.pci("0000:03:00.0", "igb"), "eth1", 7, MAC)
    found = describe(tree, link("eth1", 7))
    assert found.driver == "igb"
    assert found.speed == 10000
    assert found.pci is not None
    assert found.pci.address == "0000:03:00.0"


@pytest.mark.parametrize("odd", [{"ifindex": 8}, {"mac": "02:00:00:00:00:99"}])
def test_a_namesake_in_the_namespace_of_the_mount_is_not_taken_for_the_link(
    tree: Tree, odd: dict[str, object]
) -> None:
    tree.netdev(tree.pci("0000:03:00.0", "igb"), "eth1", 7, MAC)
    ours = dataclasses.replace(link("eth1", 7).interface, **odd)  # type: ignore[arg-type]
    assert describe(tree, Link(ours)) == ours
    known = describe(tree, Link(ours, "pci", "0000:03:00.0"))
    assert (known.driver, known.speed) == ("igb", None)


GARBLED = ["", "lots", "-1", "9" * 100, "1\x00", "\xff", "0x1"]


@pytest.mark.parametrize("text", [*GARBLED, "0", "4294967295"])
def test_a_speed_that_is_none_is_unknown(tree: Tree, text: str) -> None:
    tree.netdev(tree.pci("0000:03:00.0", "igb"), "eth1", 7, MAC, speed=text)
    assert describe(tree, link("eth1", 7, bus="pci", device="0000:03:00.0")).speed is None


@pytest.mark.parametrize("text", GARBLED)
def test_a_numa_node_that_is_none_is_unknown(tree: Tree, text: str) -> None:
    tree.pci("0000:03:00.0", "igb", numa=text)
    found = Sysfs(tree.path).function("0000:03:00.0")
    assert found.pci is not None
    assert found.pci.numa_node is None


@pytest.mark.parametrize("text", [*GARBLED, "0"])
def test_a_function_without_a_number_of_possible_vfs_is_no_pf(tree: Tree, text: str) -> None:
    tree.file(f"{tree.pf_with_vfs(1)}/sriov_totalvfs", text)
    assert Sysfs(tree.path).function("0000:03:00.0").pf is None


def test_vfs_are_counted_as_their_number_may_take_for_ever_to_read(tree: Tree) -> None:
    number = tree.path / tree.pf_with_vfs(2) / "sriov_numvfs"
    number.unlink()
    os.mkfifo(number)  # a lock's stand-in: who opens it waits
    found = Sysfs(tree.path).function("0000:03:00.0").pf
    assert found
    assert (found.total_vfs, found.num_vfs, len(found.vfs)) == (63, 2, 2)


@pytest.mark.parametrize("name", ["vendor", "device"])
@pytest.mark.parametrize("text", ["", "0x", "0xZZZZ", "0x80861", "8086 8086"])
def test_garbled_ids_are_empty(tree: Tree, name: str, text: str) -> None:
    where = tree.pci("0000:03:00.0", "igb")
    tree.file(f"{where}/{name}", text)
    found = Sysfs(tree.path).function("0000:03:00.0")
    assert found.pci is not None
    assert getattr(found.pci, name) == ""


def test_virtfns_that_are_no_such_links_are_passed_over(tree: Tree) -> None:
    pf = tree.pf_with_vfs(1)
    tree.file(f"{pf}/virtfn1", "not a link")
    tree.link(f"{pf}/virtfn2", "devices/nowhere")
    tree.link(f"{pf}/virtfnX", f"{ROOT}/0000:00:1c.0/{vf_address(0)}")
    found = Sysfs(tree.path).function("0000:03:00.0")
    assert found.pf == PhysicalFunction(total_vfs=63, num_vfs=1, vfs=((0, vf_address(0)),))


def test_a_vf_that_its_pf_does_not_know_is_none(tree: Tree) -> None:
    tree.pf_with_vfs(1)
    stray = tree.pci("0000:04:10.0", "igbvf")
    tree.link(f"{stray}/physfn", f"{ROOT}/0000:00:1c.0/0000:03:00.0")
    assert Sysfs(tree.path).function("0000:04:10.0").vf is None


def test_links_that_go_in_a_circle_are_nothing(tree: Tree) -> None:
    for name in ("bus/pci/devices/0000:03:00.0", "class/net/eth1"):
        path = tree.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(path)
    one = link("eth1", 7, bus="pci", device="0000:03:00.0")
    assert describe(tree, one).driver == ""
    assert describe(tree, link("eth1", 7)).driver == ""


@pytest.mark.parametrize("device", ["../../../etc", "/etc", "..", "gone"])
def test_a_device_name_that_is_none_leads_nowhere(tree: Tree, device: str) -> None:
    tree.pci("0000:03:00.0", "igb")
    found = describe(tree, link("eth1", 7, bus="pci", device=device))
    assert (found.driver, found.pci, found.speed) == ("", None, None)


def test_without_any_sysfs_links_have_no_hardware(tmp_path: pathlib.Path) -> None:
    one = link("eth1", 7, bus="pci", device="0000:03:00.0")
    found = Sysfs(tmp_path / "none").describe(one)
    assert (found.driver, found.speed, found.vf) == ("", None, None)


def test_what_several_links_share_is_read_once(tree: Tree) -> None:
    """256 VFs would otherwise mean 65,536 links to read for their numbers."""
    pf = tree.pf_with_vfs(3)
    sysfs = Sysfs(tree.path)
    sysfs.function(vf_address(0))
    for number in range(3):
        (tree.path / pf / f"virtfn{number}").unlink()
    assert sysfs.function(vf_address(2)).vf is not None
