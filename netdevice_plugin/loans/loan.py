"""What a record of the mover's means. Pure, given who lives."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

from netdevice_plugin.attachments import Attachment, Holder, Phase

IN_TROUBLE = (Phase.LOST, Phase.STRANDED)
AT_WORK = (Phase.ATTACHING, Phase.RETURNING)  # a mover is, or has died


def pod(holder: Holder) -> str:
    """Name a holder's pod; empty where it is in none."""
    return f"{holder.namespace}/{holder.pod}" if holder.pod else ""


def describe(holder: Holder) -> str:
    """Name a holder for a message."""
    of = f" of {pod(holder)}" if holder.pod else ""
    return f"container {holder.container[:12]}{of}"


class Life(enum.Enum):
    """What can be seen of a holder's first process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"  # no view of the host's processes, or none of this one


Judge = Callable[[Attachment, Holder], Life]


def why_reclaim(attachment: Attachment, judge: Judge) -> str:
    """Why nobody would miss the link; empty while a container has it that may live."""
    if attachment.phase is Phase.LOST:
        return "it is lost"
    if attachment.phase is Phase.STRANDED:
        return "it is home, but not as it was"
    if attachment.phase is not Phase.ATTACHED:
        return f"a mover has died while {attachment.phase.value}"
    return "" if may_live(attachment, judge) else "its holder is dead"


def may_live(attachment: Attachment, judge: Judge) -> tuple[Holder, ...]:
    """List the holders that are not known to be dead; the mover takes nothing from these."""
    return tuple(one for one in attachment.holders if judge(attachment, one) is not Life.DEAD)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """How a holder was when last looked at, and since when, in seconds of a monotonic clock."""

    life: Life
    since: float
