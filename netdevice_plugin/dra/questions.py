"""What claims wait for others for: never for longer than they may, nor beyond the agent's end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from netdevice_plugin.dra import allocation
from netdevice_plugin.dra.claim import Allocation, ClaimRef
from netdevice_plugin.dra.giving import Place
from netdevice_plugin.errors import ClusterError


class Questions:
    """Questions that are open; `patience` is in seconds, for each to the API server."""

    def __init__(self, place: Place, patience: float) -> None:
        self._place = place
        self._patience = patience
        self._open: set[asyncio.Timeout] = set()

    async def claim(self, ref: ClaimRef) -> Allocation:
        """Read what a claim has. Raises ClaimError, and ClusterError if nobody knows."""
        try:
            async with self.within(self._patience):
                claim = await self._place.read_claim(ref)
        except TimeoutError as error:
            within = f"within {self._patience:g} s" if self._patience else "before the agent ended"
            raise ClusterError(f"no answer from the API server {within}") from error
        return allocation.decode(claim, ref, driver=self._place.driver, node=self._place.node)

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Wait for so long at most in a `with` statement. Raises TimeoutError."""
        question = asyncio.timeout(seconds if self._patience else 0.0)
        self._open.add(question)
        try:
            async with question:
                yield
        finally:
            self._open.discard(question)

    def give_up(self) -> None:
        """Wait for nobody any more, for good."""
        self._patience = 0.0
        for question in self._open:
            question.reschedule(asyncio.get_running_loop().time())
