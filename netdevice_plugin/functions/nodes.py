"""Which device nodes a program needs for a function, and what they are called in its container."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from netdevice_plugin.functions.groups import UIO
from netdevice_plugin.functions.sysfs import Bus

DEV = Path("/dev")

_CONTAINER = "/dev/vfio/vfio"
_IOMMUFD = "/dev/iommu"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A character device of the host, under the same path in the container.

    So it is for a group without IOMMU, too: DPDK tries /dev/vfio/N first and
    /dev/vfio/noiommu-N if that is not there (lib/eal/linux/eal_vfio.c), while VPP and
    others take the latter alone, by the group's name in sysfs. The other name, which
    the SR-IOV device plugin gives, serves DPDK only.
    """

    path: str

    @property
    def shared(self) -> bool:
        """Whether every program with any function has this one open."""
        return self.path in (_CONTAINER, _IOMMUFD)


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
