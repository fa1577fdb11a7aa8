"""The directories of CDI files, as runtimes see them: what cannot be read, and what collides."""

from __future__ import annotations

import dataclasses
import errno
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cdi import codec, files, syntax, versions
from cdi.errors import Problem, SpecError
from cdi.model import Hook, Spec
from cdi.store import Registry, SpecFile
from netdevice_plugin import cdifiles
from netdevice_plugin.config import Config
from netdevice_plugin.doctor import mounts, runtime
from netdevice_plugin.doctor.finding import Finding, Level, fail, ok, some, warn
from netdevice_plugin.doctor.host import Host, reason
from netdevice_plugin.doctor.mounts import Mount
from netdevice_plugin.doctor.runtime import Runtime

_READ_BY_ROOT = "look as root, or mount the directory"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CdiFile:
    """A file that runtimes load; without a Spec, `problems` says why."""

    path: str
    priority: int
    spec: Spec | None = None
    problems: tuple[str, ...] = ()
    kind: str = ""  # also of one that is no Spec, if it says so
    ours: bool = False  # of our making, or our name is on it

    @property
    def hidden(self) -> bool:
        """Whether people overlook it, which runtimes do not."""
        return posixpath.basename(self.path).startswith(".")

    @property
    def deadly(self) -> bool:
        """Whether vendor or class is a single letter: libraries up to 1.1.0 index past its end."""
        parts = self.kind.split("/", 1)
        return any(len(part) == 1 and part.isascii() and part.isalpha() for part in parts)

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks of all devices that run our mover."""
        devices = self.spec.devices if self.spec else ()
        return tuple(
            hook
            for device in devices
            for hook in device.edits.hooks
            if hook.args[:1] == ("netdevice-mover",) or hook.path.endswith("/netdevice-mover")
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory of CDI files, in the order of priority."""

    path: str
    exists: bool = True
    fault: str = ""
    mount: Mount | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cdi:
    """All directories that a runtime here reads, and their files."""

    directories: tuple[Directory, ...] = ()
    files: tuple[CdiFile, ...] = ()

    def registry(self) -> Registry:
        """Put the valid files together as a runtime does."""
        return Registry(
            directories=tuple(Path(one.path) for one in self.directories),
            files=tuple(
                SpecFile(path=Path(file.path), priority=file.priority, spec=file.spec)
                for file in self.files
                if file.spec
            ),
        )


def read(host: Host, config: Config, runtimes: Iterable[Runtime], table: Sequence[Mount]) -> Cdi:
    """Read the default directories, and those that the runtimes or our configuration add."""
    named = [*runtime.DIRECTORIES, *(one for each in runtimes for one in each.directories)]
    directories: list[Directory] = []
    found: list[CdiFile] = []
    seen = set()
    for path in (*named, str(config.cdi_dir)):
        directory, names = _read_directory(host, path, table)
        real = _real(host, path)
        if real in seen:
            continue
        seen.add(real)
        paths = (posixpath.join(path, name) for name in names if files.format_of(name))
        found += [_read_file(host, one, len(directories), config) for one in paths]
        directories.append(directory)
    return Cdi(directories=tuple(directories), files=tuple(found))


def _real(host: Host, path: str) -> str:
    try:
        return host.real(path)
    except OSError:
        return path


def _read_directory(host: Host, path: str, table: Sequence[Mount]) -> tuple[Directory, list[str]]:
    try:
        names = [name for name in host.names(path) if not host.is_dir(f"{path}/{name}")]
    except FileNotFoundError:
        return Directory(path=path, exists=False), []
    except OSError as error:
        return Directory(path=path, fault=f"cannot be read: {reason(error)}"), []
    return Directory(path=path, mount=mounts.mount_of(table, host.real(path))), names


def _read_file(host: Host, path: str, priority: int, config: Config) -> CdiFile:
    form = files.format_of(path)
    prefixed = posixpath.basename(path).startswith(f"{config.prefix}-")
    try:
        data = host.read(path, syntax.MAX_BYTES)
    except OSError as error:
        unseen = f" ({_READ_BY_ROOT})" if error.errno == errno.EACCES else ""
        problem = f"cannot be read: {reason(error)}{unseen}"
        return CdiFile(path=path, priority=priority, problems=(problem,), ours=prefixed)
    try:
        spec = codec.loads(data, source=path, format=form or "json")
    except SpecError as error:
        problems = tuple(_line(problem) for problem in error.problems)
        kind = _kind(data, path)
        return CdiFile(path=path, priority=priority, problems=problems, kind=kind, ours=prefixed)
    ours = cdifiles.is_ours(Path(path), spec, config.prefix)
    return CdiFile(path=path, priority=priority, spec=spec, kind=spec.kind, ours=ours)


