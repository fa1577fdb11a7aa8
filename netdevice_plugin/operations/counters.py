"""What the mover has counted, summed over devices: docs/reference/mover.md, "The counters".

The mover runs without us, before us and after us, and adds each run to the device's
file. So this reads absolute counters; who restarts counts nothing twice. Reading is
done when somebody asks, and costs one stat for a file that has not changed.
"""

from __future__ import annotations

import collections
import logging
import os
import re
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from netdevice_plugin import model
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.operations import catalogue

COMMANDS = ("attach", "detach", "reclaim")
OUTCOMES = ("moved", "idle", "failed")
BOUNDS = (*map(str, catalogue.MOVER_BUCKETS), "+Inf")
MAX_SIZE = 65536  # bytes; the mover writes 8 KiB at most

# ("runs", command, outcome); ("times", command, bound, or "sum"); ("failed", command, step).
Key = tuple[str, str, str]
Counts = Mapping[Key, int]

_NUMBER = re.compile(r"[0-9]{1,20}")
_NAMES = {"runs": OUTCOMES, "times": ("sum", *BOUNDS)}
_log = logging.getLogger(__name__)


def parse(data: bytes, path: Path) -> Counts:
    """Parse the counters of one device; raises AttachmentError, which names file and line.

    Times are in microseconds, and each is in one bound's count only.
    """
    counts: dict[Key, int] = {}
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[0] != "format=1":
        raise AttachmentError(f"{path}:1: these are no counters: the first line is not format=1")
    if lines.pop():
        raise AttachmentError(f"{path}:{len(lines) + 1}: the last line is cut short")
    for number, line in enumerate(lines[1:], 2):
        try:
            counts.update(_parse_line(line))
        except ValueError as error:
            raise AttachmentError(f"{path}:{number}: {error}") from None
    return counts


def _parse_line(line: str) -> dict[Key, int]:
    """Parse `KEY=COMMAND NUMBER…` or `failed=COMMAND NUMBER STEP`; keys not known are ignored."""
    key, _, value = line.partition("=")
    if key not in (*_NAMES, "failed"):
        return {}
    command, _, rest = value.partition(" ")
    words, names = rest.split(" "), _NAMES.get(key, ())
    if key == "failed":
        words, names = words[:1], (" ".join(words[1:]),)
    if command not in COMMANDS:
        raise ValueError(f"{command[:40]!r} is no command of the mover's")
    if len(words) != len(names) or not all(map(_NUMBER.fullmatch, words)) or not names[-1]:
        raise ValueError(f"{key}: {rest[:80]!r} is not what should be there")
    return {(key, command, name): int(word) for name, word in zip(names, words, strict=True)}


def grown(new: Counts, old: Counts) -> Iterator[tuple[Key, int]]:
    """What has been added since; all of `new` if its counting was begun anew."""
    if any(new.get(key, 0) < count for key, count in old.items()):
        old = {}
    return ((key, count - old.get(key, 0)) for key, count in new.items())


class Counters:
    """The sum over all devices, which never falls while this object lives.

    A file that vanishes, or cannot be read any more, stays in the sum as it was.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # As it was read: thousands of files parsed would take megabytes.
        self._seen: dict[str, bytes] = {}
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._sum: collections.Counter[Key] = collections.Counter()
        self._lock = threading.Lock()
        for command in COMMANDS:
            for key, names in _NAMES.items():
                self._sum.update({(key, command, name): 0 for name in names})

    def read(self) -> Counts:
        """Look at what has changed, and sum up; any thread may call."""
        with self._lock:
            try:
                with os.scandir(self._directory) as entries:
                    for entry in entries:
                        self._look(entry)
            except FileNotFoundError:
                pass  # no mover has run since the boot
            except OSError as error:
                _log.warning("Cannot list the counters of the mover", extra={"err": error})
            return dict(self._sum)

    def _look(self, entry: os.DirEntry[str]) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if (
            stamp == self._stamps.get(entry.name)
            or not stat.S_ISREG(status.st_mode)
            or not model.is_dns_label(entry.name)  # half written
        ):
            return
        self._stamps[entry.name] = stamp  # whatever is wrong with it is said once
        try:
            self._add(Path(entry.path))
        except (OSError, AttachmentError) as error:
            _log.warning("Cannot read counters of the mover", extra={"err": error})

    def _add(self, path: Path) -> None:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise AttachmentError(f"{path}: is larger than {MAX_SIZE} bytes")
        new = parse(data, path)
        before = self._seen.get(path.name)
        for key, count in grown(new, parse(before, path) if before else {}):
            self._sum[key] += count
        self._seen[path.name] = data
