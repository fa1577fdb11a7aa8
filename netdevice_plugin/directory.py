"""Waiting for changes in a directory that may come and go. watchdog's edge."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from netdevice_plugin.errors import WatchError


class Watch(FileSystemEventHandler):
    """Tells of changes in a directory that may come and go, from a thread of watchdog's.

    While it does not exist, the nearest parent that does is watched for it to appear.
    """

    def __init__(self, directory: Path, wake: Callable[[], object]) -> None:
        self._directory = directory
        self._wake = wake
        self._observer = Observer()
        self._armed: tuple[Path, int, int] | None = None

    def __enter__(self) -> Self:
        self._observer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._observer.stop()
        self._observer.join()

    def arm(self) -> None:
        """Watch what is there now; call it before every look. Raises WatchError."""
        try:
            while (nearest := self._nearest()) != self._armed:
                self._observer.unschedule_all()
                self._armed = None  # an attempt that fails is made again
                with contextlib.suppress(FileNotFoundError):  # gone again: look once more
                    self._observer.schedule(self, str(nearest[0]))
                    self._armed = nearest
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            hint = "fs.inotify.max_user_watches and max_user_instances (sysctl) limit watches"
            text = f"cannot watch {self._directory}: {reason}"
            raise WatchError(text, hint=hint) from error

    def _nearest(self) -> tuple[Path, int, int]:
        for path in (self._directory, *self._directory.parents):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                status = path.stat()
                return path, status.st_dev, status.st_ino
        raise AssertionError("no root directory")

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake up; reading makes events too, which must not wake us for ever."""
        armed = self._armed
        if armed and event.event_type == "deleted" and event.src_path == str(armed[0]):
            self._armed = None  # made anew, it may get the same inode number, but not our watch
        if event.event_type not in ("opened", "closed_no_write"):
            self._wake()
