"""The files of the CDI directory that are not what we are about to write: whose, and what in them.

A device that two files of one directory define is lost to every runtime
(pkg/cdi/cache.go), so that another's file can take ours away.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import cdi
from cdi import files
from cdi.errors import reason
from netdevice_plugin import cdifiles


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A CDI file of somebody's, or an old one of ours. One that no runtime reads has no kind."""

    kind: str = ""
    devices: frozenset[str] = frozenset()
    ours: bool = False  # in name, kind and every edit: see cdifiles.is_ours


class Others:
    """Reads the other files, each again only when it has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: dict[Path, tuple[tuple[int, ...], Other]] = {}

    def look(self, besides: Collection[Path]) -> Mapping[Path, Other]:
        """Read all files but these. Raises cdi.StoreError if the directory cannot be read."""
        seen: dict[Path, tuple[tuple[int, ...], Other]] = {}
        for path in _spec_paths(self._directory):
            if path in besides:
                continue
            signature, known = _signature(path), self._seen.get(path)
            if known is None or known[0] != signature:
                known = (signature, read(path))
            seen[path] = known
        self._seen = seen
        return {path: other for path, (_, other) in seen.items()}


def read(path: Path) -> Other:
    """Read a file; what is wrong with it is others' business, and `doctor`'s."""
    try:
        spec = cdi.load(path)
    except cdi.SpecError:
        return Other()
    return Other(
        kind=spec.kind,
        devices=frozenset(device.name for device in spec.devices),
        ours=cdifiles.is_ours(path, spec, vendor(spec.kind)),
    )


def on_disk(directory: Path, prefixes: Iterable[str]) -> dict[str, frozenset[str]]:
    """List the devices in our files of these prefixes, by kind: what an earlier agent listed.

    An empty or missing directory has none. Raises cdi.StoreError if it cannot be read.
    """
    wanted = frozenset(prefixes)
    found = [read(path) for path in _spec_paths(directory)]
    return {one.kind: one.devices for one in found if one.ours and vendor(one.kind) in wanted}


def _spec_paths(directory: Path) -> list[Path]:
    """List what runtimes would load, by name."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cdi.StoreError(f"cannot read {directory}: {reason(error)}") from error
    return [directory / name for name in sorted(names) if files.format_of(name)]


def vendor(kind: str) -> str:
    """The part before the slash: our prefix, where a kind is ours."""
    return kind.partition("/")[0]


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:  # a dangling link, or gone
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
