"""What `cdi generate` writes: which devices go into which file, and what changed there."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cdi
from cdi import codec, files
from cdi.syntax import Format
from netdevice_plugin import cdifiles, fields, pools
from netdevice_plugin.config import Config, InvalidConfigError
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.look import View
from netdevice_plugin.model import Injection, Interface, Pool
from netdevice_plugin.pools import Assignment

STDOUT = "-"
SHOWN = 12  # names of devices in a line

_GLOB = re.compile(r"[*?[]")
_SEE_DEVICES = "netdevice-plugin devices shows every link, and why it is not offered"
_SEE_POOLS = "take the name out of the pool's ifNames, or take from the link what keeps it"


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What was asked for beside the configuration; what is empty was not given."""

    names: tuple[str, ...] = ()  # of --interfaces, globs among them
    pool: str = ""
    output: str = ""
    form: Format | None = None
    injection: str | None = None
    mover_path: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file that a pool's devices go to; without a device it must not be there."""

    path: Path
    form: Format
    kind: str
    spec: cdi.Spec | None

    @property
    def twin(self) -> Path | None:
        """The pool's file in the other format: it would define every device a second time."""
        forms: tuple[Format, Format] = ("json", "yaml")
        names = [cdi.file_name(self.kind, format=form) for form in forms]
        if self.path.name not in names:
            return None
        names.remove(self.path.name)
        return self.path.with_name(names[0])


def adjust(config: Config, request: Request) -> Config:
    """Let the command line have its way over the configuration. Raises ConfigError."""
    changed = list(config.pools)
    if request.injection:
        chosen = Injection(request.injection)
        changed = [dataclasses.replace(pool, injection=chosen) for pool in changed]
    if request.names and request.pool:
        changed = [dataclasses.replace(pool, name=_pool_name(request.pool)) for pool in changed]
    path = request.mover_path or config.mover_path
    return dataclasses.replace(config, pools=tuple(changed), mover_path=path)


def _pool_name(name: str) -> str:
    try:
        return fields.pool_name(name)
    except ValueError as error:
        raise ConfigError(f"--pool: {name[:80]!r} {error}") from error


def mover_problem(config: Config) -> str:
    """Say what is wrong with the mover that hooks run; empty where nothing is."""
    path = config.mover_path
    if not any(pool.injection is Injection.HOOK for pool in config.pools):
        return ""
    if not os.access(path, os.X_OK) or path.is_dir():
        return f"{path}: no mover that can be executed: containers with a device cannot start"
    return ""


def plan(view: View, config: Config, request: Request) -> tuple[Target, ...]:
    """Say which file each pool gets, and what is in it.

    Raises ConfigError for what is asked for and cannot be had; AttachmentError if a
    record cannot be read, because its device would vanish from its file.
    """
    if view.problems:
        raise view.problems[0]
    assignment = pools.assign(view.snapshot, config.pools)
    problems = tuple(_unmet(request.names, assignment)) if request.names else assignment.problems
    if problems:
        raise InvalidConfigError(problems, hint=_SEE_DEVICES if request.names else _SEE_POOLS)
    chosen = _chosen(config.pools, request.pool)
    name, directory = _place(request, config, chosen)
    form = request.form or files.format_of(name) or "json"
    specs = cdifiles.build_all(assignment, config)
    return tuple(
        Target(
            path=directory / (name or cdi.file_name(pool.kind, format=form)),
            form=form,
            kind=pool.kind,
            spec=specs[cdifiles.file_name(pool)],
        )
        for pool in chosen
    )


def _unmet(names: Iterable[str], assignment: Assignment) -> Iterator[str]:
    """Find the names, no globs, that made no device."""
    for name in dict.fromkeys(names):
        if _GLOB.search(name) or any(_is(name, one.interface) for one in assignment.devices):
            continue
        reason = next((one.reason for one in assignment.refusals if _is(name, one.interface)), "")
        what = f"cannot be offered: it {reason}" if reason else "is not the name of a link"
        yield f"--interfaces: {name} {what}"


