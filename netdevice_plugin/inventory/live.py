"""A live stream of snapshots: whatever changes in the kernel makes a new one.

Never on a timer: a change is told by the kernel, and then all is read again. What it
does not tell (the altnames and alias of a link that is down, as of 6.18) shows with the
next change of anything.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from netdevice_plugin.inventory import source
from netdevice_plugin.inventory.changes import Changes
from netdevice_plugin.inventory.rtnl import InterruptedDumpError
from netdevice_plugin.model import Snapshot

COALESCE = 0.03  # seconds from a first change to the look at all that came with it
SHARE = 0.2  # of one core that reading takes at most, while changes do not end

_log = logging.getLogger(__name__)


async def stream(
    *,
    sysfs: Path = source.SYSFS,
    node_addresses: Sequence[str] = (),
    coalesce: float = COALESCE,
    receive_buffer: int | None = None,
    read: Callable[..., Snapshot] = source.snapshot,
) -> AsyncIterator[Snapshot]:
    """Yield a snapshot now, and another each time that one differs from the last.

    It is of the network namespace of the thread that runs the event loop. Reading
    is done in a thread, as it takes tenths of a second for thousands of links; the
    pause between two readings grows with that. What changes while the consumer is
    busy shows in its next snapshot. `receive_buffer` is in bytes. Raises
    InventoryError if the kernel cannot be read; if it is only too busy for a
    consistent list, it is asked again.
    """
    # A worker of our own: it is in our network namespace, and never reads twice at once.
    worker = ThreadPoolExecutor(1, "inventory")
    reading = functools.partial(read, sysfs=sysfs, node_addresses=node_addresses)
    last: Snapshot | None = None
    try:
        with Changes(receive_buffer) as changes:
            while True:
                changes.forget()
                began = time.monotonic()
                current = await _read(worker, reading)
                ended = time.monotonic()
                if current is not None and current != last:
                    last = current
                    yield current
                if current is not None:
                    await changes.wait()
                earliest = ended + (ended - began) * (1 / SHARE - 1)
                await asyncio.sleep(max(coalesce, earliest - time.monotonic()))
    finally:
        # A reading that is under way ends by itself; it shares nothing with us.
        worker.shutdown(wait=False, cancel_futures=True)


async def _read(worker: ThreadPoolExecutor, reading: Callable[[], Snapshot]) -> Snapshot | None:
    """Take a snapshot in the thread; None if the kernel was too busy for one."""
    try:
        return await asyncio.get_running_loop().run_in_executor(worker, reading)
    except InterruptedDumpError as error:
        _log.info("inventory: %s", error)
        return None
