"""Root directories that tests make up, and hosts that are read from them."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from netdevice_plugin.config import Config
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.doctor.programs import Programs

BOOT = 1_700_000_000
MOVER = "/opt/netdevice-plugin/bin/netdevice-mover"
CONFIG = Config()


@dataclasses.dataclass(frozen=True, slots=True)
class Root:
    """A root directory below a test's own."""

    path: Path

    def at(self, path: str) -> Path:
        """Where we find a path of the host's."""
        return self.path / path[1:]

    def write(self, path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        """Write a file, directories and all; text is dedented."""
        file = self.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
        file.write_bytes(data)
        file.chmod(mode)
        return file

    def json(self, path: str, value: object) -> Path:
        """Write JSON."""
        return self.write(path, json.dumps(value))

    def directory(self, path: str) -> None:
        """Make a directory."""
        self.at(path).mkdir(parents=True, exist_ok=True)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link; the target is what the host has."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).symlink_to(target)

    def socket(self, path: str) -> None:
        """Have a socket; who listens is for `host` to say."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(self.at(path), stat.S_IFSOCK | 0o600)

    def program(self, path: str) -> Path:
        """Write a program; nothing runs it."""
        return self.write(path, "#!/bin/false\n", 0o755)

    def process(self, pid: int, *argv: str, program: str = "", started: int = 0) -> None:
        """Have a process in /proc; `started` is in seconds after boot."""
        here = f"/proc/{pid}"
        self.write("/proc/stat", f"cpu 1 2 3\nbtime {BOOT}\nprocesses 4\n")
        self.write(f"{here}/cmdline", "\0".join(argv) + "\0")
        ticks = started * os.sysconf("SC_CLK_TCK")
        middle = " ".join(["0"] * 18)
        self.write(f"{here}/stat", f"{pid} (a (b) c) S {middle} {ticks} 0 0\n")
        if program:
            self.link(f"{here}/exe", program)

    def mounts(self, *mounts: tuple[str, str, str], owner: str = "1") -> None:
        """Have mounts: where, of what kind, options."""
        lines = [
            f"{n} 1 0:{n} / {at} {how} - {kind} none rw" for n, (at, kind, how) in _count(mounts)
        ]
        self.write(f"/proc/{owner}/mountinfo", "\n".join(lines) + "\n")

    def function(self, address: str, *, driver: str = "", group: int | None = None) -> None:
        """Have a PCI function, with a driver and in an IOMMU group if these are given."""
        real = f"/sys/devices/pci0000:00/{address}"
        self.write(f"{real}/class", "0x060400\n" if driver == "pcieport" else "0x020000\n")
        self.link(f"/sys/bus/pci/devices/{address}", f"../../../devices/pci0000:00/{address}")
        if driver:
            self.directory(f"/sys/bus/pci/drivers/{driver}")
            self.link(f"{real}/driver", f"/sys/bus/pci/drivers/{driver}")
        if group is not None:
            here = f"/sys/kernel/iommu_groups/{group}"
            self.link(f"{here}/devices/{address}", real)
            self.link(f"{real}/iommu_group", here)

    def modules(self, *loadable: str, builtin: str = "") -> None:
        """Have a kernel with modules, by the paths that depmod knows them by."""
        self.write("/proc/sys/kernel/osrelease", "6.12.0\n")
        self.write("/lib/modules/6.12.0/modules.builtin", f"{builtin}\n")
        lines = "".join(f"{path}: kernel/a.ko\n" for path in loadable)
        self.write("/lib/modules/6.12.0/modules.dep", lines)

    def packages(self, versions: Mapping[str, str]) -> None:
        """Have Debian's package manager know these."""
        self.write(
            "/var/lib/dpkg/status",
            "\n\n".join(
                f"Package: {name}\nStatus: install ok installed\n"
                f"Architecture: amd64\nVersion: {version}\nDescription: x\n more\n"
                for name, version in versions.items()
            ),
        )

    def host(
        self, says: Mapping[str, str] | None = None, *, refuses: Mapping[str, int] | None = None
    ) -> Host:
        """The host; with `says` our own, whose programs say that by their names.

        Sockets are listened on, unless connecting is to end with an errno, by path.
        """

        def run(argv: Sequence[str]) -> str:
            name = argv[0].rpartition("/")[2]
            if says is None or name not in says:
                raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
            return says[name]

        def connect(path: Path) -> None:
            number = (refuses or {}).get(f"/{path.relative_to(self.path)}", 0)
            if number:
                raise OSError(number, os.strerror(number))

        return Host(self.path, own=says is not None, owner=os.getuid(), run=run, connect=connect)

    def programs(self, says: Mapping[str, str] | None = None) -> tuple[Host, Programs]:
        """The host, and what finds programs there."""
        host = self.host(says)
        return host, Programs(host)


def _count(mounts: Iterable[tuple[str, str, str]]) -> Iterable[tuple[int, tuple[str, str, str]]]:
    return enumerate(mounts, 20)


def lines(findings: Iterable[Finding], level: Level | None = None) -> list[str]:
    """What findings say, of one level alone if that is given: `check subject: text`."""
    return [f"{one.check} {one}" for one in findings if level in (None, one.level)]


def checks(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """The level and the name of each."""
    return [(one.level.value, one.check) for one in findings]


def only(findings: Iterable[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (found,) = (one for one in findings if one.check == check)
    return found
