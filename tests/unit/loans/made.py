"""Records and loans to decide about, and what else a test has to play."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from netdevice_plugin.attachments import Attachment, Holder, HostLink, Phase
from netdevice_plugin.errors import MoverError
from netdevice_plugin.loans.loan import Life, Seen
from netdevice_plugin.loans.reconcile import Loan
from netdevice_plugin.mover import Outcome

WEB = Holder(
    container="c" * 64, pid=7, start_time=70, namespace="default", pod="web-0", pod_uid="uid-1"
)
PODMAN = Holder(container="d" * 64, pid=8, start_time=80)


def record(
    device: str = "eth1",
    *holders: Holder,
    phase: Phase = Phase.ATTACHED,
    error: str = "",
) -> Attachment:
    link = HostLink(name=device, ifindex=7, kind="veth", mac="02:00:00:00:00:07")
    return Attachment(
        device=device, phase=phase, link=link, netns=(4, 9), holders=holders, error=error
    )


def loan(made: Attachment, *lives: Life, since: float = 0, **known: float) -> Loan:
    """A loan whose holders have been so from the beginning."""
    return Loan(
        record=made,
        since=since,
        holders=tuple(Seen(life, since) for life in lives),
        unclaimed=known.get("unclaimed", 0),
        locked=bool(known.get("locked", False)),
    )


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """What the metrics were told."""

    def __init__(self) -> None:
        self.orphaned: list[int] = []
        self.died = 0
        self.codes: list[int] = []

    def orphans(self, count: int) -> None:
        self.orphaned.append(count)

    def holders_died(self, count: int = 1) -> None:
        self.died += count

    def reclaimed(self, code: int) -> None:
        self.codes.append(code)


class Runs:
    """Runs of a mover that ends as it is told: at once, or when `go` is called."""

    def __init__(self, clock: Clock, *outcomes: Outcome | MoverError, hold: bool = False) -> None:
        self.clock = clock
        self.outcomes = list(outcomes)
        self.hold = hold
        self.begun: list[tuple[float, str]] = []
        self.at_once = 0
        self.most = 0
        self.check: Callable[[str], object] = lambda device: None
        self._going = asyncio.Event()

    @property
    def devices(self) -> list[str]:
        return [device for _, device in self.begun]

    def go(self) -> None:
        self._going.set()

    async def __call__(self, device: str) -> Outcome:
        self.check(device)
        self.begun.append((self.clock(), device))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await (self._going.wait() if self.hold else asyncio.sleep(0))
        finally:
            self.at_once -= 1
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(1, "failed")
        if isinstance(outcome, MoverError):
            raise outcome
        return outcome


async def settle() -> None:
    """Let everything in the loop that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)
