"""Claims prepared and unprepared: their devices theirs, and their CDI files there.

The order is what makes a kill at any step harmless: all checks, then the checkpoint, then
the CDI file, then the answer; and back, the CDI file first. A device is a claim's from the
checkpoint on, so that there is never one in two claims. What is written is what the
mover does at the container's start: no link is touched here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from netdevice_plugin.dra import allocation, attaching, claimfiles, holdings, lending
from netdevice_plugin.dra.book import Book
from netdevice_plugin.dra.claim import Allocation, ClaimRef, Result
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.dra.cluster.errors import NotFoundError
from netdevice_plugin.dra.giving import Place, absent, give
from netdevice_plugin.dra.lending import Lend
from netdevice_plugin.dra.locking import Locks
from netdevice_plugin.dra.observer import Observer, Silence
from netdevice_plugin.dra.questions import Questions
from netdevice_plugin.errors import ClaimError, ClusterError, NetdevError

PATIENCE = 10.0  # seconds for the API server; there may be two questions, and the kubelet waits 45
ARRIVAL = 20.0  # seconds for NICs to be attached and here; the next Prepare finds what is under way

__all__ = ("Claims", "Place", "Prepared")

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A device as the kubelet is told of it."""

    result: Result
    cdi_device: str  # fully qualified