def _line(problem: Problem) -> str:
    return f"{problem.path}: {problem.message}" if problem.path else problem.message


def _kind(data: bytes, path: str) -> str:
    """Read what a file that is no Spec says of its kind."""
    try:
        value = syntax.parse(data, source=path, format=files.format_of(path) or "json")
    except SpecError:
        return ""
    kind = value.get("kind") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else ""


def check(facts: Cdi, config: Config, runtimes: Sequence[Runtime]) -> Iterator[Finding]:
    """Judge directories and files."""
    yield from _directories(facts, config)
    for file in facts.files:
        yield from _file(file, runtimes)
    registry = facts.registry()
    yield from _conflicts(registry)
    yield from _shadows(registry)
    if not any(file.problems for file in facts.files):
        count = len(registry.devices)
        text = f"{count} device{'' if count == 1 else 's'} in {len(facts.files)} of them"
        yield ok("cdi/files", "CDI files", text)


def _directories(facts: Cdi, config: Config) -> Iterator[Finding]:
    for one in facts.directories:
        ours = runtime.same(one.path, str(config.cdi_dir))
        if one.fault:
            yield fail("cdi/directory", one.path, one.fault, _READ_BY_ROOT)
        elif not one.exists:
            yield ok("cdi/directory", one.path, "is not there, which is no fault")
        elif ours and one.mount and "ro" in one.mount.options:
            remedy = "another cdiDir, or mount it read-write"
            yield fail("cdi/directory", one.path, "our files go there, and it is read-only", remedy)
        else:
            yield ok("cdi/directory", one.path, "can be read")


def _file(file: CdiFile, runtimes: Sequence[Runtime]) -> Iterator[Finding]:
    if file.deadly:
        text = (
            f"the kind {file.kind!r} has a vendor or a class of one letter, which kills containerd"
        )
        remedy = "remove the file now; whatever made it has to take a longer name"
        yield fail("cdi/one-letter", file.path, f"{text} and makes podman panic", remedy)
    elif file.problems:
        level = fail if file.ours else warn
        more = f" (and {len(file.problems) - 1} more)" if len(file.problems) > 1 else ""
        who = (
            "netdevice-plugin cdi generate, or the agent, makes it anew"
            if file.ours
            else ("its devices are unknown to runtimes until whoever made it corrects it")
        )
        yield level("cdi/bad-file", file.path, f"{file.problems[0]}{more}", who)
    if file.hidden:
        text = "begins with a dot, and is loaded all the same"
        yield warn("cdi/hidden", file.path, text, "remove it, if an editor has left it there")
    if file.spec:
        yield from _too_new(file, file.spec.version, runtimes)


def _too_new(file: CdiFile, version: str, runtimes: Sequence[Runtime]) -> Iterator[Finding]:
    for one in runtimes:
        if one.newest_cdi and versions.is_lower(one.newest_cdi, version):
            text = f"is of cdiVersion {version}; {one.name} {one.version} reads {one.newest_cdi}"
            remedy = f"upgrade {one.name}; or have the file made with cdiVersion {one.newest_cdi}"
            if file.ours:
                remedy = f"injection: hook in its pool, or upgrade {one.name}"
            level = Level.FAIL if file.ours and one.works else Level.WARN
            yield Finding(level, "cdi/too-new", file.path, text, remedy)


def _conflicts(registry: Registry) -> Iterator[Finding]:
    """Yield devices that nobody can have, file by file: a kind has many at once."""
    by_files: dict[tuple[Path, ...], list[str]] = {}
    for device, paths in registry.conflicts.items():
        by_files.setdefault(paths, []).append(device)
    for paths, devices in by_files.items():
        text = f"each define {some(devices)}: no runtime gives out any of these"
        remedy = f"remove one of the files; {paths[-1]}, say"
        yield fail("cdi/conflict", " and ".join(map(str, paths)), text, remedy)


def _shadows(registry: Registry) -> Iterator[Finding]:
    """Yield files that others of higher priority make worthless."""
    by_files: dict[tuple[str, str], list[str]] = {}
    for file in registry.files:
        for device in file.spec.devices:
            name = f"{file.spec.kind}={device.name}"
            winner = registry.devices.get(name)
            if winner and winner.file.priority > file.priority:
                key = (str(file.path), str(winner.file.path))
                by_files.setdefault(key, []).append(name)
    for (path, later), devices in by_files.items():
        text = f"{some(devices)}: {later} counts, as its directory comes later"
        yield warn("cdi/shadowed", path, text, "remove what is not meant")
