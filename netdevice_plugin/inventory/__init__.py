"""What links the host has: a snapshot, or a live stream of them.

For others are the two functions here, `uplinks.protect` and `lent.merge`. Nothing in
this package writes, and importing it is cheap: asyncio comes with the stream alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from netdevice_plugin.inventory.source import SYSFS, Reader, snapshot
from netdevice_plugin.model import Snapshot

__all__ = ["snapshot", "stream"]


def stream(
    *,
    sysfs: Path = SYSFS,
    node_addresses: Sequence[str] = (),
    on_overrun: Callable[[], None] = lambda: None,
) -> AsyncIterator[Snapshot]:
    """Yield a snapshot now, and another each time that one differs from the last.

    `on_overrun` is called when the kernel told more than we could hear, so that all
    is read anew. `live.stream` tells the rest, and takes more arguments.
    """
    from netdevice_plugin.inventory import live  # noqa: PLC0415 - asyncio costs 40 ms

    return live.stream(kernel=Reader(sysfs, node_addresses), on_overrun=on_overrun)
