"""Tasks that belong together: they end together, and none dies unseen."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Iterable
from typing import Any

from netdevice_plugin.errors import NetdevError

FAREWELL = 1.5  # seconds for tasks to end
LAST = 1.9  # seconds after which the process ends in any case

_log = logging.getLogger(__name__)


async def first_of(*work: Awaitable[Any]) -> None:
    """Return, or raise, when the first of them does so; the others are cancelled.

    Of several that fail at once a bug comes first: our own errors may follow from it.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)
    _raise(task.exception() for task in tasks if task in done and not task.cancelled())


async def _end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel, and see them end; one that does not is left behind."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=FAREWELL)


def _raise(errors: Iterable[BaseException | None]) -> None:
    found = [error for error in errors if error]
    for error in sorted(found, key=lambda error: isinstance(error, NetdevError)):
        raise error


def end_soon(seconds: float = LAST) -> None:
    """End the process by then, though a thread hang in a file system that does not answer.

    Python waits for threads at its end, and nobody could tell why it does not come.
    """

    def end() -> None:
        _log.error("Something does not end; leaving it", extra={"seconds": seconds})
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
