"""Links that come and go on a node, and how long each time until who follows them knew."""

from __future__ import annotations

import dataclasses
import functools
import random
import time
from collections.abc import Callable, Iterable

from benchmarks.node import Follower
from benchmarks.numbers import Samples
from benchmarks.rtnl import DEL, NEW, Events, Links

RATE = 500  # changes per second, in a storm

_CYCLE = ("create", "create", "mtu") * 10  # and then as many links go as came, at once
_LIFE = 5  # cycles of a storm that its links are there for


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A link that was made or removed; times are CLOCK_MONOTONIC in ns."""

    kind: int
    name: str
    asked: int
    answered: int


@dataclasses.dataclass(frozen=True, slots=True)
class Delays:
    """Of changes, until the first list with each was there; `unseen` are in none."""

    told: Samples  # from the kernel's event
    answered: Samples  # from the end of the request
    kernel: Samples  # from its start to the event, which is no time of the agent's
    unseen: int


class Scene:
    """Changes links of this thread's namespace. No name comes twice."""

    def __init__(
        self,
        follower: Follower,
        events: Events,
        links: Iterable[str],
        rest: tuple[float, float] = (0.05, 0.15),
    ) -> None:
        self._follower = follower
        self._events = events
        self._requests = Links()
        self._names = sorted(links)
        self._rest = rest  # seconds, between one change and the next
        self._chance = random.Random(0)  # noqa: S311 - the same each time
        self.changes = 0

    def one_by_one(self, count: int) -> tuple[Delays, Delays]:
        """Make a link, see it listed, remove it, and see it gone, in step with no timer."""
        made, _, removed = self.with_addresses(count, None)
        return made, removed

    def with_addresses(
        self, count: int, addressed: dict[str, int] | None
    ) -> tuple[Delays, Samples, Delays]:
        """Do the same, but give each link an address as well, and wait until that is known."""
        made, removed, times = [], [], []
        for number in range(count):
            name = f"mark{number}"
            made.append(_timed(NEW, name, self._requests.create))
            self._seen(self._follower.added, name)
            if addressed is not None:
                self._requests.add_address(name, f"192.0.2.{number + 1}")
                answered = time.monotonic_ns()
                self._seen(addressed, name)
                times.append((addressed[name] - answered) / 1e9)
            removed.append(_timed(DEL, name, self._requests.remove))
            self._seen(self._follower.removed, name)
        return self._delays(made), Samples(tuple(times)), self._delays(removed)

    def _seen(self, seen: dict[str, int], name: str) -> None:
        self._follower.until(lambda: name in seen, f"had {name} in a list, or out of it")
        time.sleep(self._chance.uniform(*self._rest))

    def storm(self, seconds: float) -> list[Change]:
        """Make so many changes a second, for so long; returns the links that it made."""
        self._started = time.monotonic()
        made: list[Change] = []
        cycle = 0
        while time.monotonic() < self._started + seconds:
            cycle += 1
            create = functools.partial(self._requests.create, group=cycle)
            for number, step in enumerate(_CYCLE):
                self._pace()
                if step == "create":
                    name = f"storm{cycle}-{number}"
                    made.append(_timed(NEW, name, create))
                else:
                    self._disturb()
            if cycle > _LIFE:
                self._pace()
                self._requests.remove_group(cycle - _LIFE)
                self.changes += _CYCLE.count("create")
        return made

    def _pace(self) -> None:
        """Wait until it is time for the next change."""
        time.sleep(max(0.0, self._started + self.changes / RATE - time.monotonic()))
        self.changes += 1

    def _disturb(self) -> None:
        """Change what no list shows."""
        name, mtu = self._chance.choice(self._names), self._chance.randrange(1280, 9000)
        self._requests.set_mtu(name, mtu)

    def aftermath(self, made: list[Change], links: frozenset[str]) -> Delays:
        """See the follower come to these links and no others; how long each change took it."""
        self._follower.until(lambda: self._follower.healthy == links, "had the list that is true")
        return self._delays(made)

    def _delays(self, changes: list[Change]) -> Delays:
        told, answered, kernel, unseen = [], [], [], 0
        for change in changes:
            event = self._events.first(change.kind, change.name)
            seen = self._follower.added if change.kind == NEW else self._follower.removed
            kernel.append((event - change.asked) / 1e9)
            if change.name not in seen:
                unseen += 1
                continue
            told.append((seen[change.name] - event) / 1e9)
            answered.append((seen[change.name] - change.answered) / 1e9)
        return Delays(
            Samples(tuple(told)), Samples(tuple(answered)), Samples(tuple(kernel)), unseen
        )


def _timed(kind: int, name: str, act: Callable[[str], object]) -> Change:
    asked = time.monotonic_ns()
    act(name)
    return Change(kind, name, asked, time.monotonic_ns())
