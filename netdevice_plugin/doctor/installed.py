"""What is installed on the host: the mover that hooks run, and the directory of its records.

Hooks run as root in the host's mounts, whoever asked for the container. So the mover
must be there, be able to run, and be nobody's to replace.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from netdevice_plugin import __version__, mover
from netdevice_plugin.config import Config
from netdevice_plugin.doctor import elf, mounts, versions
from netdevice_plugin.doctor.cdidirs import CdiFile
from netdevice_plugin.doctor.elf import Elf
from netdevice_plugin.doctor.finding import Finding, Level, fail, ok, warn
from netdevice_plugin.doctor.host import SMALL, Host, reason
from netdevice_plugin.doctor.mounts import Mount
from netdevice_plugin.model import Injection

_LEAST = 1 << 20  # bytes free, for records


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A program that hooks of CDI files run."""

    path: str
    named_by: str  # a CDI file, or the configuration
    fault: str = ""  # why it cannot be looked at
    regular: bool = True
    mode: int = 0o755
    capabilities: bool = False  # of the file
    loose: str = ""  # who else than root could replace it
    program: Elf | None = None
    machine: str = ""  # of the host
    noexec: str = ""  # the mount that keeps it from running
    same: bool = False  # the very bytes of our package's
    version: str = ""  # what it says of itself; empty if it was not run


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunDir:
    """The directory of records."""

    path: str
    exists: bool = True
    directory: bool = True
    fault: str = ""
    loose: str = ""
    mount: Mount | None = None
    free: int | None = None  # bytes
    others: tuple[tuple[str, str], ...] = ()  # (file, directory that its hooks name instead)


def read_movers(
    host: Host,
    config: Config,
    cdi_files: Sequence[CdiFile],
    table: Sequence[Mount],
    bundled: Path = mover.BUNDLED,
) -> tuple[Mover, ...]:
    """Look at each mover that is named: by a CDI file, and by the configuration."""
    named = {hook.path: file.path for file in cdi_files for hook in file.hooks}
    hooks = any(pool.injection is Injection.HOOK for pool in config.pools)
    if hooks or not (named or config.pools):
        named.setdefault(os.fspath(config.mover_path), "the configuration" if hooks else "")
    return tuple(_read(host, path, by, table, bundled) for path, by in named.items())


