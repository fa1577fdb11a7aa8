"""Which device nodes a program needs for a function."""

from __future__ import annotations

from netdevice_plugin.functions.groups import UIO
from netdevice_plugin.functions.sysfs import Bus
from netdevice_plugin.provisioning import Node

_CONTAINER = "/dev/vfio/vfio"
_IOMMUFD = "/dev/iommu"


def nodes(bus: Bus, address: str, driver: str) -> tuple[Node, ...]:
    """The nodes of a function behind that driver, as far as they are known by now.

    A group's number is known as soon as there is an IOMMU; those without one and
    /dev/uioN have theirs once they are bound. Where the kernel has no /dev/vfio/vfio
    (CONFIG_VFIO_CONTAINER is off) it goes by iommufd and the function's own node.
    Of that sysfs tells: the agent's own /dev need not have any of these nodes.
    """
    if driver == UIO:
        name = bus.uio_device(address)
        return (Node(f"/dev/{name}"),) if name else ()
    own = bus.vfio_device(address)
    if own and bus.has_misc("iommu") and not bus.has_misc("vfio"):
        return Node(_IOMMUFD), Node(f"/dev/vfio/devices/{own}")
    group = bus.group(address)
    if group is None:
        return ()
    prefix = "noiommu-" if group.no_iommu else ""
    return Node(_CONTAINER), Node(f"/dev/vfio/{prefix}{group.number}")
