"""Devices to list, as short as they can be said."""

from __future__ import annotations

from netdevice_plugin.model import (
    Device,
    Interface,
    Listed,
    PciDevice,
    Pool,
    VirtualFunction,
    device_name,
)

POOL = Pool(name="netdevice")
KIND = "networking.k8s.io/netdevice"


def link(
    name: str, *, numa: int | None = None, pci: str = "", pf: str = "", ifindex: int = 1
) -> Interface:
    """A link: hardware if it has a PCI address, a virtual function if it has a PF as well."""
    function = PciDevice(address=pci, numa_node=numa) if pci else None
    vf = VirtualFunction(number=0, pf_address=pf) if pf else None
    return Interface(ifindex=ifindex, name=name, pci=function, vf=vf)


def listed(interface: Interface | str, fault: str = "", *, lent: bool = False) -> Listed:
    """A device of the pool `netdevice`."""
    at = link(interface) if isinstance(interface, str) else interface
    device = Device(name=device_name(at.name), pool=POOL.name, interface=at, lent=lent)
    return Listed(device=device, fault=fault)
