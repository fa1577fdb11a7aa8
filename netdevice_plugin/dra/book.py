"""What all claims of a driver have on a node: known here, and written in their files."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

from netdevice_plugin.dra import holdings
from netdevice_plugin.dra.claim import Allocation, ClaimRef
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.dra.giving import Place
from netdevice_plugin.dra.locking import Turn
from netdevice_plugin.dra.writing import Files
from netdevice_plugin.errors import NetdevError

THREADS = 8  # most of their time is fsync's, which the file system puts together

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Book:
    """For one event loop; files are written in threads.

    Only during a `turn` it is sure that no other process changes anything: what is known
    is read anew when one begins. `changed` is called when `held` is another than before.
    What cannot be read or written raises ClaimError.
    """

    def __init__(self, place: Place, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._known: dict[str, Allocation] = {}
        self._files = Files(place)
        self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="claims")
        self.turn = Turn(place.data_dir, self._refresh)
        self.held: Mapping[str, ClaimRef] = {}  # whose each device is
        self.problems: tuple[str, ...] = ()  # a line for each checkpoint that cannot be read
        self.loaded = False  # all that was prepared before is known

    @property
    def allocations(self) -> tuple[Allocation, ...]:
        """What claims have, by uid."""
        return tuple(self._known[uid] for uid in sorted(self._known))

    def known(self, uid: str) -> Allocation | None:
        """What one claim has, if it has anything."""
        return self._known.get(uid)

    def owned(self, uid: str) -> frozenset[str]:
        """Name the devices that are one claim's own."""
        known = self._known.get(uid)
        return holdings.owned(known) if known else frozenset()

    def in_the_way(self, wanted: Allocation) -> list[Allocation]:
        """Find the other claims that have a device which one is to have."""
        return holdings.in_the_way(wanted, self._known.values())

    @contextlib.asynccontextmanager
    async def trying(self, wanted: Allocation) -> AsyncIterator[bool]:
        """Have a claim's devices be its own; if what follows fails, what its files say.

        So nobody is offered them, whatever is written. Yields whether it had nothing before.
        """
        uid = wanted.claim.uid
        known = self._known.get(uid)
        self._hold(uid, wanted)
        try:
            yield known is None
        except NetdevError:
            self._hold(uid, await self._thread(self._files.look, uid) or known)
            raise

    async def note(self, wanted: Allocation) -> None:
        """Write the checkpoint alone: there is nothing yet that a runtime could be told."""
        await self._thread(self._files.note, wanted)

    async def write(self, wanted: Allocation, given: Sequence[Given], *, fresh: bool) -> bool:
        """Write checkpoint and CDI file; returns whether the CDI file is another now."""
        return await self._thread(self._files.write, wanted, given, fresh=fresh)

    async def remove(self, uid: str) -> None:
        """Take away all that a claim has."""
        await self._thread(self._files.remove, uid)
        self._hold(uid, None)

    async def intact(self) -> frozenset[str]:
        """Name the claims whose CDI file nobody has touched since it was written here."""
        return await self._thread(self._files.intact)

    async def orphans(self) -> frozenset[str]:
        """Name the uids that have a CDI file and no checkpoint."""
        return await self._thread(self._files.orphans)

    def _hold(self, uid: str, now: Allocation | None) -> None:
        if now is None:
            self._known.pop(uid, None)
        else:
            self._known[uid] = now
        self._tell()

    async def _refresh(self) -> None:
        """Another instance may have changed it."""
        before = self.problems
        self._known, self.problems = await self._thread(self._files.scan)
        self.loaded = True
        for problem in self.problems:
            if problem not in before:
                _log.warning("Checkpoint of a claim cannot be read", extra={"reason": problem})
        self._tell()

    def _tell(self) -> None:
        held = holdings.held(self._known.values())
        if held != self.held:
            self.held = held
            self._changed()

    async def _thread(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        work = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
