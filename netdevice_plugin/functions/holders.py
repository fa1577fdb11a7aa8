"""Who holds the device node of a function, as far as /proc shows it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

PROC = Path("/proc")
DEV = Path("/dev")

_FEW = 3  # names in a message


def holders(nodes: Collection[str], proc: Path = PROC) -> tuple[str, ...]:
    """Name the processes that have one of these open: `dpdk-testpmd (123)`.

    By path as it is in their mount namespace, where the nodes have the names that
    we gave them. Sees what its reader may: root in the host's pid namespace all.
    """
    return tuple(
        f"{_command(path)} ({path.name})" for path in _processes(proc) if _has(path, nodes)
    )


def told(found: Collection[str]) -> str:
    """Name some of them."""
    names = ", ".join(list(found)[:_FEW])
    return f"{names} and {len(found) - _FEW} more" if len(found) > _FEW else names


def taken(path: Path) -> bool | None:
    """Whether a node that can be opened once only is open; None where one cannot tell."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return True if error.errno == errno.EBUSY else None
    return False


def _processes(proc: Path) -> list[Path]:
    try:
        return sorted(
            (path for path in proc.iterdir() if path.name.isdecimal()),
            key=lambda path: int(path.name),
        )
    except OSError:
        return []


def _has(process: Path, nodes: Collection[str]) -> bool:
    try:
        with os.scandir(process / "fd") as entries:
            return any(_opened(entry.path) in nodes for entry in entries)
    except OSError:  # it has ended, or is another user's
        return False


def _opened(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - of thousands, and a Path takes its time
    except OSError:
        return ""


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip() or "?"
    except OSError:
        return "?"
