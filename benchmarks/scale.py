"""What five thousand nodes ask of one API server, and when; docs/scale.md has what follows.

First on a virtual clock, with the publishers of all nodes. Then, to see that the clock does
not lie, some of them over real HTTP, against the API server of the tests.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import cast

from lightkube import SingleConfig
from lightkube.config.models import Cluster, Context, User

from benchmarks.numbers import Table
from benchmarks.virtual import Ledger, run, until
from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.pacing import Timing
from netdevice_plugin.dra.cluster.publisher import Publisher
from netdevice_plugin.model import Device, Frontend, Interface, Listed, Pool
from netdevice_plugin.offering import Listing
from tests.fakes.apiserver import ApiServer

DRIVER = "networking.k8s.io"
DEVICES = 8
_LONG = 3600.0

Asked = collections.Counter[tuple[int, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Effort:
    """How many nodes, and for how long they are left alone or without an API server; seconds."""

    nodes: int
    steady: float
    away: float
    real: int  # nodes of the part with real HTTP
    real_away: float


FULL = Effort(nodes=5000, steady=3600, away=600, real=200, real_away=20)
QUICK = Effort(nodes=20, steady=600, away=60, real=3, real_away=0.5)


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """What happened to all nodes, and what they asked because of it."""

    name: str
    asked: Asked
    seconds: float  # until all was well again

    def row(self, nodes: int) -> tuple[str, ...]:
        """As a line of the table."""
        by_second: collections.Counter[int] = collections.Counter()
        writes: collections.Counter[int] = collections.Counter()
        for (second, verb), count in self.asked.items():
            by_second[second] += count
            if verb == "write":
                writes[second] += count
        total = sum(by_second.values())
        return (
            self.name,
            f"{self.seconds:,.1f}",
            f"{total / nodes:.2f}",
            f"{total / max(self.seconds, 1):,.1f}",
            f"{max(by_second.values(), default=0):,}",
            f"{max(writes.values(), default=0):,}",
        )


_COLUMNS = ("what", "seconds", "requests per node", "per second", "peak", "peak of writes")


def listing() -> Listing:
    """What a node has: so many links in one pool."""
    links = [
        Interface(ifindex=i + 1, name=f"eth{i}", mac="02:00:00:00:00:01") for i in range(DEVICES)
    ]
    devices = (Device(name=one.name, pool="netdevice", interface=one) for one in links)
    pool = Pool(name="netdevice", frontend=Frontend.DRA)
    return Listing(pool=pool, devices=tuple(Listed(device=one) for one in devices))


class _Fleet:
    """All nodes' publishers, on the virtual clock."""

    def __init__(self, effort: Effort, timing: Timing) -> None:
        self._effort = effort
        self._timing = timing
        self._dice = random.Random(0)  # noqa: S311 - the same numbers every time
        self.ledger = Ledger()
        self.publishers: list[Publisher] = []

    async def start(self, spread: float, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start them all within so many seconds."""
        return [
            tasks.create_task(self._one(f"node-{number}", self._dice.random() * spread))
            for number in range(self._effort.nodes)
        ]

    def published(self) -> bool:
        """Whether each node has its slice, and knows it."""
        return (
            len(self.publishers) == self._effort.nodes
            and all(len(one.slices) == 1 for one in self.ledger.nodes.values())
            and not any(one.problem for one in self.publishers)
        )

    async def _one(self, node: str, later: float) -> None:
        await asyncio.sleep(later)
        api = cast(Api, self.ledger.at(node))
        publisher = Publisher(
            api, driver=DRIVER, node=node, timing=self._timing, chance=self._dice.random
        )
        publisher.publish([listing()])
        self.publishers.append(publisher)
        await publisher.run()


async def _phases(effort: Effort, timing: Timing, spread: float) -> list[Phase]:
    fleet = _Fleet(effort, timing)
    ledger, found = fleet.ledger, []

    async def phase(name: str, act: Callable[[], object], well: Callable[[], bool]) -> None:
        with ledger.counted() as asked:
            act()
            found.append(Phase(name, asked, await until(well, _LONG)))

    def wipe() -> None:
        for node in ledger.nodes.values():
            node.wipe()

    def third() -> None:
        for number, node in enumerate(ledger.nodes.values()):
            if number % 3 == 0:
                node.cut(None)

    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            running: list[asyncio.Task[None]] = []
            with ledger.counted() as asked:
                running += await fleet.start(spread, tasks)
                seconds = await until(fleet.published, _LONG)
            found.append(Phase(f"roll-out over {spread:g} s", asked, seconds))
            with ledger.counted() as asked:
                await asyncio.sleep(effort.steady)
            found.append(Phase("nothing happens", asked, effort.steady))
            await phase("a third of the watches ends", third, _after(5))
            await phase("all kubelets start at once", wipe, fleet.published)
            with ledger.counted() as asked:
                ledger.leave()
                await asyncio.sleep(effort.away)
            found.append(Phase(f"API server away for {effort.away:g} s", asked, effort.away))
            ledger.away = False
            await phase("it is back", lambda: None, fleet.published)
            for task in running:
                task.cancel()
    return found


def _after(seconds: float) -> Callable[[], bool]:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    return lambda: loop.time() >= end


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Have thousands of agents not tell that the API server is away."""
    log = logging.getLogger("netdevice_plugin")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@_quietly()
def simulated(effort: Effort, timings: Sequence[tuple[str, Timing]]) -> Table:
    """All nodes on the virtual clock, with the figures that are in use and with others."""
    rows: list[tuple[str, ...]] = []
    for name, timing in timings:
        for spread in (60.0, 0.0) if not name else (60.0,):
            for phase in run(_phases(effort, timing, spread))[: 1 if spread == 0 else None]:
                row = phase.row(effort.nodes)
                rows.append((f"{name}: {row[0]}" if name else row[0], *row[1:]))
    return Table(
        title=f"{effort.nodes:,} nodes, on a virtual clock",
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=(
            f"Each node has one slice with {DEVICES} devices. Seconds: until every node's slice "
            "is there and its agent knows it. Peak: the most requests in one second, watches and "
            "attempts that are refused included.",
        ),
    )


@contextlib.asynccontextmanager
async def _really(server: ApiServer, count: int, timing: Timing) -> AsyncIterator[list[Publisher]]:
    """So many publishers, each with its own connections."""
    cluster, user = Cluster(server=server.url), User(token=server.admin)
    config = SingleConfig("tests", Context("tests"), cluster, user)
    apis = [Api(config) for _ in range(count)]
    publishers = [
        Publisher(api, driver=DRIVER, node=f"node-{number}", timing=timing)
        for number, api in enumerate(apis)
    ]
    tasks = [asyncio.create_task(one.run()) for one in publishers]
    try:
        yield publishers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for api in apis:
            await api.close()


@_quietly()
def over_http(effort: Effort, timing: Timing) -> Table:
    """Fewer nodes, over real HTTP."""
    with ApiServer() as server:
        for number in range(effort.real):
            server.cluster.add_node(f"node-{number}")
        rows = asyncio.run(_measured(server, effort, timing))
    return Table(
        title=f"{effort.real:,} nodes, over HTTP",
        columns=_COLUMNS,
        rows=tuple(phase.row(effort.real) for phase in rows),
        notes=("The API server of the tests, and all publishers in one process beside it.",),
    )


async def _measured(server: ApiServer, effort: Effort, timing: Timing) -> list[Phase]:
    found: list[Phase] = []
    loop = asyncio.get_running_loop()

    async def phase(name: str, act: Callable[[], object], well: Callable[[], bool]) -> None:
        server.book.clear()
        started = loop.time()
        act()
        while not well():
            await asyncio.sleep(0.05)
        found.append(Phase(name, _noted(server), loop.time() - started))

    async with _really(server, effort.real, timing) as publishers:

        def well() -> bool:
            slices = server.cluster.slices(driver=DRIVER)
            return len(slices) == effort.real and not any(one.problem for one in publishers)

        def publish() -> None:
            for one in publishers:
                one.publish([listing()])

        await phase("roll-out over 0 s", publish, well)
        await phase("all kubelets start at once", lambda: _wipe(server, effort.real), well)
        await phase("all watches end", server.cut_watches, _after(timing.first_retry + 1))
        server.go_away()
        await asyncio.sleep(effort.real_away)
        await phase(f"back after {effort.real_away:g} s", server.come_back, well)
    return found


def _wipe(server: ApiServer, count: int) -> None:
    for number in range(count):
        server.cluster.wipe_slices(f"node-{number}")


def _noted(server: ApiServer) -> Asked:
    writes = ("create", "update", "delete")
    return collections.Counter(
        (int(one.at), "write" if one.verb in writes else one.verb) for one in server.book.find()
    )


CHOSEN = (("", Timing()),)
HASTE = Timing(longest_retry=0.5, foreign=0.1)
ALTERNATIVES = (
    *CHOSEN,
    ("retry up to 10 s", Timing(longest_retry=10)),
    ("retry up to 30 s", Timing(longest_retry=30)),
    ("others' changes within 1 s", Timing(foreign=1)),
    ("others' changes within 20 s", Timing(foreign=20)),
    ("watches of 5 to 10 min", Timing(watch=(300, 600))),
)
