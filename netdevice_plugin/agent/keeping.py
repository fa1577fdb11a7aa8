"""Claims' CDI files kept as they should be: a container that starts again needs its own.

The kubelet has a claim prepared once for a pod, and never asks again while the pod's sandbox
lives: what somebody removes meanwhile, or what a new configuration makes out of date, is
nobody else's to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Protocol

from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import WatchError

AGAIN = 60.0  # seconds between looks though nothing was heard
SOON = 10.0  # the same, while something is wrong
GAP = 0.5  # seconds between two looks at least: our own writes are heard as well

_log = logging.getLogger(__name__)


class Kept(Protocol):
    """What is needed of `Claims`."""

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each checkpoint that cannot be read."""

    async def restore(self, *, thoroughly: bool = True) -> tuple[str, ...]:
        """Put right all files; returns a line for each that cannot be."""


class Keeping:
    """Looks after the files of claims in one directory, while `run` runs."""

    def __init__(self, claims: Kept, directory: Path, *, gap: float = GAP) -> None:
        self._claims = claims
        self._directory = directory
        self._gap = gap
        self._stirred = asyncio.Event()
        self._thoroughly = True
        self._said: tuple[str, ...] = ()
        self._blind = ""

    @property
    def problem(self) -> str:
        """What is wrong with the files of claims, one line; empty when nothing is."""
        return next(iter((*self._claims.problems, *self._said)), "")

    def stir(self) -> None:
        """What is right may be another now: the configuration is, or what is offered."""
        self._thoroughly = True
        self._stirred.set()

    async def look(self) -> None:
        """Put right what is not."""
        thoroughly, self._thoroughly = self._thoroughly, False
        problems = await self._claims.restore(thoroughly=thoroughly)
        for problem in problems:
            if problem not in self._said:
                _log.warning("Files of claims are not as they should be", extra={"reason": problem})
        if self._said and not problems:
            _log.info("Files of claims are as they should be again")
        self._said = problems
        self._thoroughly |= bool(problems)

    async def run(self) -> None:
        """Do so at once when something happens in the directory, for ever."""
        wake = asyncio.get_running_loop().call_soon_threadsafe

        def heard() -> None:
            """Ring once for many events: what rang before is answered by a look to come."""
            if not self._stirred.is_set():
                wake(self._stirred.set)

        with Watch(self._directory, heard) as watch:
            while True:
                self._stirred.clear()
                self._arm(watch)  # before the look, so that nothing falls between
                await self.look()
                await asyncio.sleep(self._gap)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SOON if self.problem or self._blind else AGAIN):
                        await self._stirred.wait()

    def _arm(self, watch: Watch) -> None:
        try:
            watch.arm()
            self._blind = ""
        except WatchError as error:
            if str(error) != self._blind:
                why = {"reason": str(error), "remedy": error.hint}
                _log.warning("Looking at the files of claims every ten seconds", extra=why)
            self._blind = str(error)
