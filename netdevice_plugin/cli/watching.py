"""`--watch`: links and records as they change, never on a timer. The event loop's edge."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from netdevice_plugin import inventory
from netdevice_plugin.config import Config
from netdevice_plugin.directory import Watch
from netdevice_plugin.inventory.rtnl import InterruptedDumpError
from netdevice_plugin.look import View, look

COALESCE = 0.03  # seconds from a first change to the look at all that came with it


async def watch(
    config: Config, show: Callable[[View], None], read: Callable[[Config], View] = look
) -> None:
    """Show the present, and again whenever something may have changed, until cancelled.

    A kernel that is too busy for a consistent list is asked again. Raises
    InventoryError and AttachmentError where it cannot be asked at all.
    """
    changed = asyncio.Event()
    wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, changed.set)
    following = asyncio.create_task(_follow(config, changed))
    following.add_done_callback(lambda _: changed.set())
    with Watch(config.run_dir / "attachments", wake) as records:
        while not following.done():
            changed.clear()
            records.arm()
            try:
                show(read(config))
            except InterruptedDumpError:
                changed.set()
            await changed.wait()
            await asyncio.sleep(COALESCE)
    await following


async def _follow(config: Config, changed: asyncio.Event) -> None:
    async for _ in inventory.stream(node_addresses=config.node_addresses):
        changed.set()
