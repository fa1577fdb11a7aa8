"""Virtual functions made as the configuration says: before anything is offered, and from then on.

After a boot there are none, and the kubelet refuses a pod whose device is not there when
the list comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from netdevice_plugin.functions.counts import find
from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.model import Snapshot
from netdevice_plugin.provisioning import PfCount

PATIENCE = 60.0  # seconds that all other devices wait for a driver that makes VFs
APPEARANCE = 5.0  # seconds from when VFs are made until the kernel has told of them all

_log = logging.getLogger(__name__)

Records = Mapping[str, FunctionRecord]


class Counts(Protocol):
    """Who writes the numbers: `functions.counts.Counts`."""

    faults: Mapping[str, str]

    async def follow(self, counts: Sequence[PfCount], snapshot: Snapshot, records: Records) -> None:
        """Make it so where it can be."""

    def close(self) -> None:
        """End."""


class Counting:
    """Keeps the numbers of VFs while `run` runs; `records` are those of functions."""

    def __init__(self, counts: Counts, records: Callable[[], Records]) -> None:
        self._counts = counts
        self._records = records
        self._seen: tuple[Sequence[PfCount], Snapshot] | None = None
        self._news = asyncio.Event()
        self._begun: asyncio.Future[None] | None = None

    def look(self, counts: Sequence[PfCount], snapshot: Snapshot) -> None:
        """Hear what is wanted, and what there is."""
        if counts and (counts, snapshot) != self._seen:
            self._seen = counts, snapshot
            self._news.set()

    async def first(
        self,
        counts: Sequence[PfCount],
        seen: Callable[[], Snapshot],
        stirred: asyncio.Event,
    ) -> None:
        """Make what is missing, and return when it is there, or after a while."""
        if not counts:
            return
        self._begun = asyncio.ensure_future(self._counts.follow(counts, seen(), self._records()))
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
                    await self._counts.follow(*self._seen, self._records())
        finally:
            self._counts.close()


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
