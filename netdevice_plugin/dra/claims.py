"""Claims prepared and unprepared: their devices theirs, and their CDI files there.

The order is what makes a kill at any step harmless: all checks, then the checkpoint, then
the CDI file, then the answer; and back, the CDI file first. A device is a claim's from the
checkpoint on, so that there is never one in two claims. What is written is what the
mover does at the container's start: no link is touched here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ParamSpec, TypeVar

from netdevice_plugin.dra import allocation, attaching, claimfiles, holdings
from netdevice_plugin.dra.claim import Allocation, ClaimRef, Result
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.dra.cluster.errors import NotFoundError
from netdevice_plugin.dra.giving import Place, absent, give
from netdevice_plugin.dra.locking import Locks, Turn
from netdevice_plugin.dra.observer import Observer, Silence
from netdevice_plugin.dra.questions import Questions
from netdevice_plugin.dra.writing import Files
from netdevice_plugin.errors import ClaimError, ClusterError, NetdevError
from netdevice_plugin.model import Device, pci_address_of
from netdevice_plugin.provisioning import Node, VfSettings

THREADS = 8  # most of their time is fsync's, which the file system puts together
PATIENCE = 10.0  # seconds for the API server; there may be two questions, and the kubelet waits 45
ARRIVAL = 20.0  # seconds for NICs to be attached and here; the next Prepare finds what is under way

__all__ = ("Claims", "Lend", "Place", "Prepared")

# Makes a device of a pool ready, with these settings and for whom, and names its nodes.
Lend = Callable[[str, Device, VfSettings, str], Awaitable[tuple[Node, ...]]]

_P = ParamSpec("_P")
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
        self.problems: tuple[str, ...] = ()  # a line for each checkpoint that cannot be read
        self.loaded = False  # all that was prepared before is known
        self._place = place
        self._changed = changed
        self._observer = observer or Silence()
        self._arrival = arrival
        self._known: dict[str, Allocation] = {}
        self._held: Mapping[str, ClaimRef] = {}
        self._files = Files(place)
        self._locks = Locks()
        self._turn = Turn(place.data_dir, self._refresh)
        self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="claims")
        self._working: set[asyncio.Task[object]] = set()
        self._questions = Questions(place, patience)

    @property
    def held(self) -> Mapping[str, ClaimRef]:
        """Whose each device is; without those that a claim may only look at."""
        return self._held

    @property
    def allocations(self) -> tuple[Allocation, ...]:
        """What was prepared, by claim."""
        return tuple(self._known[uid] for uid in sorted(self._known))

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
        self._turn.give_up()
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
        async with self._turn:
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
        intact = await self._thread(self._files.intact)
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
            known = self._known.get(ref.uid)
            if known is None:
                return False
            async with self._locks.holding(holdings.owned(known)), self._turn:
                return self._known.get(ref.uid) == known and await self._write(known)

    async def _let_go(self, one: Allocation, unused: Callable[[], bool]) -> bool:
        async with self._locks.holding([_lock(one.claim)]):
            try:
                await self._questions.claim(one.claim)
            except (NotFoundError, allocation.NotAllocatedError) as error:
                reason = str(error)
            else:
                return False
            async with self._locks.holding(holdings.owned(one)), self._turn:
                if self._known.get(one.claim.uid) != one or not unused():
                    return False
                await self._remove(one.claim.uid)
        _log.warning("Claim let go, which is over", extra={**_about(one), "reason": reason})
        return True

    async def _orphans(self) -> frozenset[str]:
        async with self._turn:
            return await self._thread(self._files.orphans)

    async def _remove_orphan(self, uid: str) -> bool:
        async with self._locks.holding([_lock_of(uid)]), self._turn:
            if uid not in await self._thread(self._files.orphans):
                return False
            await self._remove(uid)
        _log.warning("CDI file of a claim that is not prepared removed", extra={"uid": uid})
        return True

    async def _unprepare(self, ref: ClaimRef) -> None:
        async with self._locks.holding([_lock(ref)]):
            async with self._turn:
                known = self._known.get(ref.uid)
            async with self._locks.holding(holdings.owned(known) if known else ()), self._turn:
                await self._remove(ref.uid)
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
            async with self._turn:
                known = self._known.get(ref.uid)
            if known and known.claim == ref:
                return known
            hint = "the kubelet tries again"
            raise ClaimError(f"{ref} cannot be read: {error}", hint=hint) from error

    def _devices(self, wanted: Allocation) -> frozenset[str]:
        """Name all devices that a change is about: those that the claim had before, too."""
        known = self._known.get(wanted.claim.uid)
        return holdings.owned(wanted) | (holdings.owned(known) if known else frozenset())

    async def _attached(self, wanted: Allocation) -> Allocation:
        """Have the NICs attached that are for claims that ask; returns it with their MACs.

        It is written down first for what, then which they are. Raises ClaimError, also if it
        takes longer than the kubelet waits: it goes on meanwhile, and is found the next time.
        """
        known = self._known.get(wanted.claim.uid)
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
            async with self._turn:
                if wanted.claim.uid not in self._known:
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
        uid = wanted.claim.uid
        known = self._known.get(uid)
        give(self._place, wanted, holdings.owned(known) if known else (), early=True)
        self._hold(uid, wanted)
        try:
            await self._thread(self._files.note, wanted)
        except NetdevError:
            self._hold(uid, await self._thread(self._files.look, uid) or known)
            raise

    async def _settle(
        self, wanted: Allocation, write: Callable[[Allocation], Awaitable[object]]
    ) -> None:
        """Write it down once no other claim has any of its devices."""
        stale: list[Allocation] = []
        while True:
            async with self._turn:
                others = holdings.in_the_way(wanted, self._known.values())
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
        await self._remove(other.claim.uid)

    async def _write(self, wanted: Allocation) -> bool:
        """Write a claim down; returns whether its CDI file is another now. Raises ClaimError.

        Its devices are its own before that: whatever is written, nobody is offered them.
        """
        uid = wanted.claim.uid
        known = self._known.get(uid)
        given = self._give(wanted)
        self._hold(uid, wanted)
        try:
            given = await self._ready(wanted, given)
            return await self._thread(self._files.write, wanted, given, fresh=known is None)
        except NetdevError:
            self._hold(uid, await self._thread(self._files.look, uid) or known)
            raise

    def _give(self, wanted: Allocation) -> list[Given]:
        known = self._known.get(wanted.claim.uid)
        return give(self._place, wanted, holdings.owned(known) if known else ())

    async def _ready_early(self, wanted: Allocation) -> None:
        """Bind what nobody has while other claims go on: it takes a while."""
        if not any(pci_address_of(result.device) for result in wanted.results):
            return
        async with self._turn:
            if holdings.in_the_way(wanted, self._known.values()):
                return
            given = self._give(wanted)
        await self._ready(wanted, given)

    async def _ready(self, wanted: Allocation, given: list[Given]) -> list[Given]:
        """Have the devices bound that a program in the pod drives; they have nodes then.

        All at once, and idempotent. Raises FunctionError.
        """
        if not any(map(_driven, given)):
            return given
        holder = f"claim {wanted.claim.uid}"
        results = await asyncio.gather(
            *(self._lent(one, holder) for one in given), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    async def _lent(self, one: Given, holder: str) -> Given:
        if not _driven(one) or self._lend is None:
            return one
        pool = one.result.pool.removeprefix(f"{self.node}/")
        return one.with_nodes(await self._lend(pool, one.device, one.vf, holder))

    async def _remove(self, uid: str) -> None:
        await self._thread(self._files.remove, uid)
        self._hold(uid, None)

    def _hold(self, uid: str, now: Allocation | None) -> None:
        """Note what a claim has now."""
        if now is None:
            self._known.pop(uid, None)
        else:
            self._known[uid] = now
        self._tell()

    async def _refresh(self) -> None:
        """Note what all claims have: another instance may have changed it."""
        before = self.problems
        self._known, self.problems = await self._thread(self._files.scan)
        self.loaded = True
        for problem in self.problems:
            if problem not in before:
                _log.warning("Checkpoint of a claim cannot be read", extra={"reason": problem})
        self._tell()

    def _tell(self) -> None:
        held = holdings.held(self._known.values())
        if held != self._held:
            self._held = held
            self._changed()

    async def _thread(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        loop = asyncio.get_running_loop()
        work = functools.partial(function, *args, **kwargs)
        return await loop.run_in_executor(self._threads, work)


def _driven(one: Given) -> bool:
    """Whether a program in the pod drives a device, which is not just looked at."""
    return one.device.userspace and not one.result.admin


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
