"""What became of each loan, and when to look again. Pure.

It only ever says what is so. That a live container keeps its link is not decided
here but by the mover, which looks for itself under the device's lock; that nothing
is decided from ignorance is: a holder that cannot be seen is not dead, and a kubelet
that does not answer knows every device.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable

from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.loans.loan import AT_WORK, Life, Seen, describe

# Seconds that a runtime has to call poststop itself: containerd needs two after its shim is killed.
GRACE = 5.0
PATIENCE = 10.0  # seconds for which no pod must have had a device before it is nobody's
RETRY = (5.0, 300.0)  # seconds to the second attempt; twice as many each time, up to
EAGER = 15.0  # at most so many, if links have changed since the last
GAP = 1.0  # at least so many, even if all is different now


class Kind(enum.Enum):
    """What can be wrong with a loan."""

    ORPHANED = (
        "orphaned"  # a live container has the link, and no pod of the kubelet's has the device
    )
    ABANDONED = "abandoned"  # nobody has the link, and nobody is bringing it home
    LOST = "lost"
    STRANDED = "stranded"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A record, and what else is known. Times are seconds of a monotonic clock."""

    record: Attachment
    since: float  # first seen in this phase, with these holders
    holders: tuple[Seen, ...] = ()  # one for each of the record's
    # For how long the kubelet, whenever it was asked, has known no pod that has the device.
    unclaimed: float = 0.0
    locked: bool = False  # a mover is at work


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What is wrong with a device's loan; `reason` is a line."""

    kind: Kind
    device: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """All that is wrong, and when that can change without anything being heard; None: never."""

    decisions: tuple[Decision, ...]
    again: float | None


def decide(loans: Iterable[Loan], now: float) -> Verdict:
    """Judge each loan by itself; the same loans at the same time give the same verdict."""
    judged = [_judge(loan, now) for loan in loans]
    times = [at for _, at in judged if at is not None]
    return Verdict(tuple(found for found, _ in judged if found), min(times, default=None))


def _judge(loan: Loan, now: float) -> tuple[Decision | None, float | None]:
    record = loan.record
    if record.phase is Phase.LOST:
        reason = record.error or "it is neither in the pod's network namespace nor on the host"
        return Decision(Kind.LOST, record.device, reason), None
    if record.phase is Phase.STRANDED:
        reason = record.error or "it is home, but not as it was"
        return Decision(Kind.STRANDED, record.device, reason), None
    if record.phase in AT_WORK:
        reason = record.error or f"a mover has died while {record.phase.value}"
        return _abandoned(loan, loan.since, reason, now)
    died = _died(loan)
    if died is None:
        return _orphaned(loan), None
    who = describe(record.holders[0]) if record.holders else "its holder"
    return _abandoned(loan, died, f"{who} is dead", now)


def _died(loan: Loan) -> float | None:
    """When the last holder died; None unless all are known to be dead."""
    if any(seen.life is not Life.DEAD for seen in loan.holders):
        return None
    return max((seen.since for seen in loan.holders), default=loan.since)


def _abandoned(
    loan: Loan, since: float, reason: str, now: float
) -> tuple[Decision | None, float | None]:
    """Give whoever should end it time to; nothing tells when a mover that had the lock dies."""
    if loan.locked:
        return None, now + GRACE
    if now < since + GRACE:
        return None, since + GRACE
    return Decision(Kind.ABANDONED, loan.record.device, reason), None


def _orphaned(loan: Loan) -> Decision | None:
    living = [
        holder
        for holder, seen in zip(loan.record.holders, loan.holders, strict=True)
        if seen.life is Life.ALIVE
    ]
    if not living or loan.unclaimed < PATIENCE:
        return None
    holder = living[0]
    why = "a pod that the kubelet does not know" if holder.pod else "which is no pod's"
    return Decision(Kind.ORPHANED, loan.record.device, f"held by {describe(holder)}, {why}")


def retry(failures: int, ended: float, *, stirred: bool, changed: bool) -> float:
    """Say when to try again after so many failures, the last of which ended then.

    `changed`: what the failure was about is another now; `stirred`: some link is, and
    which one matters cannot be told.
    """
    if changed:
        return ended + GAP
    first, most = RETRY
    wait = min(most, first * 2.0 ** min(failures - 1, 10))
    return ended + (min(wait, EAGER) if stirred else wait)
