"""sysfs as real machines have it, made of directories and symbolic links."""

from __future__ import annotations

import pathlib

ROOT = "devices/pci0000:00"


class Tree:
    """A sysfs below a directory of a test's own."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def file(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def link(self, name: str, target: str) -> None:
        """A symbolic link to another place in the tree, relative as in the kernel's."""
        link = self.path / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(
            pathlib.Path(*[".."] * (len(link.relative_to(self.path).parts) - 1), target)
        )

    def device(self, bus: str, where: str, driver: str = "") -> None:
        """A device, found under its bus, bound to a driver or not."""
        (self.path / where).mkdir(parents=True, exist_ok=True)
        self.link(f"bus/{bus}/devices/{where.rsplit('/', 1)[1]}", where)
        if driver:
            (self.path / f"bus/{bus}/drivers/{driver}").mkdir(parents=True, exist_ok=True)
            self.link(f"{where}/driver", f"bus/{bus}/drivers/{driver}")

    def pci(
        self, address: str, driver: str = "", *, numa: str = "0", ids: str = "8086:1521"
    ) -> str:
        """A PCI function below a bridge; returns where it is."""
        where = f"{ROOT}/0000:00:1c.0/{address}"
        vendor, device = ids.split(":")
        self.device("pci", where, driver)
        self.file(f"{where}/vendor", f"0x{vendor}")
        self.file(f"{where}/device", f"0x{device}")
        self.file(f"{where}/numa_node", numa)
        return where

    def netdev(self, where: str, name: str, ifindex: int, mac: str, speed: str = "10000") -> None:
        """A link of the namespace where sysfs was mounted."""
        own = f"{where}/net/{name}"
        self.file(f"{own}/ifindex", str(ifindex))
        self.file(f"{own}/address", mac)
        self.file(f"{own}/speed", speed)
        self.link(f"{own}/device", where)
        self.link(f"class/net/{name}", own)

    def pf_with_vfs(self, count: int, *, total: int = 63) -> str:
        """An SR-IOV PF 0000:03:00.0 whose VFs are 0000:03:10.0, 10.2, ... as an 82576's."""
        pf = self.pci("0000:03:00.0", "igb", numa="1")
        self.file(f"{pf}/sriov_totalvfs", str(total))
        self.file(f"{pf}/sriov_numvfs", str(count))
        for number in range(count):
            vf = self.pci(vf_address(number), "igbvf", numa="1", ids="8086:1520")
            self.link(f"{pf}/virtfn{number}", vf)
            self.link(f"{vf}/physfn", pf)
        return pf


def vf_address(number: int) -> str:
    return f"0000:03:{0x10 + number // 4:02x}.{number % 4 * 2}"
