"""PCI functions in sysfs: how they are, and the few writes that bind and reset them.

What cannot be read counts as absent: functions come and go at any time. Writes
raise OSError with the kernel's number. Nothing here decides.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

from netdevice_plugin.inventory.sysfs import representor

SYSFS = Path("/sys")

_MAX = 4096  # a sysfs attribute is one page at most
_NUMBER = re.compile(r"[0-9]{1,9}")
_NO_IOMMU = "vfio-noiommu"  # name of groups that vfio makes where there is no IOMMU
_NO_OVERRIDE = "(null)"
_NO_IOMMU_MODE = "module/vfio/parameters/enable_unsafe_noiommu_mode"
_CHOSEN = ("1", "3")  # NET_ADDR_RANDOM, NET_ADDR_SET
_PORT = "phys_port_name"
_NETDEVS = ("net", "virtio*/net")


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One PCI function of an IOMMU group."""

    address: str
    driver: str = ""
    pci_class: str = ""  # six hex digits: 020000 is Ethernet


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """An IOMMU group, the least that can be given to a program."""

    number: int
    type: str = ""  # DMA, DMA-FQ, identity; empty before 5.11
    no_iommu: bool = False  # made by vfio where no IOMMU keeps anything apart


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A PCI function at one time, as far as it can be had without waiting for anybody."""

    address: str
    driver: str = ""
    group: Group | None = None
    members: tuple[Member, ...] = ()  # of the group, this one included
    links: tuple[str, ...] = ()  # netdevs in this network namespace
    uppers: tuple[str, ...] = ()  # what stands on them: a bridge, a bond, a VLAN
    num_vfs: int = 0


class Bus:
    """The PCI bus below a root, which is /sys but in tests.

    `write` writes a text to an attribute, at once; a test's plays the kernel.
    """

    def __init__(
        self, root: Path = SYSFS, *, write: Callable[[Path, str], None] | None = None
    ) -> None:
        self._root = root
        self._pci = root / "bus/pci"
        self._write = write or _write

    def function(self, address: str) -> Path:
        """Where a function is."""
        return self._pci / "devices" / address

    def state(self, address: str) -> State | None:
        """How a function is now; None where there is none."""
        path = self.function(address)
        if not path.exists():
            return None
        links = self.links(address)
        return State(
            address=address,
            driver=self.driver(address),
            group=self.group(address),
            members=self._members(path),
            links=tuple(sorted(link.name for link in links)),
            uppers=tuple(sorted({name for link in links for name in _uppers(link)})),
            num_vfs=len(self.vfs(address)),
        )

    def driver(self, address: str) -> str:
        """Which driver is bound; empty for none."""
        return _target(self.function(address) / "driver")

    def override(self, address: str) -> str:
        """Which driver alone may be bound; empty for any that knows the device.

        Blocks while the function is bound, unbound or pulled: the kernel answers with the
        device locked. So does every write here.
        """
        text = _text(self.function(address) / "driver_override")
        return "" if text == _NO_OVERRIDE else text

    def group(self, address: str) -> Group | None:
        """The function's IOMMU group; None where there is no IOMMU, nor vfio in its stead."""
        path = self.function(address) / "iommu_group"
        number = _target(path)
        if not _NUMBER.fullmatch(number):
            return None
        no_iommu = _text(path / "name") == _NO_IOMMU
        return Group(int(number), _text(path / "type"), no_iommu)

    def links(self, address: str) -> list[Path]:
        """Directories of the netdevs on a function that are in this network namespace."""
        path = self.function(address)
        return [link for pattern in _NETDEVS for place in _glob(path, pattern) for link in place]

    def ifindex(self, address: str) -> int:
        """Number of the netdev on a function, 0 where it has none; no representor's."""
        own = (link for link in self.links(address) if not representor(_text(link / _PORT)))
        return next((_number(link / "ifindex") for link in own), 0)

    def own_mac(self, address: str) -> bool:
        """Whether the MAC of a function's link was chosen by its driver or by somebody."""
        return any(_text(link / "addr_assign_type") in _CHOSEN for link in self.links(address))

    def pf(self, address: str) -> tuple[str, int] | None:
        """The PF of a VF, and the VF's number; None for what is no VF."""
        pf = _target(self.function(address) / "physfn")
        if not pf:
            return None
        for path in self.function(pf).glob("virtfn*"):
            number = path.name.removeprefix("virtfn")
            if _NUMBER.fullmatch(number) and _target(path) == address:
                return pf, int(number)
        return None

    def has_driver(self, driver: str) -> bool:
        """Whether a driver is loaded."""
        return (self._pci / "drivers" / driver).is_dir()

    def has_misc(self, name: str) -> bool:
        """Whether a driver serves a node for all: vfio's /dev/vfio/vfio, iommu's /dev/iommu."""
        return (self._root / "class/misc" / name).exists()

    def allows_no_iommu(self) -> bool:
        """Whether vfio takes devices that no IOMMU keeps apart."""
        return _text(self._root / _NO_IOMMU_MODE) in ("Y", "1")

    def vfio_device(self, address: str) -> str:
        """The function's own character device below /dev/vfio/devices, such as vfio0 (6.6)."""
        return next(iter(_names(self.function(address) / "vfio-dev")), "")

    def uio_device(self, address: str) -> str:
        """The function's character device, such as uio0."""
        return next(iter(_names(self.function(address) / "uio")), "")

    def total_vfs(self, address: str) -> int:
        """How many VFs a function can have; 0 for what is no PF."""
        return _number(self.function(address) / "sriov_totalvfs")

    def num_vfs(self, address: str) -> int:
        """How many VFs it has. Blocks while that changes, or a driver does; see `vfs`."""
        return _number(self.function(address) / "sriov_numvfs")

    def vfs(self, address: str) -> tuple[str, ...]:
        """Addresses of its VFs, in no order."""
        return tuple(_target(path) for path in self.function(address).glob("virtfn*"))

    def set_override(self, address: str, driver: str) -> None:
        """Let no driver but this one be bound; empty lets any."""
        self._write(self.function(address) / "driver_override", driver + "\n")

    def unbind(self, address: str) -> None:
        """Take the driver away. Blocks as long as a program holds a vfio device."""
        self._write(self.function(address) / "driver/unbind", address)

    def bind(self, address: str, driver: str) -> None:
        """Have that driver take the function. Unlike drivers_probe this tells how it went."""
        self._write(self._pci / "drivers" / driver / "bind", address)

    def reset(self, address: str) -> bool:
        """Reset the function alone, if it can do that; False where it cannot.

        A bus reset would hit its neighbours, so that a function that has no reset of
        its own stays as it is. reset_method (5.15) is set back by the kernel when the
        function goes.
        """
        path = self.function(address)
        methods = _text(path / "reset_method").split()
        if not (path / "reset").exists() or (methods and set(methods) <= {"bus", "cxl_bus"}):
            return False
        if "flr" in methods and methods[0] != "flr":
            self._write(path / "reset_method", "flr")
        self._write(path / "reset", "1")
        return True

    def set_num_vfs(self, address: str, count: int) -> None:
        """Make VFs of a PF that has none, or take all away. Takes 0.1 s each."""
        self._write(self.function(address) / "sriov_numvfs", str(count))

    def _members(self, path: Path) -> tuple[Member, ...]:
        found = _names(path / "iommu_group/devices")
        return tuple(
            Member(name, self.driver(name), _text(self.function(name) / "class").removeprefix("0x"))
            for name in found
        )


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _glob(path: Path, pattern: str) -> list[list[Path]]:
    try:
        return [sorted(place.iterdir()) for place in sorted(path.glob(pattern))]
    except OSError:
        return []


def _uppers(link: Path) -> list[str]:
    names = [name.removeprefix("upper_") for name in _names(link) if name.startswith("upper_")]
    master = _target(link / "master")
    return [*names, master] if master else names


def _names(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_MAX).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if _NUMBER.fullmatch(text) else 0


def _target(path: Path) -> str:
    """The last part of what a symbolic link points to; empty where there is none."""
    try:
        return path.readlink().name
    except (OSError, ValueError):
        return ""