class Claims:
    """All claims of a driver on a node. For one event loop.

    What is begun is finished, even if the kubelet does not wait for the answer. Any
    number of claims are worked on at once, but those of one device one after the other.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        place: Place,
        *,
        changed: Callable[[], object] = lambda: None,
        observer: Observer | None = None,
        patience: float = PATIENCE,
        arrival: float = ARRIVAL,
        lend: Lend | None = None,
    ) -> None:
        self._lend = lend
        self.driver = place.driver
        self.node = place.node
        self._place = place
        self._changed = changed
        self._observer = observer or Silence()
        self._arrival = arrival
        self._book = Book(place, changed)
        self._locks = Locks()
        self._working: set[asyncio.Task[object]] = set()
        self._questions = Questions(place, patience)

    @property
    def held(self) -> Mapping[str, ClaimRef]:
        """Whose each device is; without those that a claim may only look at."""
        return self._book.held

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each checkpoint that cannot be read."""
        return self._book.problems

    @property
    def loaded(self) -> bool:
        """Whether all that was prepared before is known."""
        return self._book.loaded

    @property
    def allocations(self) -> tuple[Allocation, ...]:
        """What was prepared, by claim."""
        return self._book.allocations

    async def load(self) -> None:
        """Find out what was prepared before, by whatever agent. Raises ClaimError."""
        await self._finish(self._load())

    async def prepare(self, ref: ClaimRef) -> tuple[Prepared, ...]:
        """Give a claim its devices, or say the same again. Raises ClaimError."""
        began = time.monotonic()
        try:
            prepared = await self._finish(self._prepare(ref))
        except NetdevError as error:
            self._observer.prepare_failed(type(error).__name__)
            raise
        self._observer.prepared(len(prepared), time.monotonic() - began)
        return prepared

    async def unprepare(self, ref: ClaimRef) -> None:
        """Take from a claim what it has, if it has anything. Raises ClaimError."""
        began = time.monotonic()
        try:
            await self._finish(self._unprepare(ref))
        except NetdevError as error:
            self._observer.unprepare_failed(type(error).__name__)
            raise
        self._observer.unprepared(time.monotonic() - began)

    async def restore(self, *, thoroughly: bool = True) -> tuple[str, ...]:
        """Put right the CDI files of what was prepared; returns a line for each that cannot be.

        A container that starts again has its pod's devices without a new Prepare. Unless
        it is done `thoroughly`, only files are looked into that are not as they were left:
        else the mover, or what is known of a link, may be another by now.
        """
        try:
            await self.load()
            suspects = await self._suspects(thoroughly=thoroughly)
            found = [await self._put_right(one, thoroughly=thoroughly) for one in suspects]
        except ClaimError as error:
            found = [_with_hint(error)]
        return tuple(problem for problem in found if problem)

    async def let_go(self, one: Allocation, unused: Callable[[], bool]) -> bool:
        """Take from a claim what it has, if it is over and nobody told; returns whether it was.

        The API server says so, and `unused` has the last word. Raises ClusterError if the
        API server cannot be asked, and ClaimError.
        """
        return await self._finish(self._let_go(one, unused))

    async def orphans(self) -> frozenset[str]:
        """Name the uids that have a CDI file and no checkpoint. Raises ClaimError."""
        return await self._finish(self._orphans())

    async def remove_orphan(self, uid: str) -> bool:
        """Remove a CDI file that is still nobody's; whether it was. Raises ClaimError."""
        return await self._finish(self._remove_orphan(uid))

    async def close(self) -> None:
        """Finish what is being written, and give up what waits for others; for good."""
        self._book.turn.give_up()
        self._questions.give_up()
        while self._working:
            await asyncio.wait(set(self._working))

    async def _finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do it to its end, whatever becomes of who asked."""
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # it is seen, even if nobody waits for it any more

    async def _load(self) -> None:
        async with self._book.turn:
            pass

    async def _prepare(self, ref: ClaimRef) -> tuple[Prepared, ...]:
        async with self._locks.holding([_lock(ref)]):
            wanted = await self._read(ref)
            async with self._locks.holding(self._devices(wanted)):
                wanted = await self._attached(wanted)
                await self._ready_early(wanted)
                await self._settle(wanted, self._write)
        _log.info("Claim prepared", extra=_about(wanted))
        return tuple(self._answer(wanted.claim.uid, one) for one in wanted.results)

    def _answer(self, uid: str, result: Result) -> Prepared:
        name = claimfiles.qualified_name(self.driver, uid, result)
        return Prepared(result=result, cdi_device=name)

    async def _suspects(self, *, thoroughly: bool) -> list[Allocation]:
        """List whose CDI files may not be as they should be; who works on one sees to it."""
        # Of what has no NIC yet there is nothing to be written; or its file is as it was.
        whole = [one for one in self.allocations if not absent(self._place, one)]
        if thoroughly:
            return whole
        intact = await self._book.intact()
        return [
            one
            for one in whole
            if one.claim.uid not in intact and not self._locks.busy(_lock(one.claim))
        ]

    async def _put_right(self, one: Allocation, *, thoroughly: bool) -> str:
        """Do it for one claim, and say what is in the way."""
        try:
            changed = await self._finish(self._restore(one.claim))
        except NetdevError as error:
            return f"the CDI file of {one.claim} may be out of date: {_with_hint(error)}"
        if changed and not thoroughly:
            _log.warning("CDI file of a claim is written again", extra=_about(one))
        return ""

    async def _restore(self, ref: ClaimRef) -> bool:
        async with self._locks.holding([_lock(ref)]):
            known = self._book.known(ref.uid)
            if known is None:
                return False
            async with self._locks.holding(holdings.owned(known)), self._book.turn:
                return self._book.known(ref.uid) == known and await self._write(known)

    async def _let_go(self, one: Allocation, unused: Callable[[], bool]) -> bool:
        async with self._locks.holding([_lock(one.claim)]):
            try:
                await self._questions.claim(one.claim)
            except (NotFoundError, allocation.NotAllocatedError) as error:
                reason = str(error)
            else:
                return False
            async with self._locks.holding(holdings.owned(one)), self._book.turn:
                if self._book.known(one.claim.uid) != one or not unused():
                    return False
                await self._book.remove(one.claim.uid)
        _log.warning("Claim let go, which is over", extra={**_about(one), "reason": reason})
        return True

    async def _orphans(self) -> frozenset[str]:
        async with self._book.turn:
            return await self._book.orphans()

    async def _remove_orphan(self, uid: str) -> bool:
        async with self._locks.holding([_lock_of(uid)]), self._book.turn:
            if uid not in await self._book.orphans():
                return False
            await self._book.remove(uid)
        _log.warning("CDI file of a claim that is not prepared removed", extra={"uid": uid})
        return True

    async def _unprepare(self, ref: ClaimRef) -> None:
        async with self._locks.holding([_lock(ref)]):
            async with self._book.turn:
                known = self._book.known(ref.uid)
            async with self._locks.holding(self._book.owned(ref.uid)), self._book.turn:
                await self._book.remove(ref.uid)
        if known:
            _log.info("Claim unprepared", extra=_about(known))

    async def _read(self, ref: ClaimRef) -> Allocation:
        """Ask the API server; while it is away, what was prepared is prepared again."""
        try:
            return await self._questions.claim(ref)
        except NotFoundError as error:
            hint = "a pod that uses it cannot start any more: delete the pod"
            raise ClaimError(f"{ref} is gone", hint=hint) from error
        except ClusterError as error:
            async with self._book.turn:
                known = self._book.known(ref.uid)
            if known and known.claim == ref:
                return known
            hint = "the kubelet tries again"
            raise ClaimError(f"{ref} cannot be read: {error}", hint=hint) from error

    def _devices(self, wanted: Allocation) -> frozenset[str]:
        """Name all devices that a change is about: those that the claim had before, too."""
        return holdings.owned(wanted) | self._book.owned(wanted.claim.uid)

    async def _attached(self, wanted: Allocation) -> Allocation:
        """Have the NICs attached that are for claims that ask; returns it with their MACs.

        It is written down first for what, then which they are. Raises ClaimError, also if it
        takes longer than the kubelet waits: it goes on meanwhile, and is found the next time.
        """
        known = self._book.known(wanted.claim.uid)
        wanted = attaching.remembering(wanted, known)
        if not (lacking := absent(self._place, wanted)):
            return wanted
        wanted = attaching.with_macs(
            wanted, {one.device: wanted.mac(one.device) for one in lacking}
        )
        asked = attaching.requests(self._place, wanted, lacking)
        await self._settle(wanted, self._note)
        end = time.monotonic() + self._arrival
        try:
            async with self._questions.within(self._arrival):
                wanted = await attaching.ask(self._place, wanted, asked)
            async with self._book.turn:
                if not self._book.known(wanted.claim.uid):
                    raise attaching.over(wanted)
                await self._note(wanted)
            self._changed()  # so that the NIC is offered as what it is
            async with self._questions.within(max(0.0, end - time.monotonic())):
                await self._place.until(lambda: not absent(self._place, wanted))
        except TimeoutError as error:
            raise attaching.late(wanted, asked) from error
        return wanted

    async def _note(self, wanted: Allocation) -> None:
        """Write down whose the devices are, before there is a NIC. Raises ClaimError."""
        give(self._place, wanted, self._book.owned(wanted.claim.uid), early=True)
        async with self._book.trying(wanted):
            await self._book.note(wanted)

    async def _settle(
        self, wanted: Allocation, write: Callable[[Allocation], Awaitable[object]]
    ) -> None:
        """Write it down once no other claim has any of its devices."""
        stale: list[Allocation] = []
        while True:
            async with self._book.turn:
                others = self._book.in_the_way(wanted)
                if all(other in stale for other in others):
                    for other in others:
                        await self._take_over(other, wanted)
                    await write(wanted)
                    return
            for other in others:
                await self._check_stale(other, wanted)
                stale.append(other)

    async def _check_stale(self, other: Allocation, wanted: Allocation) -> None:
        """Raise ClaimError unless another claim's checkpoint is of something that is over."""
        common = ", ".join(sorted(holdings.owned(other) & holdings.owned(wanted)))
        text = f"{wanted.claim}: {other.claim} has the device {common}"
        try:
            now = await self._questions.claim(other.claim)
        except (NotFoundError, allocation.NotAllocatedError):
            return
        except NetdevError as error:
            hint = "the kubelet tries again"
            raise ClaimError(f"{text}, and cannot be asked: {error}", hint=hint) from error
        if holdings.owned(now) & holdings.owned(wanted):
            hint = "the scheduler gave it to both: delete the pods of one claim"
            raise ClaimError(text, hint=hint)

    async def _take_over(self, other: Allocation, wanted: Allocation) -> None:
        who = {"claim": str(wanted.claim), "before": str(other.claim)}
        _log.warning("Device taken over from a claim that is over", extra=who)
        self._observer.taken_over()
        await self._book.remove(other.claim.uid)

    async def _write(self, wanted: Allocation) -> bool:
        """Write a claim down; returns whether its CDI file is another now. Raises ClaimError."""
        given = self._give(wanted)
        async with self._book.trying(wanted) as fresh:
            given = await self._ready(wanted, given)
            return await self._book.write(wanted, given, fresh=fresh)

    def _give(self, wanted: Allocation) -> list[Given]:
        return give(self._place, wanted, self._book.owned(wanted.claim.uid))

    async def _ready_early(self, wanted: Allocation) -> None:
        """Bind what nobody has while other claims go on: it takes a while."""
        if not lending.concerns(wanted):
            return
        async with self._book.turn:
            if self._book.in_the_way(wanted):
                return
            given = self._give(wanted)
        await self._ready(wanted, given)

    async def _ready(self, wanted: Allocation, given: list[Given]) -> list[Given]:
        if self._lend is None:
            return given
        holder = f"claim {wanted.claim.uid}"
        return await lending.ready(given, node=self.node, holder=holder, lend=self._lend)


def _lock(ref: ClaimRef) -> str:
    return _lock_of(ref.uid)


def _lock_of(uid: str) -> str:
    """Name a claim's lock: no device's name has a slash."""
    return f"claim/{uid}"


def _about(one: Allocation) -> dict[str, object]:
    devices = [result.device for result in one.results]
    return {"claim": f"{one.claim.namespace}/{one.claim.name}", "devices": ", ".join(devices)}


def _with_hint(error: NetdevError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
