"""What sysfs says of the device under a link: driver, PCI, SR-IOV, RDMA, speed.

/sys/class/net shows the links of whoever mounted sysfs, which need not be ours. So
devices are found under /sys/bus, by the bus and name that netlink gives for a link;
that tree is the same for all. What is missing or garbled is None or empty, never an
error: drivers differ in what they tell.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from netdevice_plugin.inventory.decode import Link
from netdevice_plugin.model import (
    Interface,
    PciDevice,
    PhysicalFunction,
    VirtualFunction,
    representor,
)

__all__ = ["Hardware", "Sysfs", "for_userspace", "has_device", "representor"]

Value = TypeVar("Value")

_MAX_ATTRIBUTE = 4096  # a sysfs attribute is one page at most
_BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ROOT = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
_VIRTFN = re.compile(r"virtfn([0-9]{1,5})")
_ID = re.compile(r"(?:0x)?([0-9a-f]{4})")
_RDMA_CLASSES = ("infiniband_verbs", "infiniband_mad")
_RDMA = re.compile(r"(uverbs|umad|issm)[0-9]{1,5}|rdma_cm")
_NETWORK = "0x02"  # the base class of PCI functions for networks
_INT = re.compile(r"-?[0-9]{1,18}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The device under a link."""

    driver: str = ""
    pci: PciDevice | None = None
    pf: PhysicalFunction | None = None
    vf: VirtualFunction | None = None
    rdma: str = ""
    rdma_nodes: tuple[str, ...] = ()  # also while the RDMA device is in another namespace
    present: bool = True  # False of a PCI function that is not there


class Sysfs:
    """One reading of sysfs: what several links share is read once.

    Make a new one for each snapshot; nothing here expires.
    """

    def __init__(self, root: Path = Path("/sys")) -> None:
        self._root = root
        self._devices: dict[Path, Hardware] = {}
        self._vfs: dict[Path, tuple[tuple[int, str], ...]] = {}

    def describe(self, link: Link) -> Interface:
        """Complete a link with what is known of the device under it, if there is one."""
        interface = link.interface
        path = self._device(link)
        if not path:
            return interface
        found = self._hardware(path)
        if representor(interface.port):  # it shares the device of the PF, but is no PF
            found = dataclasses.replace(found, pf=None, rdma="", rdma_nodes=())
        return dataclasses.replace(
            interface,
            speed=self._speed(path, interface),
            driver=found.driver,
            pci=found.pci,
            pf=found.pf,
            vf=found.vf,
            rdma=found.rdma,
            rdma_nodes=found.rdma_nodes if found.rdma else (),
        )

    def functions(self) -> tuple[Interface, ...]:
        """List the network functions that no driver of the kernel's makes a link of.

        Those are without a driver, or have one for userspace. One with a driver has its
        link elsewhere, in a pod maybe. By PCI address.
        """
        base = self._root / "bus/pci/devices"
        found = [self._unlinked(base / name) for name in sorted(_names(base))]
        return tuple(interface for interface in found if interface)

    def function(self, address: str) -> Hardware:
        """Describe the PCI function of a link that is elsewhere: sysfs keeps it."""
        if not _BDF.fullmatch(address):
            return Hardware()
        path = self._root / "bus/pci/devices" / address
        if not path.is_dir():
            return Hardware(pci=PciDevice(address=address), present=False)
        virtio = sorted(name for name in _names(path) if name.startswith("virtio"))
        return self._hardware(path / virtio[0] if virtio else path)

    def _unlinked(self, path: Path) -> Interface | None:
        driver = _link_name(path, "driver")  # first: nearly all functions have one of the kernel's
        if driver and not for_userspace(driver):
            return None
        if not _BDF.fullmatch(path.name) or not _text(path, "class").startswith(_NETWORK):
            return None
        found = self._hardware(path)
        return Interface(ifindex=0, name="", driver=driver, pci=found.pci, pf=found.pf, vf=found.vf)

    def _device(self, link: Link) -> Path | None:
        """Find the directory of the device under a link, if it has one."""
        interface = link.interface
        if link.device and "/" not in link.bus + link.device:
            return self._root / "bus" / link.bus / "devices" / link.device
        if interface.kind or interface.loopback or "/" in interface.name:
            return None
        # A kernel before 5.14 does not name the device. Its class directory does, if it
        # is the same link and not its namesake in the namespace where sysfs was mounted.
        path = self._root / "class/net" / interface.name
        return path / "device" if _same(path, interface) else None

    def _hardware(self, path: Path) -> Hardware:
        real = _or_else(path.resolve, path)
        if real not in self._devices:
            self._devices[real] = self._read(real)
        return self._devices[real]

    def _read(self, real: Path) -> Hardware:
        function = _pci_function(real)
        if not function:
            return Hardware(driver=_link_name(real, "driver"))
        rdma = next(iter(sorted(_names(function / "infiniband"))), "")
        return Hardware(
            driver=_link_name(real, "driver"),
            pci=self._pci(function),
            pf=self._pf(function),
            vf=self._vf(function),
            rdma=rdma,
            rdma_nodes=self._rdma_nodes(function),
        )

    def _rdma_nodes(self, function: Path) -> tuple[str, ...]:
        """List the character devices of an RDMA device, and that of all which makes connections.

        Every network namespace has them, the device itself may be of another one.
        """
        found = [name for kind in _RDMA_CLASSES for name in _names(function / kind)]
        if found and (self._root / "class/misc/rdma_cm").exists():
            found.append("rdma_cm")
        return tuple(f"/dev/infiniband/{name}" for name in sorted(found) if _RDMA.fullmatch(name))

    def _pci(self, function: Path) -> PciDevice:
        root = next((part for part in function.parts if _ROOT.fullmatch(part)), "")
        node = _number(function, "numa_node")
        driver = _link_name(function, "driver")
        return PciDevice(
            address=function.name,
            vendor=_id(function, "vendor"),
            device=_id(function, "device"),
            driver=driver,
            numa_node=node if node is not None and node >= 0 else None,
            root=root,
            iommu_group=self._iommu_group(function, driver),
        )

    def _iommu_group(self, function: Path, driver: str) -> int | None:
        number = _link_name(function, "iommu_group")
        if not _INT.fullmatch(number):
            return None
        # Without an IOMMU vfio makes up groups of its own, which keep nothing apart.
        made_up = for_userspace(driver) and _text(function / "iommu_group", "name")
        return None if made_up == "vfio-noiommu" else int(number)

    def _pf(self, function: Path) -> PhysicalFunction | None:
        total = _number(function, "sriov_totalvfs") or 0
        if total <= 0:
            return None
        # They are counted: who reads sriov_numvfs waits for whoever is making VFs, or takes one
        # away that a program will not let go of.
        vfs = self._virtfns(function)
        return PhysicalFunction(total_vfs=total, num_vfs=len(vfs), vfs=vfs)

    def _vf(self, function: Path) -> VirtualFunction | None:
        pf = _link_name(function, "physfn")
        if not _BDF.fullmatch(pf):
            return None
        parent = _or_else((function / "physfn").resolve, function)
        for number, address in self._virtfns(parent):
            if address == function.name:
                return VirtualFunction(number=number, pf_address=pf)
        return None

    def _virtfns(self, function: Path) -> tuple[tuple[int, str], ...]:
        """List the virtual functions of a physical one, by number."""
        if function not in self._vfs:
            matches = (_VIRTFN.fullmatch(name) for name in _names(function))
            found = ((int(m[1]), _link_name(function, m[0])) for m in matches if m)
            self._vfs[function] = tuple(sorted(vf for vf in found if _BDF.fullmatch(vf[1])))
        return self._vfs[function]

    def _speed(self, path: Path, interface: Interface) -> int | None:
        """Mbit/s. A link that is down, and virtio that was not told, say -1 or nothing."""
        own = path / "net" / interface.name
        speed = _number(own, "speed") if _same(own, interface) else None
        return speed if speed is not None and 0 < speed < 0xFFFFFFFF else None


