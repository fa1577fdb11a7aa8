"""Waiting for what happens, bounded: inotify and pidfd, no sleep."""

from __future__ import annotations

import os
import pathlib
import select
import threading
import time
from collections.abc import Callable

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

# Seconds; a loaded machine is slow, an emulated one more so, a lost event is for ever.
TIMEOUT = 90.0 if "NDP_GUEST" in os.environ else 20.0


class _Wake(FileSystemEventHandler):
    def __init__(self, changed: threading.Event) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._changed.set()


def until(directory: pathlib.Path, holds: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds; looked at after each change in the directory."""
    changed = threading.Event()
    observer = Observer()
    observer.schedule(_Wake(changed), str(directory))
    observer.start()
    deadline = time.monotonic() + TIMEOUT
    try:
        while not holds():
            if not changed.wait(max(0, deadline - time.monotonic())):
                raise AssertionError(f"not within {TIMEOUT:.0f} s: {what}")
            changed.clear()
    finally:
        observer.stop()
        observer.join()


def ended(pidfd: int, what: str) -> None:
    """Return when the process has ended."""
    if not select.select([pidfd], [], [], TIMEOUT)[0]:
        raise AssertionError(f"{what} did not end within {TIMEOUT:.0f} s")