def _is(name: str, interface: Interface) -> bool:
    return name == interface.name or name in interface.altnames


def _chosen(configured: Sequence[Pool], name: str) -> tuple[Pool, ...]:
    chosen = tuple(pool for pool in configured if name in ("", pool.name))
    if name and not chosen:
        known = ", ".join(pool.name for pool in configured) or "none"
        raise ConfigError(f"--pool: no pool is named {name[:80]!r}", hint=f"pools: {known}")
    return chosen


def _place(request: Request, config: Config, chosen: Sequence[Pool]) -> tuple[str, Path]:
    """Name a single file, if that is what --output means, and the directory."""
    output = request.output
    if not output:
        return "", config.cdi_dir
    path = Path(output)
    if output != STDOUT and (path.is_dir() or output.endswith("/") or "." not in path.name):
        return "", path
    form = files.format_of(path.name)
    if output != STDOUT and (not form or request.form not in (None, form)):
        wanted = f".{request.form}" if request.form else ".json or .yaml"
        raise ConfigError(f"--output: {output}: the name of a file must end in {wanted}")
    if len(chosen) != 1:
        names = ", ".join(pool.name for pool in chosen) or "none"
        hint = "give a directory, or choose a pool with --pool"
        raise ConfigError(f"--output: {output}: takes one pool, not {names}", hint=hint)
    return path.name, path.parent


def text(target: Target) -> bytes:
    """Make a file's content. Raises cdi.SpecError, and ConfigError if there is no device."""
    if target.spec is None:
        message = f"{target.kind} has no device, and without one a CDI file is not valid"
        raise ConfigError(message, hint=_SEE_DEVICES)
    return codec.dumps(target.spec, target.form, source=str(target.path))


def write(targets: Sequence[Target]) -> Iterator[str]:
    """Bring the files up to date, and yield a line for each.

    All contents are made before the first is written. Raises cdi.Error.
    """
    contents = [text(target) if target.spec else b"" for target in targets]
    for target, content in zip(targets, contents, strict=True):
        before = None if _holds(target.path, content) else _present(target.path, target.kind)
        if target.spec is None:
            yield from _remove(target.path, target.kind) or [f"no device for {target.path}"]
        elif files.write_bytes(target.path, content):
            yield f"wrote {target.path} ({difference(before, target.spec)})"
        else:
            yield f"unchanged {target.path}"
        if target.twin:
            yield from _remove(target.twin, target.kind)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file has that content: by its bytes: parsing it takes longer than all else."""
    with contextlib.suppress(OSError):
        return path.stat().st_size == len(content) and path.read_bytes() == content
    return False


def _present(path: Path, kind: str) -> cdi.Spec | None:
    """Read the file that is there, if it is of that kind."""
    with contextlib.suppress(cdi.SpecError):
        spec = cdi.load(path)
        return spec if spec.kind == kind else None
    return None


def _remove(path: Path, kind: str) -> list[str]:
    gone = _present(path, kind) and cdi.remove(path.parent, path.name)
    return [f"removed {path}"] if gone else []


def difference(before: cdi.Spec | None, after: cdi.Spec) -> str:
    """Count the devices, and name those that are new (+), gone (-) or different (~)."""
    old = {device.name: device for device in before.devices} if before else {}
    new = {device.name: device for device in after.devices}
    marks = [f"+{name}" for name in new if name not in old]
    marks += [f"-{name}" for name in old if name not in new]
    marks += [f"~{name}" for name in new if name in old and old[name] != new[name]]
    if len(marks) > SHOWN:
        marks[SHOWN:] = [f"and {len(marks) - SHOWN} more"]
    count = f"{len(new)} device{'' if len(new) == 1 else 's'}"
    return f"{count}: {' '.join(marks)}" if marks else count
