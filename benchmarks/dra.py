"""How soon the cluster knows of a node's links, and what a claim costs there."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Sequence

from benchmarks.agent import cost
from benchmarks.claimnode import Asked, Cluster, Consumer, claim_node
from benchmarks.listing import many_links
from benchmarks.node import Agent, node
from benchmarks.numbers import Samples, Table, milliseconds
from benchmarks.rtnl import Events
from benchmarks.scene import RATE, Delays, Scene
from tests.kernel.scratch import Netns


@dataclasses.dataclass(frozen=True, slots=True)
class Effort:
    """How much is done at each number of links."""

    marks: int  # links that are made, given an address, and removed, one at a time
    storm: float  # seconds
    claims: int  # prepared one after the other
    rounds: int  # of claims at the same time
    settle: float  # seconds, after which memory is looked at
    quiet: float  # seconds
    parallel: int = 64  # claims at the same time, if there are as many links
    # Seconds between changes: a slice is written again half a second later at the soonest.
    rest: tuple[float, float] = (0.55, 0.75)


FULL = Effort(marks=40, storm=10, claims=300, rounds=20, settle=3, quiet=15)
QUICK = Effort(marks=1, storm=0.2, claims=2, rounds=1, settle=0.1, quiet=0.1, rest=(0.0, 0.1))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What came of many changes."""

    changes: float  # per second
    busy: float  # share of a core
    writes: int  # of slices
    per_second: float
    caught_up: float  # seconds from its end to the last write
    memory: float  # MiB


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All figures of one number of links; seconds, MiB, shares of one core."""

    base: float  # resident memory of an agent whose pool is the device plugin's
    memory: float
    registered: float
    published: float  # from the agent's start
    publishing: float  # from its first question to the API server
    quiet: float
    created: Delays
    addressed: Samples
    removed: Delays
    one: dict[str, Samples]
    many: dict[str, Samples]
    storm: Storm


_Peers = tuple[Cluster, Consumer, Agent]


def claiming(counts: Sequence[int], effort: Effort) -> Table:
    """Measure a whole agent at each number of links."""
    found = []
    for count in counts:
        with many_links(count) as space:
            space.ip("link", "set", "lo", "up")  # for the API server
            found.append(space.call(lambda space=space: _measure(space, effort)))  # type: ignore[misc]
    return _table(counts, found, effort)


def _measure(space: Netns, effort: Effort) -> Found:
    links = _mtus(space)
    base = _base(links.keys(), effort.settle)
    with Events() as events, claim_node() as (cluster, consumer, agent):
        consumer.until(lambda: "registered" in consumer.noted, "registered the driver")
        consumer.until(lambda: consumer.healthy == links.keys(), "saw the pool")
        published = max(consumer.added[name] for name in links)
        asked = cluster.asked()
        time.sleep(effort.settle)
        memory = agent.memory()[0]
        quiet, _ = cost(agent, lambda: time.sleep(effort.quiet))
        refs = cluster.claims(sorted(links)[: effort.parallel])
        one = consumer.claim("singly", refs, effort.claims)
        many = consumer.claim("at once", refs, effort.rounds)
        scene = Scene(consumer, events, links, effort.rest)
        created, addressed, removed = scene.with_addresses(effort.marks, consumer.addressed)
        return Found(
            base=base,
            memory=memory,
            registered=(consumer.noted["registered"]["at"] - agent.started) / 1e9,
            published=(published - agent.started) / 1e9,
            publishing=published / 1e9 - _asking(asked),
            quiet=quiet,
            created=created,
            addressed=addressed,
            removed=removed,
            one=one,
            many=many,
            storm=_storm(space, scene, (cluster, consumer, agent), effort.storm),
        )


def _base(links: Collection[str], settle: float) -> float:
    """Say how much memory an agent has that offers the same through the device plugin."""
    with node() as (kubelet, agent):
        kubelet.until(lambda: kubelet.healthy == links, "had the list")
        time.sleep(settle)
        return agent.memory()[0]


def _mtus(space: Netns) -> dict[str, int]:
    return {link["ifname"]: link["mtu"] for link in space.json("link", "show", "type", "ifb")}


def _asking(asked: Asked) -> float:
    """When the agent asked for slices first, which nobody else lists."""
    return min(at for at, verb, _ in asked.requests if verb == "list")


def _storm(space: Netns, scene: Scene, peers: _Peers, seconds: float) -> Storm:
    """Change links for so long, and wait until the slices are as the links are."""
    cluster, consumer, agent = peers
    cluster.asked()
    began = time.monotonic()
    busy, wall = cost(agent, lambda: scene.storm(seconds))
    ended = time.monotonic()
    true = _mtus(space)
    consumer.until(lambda: consumer.mtus == true, "saw a pool that is true")
    written = cluster.asked().writes()
    return Storm(
        changes=scene.changes / wall,
        busy=busy,
        writes=len(written),
        per_second=len(written) / (time.monotonic() - began),
        caught_up=max(0.0, max(written) - ended),
        memory=agent.memory()[0],
    )


_Row = tuple[str, str, Callable[[Found], str]]  # its name, the target in the words, a cell


def _times(name: str, target: str, of: Callable[[Found], Samples], *percents: int) -> list[_Row]:
    """Make the rows of one thing that was timed: its median, and what few exceed."""
    rows: list[_Row] = [(f"{name}: median", target, lambda found: str(of(found)))]
    for percent in percents:
        cell = functools.partial(_percentile, of, percent)
        rows.append((f"{name}: {percent} %", "", cell))
    return rows


def _percentile(of: Callable[[Found], Samples], percent: int, found: Found) -> str:
    return milliseconds(of(found).percentile(percent))


_ROWS: Sequence[_Row] = (
    *_times("link created, until the pool shows it", "150 at 64", lambda f: f.created.told, 95),
    *_times("address added, until it does", "150 at 64", lambda f: f.addressed, 95),
    *_times("link removed, until it does", "150 at 64", lambda f: f.removed.told, 95),
    ("start until the kubelet has the driver", "", lambda f: milliseconds(f.registered)),
    ("start until the pool is complete", "", lambda f: milliseconds(f.published)),
    ("first request until the pool is complete", "3000", lambda f: milliseconds(f.publishing)),
    *_times("Prepare", "10 and the API read", lambda f: f.one["prepare"], 99),
    *_times("the API read alone", "", lambda f: f.one["get"], 99),
    *_times("a file of that size, synced and renamed", "", lambda f: f.one["file"], 99),
    *_times("Unprepare", "", lambda f: f.one["unprepare"], 99),
    *_times("Prepare of 64 claims, one call", "", lambda f: f.many["prepare together"]),
    *_times("Prepare of 64 claims, 64 calls", "", lambda f: f.many["prepare apart"]),
    *_times("Unprepare of 64 claims, one call", "", lambda f: f.many["unprepare together"]),
    *_times("Unprepare of 64 claims, 64 calls", "", lambda f: f.many["unprepare apart"]),
    ("in a storm, changes per second", f"{RATE}", lambda f: f"{f.storm.changes:.1f}"),
    ("in a storm, writes per second", "2", lambda f: f"{f.storm.per_second:.2f}"),
    ("in a storm, CPU, % of a core", "", lambda f: f"{f.storm.busy * 100:.1f}"),
    ("end of the storm until the last write", "", lambda f: milliseconds(f.storm.caught_up)),
    ("resident memory, MiB", "25 more than the next", lambda f: f"{f.memory:.1f}"),
    ("with a device plugin's pool, MiB", "", lambda f: f"{f.base:.1f}"),
    ("after the storm, MiB", "", lambda f: f"{f.storm.memory:.1f}"),
    ("idle, CPU, % of a core", "", lambda f: f"{f.quiet * 100:.3f}"),
)


def _table(counts: Sequence[int], found: Sequence[Found], effort: Effort) -> Table:
    return Table(
        title="Agent with claims",
        columns=("ms, or what is said", *(f"{count:,}" for count in counts), "target"),
        rows=tuple((name, *map(cell, found), target) for name, target, cell in _ROWS),
        notes=(
            f"Columns: links, all ifb and up, in one pool of DRA. {effort.marks} links were "
            "created, given an address, and removed, one at a time with a rest in between. Until "
            "the pool shows it: from when a bare netlink socket heard of the link (an address: "
            "from the end of the request) to when a watch of slices over HTTP had been decoded, in "
            "a process of its own; a pool shows nothing before all its slices agree. The API "
            "server is that of the tests, a process of its own with nothing else to do.",
            f"Prepare: {effort.claims} round trips on the DRA socket, a claim with a device each, "
            "in turn with a GET of the claim by the agent's own client in another process and the "
            f"write of a file beside the kubelet's directory, which is on a disk. At the same time:"
            f" {effort.rounds} rounds of at most {effort.parallel} claims. Storm: for "
            f"{effort.storm:g} s, as in the agent's table, but that MTUs are in slices. Writes per "
            f"second: {', '.join(str(one.storm.writes) for one in found)} in all, until the pool "
            "was, link for link and MTU for MTU, what the kernel has. "
            f"Memory: {effort.settle:g} s after the pool was complete. Idle: for {effort.quiet:g} "
            "s, before any change.",
        ),
    )
