"""Several things awaited at once, of which the first to end decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def first(*coroutines: Awaitable[None]) -> None:
    """Return, or raise, as the first of them does, and leave none behind."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
