"""A directory of the kubelet's, and word of every change there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import WatchError
from netdevice_plugin.serving.bell import Bell

HEARTBEAT = 10.0  # seconds between looks though nothing was heard
BLIND = 1.0  # the same, while the directory cannot be watched

_log = logging.getLogger(__name__)


class Lookout:
    """Watches a directory, which may come and go, while it is entered; any number may wait."""

    def __init__(
        self,
        directory: Path,
        watch: Callable[[Path, Callable[[], object]], Watch] = Watch,
    ) -> None:
        self.directory = directory
        self._make_watch = watch
        self._bell = Bell()
        self._blind = False

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds that depends on what is in the directory."""
        while not holds():
            if not await self._bell.heard(BLIND if self._blind else HEARTBEAT):
                self._look()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._watch = self._make_watch(
            self.directory, lambda: loop.call_soon_threadsafe(self._look)
        )
        self._watch.__enter__()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.__exit__(kind, error, trace)

    def _look(self) -> None:
        """Watch what is there now, and have everybody look at it."""
        try:
            self._watch.arm()
            self._blind = False
        except WatchError as error:
            if not self._blind:
                why = {"reason": str(error), "remedy": error.hint}
                _log.warning("Looking at the kubelet's directory every second", extra=why)
            self._blind = True
        self._bell.ring()
