"""What containers are told of their functions, as programs for the SR-IOV device plugin expect."""

from __future__ import annotations

import json

from netdevice_plugin import pciinfo
from netdevice_plugin.model import Device, Interface, PciDevice
from netdevice_plugin.provisioning import Node


def device(address: str = "", *nodes: str, rdma: tuple[str, ...] = ()) -> Device:
    link = Interface(
        ifindex=7,
        name="eth1",
        pci=PciDevice(address=address) if address else None,
        rdma="mlx5_1" if rdma else "",
        rdma_nodes=rdma,
    )
    return Device(name="x", pool="net", interface=link, nodes=tuple(map(Node, nodes)))


def told(*devices: Device, rdma: bool = False) -> dict[str, object]:
    found = dict(pciinfo.variables("NET", devices, rdma=rdma))
    assert found.keys() == {"PCIDEVICE_NET", "PCIDEVICE_NET_INFO"}
    info: dict[str, object] = json.loads(found["PCIDEVICE_NET_INFO"])
    assert found["PCIDEVICE_NET"] == ",".join(info)
    return info


def generic(address: str) -> dict[str, dict[str, str]]:
    return {"generic": {"deviceID": address}}


def test_links_without_a_function_make_no_variable() -> None:
    assert dict(pciinfo.variables("NET", [device()], rdma=True)) == {}


def test_functions_are_listed_in_the_order_they_were_given() -> None:
    one, other = "0000:03:00.1", "0000:03:00.0"
    assert list(told(device(one), device(), device(other))) == [one, other]
    assert told(device(one)) == {one: generic(one)}


def test_of_vfio_the_containers_node_and_the_groups() -> None:
    one = "0000:03:00.1"
    expected = {"mount": "/dev/vfio/vfio", "dev-mount": "/dev/vfio/12"}
    found = told(device(one, "/dev/vfio/vfio", "/dev/vfio/12"))
    assert found == {one: {**generic(one), "vfio": expected}}


def test_of_iommufd_the_functions_own_node() -> None:
    one = "0000:03:00.1"
    expected = {"mount": "/dev/iommu", "dev-mount": "/dev/vfio/devices/vfio0"}
    found = told(device(one, "/dev/iommu", "/dev/vfio/devices/vfio0"))
    assert found == {one: {**generic(one), "vfio": expected}}


def test_of_uio_the_one_node() -> None:
    one = "0000:03:00.1"
    assert told(device(one, "/dev/uio3")) == {one: {**generic(one), "uio": {"mount": "/dev/uio3"}}}


def test_of_rdma_each_node_by_its_kind_where_the_pool_gives_them() -> None:
    one = "0000:03:00.1"
    nodes = ("issm1", "rdma_cm", "umad1", "uverbs1")
    hca = device(one, rdma=tuple(f"/dev/infiniband/{name}" for name in nodes))
    assert told(hca, rdma=True) == {
        one: {
            **generic(one),
            "rdma": {
                "rdma_dev": "mlx5_1",
                "issm": "/dev/infiniband/issm1",
                "rdma_cm": "/dev/infiniband/rdma_cm",
                "umad": "/dev/infiniband/umad1",
                "uverbs": "/dev/infiniband/uverbs1",
            },
        }
    }
    assert told(hca) == {one: generic(one)}
