"""A store in an event loop, and somebody who uses it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import cdi
from netdevice_plugin import cdifiles
from netdevice_plugin.cdistore import CdiStore, Pace, State
from tests.unit.cdistore.devices import CONFIG, POOL, devices

PATIENCE = 10  # seconds
FAST = Pace(check=0.01, again=30, first=0.02, cap=0.1, calm=5)


def within_patience(
    test: Callable[..., Coroutine[None, None, None]],
) -> Callable[..., None]:
    """Run an asynchronous test."""

    @functools.wraps(test)
    def run(*args: object, **keywords: object) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **keywords), 6 * PATIENCE))

    return run


class Agent:
    """What uses a store: keeps the states that it is told of."""

    def __init__(self, directory: Path, pace: Pace = FAST) -> None:
        self.directory = directory
        self.store = CdiStore(directory, self._hear, pace=pace)
        self.heard: list[State] = []
        self._news = asyncio.Event()

    def _hear(self, state: State) -> None:
        self.heard.append(state)
        self._news.set()

    async def write(self, *names: str, ifindex: int = 5) -> State:
        return await self.store.write({POOL: devices(*names, ifindex=ifindex)}, CONFIG)

    async def told(self, wanted: Callable[[State], bool]) -> State:
        """Wait to be told of a state."""
        async with asyncio.timeout(PATIENCE):
            while not wanted(self.store.state):
                self._news.clear()
                await self._news.wait()
        assert self.heard[-1] == self.store.state
        return self.store.state


@contextlib.asynccontextmanager
async def agent(directory: Path, pace: Pace = FAST) -> AsyncIterator[Agent]:
    made = Agent(directory, pace)
    running = asyncio.create_task(made.store.run())
    try:
        yield made
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(reached: Callable[[], bool]) -> None:
    """Wait for what nobody tells of: a look every few milliseconds."""
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.sleep(0.002)


def whole(*names: str, ifindex: int = 5) -> bytes:
    listed = devices(*names, ifindex=ifindex)
    spec = cdifiles.build(
        POOL,
        listed,
        mover=CONFIG.mover_path,
        run_dir=CONFIG.run_dir,
        timeout=CONFIG.hook_timeout,
    )
    assert spec
    return cdi.dumps(spec)