def has_device(link: Link) -> bool:
    """Whether there may be a device under a link; those that are only software have none."""
    return bool(link.device) or not (link.interface.kind or link.interface.loopback)


def for_userspace(driver: str) -> bool:
    """Whether a driver leaves a function to a program: vfio-pci and its variants, and uio."""
    plain = driver.replace("_", "-")
    return plain.endswith("vfio-pci") or plain in ("uio-pci-generic", "igb-uio")


def _pci_function(real: Path) -> Path | None:
    """Find the PCI function that a device is, or that a virtio device sits on.

    A USB adapter, or one on an auxiliary bus, is below a PCI function as well but
    shares it with others: those are not identified by it.
    """
    if _BDF.fullmatch(real.name):
        return real
    under = real.name.startswith("virtio") and _BDF.fullmatch(real.parent.name)
    return real.parent if under else None


def _same(path: Path, interface: Interface) -> bool:
    """Whether a directory of class net is that of this very link."""
    if _number(path, "ifindex") != interface.ifindex:
        return False
    address = _text(path, "address")
    return not interface.mac or address == interface.mac


def _id(path: Path, name: str) -> str:
    match = _ID.fullmatch(_text(path, name).lower())
    return match[1] if match else ""


def _number(path: Path, name: str) -> int | None:
    text = _text(path, name)
    return int(text) if _INT.fullmatch(text) else None


def _text(path: Path, name: str) -> str:
    def read() -> str:
        with (path / name).open("rb", buffering=0) as file:
            return file.read(_MAX_ATTRIBUTE).decode("ascii", "replace").strip()

    return _or_else(read, "")


def _names(path: Path) -> list[str]:
    return _or_else(lambda: [entry.name for entry in path.iterdir()], [])


def _link_name(path: Path, name: str) -> str:
    """The last part of what a symbolic link points to; empty where there is none."""
    return _or_else(lambda: (path / name).readlink().name, "")


def _or_else(read: Callable[[], Value], default: Value) -> Value:
    """Read; a device may vanish, and a driver refuse, at any time."""
    try:
        return read()
    except (OSError, ValueError, RuntimeError):  # the last: resolve() in a loop of links
        return default
