"""Claims that are over and that nobody unprepared: a kubelet that lost its state never does.

Such a claim would keep its devices from other pools for ever. It is let go when the
kubelet lists no pod with it, its links are not in a container, and the API server says
that it is gone, or not allocated here any more. The API server is asked last, and only
about claims that no pod has: of all that is in order, never. A CDI file of a claim that
no checkpoint tells of, because somebody removed it, goes when no pod has its devices.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from netdevice_plugin.errors import ClusterError, NetdevError
from netdevice_plugin.look import View
from netdevice_plugin.model import device_name
from netdevice_plugin.usage.usage import Answer

if TYPE_CHECKING:
    from netdevice_plugin.dra.claim import Allocation
    from netdevice_plugin.dra.claims import Claims

FIRST = 60.0  # seconds from the start: a kubelet that starts as well unprepares by itself
EVERY = 600.0  # seconds between two passes, half of it by chance

_log = logging.getLogger(__name__)


class Sweeping:
    """Lets them go, while `run` runs.

    `ask` is podresources' List. `hooked` tells of a pool whether each of its links that is
    in a container has a record; `view` is what is there now.
    """

    def __init__(
        self,
        claims: Claims,
        *,
        ask: Callable[[], Awaitable[Answer]],
        view: Callable[[], View | None],
        hooked: Callable[[str], bool],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._claims = claims
        self._ask = ask
        self._view = view
        self._hooked = hooked
        self._chance = chance
        self._orphans: frozenset[str] = frozenset()  # files that were nobody's the last time

    async def run(self, first: float = FIRST, every: float = EVERY) -> None:
        """Sweep now and then, for ever."""
        await asyncio.sleep(first * (1 + self._chance()))
        while True:
            await self.sweep()
            await asyncio.sleep(every * (0.5 + self._chance()))

    async def sweep(self) -> None:
        """Look at all claims once; what cannot be found out now is for the next time."""
        try:
            orphans = await self._claims.orphans()
            suspects = [one for one in self._claims.allocations if self._unused(one)]
            if not (orphans or suspects):
                return
            had = await self._ask()
            for one in suspects:
                if (one.claim.namespace, one.claim.name) not in had.claims:
                    await self._settle(one)
            await self._clear(orphans, had.claimed)
        except NetdevError as error:
            _log.debug("Claims that are over are looked for later", extra={"reason": str(error)})

    async def _clear(self, orphans: frozenset[str], names: Collection[str]) -> None:
        """Remove files of what was never prepared, as far as anybody knows; not at first sight.

        A kubelet that has just started lists no pod yet.
        """
        unused = frozenset(uid for uid in orphans if not any(f"={uid}-" in name for name in names))
        for uid in sorted(unused & self._orphans):
            await self._claims.remove_orphan(uid)
        self._orphans = unused

    async def _settle(self, one: Allocation) -> None:
        try:
            await self._claims.let_go(one, lambda: self._unused(one))
        except ClusterError:
            raise
        except NetdevError as error:
            why = {"claim": f"{one.claim.namespace}/{one.claim.name}", "reason": str(error)}
            _log.warning("Claim that no pod has cannot be let go", extra=why)

    def _unused(self, one: Allocation) -> bool:
        """Whether it is sure that none of its links is in a container."""
        view = self._view()
        if view is None:
            return False
        noted = {record.device for record in view.attachments}
        broken = {error.device for error in view.problems}  # "" is all of them
        here = {device_name(link.name) for link in view.snapshot.interfaces if not link.lent}
        return not broken & {"", *_devices(one)} and all(
            device not in noted and (self._hooked(pool) or device in here)
            for pool, device in _owned(one)
        )


def _owned(one: Allocation) -> Collection[tuple[str, str]]:
    """Its devices with their pools; what it may only look at stays where it is."""
    return [(it.pool.partition("/")[2], it.device) for it in one.results if not it.admin]


def _devices(one: Allocation) -> set[str]:
    return {device for _, device in _owned(one)}
