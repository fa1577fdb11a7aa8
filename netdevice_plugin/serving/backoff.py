"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 0.1  # seconds
CAP = 10.0


class Backoff:
    """Twice as long each time, up to a cap, and for nobody at the same moment: half is chance."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._delay = FIRST

    def next(self) -> float:
        """Say for how many seconds to wait now."""
        delay, self._delay = self._delay, min(2 * self._delay, CAP)
        return delay * (1 + self._chance()) / 2

    def reset(self) -> None:
        """Begin anew: what was waited for has happened."""
        self._delay = FIRST
