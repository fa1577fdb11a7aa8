"""Starts programs as a runtime starts hooks: at once, with all of stdin there already."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class FailedError(Exception):
    """What is measured did not do what it should."""


def spawn(
    argv: Sequence[str],
    stdin: bytes = b"",
    *,
    quiet: bool = False,
    env: Mapping[str, str] = _PLAIN,
) -> int:
    """Start a program in this thread's namespaces and return its process id.

    posix_spawn does not copy this process first. `stdin` has to fit into a pipe (64 KiB).
    What a quiet one prints goes nowhere.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, stdin)
        os.close(writing)
        actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_DUP2, reading, 0)]
        if quiet:
            actions.append((os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))
            actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
        return os.posix_spawn(argv[0], tuple(argv), env, file_actions=actions)
    finally:
        os.close(reading)


class Took(NamedTuple):
    """How long something took: in all, and of that on a processor."""

    wall: float
    cpu: float


def timed(argv: Sequence[str], stdin: bytes = b"", *, quiet: bool = False) -> Took:
    """Run a program, and count from before its start to after its end."""
    start = time.perf_counter()
    pid = spawn(argv, stdin, quiet=quiet)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise FailedError(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}")
    return Took(wall, usage.ru_utime + usage.ru_stime)
