"""How soon the kubelet knows what the kernel knows, and what the agent costs a node."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence

from benchmarks.listing import many_links
from benchmarks.node import Agent, node
from benchmarks.numbers import Samples, Table, milliseconds
from benchmarks.rtnl import Events
from benchmarks.scene import RATE, Change, Delays, Scene
from tests.kernel.scratch import Netns

CALLERS = 8  # at once


@dataclasses.dataclass(frozen=True, slots=True)
class Effort:
    """How much is done at each number of links."""

    marks: int  # links that are made and removed, one at a time
    storm: float  # seconds
    calls: int  # of each sort
    settle: float  # seconds, after which memory is looked at
    quiet: float  # seconds


FULL = Effort(marks=40, storm=6, calls=4000, settle=3, quiet=15)
QUICK = Effort(marks=1, storm=0.3, calls=16, settle=0.1, quiet=0.1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All figures of one number of links; seconds, MiB, shares of one core."""

    registered: float
    listed: float
    memory: tuple[float, float]
    quiet: float
    created: Delays
    removed: Delays
    calls: dict[tuple[str, int], Samples]
    stormy: Delays
    rate: float
    busy: float
    after: tuple[float, float]


def following(counts: Sequence[int], effort: Effort) -> Table:
    """Measure a whole agent at each number of links."""
    found = []
    for count in counts:
        with many_links(count) as space:
            space.ip("link", "set", "lo", "up")  # for the agent's own port
            found.append(space.call(lambda space=space: _measure(space, effort)))  # type: ignore[misc]
    return _table(counts, found, effort)


def _measure(space: Netns, effort: Effort) -> Found:
    links = _ifbs(space)
    with Events() as events, node() as (kubelet, agent):
        kubelet.until(lambda: "registered" in kubelet.noted, "was called")
        kubelet.until(lambda: kubelet.healthy == links, "had the list")
        time.sleep(effort.settle)
        memory = agent.memory()
        quiet, _ = cost(agent, lambda: time.sleep(effort.quiet))
        scene = Scene(kubelet, events, links)
        created, removed = scene.one_by_one(effort.marks)
        calls = {
            (what, callers): Samples(kubelet.call(what, callers, effort.calls // callers))
            for what, callers in itertools.product(("options", "allocate"), (1, CALLERS))
        }
        made: list[Change] = []
        busy, wall = cost(agent, lambda: made.extend(scene.storm(effort.storm)))
        stormy = scene.aftermath(made, _ifbs(space))
        return Found(
            registered=(kubelet.noted["registered"]["at"] - agent.started) / 1e9,
            listed=(max(kubelet.added[name] for name in links) - agent.started) / 1e9,
            memory=memory,
            quiet=quiet,
            created=created,
            removed=removed,
            calls=calls,
            stormy=stormy,
            rate=scene.changes / wall,
            busy=busy,
            after=agent.memory(),
        )


def _ifbs(space: Netns) -> frozenset[str]:
    return frozenset(link["ifname"] for link in space.json("link", "show", "type", "ifb"))


def cost(agent: Agent, act: Callable[[], object]) -> tuple[float, float]:
    """Say what share of one core the agent takes meanwhile, and how long that is."""
    wall, cpu = time.monotonic(), agent.cpu()
    act()
    wall, cpu = time.monotonic() - wall, agent.cpu() - cpu
    return cpu / wall, wall


# What a row is called, the target in the words, and its cell for one number of links.
_ROWS: Sequence[tuple[str, str, Callable[[Found], str]]] = (
    ("link created, until it is listed: median", "30", lambda f: str(f.created.told)),
    ("link created: 95 %", "", lambda f: milliseconds(f.created.told.percentile(95))),
    ("link created: median from the end of the request", "", lambda f: str(f.created.answered)),
    (
        "link created: the kernel, from the request to its event",
        "",
        lambda f: str(f.created.kernel),
    ),
    ("link removed, until it is not healthy: median", "30", lambda f: str(f.removed.told)),
    ("link removed: 95 %", "", lambda f: milliseconds(f.removed.told.percentile(95))),
    ("in a storm, link created: median", "100", lambda f: str(f.stormy.told)),
    ("in a storm, link created: 95 %", "", lambda f: milliseconds(f.stormy.told.percentile(95))),
    ("in a storm, CPU, % of a core", "100", lambda f: f"{f.busy * 100:.1f}"),
    ("in a storm, changes per second", f"{RATE}", lambda f: f"{f.rate:.1f}"),
    ("start until registered", "700", lambda f: milliseconds(f.registered)),
    ("start until the kubelet has the list", "", lambda f: milliseconds(f.listed)),
    ("Allocate, one caller: median", "1", lambda f: str(f.calls["allocate", 1])),
    (
        "Allocate, one caller: 99 %",
        "",
        lambda f: milliseconds(f.calls["allocate", 1].percentile(99)),
    ),
    (f"Allocate, {CALLERS} callers: median", "1", lambda f: str(f.calls["allocate", CALLERS])),
    (
        f"Allocate, {CALLERS} callers: 99 %",
        "5",
        lambda f: milliseconds(f.calls["allocate", CALLERS].percentile(99)),
    ),
    ("empty call, one caller: median", "", lambda f: str(f.calls["options", 1])),
    (f"empty call, {CALLERS} callers: median", "", lambda f: str(f.calls["options", CALLERS])),
    (
        f"empty call, {CALLERS} callers: 99 %",
        "",
        lambda f: milliseconds(f.calls["options", CALLERS].percentile(99)),
    ),
    ("resident memory, MiB", "60 at 64, 100 at 2,048", lambda f: f"{f.memory[0]:.1f}"),
    ("after the storm, MiB", "", lambda f: f"{f.after[0]:.1f}"),
    ("proportional share (PSS), MiB", "", lambda f: f"{f.memory[1]:.1f}"),
    ("idle, CPU, % of a core", "0.1", lambda f: f"{f.quiet * 100:.3f}"),
)


def _table(counts: Sequence[int], found: Sequence[Found], effort: Effort) -> Table:
    unseen = sum(one.stormy.unseen for one in found)
    made = sum(len(one.stormy.told.seconds) for one in found)
    return Table(
        title="Agent",
        columns=("ms, or what is said", *(f"{count:,}" for count in counts), "target"),
        rows=tuple((name, *map(cell, found), target) for name, target, cell in _ROWS),
        notes=(
            f"Columns: links, all ifb and up, in one pool. {effort.marks} links were created and "
            "removed one at a time; times are from when a bare netlink socket heard of the link to "
            "when a kubelet in Python, a process of its own, had decoded the list. The CDI file is "
            f"written and synced before that. Storm: for {effort.storm:g} s, of each 50 changes 20 "
            "create a link, 20 remove one that was there for half a second, and 10 set an MTU. "
            "Afterwards the kubelet's list was the kernel's: no update was lost. Of "
            f"{made + unseen:,} links {unseen} were gone before they were in a list.",
            f"Calls: {effort.calls:,} in all from one client in Python, whose own time is in them; "
            "the empty call is GetDevicePluginOptions, which does nothing. Start: from before it. "
            f"Memory: {effort.settle:g} s after the first list. Idle: {effort.quiet:g} s, before "
            "any change.",
        ),
    )
