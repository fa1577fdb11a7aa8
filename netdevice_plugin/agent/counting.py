"""Virtual functions made as the configuration says: before anything is offered, and from then on.

After a boot there are none, and the kubelet refuses a pod whose device is not there when
the list comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from netdevice_plugin.functions.counts import find
from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.model import Snapshot
from netdevice_plugin.offering import InUse
from netdevice_plugin.provisioning import PfCount

PATIENCE = 60.0  # seconds that all other devices wait for a driver that makes VFs
APPEARANCE = 5.0  # seconds from when VFs are made until the kernel has told of them all

_log = logging.getLogger(__name__)

Records = Mapping[str, FunctionRecord]


class Counts(Protocol):
    """Who writes the numbers: `functions.counts.Counts`."""

    faults: Mapping[str, str]

    async def follow(
        self,
        counts: Sequence[PfCount],
        snapshot: Snapshot,
        records: Records,
        given: Collection[str] = (),
    ) -> None:
        """Make it so where it can be."""

    def close(self) -> None:
        """End."""


class Counting:
    """Keeps the numbers of VFs while `run` runs; `records` are those of functions.

    A number is only changed when the kubelet has said, since that was wanted, which VFs
    pods have: also those whose containers do not run just now, and have no link.
    """

    def __init__(
        self,
        counts: Counts,
        records: Callable[[], Records],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counts = counts
        self._clock = clock
        self._records = records
        self._seen: tuple[Sequence[PfCount], Snapshot, frozenset[str]] | None = None
        self._wanted: Sequence[PfCount] = ()
        self._since = 0.0  # when they were first wanted
        self._news = asyncio.Event()
        self._begun: asyncio.Future[None] | None = None
        self.waits = False
        """A number is to be changed: it depends on what pods have."""
        self.unsure = False
        """Likewise, and nobody was asked since."""

    def look(self, counts: Sequence[PfCount], snapshot: Snapshot, in_use: InUse) -> None:
        """Hear what is wanted, what there is, and what pods have of it."""
        if counts != self._wanted:
            self._wanted, self._since = counts, self._clock()
        self.waits = not all(_at_once(one, snapshot) for one in counts)
        self.unsure = self.waits and not (in_use.known and in_use.asked > self._since)
        names = frozenset[str]().union(*in_use.devices.values())
        if counts and not self.unsure and (counts, snapshot, names) != self._seen:
            self._seen = counts, snapshot, names
            self._news.set()

    async def first(
        self,
        counts: Sequence[PfCount],
        seen: Callable[[], Snapshot],
        stirred: asyncio.Event,
    ) -> None:
        """Make what is missing, and return when it is there, or after a while.

        A number that is to be changed is left to `run`: pods may have some of them.
        """
        snapshot = seen() if counts else Snapshot()
        counts = tuple(one for one in counts if _at_once(one, snapshot))
        if not counts:
            return
        self._begun = asyncio.ensure_future(self._counts.follow(counts, snapshot, self._records()))
        await asyncio.wait((self._begun,), timeout=PATIENCE)
        if not self._begun.done():  # one NIC whose driver hangs must not cost the node all others
            names = ", ".join(one.pf for one in counts)
            _log.warning("Virtual functions take long to make", extra={"pfs": names})
            return
        self._begun.result()
        try:
            async with asyncio.timeout(APPEARANCE):
                while missing := _missing(counts, self._counts.faults, seen()):
                    stirred.clear()
                    await stirred.wait()
        except TimeoutError:
            _log.warning("Virtual functions have not appeared", extra={"pfs": ", ".join(missing)})

    async def run(self) -> None:
        """Follow, until cancelled."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if self._seen:
                    counts, snapshot, given = self._seen
                    await self._counts.follow(counts, snapshot, self._records(), given)
        finally:
            self._counts.close()


def _at_once(count: PfCount, snapshot: Snapshot) -> bool:
    """Whether no VF has to be taken away before the number is right, as far as can be seen."""
    pf = find(snapshot, count.pf)
    return not (pf and pf.pf) or pf.pf.num_vfs in (0, count.num_vfs)


def _missing(counts: Iterable[PfCount], faults: Mapping[str, str], snapshot: Snapshot) -> list[str]:
    """Name the PFs that have VFs of which links or functions are not in sight yet."""
    there = [*snapshot.interfaces, *snapshot.functions]
    found = []
    for count in counts:
        pf = None if count.pf in faults else find(snapshot, count.pf)
        if pf and pf.pci:
            vfs = [one for one in there if one.vf and one.vf.pf_address == pf.pci.address]
            if len(vfs) < count.num_vfs:
                found.append(count.pf)
    return found
