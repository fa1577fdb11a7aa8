"""A live stream of snapshots: whatever changes in the kernel makes a new one.

All is read once, and from then on only what changed: a change costs the same on a node
with thousands of links. There is no timer to see a change by. But the kernel is silent
about some (the altnames and alias of a link that is down, as of 6.18), so that all is
read once more some time after it told of a link.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

from netdevice_plugin.inventory import changes
from netdevice_plugin.inventory.changes import Changes
from netdevice_plugin.inventory.mirror import Found, Mirror, Wants
from netdevice_plugin.inventory.rtnl import InterruptedDumpError
from netdevice_plugin.inventory.source import Reader
from netdevice_plugin.model import Snapshot

Result = TypeVar("Result")

SHARE = 0.35  # of one core that all this takes at most, while changes do not end
REVISIT_SHARE = 0.005  # likewise, that reading everything takes where nothing calls for it
_AT_ONCE = 200  # messages: a few ms of the event loop's time

_log = logging.getLogger(__name__)


class Timing(NamedTuple):
    """Seconds."""

    coalesce: float = 0.003  # from a first change to the look at all that came with it
    revisit: float | None = 1.0  # from the last change until all is read again; None is never


class Kernel(Protocol):
    """Who asks the kernel, in a thread: `source.Reader`."""

    def mirror(self) -> Mirror:
        """List all."""

    def find(self, wants: Wants, /) -> Found:
        """Read what a mirror wants."""


_KERNEL = Reader()
_TIMING = Timing()


async def stream(
    *,
    kernel: Kernel = _KERNEL,
    on_overrun: Callable[[], None] = lambda: None,
    timing: Timing = _TIMING,
    receive_buffer: int = changes.BUFFER,
) -> AsyncIterator[Snapshot]:
    """Yield a snapshot now, and another each time that one differs from the last.

    It is of the network namespace of the thread that runs the event loop. What
    changes while the consumer is busy shows in its next snapshot. `on_overrun` is
    called when the kernel told more than we could hear, so that all is read anew.
    `receive_buffer` is in bytes. Raises InventoryError if the kernel cannot be
    read; if it is only too busy for a consistent list, it is asked again.
    """
    # A worker of our own: it is in our network namespace, and never reads twice at once.
    worker = ThreadPoolExecutor(1, "inventory")
    last: Snapshot | None = None
    try:
        with Changes(receive_buffer) as told:
            keeper = _Keeper(told, worker, kernel, on_overrun, timing)
            while True:
                current = await keeper.look()
                if current is not None and _differ(current, last):
                    last = current
                    yield current
                await keeper.rest(known=current is not None)
    finally:
        # A reading that is under way ends by itself; it shares nothing with us.
        worker.shutdown(wait=False, cancel_futures=True)


def _differ(current: Snapshot, last: Snapshot | None) -> bool:
    return last is None or current.reading != last.reading or current != last


@dataclasses.dataclass(slots=True)
class _Keeper:
    """Keeps a mirror true. Whatever may have to wait for the kernel is done in the worker."""

    told: Changes
    worker: ThreadPoolExecutor
    kernel: Kernel
    on_overrun: Callable[[], None]
    timing: Timing
    mirror: Mirror | None = None
    again: bool = True  # the mirror is not true: read everything
    revisiting: bool = False  # the same, although nothing says so
    spent: float = 0.0  # seconds of CPU time, in the last look
    ended: float = 0.0  # that look, time.monotonic()
    revisit: float = 0.0  # when that may be done next, likewise

    async def look(self) -> Snapshot | None:
        """Take in what has been told; None if the kernel was too busy to say what is missing."""
        self.spent = 0.0
        try:
            before, mirror = self.mirror, await self._true()
            while any(wants := mirror.wants()):
                found = await self._apart(self.kernel.find, wants)
                self._here(mirror.accept, wants, found)
            if before and mirror is not before:
                self._here(mirror.resemble, before)
            return self._here(mirror.snapshot)
        except InterruptedDumpError as error:
            _log.info("Links cannot be read now", extra={"error": str(error)})
            return None
        finally:
            self.ended = time.monotonic()

    async def rest(self, *, known: bool) -> None:
        """Return when there is something to look at, and enough time has gone by.

        What is not known is missing however quiet the kernel is.
        """
        if known:
            await self._news()
        earliest = self.ended + self.spent * (1 / SHARE - 1)
        await asyncio.sleep(max(self.timing.coalesce, earliest - time.monotonic()))

    async def _news(self) -> None:
        """Wait for some; or, after some of links, until it is time to read everything."""
        due = math.inf
        if self.timing.revisit is not None and self.mirror and self.mirror.touched:
            due = max(self.revisit, self.ended + self.timing.revisit)
        left = due - time.monotonic()
        self.revisiting = not await self.told.wait(None if math.isinf(left) else left)

    async def _true(self) -> Mirror:
        """Take in what has been told, or read everything, which tells that as well."""
        heard = self.told.take()
        mirror = self.mirror
        if heard.devices and mirror:
            mirror.devices_changed()
        if heard.lost:
            _log.info("The kernel told more than could be heard, so that links are read anew")
            self.on_overrun()
        self.again |= heard.lost or self.revisiting
        if mirror and not self.again:
            await self._hear(mirror, heard.messages)
        return await self._anew() if mirror is None or self.again else mirror

    async def _hear(self, mirror: Mirror, messages: Sequence[bytes]) -> None:
        for at in range(0, len(messages), _AT_ONCE):
            self._here(mirror.hear, messages[at : at + _AT_ONCE])
            await asyncio.sleep(0)
        if mirror.broken:
            _log.warning("The kernel told what makes no sense, so that links are read anew")
            self.again = True

    async def _anew(self) -> Mirror:
        mirror = await self._apart(self.kernel.mirror)
        if self.mirror:
            mirror.reading = self.mirror.reading
        self.mirror, self.again = mirror, False
        self.revisit = time.monotonic() + self.spent / REVISIT_SHARE
        if self.revisiting:  # that has a share of its own
            self.spent = 0.0
        return mirror

    def _here(self, function: Callable[..., Result], *given: object) -> Result:
        result, seconds = _timed(function, *given)
        self.spent += seconds
        return result

    async def _apart(self, function: Callable[..., Result], *given: object) -> Result:
        loop = asyncio.get_running_loop()
        call = functools.partial(_timed, function, *given)
        result, seconds = await loop.run_in_executor(self.worker, call)
        self.spent += seconds
        return result


def _timed(function: Callable[..., Result], *given: object) -> tuple[Result, float]:
    """Call it, and tell how many seconds of CPU time that took this thread."""
    before = time.thread_time()
    result = function(*given)
    return result, time.thread_time() - before
