"""Loans kept true: told what is there, it has brought home what nobody has.

It lives in the event loop and sleeps exactly until something can have changed. What
it finds wrong with a device it says once, in the log and to the metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from netdevice_plugin.attachments import Attachment, Holder, Phase
from netdevice_plugin.loans.loan import AT_WORK, IN_TROUBLE, Life, Seen
from netdevice_plugin.loans.reclaiming import Reclaims, Run
from netdevice_plugin.loans.reconcile import PATIENCE, Decision, Kind, Loan, decide
from netdevice_plugin.look import View
from netdevice_plugin.model import Snapshot
from netdevice_plugin.usage.usage import Pod, Usage

# Seconds after which the kubelet is asked again as long as anything is lent: nobody tells
# that a pod has ended whose container lives on.
CALM = 60.0

_log = logging.getLogger(__name__)
_MESSAGES = {
    Kind.ORPHANED: "Device is held by no pod",
    Kind.ABANDONED: "Device was not returned",
    Kind.LOST: "Device is lost",
    Kind.STRANDED: "Device is not as it was",
}


class Observer(Protocol):
    """What the metrics hear."""

    def orphans(self, count: int) -> None:
        """So many loans have a holder that lives and is no pod's."""

    def holders_died(self, count: int = 1) -> None:
        """So many loans more were found whose holders had died without returning them."""

    def reclaimed(self, code: int) -> None:
        """A run of the mover's `reclaim` has ended with that exit code."""


class Following(Protocol):
    """Who knows which holders live: `Holders`."""

    def follow(self, records: Iterable[Attachment]) -> None:
        """Follow the holders of these records, and nobody else any more."""

    def seen(self, holder: Holder) -> Seen:
        """How a holder is that is followed."""

    def close(self) -> None:
        """Follow nobody."""


@dataclasses.dataclass(slots=True)
class _Watched:
    """A record, and since when; times are the clock's."""

    record: Attachment
    since: float
    about: object = None  # what an attempt to bring it home depends on, as far as that shows
    asked: float | None = None  # when the kubelet was last asked
    unclaimed: float | None = None  # since when it has known no pod that has the device
    answered: bool = False


