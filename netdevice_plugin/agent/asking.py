"""What the kubelet says that pods have: asked when something depends on it, never in a storm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from netdevice_plugin.offering import InUse
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.serving.sockets import Mark, socket_mark
from netdevice_plugin.usage import podresources
from netdevice_plugin.usage.reading import read
from netdevice_plugin.usage.usage import Key, Usage

GAP = 1.0  # seconds between two questions at least
# Seconds from the first meeting with a kubelet for which the checkpoint is believed against
# podresources: one that has just started lists no pod before the API server has told it of
# them. What this kubelet has listed once and lists no more is over at once.
DISBELIEF = 60.0

_log = logging.getLogger(__name__)


class Asking:
    """Asks the kubelet for as long as `run` runs; `heard` is called with each answer."""

    def __init__(
        self,
        kubelet_dir: Path,
        metrics: Metrics,
        heard: Callable[[Usage], object],
        clock: Callable[[], float] = time.monotonic,
        read: Callable[..., Awaitable[Usage]] = read,
    ) -> None:
        self._kubelet_dir = kubelet_dir
        self._metrics = metrics
        self._heard = heard
        self._clock = clock
        self._read = read
        self._wanted = asyncio.Event()
        self._due: float | None = None
        self._asked = -GAP
        self._problems: frozenset[str] = frozenset()
        self._kubelet: Mark | None = None  # whose podresources have answered
        self._met = clock()  # when it was first met
        self._listed: set[Key] = set()  # what they have had of what the checkpoint has
        self.in_use = InUse()

    def soon(self) -> None:
        """Ask as soon as may be."""
        self.at(self._clock())

    def at(self, when: float | None) -> None:
        """Ask at that time, or earlier if that has been said already; None says nothing."""
        if when is not None and (self._due is None or when < self._due):
            self._due = when
            self._wanted.set()

    async def run(self, kinds: Callable[[], Collection[str]]) -> None:
        """Ask when it is time, until cancelled; `kinds` are the resources that are ours."""
        while True:
            await self._until_due()
            await self.ask(kinds())

    async def ask(self, kinds: Collection[str]) -> None:
        """Ask now."""
        self._due = None
        self._asked = self._clock()
        self._meet(socket_mark(self._kubelet_dir / podresources.NAME))
        usage = await self._read(self._kubelet_dir, *{kind.partition("/")[0] for kind in kinds})
        self._meet(socket_mark(self._kubelet_dir / podresources.NAME))  # it may be the next one's
        self._tell(usage)
        self.in_use = InUse(
            devices=self._devices(usage, kinds),
            serial=self.in_use.serial + 1,
            known=usage.complete or len(usage.problems) < 2,  # one of two sources has answered
            asked=self._asked,
        )
        self._heard(usage)

    def _meet(self, kubelet: Mark | None) -> None:
        if kubelet != self._kubelet:
            self._kubelet, self._met = kubelet, self._clock()
            self._listed.clear()

    async def _until_due(self) -> None:
        while True:
            self._wanted.clear()
            now = self._clock()
            due = None if self._due is None else max(self._due, self._asked + GAP)
            if due is not None and due <= now:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else due - now):
                    await self._wanted.wait()

    def _devices(self, usage: Usage, kinds: Collection[str]) -> dict[str, frozenset[str]]:
        """List what is in use by kind; what is another plugin's is left out.

        A kind that no pool has any more shows itself as ours by its CDI names, which
        are those that we give.
        """
        found: dict[str, set[str]] = {}
        now = self._clock()
        kept = {(grant.kind, device) for grant in usage.kept for device in grant.devices}
        ours = set(kinds) | {
            grant.kind
            for grant in usage.kept
            if set(grant.cdi_devices) >= {f"{grant.kind}={device}" for device in grant.devices}
        }
        denied = {key for key in kept if usage.complete and key not in usage.holders}
        over = denied if now - self._met >= DISBELIEF else denied & self._listed
        if usage.complete:
            self._listed = (self._listed | usage.holders.keys()) & kept
        believed = kept - over
        for kind, device in believed | usage.holders.keys():
            if kind in ours:
                found.setdefault(kind, set()).add(device)
        return {kind: frozenset(names) for kind, names in found.items()}

    def _tell(self, usage: Usage) -> None:
        self._metrics.queried("podresources", ok=usage.complete)
        self._metrics.queried("checkpoint", ok=len(usage.problems) == (not usage.complete))
        problems = frozenset(map(str, usage.problems))
        for problem in usage.problems:
            if str(problem) not in self._problems:
                _log.warning(
                    "The kubelet does not say what pods have",
                    extra={"reason": str(problem), "remedy": problem.hint},
                )
        self._problems = problems
