"""What an agent has of the kernel, by kind: so that it is seen of what there came to be more."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pathlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping

from netdevice_plugin.dra.book import THREADS
from netdevice_plugin.functions.lending import THREADS as BINDING
from tests.e2e.agent import Agent

PATIENCE = 60.0  # seconds
_APART = 0.2  # seconds between looks: nothing tells of another process's threads
_ALIKE = 3  # looks in a row, before an agent is believed to be at rest

# Threads that come when they are needed and stay, up to so many; see ARCHITECTURE.md. gRPC keeps
# one for each processor, but 16 at most, and ends others when they were idle for 20 s.
CEILINGS = {
    "claims": THREADS,
    "functions": BINDING,
    "asyncio": min(32, (os.cpu_count() or 1) + 4),
    "event_engine": 16,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Threads by name, see `named`; descriptors by what they are; and the memory."""

    threads: Mapping[str, int]
    descriptors: Mapping[str, int]
    rss: int = 0  # KiB

    def __str__(self) -> str:
        threads, descriptors = sum(self.threads.values()), sum(self.descriptors.values())
        return f"{threads} threads, {descriptors} descriptors, {self.rss} KiB"

    @classmethod
    def of(cls, agent: Agent) -> Size:
        """Look at it."""
        lines = agent.proc("status").read_text().splitlines()
        values = dict(line.split(":\t", 1) for line in lines)
        rss = int(values["VmRSS"].split()[0])
        return cls(_counted(_threads(agent)), _counted(_descriptors(agent)), rss)

    @classmethod
    def at_rest(cls, agent: Agent) -> Size:
        """Look until some looks in a row are alike: what is just being made or ended is not it."""
        deadline = time.monotonic() + PATIENCE
        looks = [cls.of(agent)]
        while len(looks) < _ALIKE:
            assert time.monotonic() < deadline, f"it never rests: {looks[-1]!r}"
            time.sleep(_APART)
            now = cls.of(agent)
            alike = (now.threads, now.descriptors) == (looks[-1].threads, looks[-1].descriptors)
            looks = [*looks, now] if alike else [now]
        return looks[-1]


def assert_no_more(agent: Agent, before: Size, ceilings: Mapping[str, int] = CEILINGS) -> None:
    """Fail unless it comes to have no more than before; it may just be asking the kubelet."""
    deadline = time.monotonic() + PATIENCE
    while more := grown(before, Size.of(agent), ceilings):
        assert time.monotonic() < deadline, f"more than before, for good: {', '.join(more)}"
        time.sleep(_APART)


def grown(before: Size, now: Size, ceilings: Mapping[str, int]) -> list[str]:
    """Of what there is more than before; where there is a ceiling, more than that."""
    return [
        f"{name} {was.get(name, 0)} -> {count}"
        for was, is_ in ((before.threads, now.threads), (before.descriptors, now.descriptors))
        for name, count in is_.items()
        if count > ceilings.get(name, was.get(name, 0))
    ]


def to_port(port: int) -> str:
    """What descriptors of connections to a port are called."""
    return f"tcp to {port}"


def _counted(names: Iterable[str]) -> Mapping[str, int]:
    return collections.Counter(names)


def _threads(agent: Agent) -> Iterator[str]:
    for path in agent.proc("task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended since
            yield (path / "comm").read_text().strip()


def _descriptors(agent: Agent) -> Iterator[str]:
    sockets = dict(_sockets(agent))
    for path in agent.proc("fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            name = str(path.readlink())
            yield sockets.get(name) or re.sub(r":\[\d+\]$", "", name)


def _sockets(agent: Agent) -> Iterator[tuple[str, str]]:
    """Sockets as descriptors name them, and what they are; those of TCP by where they lead.

    One that was accepted is in the network namespace of who has connected: the kubelet's is ours.
    """
    for line in agent.proc("net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        yield f"socket:[{words[9]}]", to_port(int(words[2].rpartition(":")[2], 16))
    for kind, table, column in (
        ("netlink", agent.proc("net/netlink"), 9),
        ("unix", agent.proc("net/unix"), 6),
        ("unix", pathlib.Path("/proc/net/unix"), 6),
    ):
        for line in table.read_text().splitlines()[1:]:
            yield f"socket:[{line.split()[column]}]", kind