class Reconciler:
    """Judges every loan, and has those brought home that nobody has.

    `holders` makes who follows them, given whom to wake. `reclaim` runs the mover for
    one device; None where that is not allowed or cannot work. `locked` tells whether
    a mover is at work on one. `changed` is called when `orphaned` is another than
    before. All in one event loop.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        holders: Callable[[Callable[[], object]], Following],
        reclaim: Run | None,
        locked: Callable[[str], bool],
        observer: Observer,
        changed: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._awake = asyncio.Event()
        self._holders = holders(self._awake.set)
        self._reclaims = (
            Reclaims(reclaim, told=observer.reclaimed, wake=self._awake.set, clock=clock)
            if reclaim
            else None
        )
        self._locked = locked
        self._observer = observer
        self._changed = changed
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._decisions: dict[str, Decision] = {}
        self.orphaned: Mapping[str, str] = {}
        """Why no pod may have a device: a live container has it that is no pod's."""

    @property
    def ask_at(self) -> float | None:
        """When the kubelet should next be asked for our sake, on the clock; None: need not be."""
        return min(
            (_ask_at(one) for one in self._watched.values() if self._kept(one)), default=None
        )

    def follow(self, view: View) -> None:
        """Hear what is lent, and that links may have changed."""
        now = self._clock()
        self._holders.follow(view.attachments)
        self._watched = {
            record.device: self._watch(record, view.snapshot, now) for record in view.attachments
        }
        if self._reclaims:
            self._reclaims.stir()
        self._awake.set()

    def hear(self, usage: Usage) -> None:
        """Hear what the kubelet says, or that it says nothing."""
        now = self._clock()
        devices = usage.devices
        for device, watched in self._watched.items():
            known = not usage.complete or device in devices
            known = known or usage.keeps(device, map(_pod, watched.record.holders))
            watched.asked, watched.answered = now, usage.complete
            if known:
                watched.unclaimed = None
            elif watched.unclaimed is None:
                watched.unclaimed = now
        self._awake.set()

    def step(self) -> float | None:
        """Judge, tell and act once; say when to do so again, if nobody calls before."""
        now = self._clock()
        busy = self._busy()
        loans = [self._loan(one) for device, one in self._watched.items() if device not in busy]
        verdict = decide(loans, now)
        self._tell({**busy, **{one.device: one for one in verdict.decisions}})
        times = [verdict.again, self._bring_home(now)]
        return min((at for at in times if at is not None), default=None)

    async def run(self) -> None:
        """Do so whenever something has changed, until cancelled."""
        try:
            while True:
                self._awake.clear()
                again = self.step()
                wait = None if again is None else max(0.0, again - self._clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._awake.wait()
        finally:
            self._holders.close()
            if self._reclaims:
                await self._reclaims.close()

    def _watch(self, record: Attachment, snapshot: Snapshot, now: float) -> _Watched:
        old = self._watched.get(record.device)
        new = _Watched(record, now, _about(record, snapshot))
        if old is None:
            return new
        if record.holders == old.record.holders:
            new.asked, new.answered, new.unclaimed = old.asked, old.answered, old.unclaimed
        unchanged = (record.phase, record.holders) == (old.record.phase, old.record.holders)
        # What a mover of ours changes on its way does not make another case of it.
        if unchanged or (
            record.device in self._decisions and _identity(record) == _identity(old.record)
        ):
            new.since = old.since
        return new

    def _busy(self) -> dict[str, Decision]:
        """What was decided of those that a mover of ours is at work on: that stands meanwhile."""
        return {
            device: decision
            for device, decision in self._decisions.items()
            if device in self._watched and self._reclaims and self._reclaims.at_work(device)
        }

    def _loan(self, watched: _Watched) -> Loan:
        record = watched.record
        seen = tuple(self._holders.seen(holder) for holder in record.holders)
        forsaken = all(one.life is Life.DEAD for one in seen)
        lockable = record.phase in AT_WORK or (record.phase is Phase.ATTACHED and forsaken)
        unclaimed = 0.0
        if watched.unclaimed is not None and watched.asked is not None:
            unclaimed = watched.asked - watched.unclaimed
        return Loan(
            record=record,
            since=watched.since,
            holders=seen,
            unclaimed=unclaimed,
            locked=lockable and self._locked(record.device),
        )

    def _kept(self, watched: _Watched) -> bool:
        """Whether a container that lives has the link: then it matters whether a pod does."""
        record = watched.record
        return record.phase is Phase.ATTACHED and any(
            self._holders.seen(holder).life is Life.ALIVE for holder in record.holders
        )

    def _tell(self, decisions: dict[str, Decision]) -> None:
        """Say what is new, once."""
        for device in self._decisions.keys() - decisions.keys():
            was = self._decisions[device].kind.value
            _log.info("Device is in order again", extra={"device": device, "was": was})
        for device, decision in decisions.items():
            if decision != self._decisions.get(device):
                self._tell_one(decision)
        self._decisions = decisions
        orphaned = {
            device: one.reason for device, one in decisions.items() if one.kind is Kind.ORPHANED
        }
        if orphaned != self.orphaned:
            self.orphaned = orphaned
            self._observer.orphans(len(orphaned))
            self._changed()

    def _tell_one(self, decision: Decision) -> None:
        device, kind = decision.device, decision.kind
        extra = {"device": device, "reason": decision.reason}
        if kind is not Kind.ORPHANED and self._reclaims is None:
            extra["remedy"] = f"its next use, or on the host: netdevice-plugin reclaim {device}"
        _log.warning(_MESSAGES[kind], extra=extra)
        new = device not in self._decisions
        if new and kind is Kind.ABANDONED and self._watched[device].record.phase is Phase.ATTACHED:
            self._observer.holders_died()

    def _bring_home(self, now: float) -> float | None:
        if self._reclaims is None:
            return None
        wanted = {
            device: self._watched[device].about
            for device, decision in self._decisions.items()
            if decision.kind is not Kind.ORPHANED
        }
        return self._reclaims.want(wanted, now)


def _pod(holder: Holder) -> Pod:
    """A holder's pod, as the kubelet calls it."""
    return Pod(namespace=holder.namespace, name=holder.pod, uid=holder.pod_uid)


def _ask_at(watched: _Watched) -> float:
    if watched.asked is None:
        return watched.since
    if watched.unclaimed is not None:
        settled = watched.asked - watched.unclaimed >= PATIENCE
    else:
        settled = watched.answered
    return watched.asked + (CALM if settled else PATIENCE)


def _identity(record: Attachment) -> tuple[object, ...]:
    """What a record keeps from the time that it is made to its end."""
    return record.netns, record.recorded, record.link


def _about(record: Attachment, snapshot: Snapshot) -> object:
    """A loan, and the links that may be in its way, or be the one that was lost."""
    if record.phase not in IN_TROUBLE:
        return _identity(record)
    names = {record.link.name, record.pod_name, *record.link.altnames}
    here = (
        (one.ifindex, one.name, one.altnames)
        for one in snapshot.interfaces
        if not one.lent and not names.isdisjoint((one.name, *one.altnames))
    )
    return (*_identity(record), *here)