def _read(host: Host, path: str, by: str, table: Sequence[Mount], bundled: Path) -> Mover:
    try:
        real = host.real(path)
        status = host.stat(real)
        data = host.head(real, SMALL)
        loose = host.trusted(real)
    except OSError as error:
        return Mover(path=path, named_by=by, fault=reason(error))
    mount = mounts.mount_of(table, real)
    return Mover(
        path=path,
        named_by=by,
        regular=stat.S_ISREG(status.st_mode),
        mode=stat.S_IMODE(status.st_mode),
        capabilities=bool(host.attribute(real, "security.capability")),
        loose=loose,
        program=elf.parse(data),
        machine=os.uname().machine,
        noexec=mount.point if mount and "noexec" in mount.options else "",
        same=data == _content(bundled),
        version=_version(host, real) if not loose else "",
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a checkout where it is not built
        return b""


def _version(host: Host, path: str) -> str:
    """Ask a mover; being static, another host's runs here as well."""
    if not host.runnable(path):
        return ""
    try:
        return str(versions.parse(host.output(path, "--version")) or "")
    except OSError:
        return ""


def check_mover(facts: Mover) -> Iterator[Finding]:
    """Judge one mover."""
    install = f"netdevice-plugin mover install {posixpath.dirname(facts.path)}"
    if facts.fault:
        level = Level.FAIL if facts.named_by else Level.WARN
        text = f"no mover ({facts.fault}): no container with a device starts"
        text += f"; {facts.named_by} names it" if facts.named_by else ""
        yield Finding(level, "mover/missing", facts.path, text, install)
        return
    faults = [*_faults(facts, install)]
    yield from faults
    if not any(finding.level is Level.FAIL for finding in faults):
        yield _same(facts, install)


def _faults(facts: Mover, install: str) -> Iterator[Finding]:
    path = facts.path
    if not facts.path.startswith("/"):
        yield fail("mover/path", path, "a hook's path must be absolute", "correct the CDI file")
    if not facts.mode & 0o111:
        yield fail("mover/mode", path, "is not executable", f"chmod 0755 {path}")
    if facts.mode & 0o6000 or facts.capabilities:
        what = "set-user-ID or set-group-ID" if facts.mode & 0o6000 else "file capabilities"
        remedy = f"chmod 0755 {path}; setcap -r {path}"
        yield fail("mover/privileged", path, f"has {what}, and refuses to run so", remedy)
    if facts.loose:
        text = f"root runs it, and others could replace it: {facts.loose}"
        yield fail("mover/replaceable", path, text, "give it, and what it is in, to root alone")
    if facts.noexec:
        text = f"is on {facts.noexec}, which is mounted noexec"
        remedy = "install it elsewhere, and set moverPath"
        yield fail("mover/noexec", path, text, remedy)
    if facts.program is None:
        yield fail("mover/program", path, "is no program that a kernel runs", install)
    elif not elf.runs_on(facts.program, facts.machine):
        text = f"is made for another machine than this {facts.machine}"
        yield fail("mover/program", path, text, f"{install}, from a package for {facts.machine}")
    elif not facts.program.static:
        text = "needs libraries, so it is not the mover of this package"
        yield warn("mover/program", path, text, install)


def _same(facts: Mover, install: str) -> Finding:
    if facts.same:
        return ok("mover/version", facts.path, f"is the mover of this package, {__version__}")
    if facts.version == __version__:
        return ok("mover/version", facts.path, f"says that it is {__version__}")
    text = f"is {facts.version or 'of a version that is not known'}; this package has {__version__}"
    return warn("mover/version", facts.path, text, install)


def read_run_dir(
    host: Host,
    config: Config,
    cdi_files: Sequence[CdiFile],
    table: Sequence[Mount],
    free: Callable[[Path], int] | None = None,
) -> RunDir:
    """Look at the directory of records, or at where it would be made."""
    path = os.fspath(config.run_dir)
    others = tuple(
        sorted({(file.path, where) for file in cdi_files for where in _elsewhere(file, path)})
    )
    try:
        nearest = _nearest(host, path)
        status = host.stat(nearest)
        return RunDir(
            path=path,
            exists=nearest == path,
            directory=stat.S_ISDIR(status.st_mode),
            loose=host.trusted(nearest),
            mount=mounts.mount_of(table, host.real(nearest)),
            free=(free or _free)(host.local(nearest)),
            others=others,
        )
    except OSError as error:
        return RunDir(path=path, fault=reason(error), others=others)


def _elsewhere(file: CdiFile, run_dir: str) -> Iterator[str]:
    """Yield the directories that hooks name, where those are not ours."""
    for hook in file.hooks:
        words = list(hook.args)
        at = words.index("--run-dir") + 1 if "--run-dir" in words else len(words)
        told = words[at] if at < len(words) else str(Config().run_dir)
        if posixpath.normpath(told) != posixpath.normpath(run_dir):
            yield told


def _nearest(host: Host, path: str) -> str:
    while not host.exists(path) and path != "/":
        path = posixpath.dirname(path)
    return path


def _free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def check_run_dir(facts: RunDir) -> Iterator[Finding]:
    """Judge it."""
    for file, where in facts.others:
        text = f"its hooks keep their records in {where}, and we look in {facts.path}"
        remedy = f"--run-dir {where}, or runDir: {where}; else generate the file anew"
        yield warn("run-dir/others", file, text, remedy)
    if facts.fault:
        yield warn("run-dir/state", facts.path, f"cannot be looked at: {facts.fault}", "be root")
        return
    faults = [*_run_dir_faults(facts)]
    yield from faults
    if not faults:
        where = "is on a tmpfs" if facts.exists else "is not there; the first attach makes it"
        yield ok("run-dir/state", facts.path, where)


def _run_dir_faults(facts: RunDir) -> Iterator[Finding]:
    path, mount = facts.path, facts.mount
    if not facts.directory:
        yield fail(
            "run-dir/state", path, "is not a directory", f"remove what is in place of {path}"
        )
    elif facts.loose:
        text = f"the mover believes what is there, and others could write it: {facts.loose}"
        yield fail("run-dir/replaceable", path, text, "give it, and what it is in, to root alone")
    if mount and "ro" in mount.options:
        text = f"{mount.point} is mounted read-only: nothing can be lent"
        yield fail("run-dir/state", path, text, "another runDir, or mount it read-write")
    if mount and mount.kind not in ("tmpfs", "ramfs"):
        text = f"is on {mount.kind}: after a reboot its records lie, and links seem to be lent"
        yield warn("run-dir/tmpfs", path, text, "runDir below /run; or mount a tmpfs there")
    if facts.free is not None and facts.free < _LEAST:
        text = f"has {facts.free} bytes left: no record can be written, so nothing is lent"
        yield fail("run-dir/full", path, text, f"df {path}")
