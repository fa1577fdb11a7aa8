"""The mounts of a host, from a mountinfo file (proc(5)). Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A mount: where it is, what it is of, and its own options."""

    point: str
    kind: str  # of file system: tmpfs, ext4
    options: frozenset[str]


def parse(text: str) -> tuple[Mount, ...]:
    """Read the lines of mountinfo, in their order; those that are none are left out."""
    return tuple(mount for mount in map(_parse_line, text.splitlines()) if mount)


def _parse_line(line: str) -> Mount | None:
    """Fields: id, parent, device, root, mount point, options, tags, a dash, type, source, ..."""
    head, dash, tail = line.partition(" - ")
    fields, kinds = head.split(" "), tail.split(" ")
    if not dash or len(fields) < 6:
        return None
    point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
    return Mount(point, kinds[0], frozenset(fields[5].split(",")))


def mount_of(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Find the mount that a path, free of symbolic links, is on: the last of the longest."""
    found = None
    for mount in mounts:
        point = mount.point.rstrip("/")
        below = path == point or path.startswith(f"{point}/")
        if below and (found is None or len(point) >= len(found.point.rstrip("/"))):
            found = mount
    return found
