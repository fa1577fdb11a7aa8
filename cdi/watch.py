"""A registry that is read anew whenever its directories change, for asyncio.

watchdog's threads do nothing but wake the event loop; reading happens after the
wake-up, in a worker thread. Directories may be missing: then the nearest parent
that exists is watched for them to appear, and again when they are replaced.
Changes behind a symbolic link to a file elsewhere are not noticed, as runtimes
do not notice them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import stat
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from watchdog.events import (
    EVENT_TYPE_CLOSED,
    EVENT_TYPE_CREATED,
    EVENT_TYPE_DELETED,
    EVENT_TYPE_MODIFIED,
    EVENT_TYPE_MOVED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from cdi.errors import StoreError, reason
from cdi.files import format_of
from cdi.store import DEFAULT_DIRS, Registry

# Reading the files makes events too (opened, closed without a write): they must
# not wake us, or we would read for ever.
_CHANGES = frozenset(
    (
        EVENT_TYPE_CLOSED,
        EVENT_TYPE_CREATED,
        EVENT_TYPE_DELETED,
        EVENT_TYPE_MODIFIED,
        EVENT_TYPE_MOVED,
        "attrib",  # of watchdog 7; "modified" before
    )
)


class Watcher:
    """Iterates over registries: the present one first, then one for each change.

        async with Watcher(dirs) as watcher:
            async for registry in watcher:
                ...

    A burst of changes gives one registry; no registry is given twice in a row.
    Raises StoreError where the kernel allows no more watches.
    """

    def __init__(self, directories: Iterable[str | os.PathLike[str]] = DEFAULT_DIRS) -> None:
        self.directories = tuple(pathlib.Path(d).absolute() for d in directories)
        self._observer = Observer()
        self._watches: dict[_Target, ObservedWatch] = {}
        self._changed = asyncio.Event()
        self._last: Registry | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._changed.set()
        self._observer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._stop)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Registry:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                registry = await asyncio.to_thread(self._read)
            except BaseException:
                self._changed.set()  # a cancelled wait must not lose the change
                raise
            if registry != self._last:
                self._last = registry
                return registry

    def _read(self) -> Registry:
        self._rearm()
        return Registry.load(self.directories)

    def _rearm(self) -> None:
        """Watch what exists now, before it is read, so that nothing falls between."""
        try:
            while (wanted := _targets(self.directories)) != self._watches.keys():
                for target in self._watches.keys() - wanted:
                    self._observer.unschedule(self._watches.pop(target))
                for target in wanted - self._watches.keys():
                    self._schedule(target)
        except OSError as error:
            hint = "fs.inotify.max_user_watches and max_user_instances (sysctl) limit watches"
            raise StoreError(f"cannot watch directories: {reason(error)}", hint=hint) from error

    def _schedule(self, target: _Target) -> None:
        handler = _Handler(target.names, self._wake)
        # Gone again already: the next look at the targets leaves it out.
        with contextlib.suppress(FileNotFoundError):
            self._watches[target] = self._observer.schedule(handler, target.path)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    def _stop(self) -> None:
        self._observer.stop()
        self._observer.join()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """A directory to watch; made anew under the same name, it is another one."""

    path: str
    identity: tuple[int, int]
    names: frozenset[str]  # the entries that matter; "" stands for all Spec files


class _Handler(FileSystemEventHandler):
    """Wakes for the changes that matter in one directory."""

    def __init__(self, names: frozenset[str], wake: Callable[[], None]) -> None:
        self._names = names
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Run in a thread of watchdog's."""
        paths = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
        if event.event_type in _CHANGES and any(map(self._matters, paths)):
            self._wake()

    def _matters(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return bool(name) and (name in self._names or ("" in self._names and bool(format_of(name))))


def _targets(directories: Iterable[pathlib.Path]) -> set[_Target]:
    """Each directory if it exists, and the nearest parent that does, once each."""
    names: dict[tuple[str, tuple[int, int]], set[str]] = {}
    for directory in directories:
        name = ""
        for path in (directory, *directory.parents):
            if identity := _identity(path):
                names.setdefault((os.path.realpath(path), identity), set()).add(name)
                if name:
                    break
            name = path.name
    return {
        _Target(path=path, identity=identity, names=frozenset(wanted))
        for (path, identity), wanted in names.items()
    }


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
