"""What links the host has: a snapshot, or a live stream of them.

Only `lent`, `uplinks` and the two functions here are for others. Nothing in this
package writes, and importing it is cheap: asyncio comes with the stream alone.
"""

from __future__ import annotations

from netdevice_plugin.inventory.source import snapshot

__all__ = ["snapshot"]
