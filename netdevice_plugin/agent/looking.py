"""The present, kept: links as the kernel tells them, and the mover's records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from netdevice_plugin import inventory
from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import InventoryError, WatchError
from netdevice_plugin.inventory import lent
from netdevice_plugin.look import View
from netdevice_plugin.model import Snapshot
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.records import Records

AGAIN = 1.0  # seconds until a kernel that could not be read is asked again

_log = logging.getLogger(__name__)


class Looking:
    """Follows links and records; `stirred` is called when either may be another than before."""

    def __init__(self, run_dir: Path, metrics: Metrics, stirred: Callable[[], object]) -> None:
        self._run_dir = run_dir
        self._metrics = metrics
        self._stirred = stirred
        self._records = Records(run_dir)
        self._links: Snapshot | None = None
        self._view: tuple[Snapshot, View] | None = None
        self.first = asyncio.Event()  # there is a snapshot
        self.trouble = ""  # why the kernel cannot be read

    def view(self) -> View | None:
        """Look at the records, and put both together; the same object if nothing changed.

        A link's record is written before it leaves and removed once it is home: read
        after the links, records lack no link that is away.
        """
        changed = self._records.read()
        links = self._links
        if links is None:
            return None
        if changed or self._view is None or self._view[0] is not links:
            records = self._records.attachments
            merged = lent.merge(links, records)
            view = View(snapshot=merged, attachments=records, problems=self._records.problems)
            self._metrics.loans(records, len(self._records.problems))
            self._view = links, view
        return self._view[1]

    @property
    def last(self) -> View | None:
        """What `view` returned last; for any thread."""
        return self._view[1] if self._view else None

    async def follow_links(self, node_addresses: Sequence[str]) -> None:
        """Follow the kernel for ever, whatever it answers."""
        while True:
            try:
                links = inventory.stream(
                    node_addresses=node_addresses, on_overrun=self._metrics.netlink_overrun
                )
                async for snapshot in links:
                    self._links, self.trouble = snapshot, ""
                    self._metrics.snapshot()
                    self.first.set()
                    self._stirred()
            except InventoryError as error:
                if str(error) != self.trouble:
                    _log.error("The kernel cannot be read", extra={"reason": str(error)})
                self.trouble = str(error)
            await asyncio.sleep(AGAIN)

    async def follow_records(self) -> None:
        """Follow the records' directory for ever."""
        stirred = asyncio.Event()
        wake = asyncio.get_running_loop().call_soon_threadsafe
        with Watch(self._run_dir / "attachments", lambda: wake(stirred.set)) as watch:
            while True:
                stirred.clear()
                try:
                    watch.arm()
                except WatchError as error:
                    _log.error(
                        "Looking at the records every second",
                        extra={"reason": str(error), "remedy": error.hint},
                    )
                    asyncio.get_running_loop().call_later(AGAIN, stirred.set)
                self._stirred()
                await stirred.wait()
