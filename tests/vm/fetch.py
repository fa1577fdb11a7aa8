"""QEMU, a Debian kernel and the modules that the guest loads, from Debian packages.

The kernel is the release's own; no package of the guest's userland is needed, as the
guest runs on this machine's files.
"""

from __future__ import annotations

import dataclasses
import lzma
import pathlib
import platform
import re
import shutil
from collections.abc import Iterator, Mapping

from tests import debian

ROOT = pathlib.Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "vm"
PROGRAMS = ("qemu-system-x86", "ipxe-qemu", "seabios", "busybox-static")
KERNEL = "linux-image-amd64"  # a package that depends on the newest
LIBRARIES = "usr/lib/x86_64-linux-gnu"
MODULES = (
    *("9pnet_virtio", "9p", "overlay"),  # the guest's root
    *("igb", "igbvf", "virtio_net"),
    *("dummy", "bonding", "8021q", "ipvlan", "macvlan", "vrf", "veth"),
    *("vfio_pci", "vfio_iommu_type1", "uio_pci_generic"),
    *("virtio_console", "crc32_generic", "rdma_rxe", "ib_uverbs"),  # rxe asks for CRC-32 by name
)


@dataclasses.dataclass(frozen=True, slots=True)
class Kit:
    """Where the unpacked pieces are."""

    home: pathlib.Path

    @property
    def qemu(self) -> tuple[str, ...]:
        """QEMU on the C library that came with it, and where it finds its files."""
        libraries = self.home / LIBRARIES
        data = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
        return (
            str(libraries / "ld-linux-x86-64.so.2"),
            *("--library-path", str(libraries)),
            str(self.home / "usr/bin/qemu-system-x86_64"),
            *(word for path in data for word in ("-L", str(self.home / path))),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What QEMU cannot guess when it is started by the C library's loader."""
        return {"QEMU_MODULE_DIR": str(self.home / LIBRARIES / "qemu")}

    @property
    def kernel(self) -> pathlib.Path:
        """A bzImage."""
        return self.home / "vmlinuz"

    @property
    def busybox(self) -> pathlib.Path:
        """A static one."""
        return self.home / "usr/bin/busybox"

    @property
    def modules(self) -> list[pathlib.Path]:
        """In the order in which they can be loaded."""
        return sorted((self.home / "modules").iterdir())


def kit() -> Kit:
    """Return the pieces, fetched first if this checkout has none of them yet."""
    if platform.machine() != "x86_64":
        raise debian.FetchError(f"the guest is x86_64, and this machine is {platform.machine()}")
    return Kit(debian.cached(CACHE, (PROGRAMS, KERNEL, MODULES), _fill))


def _fill(work: pathlib.Path, made: pathlib.Path) -> None:
    apt = debian.Apt(work)
    for package in apt.download_all(*PROGRAMS):
        debian.unpack(package, made)
    (meta,) = apt.download(KERNEL)
    image = debian.run("dpkg-deb", "--field", str(meta), "Depends").split(" ")[0].strip()
    (package,) = apt.download(image)
    debian.unpack(package, work / "kernel")
    (vmlinuz,) = (work / "kernel/boot").glob("vmlinuz-*")
    shutil.copyfile(vmlinuz, made / "vmlinuz")
    _copy_modules(work / "kernel", made / "modules")


def _copy_modules(tree: pathlib.Path, out: pathlib.Path) -> None:
    """Keep the modules that we load, and those that they need, with numbers before their names."""
    out.mkdir()
    files = {_module_name(path): path for path in tree.rglob("*.ko.xz")}
    for number, (name, content) in enumerate(_in_order(files).items()):
        (out / f"{number:02}-{name}.ko").write_bytes(content)


def _module_name(path: pathlib.Path) -> str:
    return path.name.partition(".")[0].replace("-", "_")


def _in_order(files: Mapping[str, pathlib.Path]) -> dict[str, bytes]:
    """Modules by name, each after all that it depends on."""
    result: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name not in result and name in files:  # else it is built in
            content = lzma.decompress(files[name].read_bytes())
            for needed in _depends(content):
                add(needed)
            result[name] = content

    for name in MODULES:
        add(name)
    return result


def _depends(module: bytes) -> Iterator[str]:
    """What the module says in its .modinfo section, as depmod(8) reads it."""
    for names in re.findall(rb"\0depends=([^\0]+)\0", module):
        yield from (name.replace("-", "_") for name in names.decode().split(","))
