"""A claim's two files, in the order that makes a kill between them harmless. Blocks.

First the checkpoint, and first to go the CDI file: there is never one that is nobody's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import cdi
from cdi import files
from netdevice_plugin.dra import checkpoint, claimfiles
from netdevice_plugin.dra.allocation import is_uid
from netdevice_plugin.dra.claim import Allocation
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.dra.giving import Place
from netdevice_plugin.errors import ClaimError

_Mark = tuple[int, int, int, int]


class Files:
    """The checkpoints and CDI files of all claims of a place. Every method raises ClaimError."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._checkpoints = checkpoint.Directory(
            place.data_dir / "claims", driver=place.driver, node=place.node
        )
        self._marks: dict[str, _Mark | None] = {}  # of the CDI files, as they were left

    def scan(self) -> tuple[dict[str, Allocation], tuple[str, ...]]:
        """Read all claims by uid, and what is wrong with which file."""
        return self._checkpoints.scan()

    def look(self, uid: str) -> Allocation | None:
        """Read what one claim has, if it has anything."""
        return self._checkpoints.look(uid)

    def intact(self) -> frozenset[str]:
        """Name the claims whose CDI file nobody has touched since it was written here."""
        marks = dict(self._marks)
        return frozenset(uid for uid, was in marks.items() if was and _mark(self._path(uid)) == was)

    def write(self, wanted: Allocation, given: Sequence[Given], *, fresh: bool) -> bool:
        """Write both files, of a claim that had none (`fresh`) both or neither.

        Returns whether the CDI file is another one now.
        """
        uid, driver = wanted.claim.uid, self._place.driver
        path = self._path(uid)
        data = checkpoint.dumps(wanted, driver)
        try:
            content = cdi.dumps(claimfiles.build(driver, uid, given), source=str(path))
            changed = self._write(path, content, uid, data)
        except (cdi.Error, ClaimError) as error:
            if fresh:
                self._take_back(uid, path)
            raise ClaimError(f"{wanted.claim}: {error}", hint="the kubelet tries again") from error
        self._marks[uid] = _mark(path)
        self._place.step("prepared")
        return changed

    def note(self, wanted: Allocation) -> None:
        """Write down that a claim has its devices; what they are given as is not known yet."""
        data = checkpoint.dumps(wanted, self._place.driver)
        self._place.step("NIC" if all(mac for _, mac in wanted.macs) else "request")
        self._checkpoints.write(wanted.claim.uid, data)

    def orphans(self) -> frozenset[str]:
        """Name the claims that have a CDI file and no checkpoint, not even one that is broken."""
        found = set()
        for path in self._path("*").parent.glob(self._path("*").name):
            uid = path.stem.rpartition("_")[2]
            if is_uid(uid) and path == self._path(uid) and not self._checkpoints.has(uid):
                found.add(uid)
        return frozenset(found)

    def remove(self, uid: str) -> None:
        """Take both files away, if they are there."""
        path = self._path(uid)
        self._marks.pop(uid, None)
        self._place.step("no CDI file")
        try:
            files.remove(path.parent, path.name)
        except cdi.StoreError as error:
            raise ClaimError(str(error), hint="the kubelet tries again") from error
        self._place.step("no checkpoint")
        self._checkpoints.remove(uid)
        self._place.step("unprepared")

    def _write(self, path: Path, content: bytes, uid: str, data: bytes) -> bool:
        self._place.step("checkpoint")
        self._checkpoints.write(uid, data)
        self._place.step("CDI file")
        return files.write_bytes(path, content)

    def _take_back(self, uid: str, path: Path) -> None:
        """Leave nothing of a claim that could not be prepared; at worst it has its devices."""
        with contextlib.suppress(cdi.StoreError):
            files.remove(path.parent, path.name)
        if not os.path.lexists(path):
            self._checkpoints.remove(uid)

    def _path(self, uid: str) -> Path:
        return self._place.cdi_dir / claimfiles.file_name(self._place.driver, uid)


def _mark(path: Path) -> _Mark | None:
    """Tell a file from what it was before; None if there is none."""
    try:
        it = path.lstat()
    except OSError:
        return None
    return it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns
