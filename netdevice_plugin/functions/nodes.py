"""Which device nodes a program needs for a function."""

from __future__ import annotations

from pathlib import Path

from netdevice_plugin.functions.groups import UIO
from netdevice_plugin.functions.sysfs import Bus
from netdevice_plugin.provisioning import Node

DEV = Path("/dev")

_CONTAINER = "/dev/vfio/vfio"
_IOMMUFD = "/dev/iommu"


def nodes(bus: Bus, address: str, driver: str, dev: Path = DEV) -> tuple[Node, ...]:
    """The nodes of a function behind that driver, as far as they are known by now.

    A group's number is known as soon as there is an IOMMU; those without one and
    /dev/uioN have theirs once they are bound. Where there is no /dev/vfio/vfio
    (a kernel without CONFIG_VFIO_CONTAINER) it goes by iommufd and the function's
    own node.
    """
    if driver == UIO:
        name = bus.uio_device(address)
        return (Node(f"/dev/{name}"),) if name else ()
    own = bus.vfio_device(address)
    if own and (dev / "iommu").exists() and not (dev / "vfio/vfio").exists():
        return Node(_IOMMUFD), Node(f"/dev/vfio/devices/{own}")
    group = bus.group(address)
    if group is None:
        return ()
    prefix = "noiommu-" if group.no_iommu else ""
    return Node(_CONTAINER), Node(f"/dev/vfio/{prefix}{group.number}")
