"""Programs on the host: where they are, and of which version.

Only what nobody but root can have put there is run, and only on our own host; of
one that is mounted somewhere the package manager's list is asked.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

from netdevice_plugin.doctor import versions
from netdevice_plugin.doctor.host import Host, Process, reason
from netdevice_plugin.doctor.versions import Version

DIRECTORIES = (
    *("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"),
    *("/opt/bin", "/snap/bin", "/run/current-system/sw/bin"),
)
_DPKG = "/var/lib/dpkg/status"
_DPKG_LIMIT = 64 << 20  # bytes
_STANZA = re.compile(r"^Package: (\S+)$(?:\n(?!Version:|\n).*)*\nVersion: (\S+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A program. Without a version, `unknown` says why there is none."""

    name: str
    path: str
    version: Version | None = None
    unknown: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


class Programs:
    """Finds programs of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @functools.cached_property
    def running(self) -> tuple[Process, ...]:
        """The host's own processes that root runs."""
        return self._host.processes()

    def named(self, *names: str) -> Iterator[Process]:
        """Find processes by what they call themselves."""
        return (process for process in self.running if process.name in names)

    def find(
        self,
        name: str,
        *,
        file: str = "",
        packages: Sequence[str] = (),
        process: Process | None = None,
        places: Sequence[str] | None = None,
    ) -> Program | None:
        """Find a program: the file that a process runs, or one of `places`, or on the path.

        `packages` are Debian's that have it; `file` is its name there if it has another.
        """
        ran = [process.program] if process and process.program else []
        if places is None:
            places = [f"{directory}/{file or name}" for directory in DIRECTORIES]
        for path in (*ran, *places):
            if self._host.exists(path):
                return self._describe(name, path, packages)
        return Program(name, "", unknown="its file cannot be found") if process else None

    def _describe(self, name: str, path: str, packages: Sequence[str]) -> Program:
        why = "it is on a mounted root, and no package manager that is known here has it"
        if self._host.runnable(path) and self._host.own:
            try:
                said = self._host.output(path, "--version")
            except OSError as error:
                why = f"{path} --version: {reason(error)}"
            else:
                if version := versions.parse(said):
                    return Program(name, path, version)
                why = f"{path} --version does not tell"
        elif self._host.own:
            trouble = self._host.trusted(path) or "it is no program"
            why = f"it is not run to tell its version: {trouble}"
        version = self._packaged(packages) if path.startswith(("/usr/bin/", "/usr/sbin/")) else None
        return Program(name, path, version, "" if version else why)

    def _packaged(self, packages: Sequence[str]) -> Version | None:
        return next((self._dpkg[name] for name in packages if name in self._dpkg), None)

    @functools.cached_property
    def _dpkg(self) -> dict[str, Version]:
        """What Debian's package manager has, by package; an epoch does not count."""
        try:
            text = self._host.text(_DPKG, _DPKG_LIMIT)
        except OSError:
            return {}
        found = {}
        for name, version in _STANZA.findall(text):
            if parsed := versions.parse(version.partition(":")[2] or version):
                found[name] = parsed
        return found
