"""`--watch`: links and records as they change, never on a timer. The event loop's edge."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from netdevice_plugin import inventory
from netdevice_plugin.cli.look import View, look
from netdevice_plugin.config import Config
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.inventory.rtnl import InterruptedDumpError

COALESCE = 0.03  # seconds from a first change to the look at all that came with it


async def watch(
    config: Config, show: Callable[[View], None], read: Callable[[Config], View] = look
) -> None:
    """Show the present, and again whenever something may have changed, until cancelled.

    A kernel that is too busy for a consistent list is asked again. Raises
    InventoryError and AttachmentError where it cannot be asked at all.
    """
    changed = asyncio.Event()
    wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, changed.set)
    following = asyncio.create_task(_follow(config, changed))
    following.add_done_callback(lambda _: changed.set())
    with Records(config.run_dir / "attachments", wake) as records:
        while not following.done():
            changed.clear()
            records.arm()
            try:
                show(read(config))
            except InterruptedDumpError:
                changed.set()
            await changed.wait()
            await asyncio.sleep(COALESCE)
    await following


async def _follow(config: Config, changed: asyncio.Event) -> None:
    async for _ in inventory.stream(node_addresses=config.node_addresses):
        changed.set()


class Records(FileSystemEventHandler):
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
        """Watch what is there now; call it before every look. Raises AttachmentError."""
        try:
            while (nearest := self._nearest()) != self._armed:
                self._observer.unschedule_all()
                self._armed = nearest
                with contextlib.suppress(FileNotFoundError):  # gone again: look once more
                    self._observer.schedule(self, str(nearest[0]))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            hint = "fs.inotify.max_user_watches and max_user_instances (sysctl) limit watches"
            text = f"cannot watch {self._directory}: {reason}"
            raise AttachmentError(text, hint=hint) from error

    def _nearest(self) -> tuple[Path, int, int]:
        for path in (self._directory, *self._directory.parents):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                status = path.stat()
                return path, status.st_dev, status.st_ino
        raise AssertionError("no root directory")

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake up; reading makes events too, which must not wake us for ever."""
        if event.event_type not in ("opened", "closed_no_write"):
            self._wake()
