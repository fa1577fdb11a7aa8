"""What all container runtimes have in common for a doctor: which CDI files they read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from netdevice_plugin.doctor import versions
from netdevice_plugin.doctor.finding import Finding, warn
from netdevice_plugin.doctor.host import Process
from netdevice_plugin.doctor.programs import Program
from netdevice_plugin.doctor.settings import File
from netdevice_plugin.doctor.versions import Version

DIRECTORIES: tuple[str, ...] = (
    "/etc/cdi",
    "/var/run/cdi",
)  # of the CDI library, for all that are told nothing else


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this node asks of its runtimes."""

    kubelet: bool = False  # there is one, and pods ask for devices
    endpoint: str = ""  # the runtime's socket as the kubelet has it; empty is not known
    cdi_dir: str = DIRECTORIES[1]  # where our CDI files are
    native: bool = False  # a pool has its links moved by the runtime itself

    def asks(self, socket: str) -> bool:
        """Whether the kubelet talks to the runtime that listens there, for all that we know."""
        return self.kubelet and (not self.endpoint or same(self.endpoint, socket))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A runtime that was found: how it is called, and what it makes of CDI files."""

    name: str
    version: Version | None = None
    newest_cdi: str = ""  # cdiVersion that it reads; empty is not known
    directories: tuple[str, ...] = ()
    works: bool = False  # somebody can have a device through it


def plain(path: str) -> str:
    """Make one of the two ways to write what is below /run."""
    path = "/" + path.strip("/")
    return path.removeprefix("/var") if f"{path}/".startswith("/var/run/") else path


def same(one: str, other: str) -> bool:
    """Whether two sockets or directories are the same."""
    return plain(one.removeprefix("unix:")) == plain(other.removeprefix("unix:"))


def has(directories: Sequence[str], directory: str) -> bool:
    """Whether a directory is among others."""
    return any(same(one, directory) for one in directories)


def describe(name: str, program: Program | None, directories: Sequence[str]) -> Runtime:
    """Sum up a runtime that was found; whether it works is for its own checks."""
    version = program.version if program else None
    return Runtime(
        name=name,
        version=version,
        newest_cdi=versions.newest_cdi(name, version),
        directories=tuple(directories),
    )


def unknown_version(theme: str, program: Program | None, name: str) -> Iterator[Finding]:
    """Warn of a program whose version could not be found out."""
    if program is None or program.version is None:
        why = program.unknown if program else "its program cannot be found"
        remedy = f"run {name} --version on the host, and compare with the table of versions"
        yield warn(f"{theme}/version", name, f"its version is not known: {why}", remedy)


def older_than_its_files(
    theme: str, process: Process | None, files: Sequence[File], restart: str
) -> Iterator[Finding]:
    """Warn of a daemon that was started before its configuration was changed."""
    if process is None or process.started is None:
        return
    for file in files:
        if file.changed > process.started + 1:  # the kernel counts in hundredths, boot in seconds
            text = f"was changed after {process.name} (pid {process.pid}) was started"
            yield warn(f"{theme}/restart", file.path, text, restart)
