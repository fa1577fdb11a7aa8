"""Links and devices for the tests of slices, as short as they can be said."""

from __future__ import annotations

import dataclasses

from netdevice_plugin.model import (
    Address,
    Device,
    Frontend,
    Interface,
    Listed,
    PciDevice,
    PhysicalFunction,
    Pool,
    VirtualFunction,
    device_name,
)
from netdevice_plugin.offering import Listing

DRIVER = "networking.k8s.io"
NODE = "worker-1"
POOL = Pool(name="netdevice", frontend=Frontend.DRA)

VETH = Interface(
    ifindex=7, name="eth1", kind="veth", mac="02:00:00:00:00:01", mtu=1500, operstate="up"
)
NIC = Interface(
    ifindex=3,
    name="ens5f1",
    alias="uplink of rack 7",
    mac="02:00:00:00:00:03",
    permanent_mac="02:00:00:00:00:03",
    mtu=9000,
    operstate="up",
    carrier=True,
    speed=25000,
    driver="mlx5_core",
    rdma="mlx5_1",
    pci=PciDevice(
        address="0000:3b:00.1",
        vendor="15b3",
        device="1017",
        driver="mlx5_core",
        numa_node=0,
        root="pci0000:3a",
    ),
    pf=PhysicalFunction(total_vfs=8, num_vfs=2),
    addresses=(
        Address(family=4, address="169.254.7.7", prefix=16, scope=253),
        Address(family=4, address="192.0.2.7", prefix=24),
        Address(family=4, address="192.0.2.8", prefix=24),
        Address(family=6, address="2001:db8::7", prefix=64),
        Address(family=6, address="fe80::3", prefix=64, scope=253),
    ),
)
VF = Interface(
    ifindex=9,
    name="ens5f1v2",
    mac="02:00:00:00:00:09",
    mtu=1500,
    operstate="down",
    driver="iavf",
    pci=PciDevice(address="0000:3b:02.2", vendor="8086", device="154c", root="pci0000:3a"),
    vf=VirtualFunction(number=2, pf_address="0000:3b:00.0", pf_name="ens5f0"),
)


def device(interface: Interface, pool: str = POOL.name) -> Device:
    return Device(
        name=device_name(interface.name), pool=pool, interface=interface, lent=interface.lent
    )


def listed(interface: Interface | str, fault: str = "") -> Listed:
    link = dataclasses.replace(VETH, name=interface) if isinstance(interface, str) else interface
    return Listed(device=device(link), fault=fault)


def listing(*devices: Listed, pool: Pool = POOL, retired: bool = False) -> Listing:
    return Listing(pool=pool, devices=devices, retired=retired)
