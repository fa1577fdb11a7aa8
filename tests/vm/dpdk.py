"""A root file system with DPDK's testpmd and its drivers for the guest's NICs.

It is made of Debian packages of the guest's release, and runs on the C library among them.
"""

from __future__ import annotations

import pathlib
import re
import shutil

from tests import debian
from tests.vm.fetch import CACHE, LIBRARIES

TESTPMD = "/usr/bin/dpdk-testpmd"
_PACKAGE = "dpdk-dev"  # it has testpmd, and names the libraries' version
_DRIVERS = ("net-e1000", "net-virtio", "mempool-ring")
_LOADER = "ld-linux-x86-64.so.2"
_UNWINDER = "libgcc_s.so.1"  # the C library loads it when a thread is cancelled
_DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp", "var")
_LINKS = {"lib64": LIBRARIES, "var/run": "../run"}


def root() -> pathlib.Path:
    """The directory, fetched first if this checkout has none yet; nobody may write there."""
    return debian.cached(CACHE, (_PACKAGE, _DRIVERS, _DIRECTORIES, _LINKS), _fill)


def _fill(work: pathlib.Path, made: pathlib.Path) -> None:
    apt = debian.Apt(work)
    (tools,) = apt.download(_PACKAGE)
    needed = _dependencies(debian.run("dpkg-deb", "--field", str(tools), "Depends"))
    for package in (tools, *apt.download_all(*needed)):
        debian.unpack(package, work / "all")
    for name in _DIRECTORIES:
        (made / name).mkdir()
    for name, target in _LINKS.items():
        (made / name).symlink_to(target)
    _copy_program(work / "all", made)


def _dependencies(field: str) -> list[str]:
    """The libraries, without what one needs to compile, and the drivers of their version."""
    names = [entry.split()[0] for entry in field.split(",")]
    (version,) = (found[1] for name in names if (found := re.fullmatch(r"librte-eal(\d+)", name)))
    libraries = [name for name in names if name.startswith("lib") and not name.endswith("-dev")]
    return [*libraries, *(f"librte-{driver}{version}" for driver in map(_ended, _DRIVERS))]


def _ended(name: str) -> str:
    """Debian keeps a version apart from a name that ends in a digit."""
    return f"{name}-" if name[-1].isdigit() else name


def _copy_program(tree: pathlib.Path, made: pathlib.Path) -> None:
    """Copy testpmd, the libraries that it needs, and the drivers that it loads when it runs."""
    libraries = tree / LIBRARIES
    (plugins,) = libraries.glob("dpdk/pmds-*")
    version = plugins.name.removeprefix("pmds-")  # a file of no other version is loaded
    drivers = (f"librte_{name.replace('-', '_')}.so.{version}" for name in _DRIVERS)
    loaded = [plugins / name for name in drivers]
    target = made / plugins.relative_to(tree)
    target.mkdir(parents=True)
    needed = _needed(libraries, tree / TESTPMD[1:], *loaded)
    for path in {libraries / _LOADER, libraries / _UNWINDER, *needed, *loaded}:
        shutil.copy(path, made / LIBRARIES / path.name)
    for path in loaded:
        (target / path.name).symlink_to(f"../../{path.name}")
    (made / "usr/bin").mkdir()
    shutil.copy(tree / TESTPMD[1:], made / TESTPMD[1:])


def _needed(libraries: pathlib.Path, *programs: pathlib.Path) -> set[pathlib.Path]:
    """Ask the C library's own loader."""
    loader = (str(libraries / _LOADER), "--library-path", str(libraries), "--list")
    said = "".join(debian.run(*loader, str(program)) for program in programs)
    return {
        pathlib.Path(path) for path in re.findall(rf"=> ({re.escape(str(libraries))}/\S+)", said)
    }
