"""Who may change claims: one task for each of them, one process for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from cdi.errors import reason
from netdevice_plugin.errors import ClaimError

FILE = "serialize.lock"

PATIENCE = 20.0  # seconds; the kubelet gives a call 45
STEP = 0.01  # seconds between two attempts

_REMEDY = "the agent has to be able to write there; in a pod it is mounted from the host"


class Locks:
    """A lock for each name that anybody wants, for as long as somebody does. For one event loop."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def holding(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Have all of them, taken in their order, so that nobody waits for each other."""
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._one(name))
            yield

    def busy(self, name: str) -> bool:
        """Whether anybody has it, or wants it."""
        return name in self._wanted

    @contextlib.asynccontextmanager
    async def _one(self, name: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._wanted[name] = self._wanted.get(name, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._wanted[name] -= 1
            if not self._wanted[name]:
                del self._wanted[name], self._locks[name]


class Turn:
    """A process's turn among all that have the directory: flock(2) on a file in it.

    Tasks share it: what they may not do at once is for `Locks`. `taken` is awaited
    whenever it may have been another's meanwhile. It is asked for again and again,
    because a thread that waits for flock cannot be told to give up.
    """

    def __init__(
        self, directory: Path, taken: Callable[[], Awaitable[None]], patience: float = PATIENCE
    ) -> None:
        self._path = directory / FILE
        self._taken = taken
        self._patience = patience
        self._entering = asyncio.Lock()
        self._tasks = 0
        self._descriptor = -1

    async def __aenter__(self) -> None:
        async with self._entering:
            if not self._tasks:
                self._descriptor = await self._take()
                try:
                    await self._taken()
                except BaseException:
                    os.close(self._descriptor)
                    raise
            self._tasks += 1

    async def __aexit__(self, *_: object) -> None:
        self._tasks -= 1
        if not self._tasks:
            os.close(self._descriptor)

    def give_up(self) -> None:
        """Wait no longer than it takes to ask once."""
        self._patience = 0.0

    async def _take(self) -> int:
        began = time.monotonic()
        while True:
            try:
                if (descriptor := self._attempt()) is not None:
                    return descriptor
            except OSError as error:
                text = f"cannot lock {self._path}: {reason(error)}"
                raise ClaimError(text, hint=_REMEDY) from error
            if time.monotonic() - began > self._patience:
                hint = "another instance holds it; the kubelet tries again"
                raise ClaimError(f"{self._path} is locked", hint=hint)
            await asyncio.sleep(STEP)

    def _attempt(self) -> int | None:
        """Lock the file that is there now; None if another has it, or the file was replaced."""
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), self._path.lstat()):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None
