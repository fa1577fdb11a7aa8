"""A registry of the devices in several directories, as container runtimes see them.

The rules are the reference library's (pkg/cdi/cache.go): directories in order,
the later wins; not recursive; every .json and .yaml file counts, also one whose
name starts with a dot; a file that is wrong harms no other. A device that two
files of one directory define is lost altogether, even if a directory of higher
priority defines it too.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from cdi import files, names
from cdi.errors import Problem, SpecError, UnresolvedError, printable, reason
from cdi.model import ContainerEdits, Device, Spec

DEFAULT_DIRS = (pathlib.Path("/etc/cdi"), pathlib.Path("/var/run/cdi"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile:
    """A Spec and the file that it came from."""

    path: pathlib.Path
    priority: int  # position of its directory; the highest wins
    spec: Spec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A device that can be asked for by its qualified name."""

    name: str
    device: Device
    file: SpecFile


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registry:
    """What the directories held at one time; equal registries held the same.

    `files` has the valid files, lowest priority first, by name within a directory.
    `problems` has everything wrong with the others, conflicts included.
    """

    directories: tuple[pathlib.Path, ...]
    files: tuple[SpecFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    devices: Mapping[str, Entry] = dataclasses.field(init=False, repr=False, compare=False)
    conflicts: Mapping[str, tuple[pathlib.Path, ...]] = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        conflicts = _conflicts(self.files)
        devices = {entry.name: entry for entry in _entries(self.files)}
        kept = {name: devices[name] for name in sorted(devices.keys() - conflicts.keys())}
        object.__setattr__(self, "devices", types.MappingProxyType(kept))
        object.__setattr__(self, "conflicts", types.MappingProxyType(conflicts))

    @classmethod
    def load(cls, directories: Iterable[str | os.PathLike[str]] = DEFAULT_DIRS) -> Self:
        """Read all files of the directories now. Raises nothing: see `problems`."""
        paths = tuple(pathlib.Path(directory) for directory in directories)
        found: list[SpecFile] = []
        problems: list[Problem] = []
        for priority, directory in enumerate(paths):
            for path in _spec_paths(directory, problems):
                try:
                    spec = files.load(path)
                except SpecError as error:
                    problems += _unless_gone(path, error)
                else:
                    found.append(SpecFile(path=path, priority=priority, spec=spec))
        problems += _conflict_problems(_conflicts(found))
        return cls(directories=paths, files=tuple(found), problems=tuple(problems))

    def resolve(self, requested: Iterable[str]) -> ContainerEdits:
        """Collect the edits for the devices: all of them, or UnresolvedError names those missing.

        The edits of a Spec come before those of its first device, and once. A
        device that is asked for twice is given once.
        """
        wanted = tuple(dict.fromkeys(requested))
        missing = {name: self._why_not(name) for name in wanted if name not in self.devices}
        if missing:
            raise UnresolvedError(missing, hint=self._hint())
        edits = ContainerEdits()
        used: set[pathlib.Path] = set()
        for entry in map(self.devices.__getitem__, wanted):
            if entry.file.path not in used:
                edits += entry.file.spec.edits
            used.add(entry.file.path)
            edits += entry.device.edits
        return edits

    def _why_not(self, name: str) -> str:
        if name in self.conflicts:
            return "defined by " + " and ".join(map(str, self.conflicts[name]))
        if not names.is_qualified(name):
            return "not a name like vendor/class=device"
        kind = names.parse_name(name).kind
        known = any(file.spec.kind == kind for file in self.files)
        return f"no such device of {kind}" if known else f"no file defines {kind}"

    def _hint(self) -> str:
        broken = sorted({problem.source for problem in self.problems})
        if broken:
            return "these could not be used: " + ", ".join(map(printable, broken))
        return "looked in " + ", ".join(printable(str(path)) for path in self.directories)


def _spec_paths(directory: pathlib.Path, problems: list[Problem]) -> Iterator[pathlib.Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(Problem(source=str(directory), message=f"cannot be read: {reason(error)}"))
        return
    for entry in entries:
        if files.format_of(entry.name) and not entry.is_dir(follow_symlinks=False):
            yield directory / entry.name


def _unless_gone(path: pathlib.Path, error: SpecError) -> tuple[Problem, ...]:
    """A file that was removed since it was listed is no problem; a dangling link is one."""
    return error.problems if os.path.lexists(path) else ()


def _entries(spec_files: Iterable[SpecFile]) -> Iterator[Entry]:
    for file in spec_files:
        for device in file.spec.devices:
            yield Entry(name=f"{file.spec.kind}={device.name}", device=device, file=file)


def _conflicts(spec_files: Iterable[SpecFile]) -> dict[str, tuple[pathlib.Path, ...]]:
    """Devices that several files of equal priority define, and those files."""
    definers: dict[tuple[str, int], list[pathlib.Path]] = {}
    for entry in _entries(spec_files):
        definers.setdefault((entry.name, entry.file.priority), []).append(entry.file.path)
    found: dict[str, tuple[pathlib.Path, ...]] = {}
    for (name, _), paths in definers.items():
        if len(paths) > 1:
            found[name] = (*found.get(name, ()), *paths)
    return found


def _conflict_problems(conflicts: Mapping[str, tuple[pathlib.Path, ...]]) -> Iterator[Problem]:
    for name, paths in conflicts.items():
        for path in paths:
            others = ", ".join(str(other) for other in paths if other != path)
            yield Problem(source=str(path), message=f"device {name} is also defined by {others}")
