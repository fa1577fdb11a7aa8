"""The CDI directory brought to what is wanted, once per call. Blocks; for one thread at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import cdi
from cdi import files
from netdevice_plugin.cdistore.others import Other, Others, read, vendor
from netdevice_plugin.cdistore.rendering import Content

SHOWN = 3  # names of devices in a line

_IN_ITS_PLACE = "remove what is in its place"
_MAY_NOT = "let the agent's user write to the directory"
_NO_SPACE = "free space on its file system"
_REMEDIES = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EROFS: "mount the directory read-write",
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.EISDIR: _IN_ITS_PLACE,
    errno.ENOTDIR: _IN_ITS_PLACE,
    errno.EEXIST: _IN_ITS_PLACE,
}


@dataclasses.dataclass(slots=True, kw_only=True)
class Outcome:
    """How far a call went."""

    known: dict[str, frozenset[str]]  # by kind: devices that runtimes find, as they should be
    problems: list[str] = dataclasses.field(default_factory=list)
    failed: bool = False  # the file system refused something: worth another attempt
    repaired: list[Path] = dataclasses.field(default_factory=list)  # not as we had left them
    removed: list[Path] = dataclasses.field(default_factory=list)

    def refused(self, error: cdi.StoreError) -> None:
        """Note what the file system refused, and what can be done about it."""
        cause = error.__cause__
        remedy = _REMEDIES.get(cause.errno or 0, "") if isinstance(cause, OSError) else ""
        self.problems.append(f"{error}; {remedy}" if remedy else str(error))
        self.failed = True


class Mirror:
    """Remembers what it wrote, and so can tell what others did to it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._others = Others(directory)
        self._there: dict[Path, Content] = {}  # what our files held when last looked at
        self._pruned: frozenset[str] | None = None  # the kinds and the prefix that it was done for

    def bring(self, contents: Sequence[Content], prefix: str) -> Outcome:
        """Write, each durably, the files that differ; remove those of ours that must not be.

        A refusal of one file keeps no other from being written. Files of pools
        that are not among `contents` any more go only when the pools change: what
        somebody generates by hand between two changes stays.
        """
        outcome = Outcome(known={}, problems=[line for one in contents for line in one.problems])
        wanted = {self._directory / cdi.file_name(one.kind): one for one in contents}
        for path, content in wanted.items():
            outcome.known[content.kind] = self._keep(path, content, outcome)
        others = self._look(wanted, outcome)
        self._remove_superfluous(others, wanted, prefix, outcome)
        for path, other in others.items():
            if path not in outcome.removed:
                self._note_conflict(path, other, outcome)
        return outcome

    def _keep(self, path: Path, content: Content, outcome: Outcome) -> frozenset[str]:
        """See to one file, and say which of its devices are there."""
        try:
            if not content.data:
                self._drop(path, content.kind, outcome)
                return frozenset()
            before = self._there.get(path)
            changed = files.write_bytes(path, content.data)
        except cdi.StoreError as error:
            outcome.refused(error)
            there = self._reread(path, content.kind).items()
            return frozenset(name for name, data in there if content.devices.get(name) == data)
        if changed and before is not None and before.data == content.data:
            outcome.repaired.append(path)
        self._there[path] = content
        return frozenset(content.devices)

    def _drop(self, path: Path, kind: str, outcome: Outcome) -> None:
        if os.path.lexists(path) and (path in self._there or read(path).kind == kind):
            self._remove(path, outcome)

    def _remove(self, path: Path, outcome: Outcome) -> None:
        if cdi.remove(path.parent, path.name):
            outcome.removed.append(path)
        self._there.pop(path, None)

    def _reread(self, path: Path, kind: str) -> Mapping[str, bytes]:
        """Read the devices of a file that could not be replaced, as fragments."""
        before = self._there.pop(path, None)
        with contextlib.suppress(OSError, cdi.SpecError):
            data = files.read_bytes(path)
            if before is None or before.data != data:
                before = Content(kind=kind, data=data, devices=_fragments(cdi.loads(data), kind))
            self._there[path] = before
            return before.devices
        return {}

    def _look(self, wanted: Mapping[Path, Content], outcome: Outcome) -> Mapping[Path, Other]:
        try:
            return self._others.look([path for path, content in wanted.items() if content.data])
        except cdi.StoreError as error:
            outcome.refused(error)
            return {}

    def _remove_superfluous(
        self,
        others: Mapping[Path, Other],
        wanted: Mapping[Path, Content],
        prefix: str,
        outcome: Outcome,
    ) -> None:
        """Remove our files' twins in YAML, and the files of pools that are gone."""
        kinds = frozenset(content.kind for content in wanted.values())
        paths = [path for path, other in others.items() if _is_twin(path, other.kind, kinds)]
        if self._pruned != kinds | {prefix}:
            prefixes = {prefix, *map(vendor, kinds)}
            paths += [
                path for path, one in others.items() if self._is_stale(path, one, kinds, prefixes)
            ]
        try:
            for path in paths:
                self._remove(path, outcome)
            self._pruned = kinds | {prefix}
        except cdi.StoreError as error:
            outcome.refused(error)

    def _is_stale(
        self, path: Path, other: Other, kinds: Collection[str], prefixes: Collection[str]
    ) -> bool:
        ours = path in self._there or (other.ours and vendor(other.kind) in prefixes)
        return ours and other.kind not in kinds

    def _note_conflict(self, path: Path, other: Other, outcome: Outcome) -> None:
        known = outcome.known.get(other.kind, frozenset())
        twice = sorted(known & other.devices)
        if not twice:
            return
        outcome.known[other.kind] = known - other.devices
        names = ", ".join(twice[:SHOWN])
        more = f" and {len(twice) - SHOWN} more" if len(twice) > SHOWN else ""
        outcome.problems.append(
            f"{path}: defines {other.kind}={names}{more} too, so that no runtime finds any of"
            " them; remove it from there"
        )


def _fragments(spec: cdi.Spec, kind: str) -> dict[str, bytes]:
    if spec.kind != kind or spec.edits != cdi.ContainerEdits():
        return {}
    return {device.name: cdi.fragment(kind, device).data for device in spec.devices}


def _is_twin(path: Path, kind: str, kinds: Collection[str]) -> bool:
    """Whether a file is ours in the other format: it would define every device twice."""
    return kind in kinds and path.name == cdi.file_name(kind, format="yaml")
