"""Many publishers on a clock of its own: hours in seconds, and an API server that only counts.

The publishers are the agent's own code, with its own waits; what is played is the event
loop's clock, and the calls of the API server.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import copy
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from netdevice_plugin.dra.cluster.answers import Object
from netdevice_plugin.dra.cluster.api import Event, Listed
from netdevice_plugin.dra.cluster.errors import ExpiredError, NotFoundError, UnreachableError

LATENCY = 0.01  # seconds that a request takes

_Result = TypeVar("_Result")


class _Clock(selectors.DefaultSelector):
    """Waits for nothing: as nobody talks to the outside, time may as well go on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += max(timeout or 0.0, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: _Clock) -> None:
        super().__init__(clock)
        self._virtual = clock
        self._clock_resolution = 1e-6  # what is due is done, though sums are not exact

    def time(self) -> float:
        return self._virtual.now


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run it in a loop whose time passes only while all wait."""
    loop = _Loop(_Clock())
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


class Ledger:
    """All nodes' slices, and what was asked in which second."""

    def __init__(self) -> None:
        self.asked: collections.Counter[tuple[int, str]] = collections.Counter()
        self.away = False
        self.nodes: dict[str, Slices] = {}
        self._version = 0

    def at(self, node: str) -> Slices:
        """The API server as one node sees it."""
        self.nodes[node] = made = Slices(self, node)
        return made

    def version(self) -> str:
        """The next resourceVersion."""
        self._version += 1
        return str(self._version)

    async def answer(self, verb: str) -> None:
        """Take note of a request; raises UnreachableError while it is away."""
        now = asyncio.get_running_loop().time()
        self.asked[int(now), verb] += 1
        if self.away:
            raise UnreachableError("connection refused")
        await asyncio.sleep(LATENCY)
        if self.away:
            raise UnreachableError("connection reset")

    def leave(self) -> None:
        """End all connections, and take no more."""
        self.away = True
        for node in self.nodes.values():
            node.cut(UnreachableError("connection reset"))

    @contextlib.contextmanager
    def counted(self) -> Iterator[collections.Counter[tuple[int, str]]]:
        """What is asked meanwhile."""
        before = self.asked
        found: collections.Counter[tuple[int, str]] = collections.Counter()
        self.asked = found
        yield found
        self.asked = before + found


class Slices:
    """What `Publisher` asks of an `Api`, for one node."""

    def __init__(self, ledger: Ledger, node: str) -> None:
        self._ledger = ledger
        self._node = node
        self.slices: dict[str, Object] = {}
        self._watch: asyncio.Queue[Event | Exception | None] | None = None
        self._history: list[Event] = []
        self._oldest = 0

    def compact(self) -> None:
        """Forget what was, as an API server does: watches from then on are refused (410)."""
        self._oldest = int(self._ledger.version())

    def wipe(self) -> None:
        """Delete all, as the kubelet does when it starts."""
        for name in tuple(self.slices):
            self._tell("DELETED", self.slices.pop(name))

    def cut(self, error: Exception | None) -> None:
        """End the watch: as after its time, or with an error."""
        if self._watch:
            self._watch.put_nowait(error)

    async def discover(self) -> str:
        """See `Api`, here and below."""
        await self._ledger.answer("discovery")
        return "v1"

    async def node(self, name: str) -> str:
        """See `Api`."""
        await self._ledger.answer("get node")
        return f"uid-{name}"

    async def list_slices(self, driver: str, node: str, *, cached: bool = False) -> Listed:
        """See `Api`."""
        await self._ledger.answer("list")
        return Listed(tuple(self.slices.values()), self._ledger.version())

    @contextlib.asynccontextmanager
    async def watch_slices(
        self, driver: str, node: str, position: str, seconds: float
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """See `Api`."""
        await self._ledger.answer("watch")
        if int(position) < self._oldest:
            raise ExpiredError("too old resource version")
        self._watch = asyncio.Queue()
        for event in self._history:
            if int(event.position) > int(position):
                self._watch.put_nowait(event)
        yield self._events(self._watch, seconds)

    async def _events(
        self, queue: asyncio.Queue[Event | Exception | None], seconds: float
    ) -> AsyncIterator[Event]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while event := await queue.get():
                    if isinstance(event, Exception):
                        raise event
                    yield event

    async def slice(self, name: str) -> Object:
        """See `Api`."""
        await self._ledger.answer("get slice")
        if name not in self.slices:
            raise NotFoundError(name)
        return self.slices[name]

    async def create_slice(self, made: Object) -> Object:
        """See `Api`."""
        await self._ledger.answer("write")
        version = self._ledger.version()
        name = f"{made['metadata']['generateName']}{version}"
        metadata = {**made["metadata"], "name": name, "uid": version}
        return self._keep({**made, "metadata": metadata}, "ADDED")

    async def update_slice(self, made: Object) -> Object:
        """See `Api`."""
        await self._ledger.answer("write")
        return self._keep(made, "MODIFIED")

    async def delete_slice(self, name: str, *, uid: str, resource_version: str = "") -> None:
        """See `Api`."""
        await self._ledger.answer("write")
        self._tell("DELETED", self.slices.pop(name))

    def _keep(self, made: Object, kind: str) -> Object:
        kept = copy.deepcopy(dict(made))
        kept["metadata"]["resourceVersion"] = self._ledger.version()
        self.slices[kept["metadata"]["name"]] = kept
        self._tell(kind, kept)
        return kept

    def _tell(self, kind: str, one: Object) -> None:
        version = one["metadata"]["resourceVersion"]
        if kind == "DELETED":
            version = self._ledger.version()
            one = {**one, "metadata": {**one["metadata"], "resourceVersion": version}}
        self._history.append(event := Event(kind, one, version))
        if self._watch:
            self._watch.put_nowait(event)


async def until(holds: Callable[[], bool], patience: float) -> float:
    """Wait until it holds, and say for how long that took, to a tenth of a second."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not holds():
        await asyncio.sleep(0.1)
        assert loop.time() - started < patience, "it never came to that"
    return loop.time() - started
