"""Whether the agent lives, and whether it is ready: asked from the server's thread.

Alive is an event loop that turns; a loop that is stuck cannot say so itself. Ready
is everything that the agent said it would wait for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable

STUCK = 10.0  # seconds without a beat; the longest that a healthy loop is busy is a tenth of one
EVERY = 2.0  # seconds between beats


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and a line for each thing that was looked at."""

    ok: bool
    lines: tuple[str, ...]

    def __and__(self, other: Verdict) -> Verdict:
        return Verdict(self.ok and other.ok, self.lines + other.lines)


def _line(name: str, missing: str) -> str:
    # As the API server's own /readyz?verbose has it.
    return f"[-]{name}: {missing}" if missing else f"[+]{name}: ok"


class Pulse:
    """The event loop's heartbeat. It counts as alive until it had time for a first beat."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """The loop turns."""
        self._last = self._clock()

    async def run(self, every: float = EVERY, also: Callable[[], object] | None = None) -> None:
        """Beat for ever, in the loop that is watched; `also` is called at each beat."""
        while True:
            self.beat()
            if also is not None:
                also()
            await asyncio.sleep(every)

    def check(self) -> Verdict:
        """Alive or stuck; any thread may ask."""
        silent = self._clock() - self._last
        missing = f"no turn for {silent:.0f} s" if silent > STUCK else ""
        return Verdict(not missing, (_line("event loop", missing),))


class Readiness:
    """Named conditions, all of which must be met. Each one is missing until it is said to be.

    Set from the loop and read from another thread: a condition is one reference.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._missing = dict.fromkeys(names, "not yet")

    def expect(self, name: str) -> None:
        """Wait for one thing more."""
        if name not in self._missing:  # another mapping: a reader may be half through this one
            self._missing = {**self._missing, name: "not yet"}

    def met(self, name: str) -> None:
        """It is there."""
        self.missing(name, "")

    def missing(self, name: str, why: str) -> None:
        """It is not, or no longer; `why` is for people. Raises KeyError for an unknown name."""
        if name not in self._missing:
            raise KeyError(name)
        self._missing[name] = " ".join(why.split())

    def check(self) -> Verdict:
        """Ready if nothing is missing; any thread may ask."""
        return Verdict(
            not any(self._missing.values()),
            tuple(_line(name, why) for name, why in self._missing.items()),
        )
