"""Work in threads: one after the other where it must be, and always to its end."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from netdevice_plugin.errors import FunctionError

_T = TypeVar("_T")


class Turns:
    """Threads, at most so many at work, and locks by name; for one event loop."""

    def __init__(self, threads: int) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "functions")
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, job: Callable[[], _T]) -> _T:
        """Do that in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    async def alone(self, place: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do that while nobody else does anything there.

        Whoever asked and went away does not end what has begun.
        """
        task = asyncio.create_task(self._locked(place, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _locked(self, place: str, work: Callable[[], Awaitable[None]]) -> None:
        async with self._locks.setdefault(place, asyncio.Lock()):
            await work()

    async def close(self) -> None:
        """Wait for what is at work."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False)


async def every(jobs: Iterable[Awaitable[None]]) -> None:
    """Do all of it at once; what fails has been told, and is no bug."""
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, FunctionError):
            raise result
