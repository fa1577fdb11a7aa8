"""A PCI bus in a directory, and a kernel that acts when an attribute is written."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import pathlib
import shutil
import threading

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.record import Link
from netdevice_plugin.functions.sysfs import Bus
from netdevice_plugin.model import Interface
from netdevice_plugin.provisioning import VfSettings
from tests.unit.inventory.trees import Tree, vf_address

PF = "0000:03:00.0"
VF = vf_address(0)
NO_MAC = "00:00:00:00:00:00"
RANDOM = "02:00:00:00:00:fe"
DRIVERS = ("igb", "igbvf", "vfio-pci", "uio_pci_generic", "i801_smbus", "pcieport", "pci-stub")
USERSPACE = ("vfio-pci", "uio_pci_generic")


class Killed(BaseException):
    """The agent is no more."""


class Kernel:
    """What happens on writes to sysfs, and to rtnetlink in its part of `Teller`."""

    def __init__(self, path: pathlib.Path, *, vfs: int = 2, iommu: bool = True) -> None:
        self.root = path / "sys"
        self.dev = path / "dev"
        self.proc = path / "proc"
        (self.dev / "vfio").mkdir(parents=True)
        self.proc.mkdir()
        (self.dev / "vfio/vfio").touch()
        self.tree = Tree(self.root)
        self.misc("vfio")
        self._numbers = itertools.count(10)
        self._probed = itertools.count()  # several are at once, and no two have one name
        self._lock = threading.RLock()  # what is changed is changed by one at a time
        self._homes: dict[int, pathlib.Path] = {}  # where each netdev is in sysfs
        self.log: list[tuple[str, str]] = []
        self.fail: dict[str, int] = {}  # errno by name of the attribute
        self.netdevs: dict[int, Interface] = {}
        self.vf_settings: dict[int, VfSettings] = {}
        self.given: dict[int, str] = {}  # MACs by order of the PF
        self.unknown: set[str] = set()  # settings that the driver of the PF has not
        self.tree.pf_with_vfs(vfs)
        for driver in DRIVERS:
            (self.root / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        self._function(PF, "0x020000", 1 if iommu else None)
        self._netdev(PF, "pf0", "02:00:00:00:00:01")
        for number in range(vfs):
            address = vf_address(number)
            self._function(address, "0x020000", 10 + number if iommu else None)
            self._netdev(address, f"vf{number}", f"02:00:00:00:00:{0x10 + number:02x}", 1)
            self.vf_settings[number] = VfSettings(
                mac=f"02:00:00:00:00:{0x10 + number:02x}",
                vlan=0,
                qos=0,
                protocol="802.1q",
                spoof_check=True,
                trust=False,
                min_tx_rate=0,
                max_tx_rate=0,
            )

    @property
    def bus(self) -> Bus:
        return Bus(self.root, write=self.write)

    def _function(self, address: str, kind: str, group: int | None) -> None:
        where = str(self.path(address).resolve().relative_to(self.root))
        self.tree.file(f"{where}/class", kind)
        self.tree.file(f"{where}/driver_override", "(null)")
        self.tree.file(f"{where}/reset", "")
        self.tree.file(f"{where}/reset_method", "flr bus")
        if group is not None:
            self.join(address, group)

    def misc(self, *names: str) -> None:
        """Have drivers serve these nodes for all, and no others."""
        shutil.rmtree(self.root / "class/misc", ignore_errors=True)
        for name in names:
            (self.root / "class/misc" / name).mkdir(parents=True)

    def join(self, address: str, group: int, name: str = "") -> None:
        """Put a function into an IOMMU group."""
        where = str(self.path(address).resolve().relative_to(self.root))
        (self.path(address) / "iommu_group").unlink(missing_ok=True)
        self.tree.file(f"kernel/iommu_groups/{group}/type", "DMA-FQ")
        if name:
            self.tree.file(f"kernel/iommu_groups/{group}/name", name)
        self.tree.link(f"{where}/iommu_group", f"kernel/iommu_groups/{group}")
        self.tree.link(f"kernel/iommu_groups/{group}/devices/{address}", where)

    def add(self, address: str, driver: str, kind: str, group: int) -> None:
        """Another function on the bus."""
        self.tree.pci(address, driver)
        self._function(address, kind, group)

    def path(self, address: str) -> pathlib.Path:
        return self.root / "bus/pci/devices" / address

    def _netdev(self, address: str, name: str, mac: str, assigned: int = 0) -> int:
        number = next(self._numbers)
        self.netdevs[number] = Interface(
            ifindex=number, name=name, mac=mac, mtu=1500, flags=0, driver=self.driver(address)
        )
        own = self._homes[number] = self.path(address) / "net" / name
        own.mkdir(parents=True)
        (own / "address").write_text(f"{mac}\n")
        (own / "addr_assign_type").write_text(f"{int(assigned)}\n")
        (own / "ifindex").write_text(f"{number}\n")
        return number

    def driver(self, address: str) -> str:
        return self.bus.driver(address)

    def interface(self, address: str) -> Interface:
        """The link on a function."""
        return self.netdevs[self.bus.ifindex(address)]

    def pull(self, address: str) -> None:
        """Unplug a function."""
        real = self.path(address).resolve()
        override = real / "driver_override"
        if override.is_fifo():
            os.close(os.open(override, os.O_RDWR))  # who waits for a writer has had one
        self.path(address).unlink()
        shutil.rmtree(real)

    def begin_to_pull(self, address: str) -> None:
        """Ask a function back that a program has open: it is there, locked, until `pull`."""
        (self.path(address) / "driver").unlink()
        override = self.path(address) / "driver_override"
        override.unlink()
        os.mkfifo(override)

    def open(self, pid: int, path: str, command: str = "testpmd") -> None:
        """A process has a node open."""
        process = self.proc / str(pid)
        (process / "fd").mkdir(parents=True)
        (process / "comm").write_text(command + "\n")
        (process / "fd/7").symlink_to(path)

    def close(self, pid: int) -> None:
        shutil.rmtree(self.proc / str(pid))

    # Writes.

    def write(self, path: pathlib.Path, text: str) -> None:
        with self._lock:
            self._write(path, text)

    def _write(self, path: pathlib.Path, text: str) -> None:
        self.log.append((path.name, text.strip()))
        if number := self.fail.get(path.name):
            raise OSError(number, os.strerror(number))
        match path.name:
            case "driver_override":
                path.write_text((text.strip() or "(null)") + "\n")
            case "unbind":
                self._unbind(text)
            case "bind":
                self._bind(text, path.parent)
            case "sriov_numvfs":
                if int(text) and int(path.read_text()):
                    raise OSError(errno.EBUSY, "busy")
                path.write_text(text + "\n")

    def _unbind(self, address: str) -> None:
        (self.path(address) / "driver").unlink()
        for name in ("net", "vfio-dev", "uio"):
            shutil.rmtree(self.path(address) / name, ignore_errors=True)

    def _bind(self, address: str, driver: pathlib.Path) -> None:
        function = self.path(address)
        override = (function / "driver_override").read_text().strip()
        if not driver.is_dir():
            raise OSError(errno.ENOENT, "no such driver")
        if (function / "driver").exists():
            raise OSError(errno.EBUSY, "busy")
        if override not in ("(null)", driver.name) or (
            override == "(null)" and driver.name in USERSPACE
        ):
            raise OSError(errno.ENODEV, "does not match")
        if driver.name == "vfio-pci" and not (function / "iommu_group").exists():
            if not self.bus.allows_no_iommu():
                raise OSError(errno.EINVAL, "no IOMMU")
            self.join(address, 77, "vfio-noiommu")
        real = function.resolve()
        where = real.relative_to(self.root)
        self.tree.link(f"{where}/driver", f"bus/pci/drivers/{driver.name}")
        if driver.name == "uio_pci_generic":
            (real / "uio/uio3").mkdir(parents=True)
        elif driver.name not in USERSPACE:
            self._probe(address)

    def _probe(self, address: str) -> None:
        """A VF's driver takes the MAC that the PF has for it, or else one of its own."""
        place = self.bus.pf(address)
        given = (place and self.vf_settings[place[1]].mac) or NO_MAC
        name = f"eth{next(self._probed)}"
        self._netdev(address, name, RANDOM if given == NO_MAC else given, given == NO_MAC)
        if place and given == NO_MAC:
            self._chose(place[1], RANDOM)

    def _chose(self, number: int, mac: str) -> None:
        self.vf_settings[number] = dataclasses.replace(self.vf_settings[number], mac=mac)

    # What rtnetlink is told.

    def look(self, ifindex: int) -> Interface:
        return self.netdevs[ifindex]

    def vf(self, pf: int, number: int) -> VfSettings:
        assert pf == self.bus.ifindex(PF)
        return self.vf_settings[number]

    def set_vf(self, pf: int, number: int, wanted: VfSettings) -> bool:
        current = self.vf(pf, number)
        for name in sorted(self.unknown):
            if getattr(wanted, name) not in (None, getattr(current, name)):
                raise FunctionError(f"VF {number}: the PF's driver does not set {name}")
        self.log.append(("vf", str(number)))
        goal = wanted.over(current)
        if wanted.mac:
            self.given[number] = wanted.mac
        if not goal.vlan:
            goal = dataclasses.replace(goal, qos=0, protocol="802.1q")
        self.vf_settings[number] = goal
        return True

    def restore(self, ifindex: int, link: Link) -> list[str]:
        with self._lock:
            return self._restore(ifindex, link)

    def _restore(self, ifindex: int, link: Link) -> list[str]:
        now = self.netdevs[ifindex]
        if now.name != link.name:
            own = self._homes[ifindex]
            self._homes[ifindex] = own.rename(own.parent / link.name)
        self.netdevs[ifindex] = dataclasses.replace(
            now,
            name=link.name,
            altnames=link.altnames,
            mac=link.mac,
            mtu=link.mtu,
            flags=int(link.up),
        )
        for number in range(len(self.vf_settings)):
            if ifindex == self.bus.ifindex(vf_address(number)):
                self._chose(number, link.mac)
        return []

    def outline(self) -> object:
        """Everything of the functions that should be the same again, numbers of links aside."""
        found = []
        for path in sorted((self.root / "bus/pci/devices").iterdir()):
            ifindex = self.bus.ifindex(path.name)
            link = self.netdevs.get(ifindex)
            shown = dataclasses.replace(link, ifindex=0, driver="") if link else None
            driver = self.bus.driver(path.name)
            found.append((path.name, driver, self.bus.override(path.name), shown))
        return found, dict(self.vf_settings)
