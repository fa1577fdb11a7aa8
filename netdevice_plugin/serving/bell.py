"""Waiting for something to hold that any of many things may bring about."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Bell:
    """Rung after each change; who waits then looks whether it is what he waits for.

    For one event loop: as nothing can happen between a look and the wait, nothing
    is missed, and however many changes come together make one look.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event.clear()

    async def heard(self, patience: float | None = None) -> bool:
        """Wait for the next ring, or for that many seconds: then the answer is False."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                return await self._event.wait()
        return False

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once it holds; at once if it does already."""
        while not holds():
            await self.heard()
