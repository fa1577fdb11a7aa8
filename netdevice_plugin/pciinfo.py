"""What a container is told of its PCI functions, in the words of the SR-IOV device plugin. Pure.

`PCIDEVICE_<NAME>` lists their addresses, `PCIDEVICE_<NAME>_INFO` has JSON with what
belongs to each: programs that were written for that plugin find it here as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from netdevice_plugin.model import Device, Interface

Words = dict[str, str]

_RDMA = ("uverbs", "umad", "issm", "rdma_cm")


def variables(name: str, devices: Iterable[Device], *, rdma: bool) -> Iterator[tuple[str, str]]:
    """Make the variables of these devices; none where none of them is a PCI function.

    `rdma` says that containers get the RDMA devices of their links.
    """
    functions = [(one, one.interface.pci) for one in devices]
    found = {pci.address: _describe(one, rdma=rdma) for one, pci in functions if pci}
    if found:
        yield f"PCIDEVICE_{name}", ",".join(found)
        yield f"PCIDEVICE_{name}_INFO", json.dumps(found, separators=(",", ":"))


def _describe(device: Device, *, rdma: bool) -> dict[str, Words]:
    address = device.interface.pci.address if device.interface.pci else ""
    found: dict[str, Words] = {"generic": {"deviceID": address}}
    if device.nodes:
        found |= _userspace(device)
    if rdma and device.interface.rdma:
        found["rdma"] = _rdma(device.interface)
    return found


def _userspace(device: Device) -> dict[str, Words]:
    """Name the nodes: of vfio that of all containers and its own, of uio the one."""
    own = [node.path for node in device.nodes if not node.shared]
    common = [node.path for node in device.nodes if node.shared]
    if not common:
        return {"uio": {"mount": own[0]}}
    return {"vfio": {"mount": common[0], **({"dev-mount": own[0]} if own else {})}}


def _rdma(interface: Interface) -> Words:
    found = {"rdma_dev": interface.rdma}
    for path in interface.rdma_nodes:
        name = path.rpartition("/")[2]
        kind = next((kind for kind in _RDMA if name.startswith(kind)), "")
        if kind:
            found.setdefault(kind, path)
    return found
