"""Unix sockets by their paths: how long they may be, whose they are, how gRPC calls them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import quote

PATH_LIMIT = 107  # bytes; sockaddr_un has 108 with the final NUL

Mark = tuple[int, int, int]  # device, inode, time of its making


def address(path: Path) -> str:
    """Name a socket as gRPC does, which takes %41 for an A."""
    return f"unix:{quote(os.fsencode(path))}"


def hidden(path: Path) -> Path:
    """Name the path that a socket is made under: see `endpoint`."""
    return path.with_name(f".{path.name}")


def fits(path: Path) -> bool:
    """Whether there is room for a path, and for the hidden one that it is made under."""
    return len(os.fsencode(hidden(path))) <= PATH_LIMIT


def socket_mark(path: Path) -> Mark | None:
    """Tell a socket from a later one of the same name; None if there is no socket.

    The inode's number alone may be used again at once. The time of the last change
    is that of its creation: nothing is ever written to a socket's inode, while
    chmod and rename count for the other time.
    """
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns) if stat.S_ISSOCK(found.st_mode) else None
