"""How soon the directory is looked at again: never in a loop with another program. Pure."""

from __future__ import annotations

import dataclasses
import math

CONTESTED = 4  # repairs in a row, from which on somebody is working against us


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the directory is looked at and written, all in seconds."""

    check: float = 0.05  # between two looks, however many events there are
    again: float = 30.0  # without any event: nobody is told of a mount over the directory
    first: float = 0.2  # to the next attempt after a failure, and to the next repair; it doubles
    cap: float = 10.0  # and ends here
    calm: float = 60.0  # without a repair, after which the next one counts as the first


class Pacer:
    """Counts failures and repairs; times are of one monotonic clock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._repairs = 0
        self._repaired = -math.inf  # when last
        self._failures = 0

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def count(self, *, failed: bool, repaired: bool, now: float) -> None:
        """Take note of an attempt."""
        self._failures = self._failures + 1 if failed else 0
        if now - self._repaired >= self._pace.calm:
            self._repairs = 0
        if repaired:
            self._repairs += 1
            self._repaired = now

    def deaf(self, now: float) -> float:
        """How long from now no event may start an attempt: ours make events too."""
        left = self._repaired + self._delay(self._repairs) - now
        return max(self._pace.check, self._delay(self._failures), left)

    @property
    def contested(self) -> bool:
        """Whether somebody undoes our repairs."""
        return self._repairs >= CONTESTED

    def _delay(self, times: int) -> float:
        return min(self._pace.cap, self._pace.first * 2.0 ** min(times - 1, 30)) if times else 0.0
