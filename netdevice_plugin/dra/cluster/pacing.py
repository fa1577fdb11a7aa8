"""When to try again, and how much to write. Pure: time is passed in, and so is chance.

The figures are reasoned in docs/scale.md, for 5,000 nodes that do the same at once.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

Chance = Callable[[], float]  # as random.random


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds, and writes per second, of everything that the API server is asked for."""

    first_retry: float = 1.0  # the first wait is up to so long
    longest_retry: float = 60.0
    foreign: float = 5.0  # what others did to our slices is put right within so long ...
    longest_foreign: float = 15.0  # ... and later and later if they keep doing it ...
    peace: float = 5.0  # ... and do not leave it alone for so long
    writes: float = 2.0  # per second, of slices
    statuses: float = 5.0  # per second, of claims' status; each is a read and a write
    settle: float = 0.1  # devices of one claim that come so soon after one another are one write
    burst: int = 32  # claims whose status is written at once after a quiet time
    watch: tuple[float, float] = (600.0, 1200.0)  # how long one watch lasts
    lasting: float = 2.0  # after one that was there for so long, the next trouble is the first
    steady: float = 60.0  # after so long without trouble, the next one is the first


class Backoff:
    """Anything from nothing to twice as much as the last time: full jitter.

    Many that failed at the same moment are evenly spread from the first wait on. It begins
    anew by itself when the last trouble is long enough ago.
    """

    def __init__(
        self, first: float, longest: float, steady: float, chance: Chance = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._steady = steady
        self._chance = chance
        self._reach = first
        self._calm = float("-inf")  # from then on

    def next(self, now: float, at_least: float = 0.0) -> float:
        """Say for how many seconds to wait now; what a server asks for is spread behind that."""
        if now >= self._calm:
            self._reach = self._first
        reach, self._reach = self._reach, min(2 * self._reach, self._longest)
        delay = at_least + self._chance() * max(reach, at_least / 2)
        self._calm = now + delay + self._steady
        return delay

    def works(self, now: float, lasting: float) -> None:
        """Begin anew at the next trouble, if that is not sooner than so many seconds from now."""
        self._calm = now + lasting

    def reset(self) -> None:
        """Begin anew: what was waited for has happened."""
        self._reach = self._first


class Pace:
    """So many a second on average, the first at once: a round of N is followed by rest for N."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._until = float("-inf")

    def took(self, count: int, now: float) -> None:
        """Note what a round has just come to."""
        self._until = max(self._until, now) + count / self._rate

    def wait(self, now: float) -> float:
        """Say for how many seconds to rest."""
        return max(0.0, self._until - now)


class Bucket:
    """So many a second on average, and so many at once after a quiet time."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._level = float(burst)
        self._at = float("-inf")

    def take(self, now: float) -> float:
        """Take one; say for how many seconds to wait before it is used."""
        if self._at > float("-inf"):
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        self._level -= 1
        return max(0.0, -self._level / self._rate)
