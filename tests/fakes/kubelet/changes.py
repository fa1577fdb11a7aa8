"""One lock for all that a kubelet remembers, and waiting for it to change. No sleep."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

# Seconds; a loaded machine is slow, an emulated one more so, a lost event is for ever.
TIMEOUT = 90.0 if "NDP_GUEST" in os.environ else 20.0
Found = TypeVar("Found")


class Changes:
    """The lock; whoever has changed something under it calls `tell`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.watchers: list[Callable[[], None]] = []  # see every change, with the lock held
        self._condition = threading.Condition(self.lock)

    def tell(self) -> None:
        """Let everybody who waits look again."""
        with self.lock:
            for watch in self.watchers:
                watch()
            self._condition.notify_all()

    def pause(self, seconds: float | None) -> None:
        """Return after the next change, or when the time is over; with the lock held."""
        self._condition.wait(seconds)

    def wait(self, look: Callable[[], Found], what: Callable[[], str]) -> Found:
        """Return the first true answer; it is asked after each change, with the lock held."""
        deadline = time.monotonic() + TIMEOUT
        with self.lock:
            while not (found := look()):
                if not self._condition.wait(max(0, deadline - time.monotonic())) and not look():
                    raise AssertionError(f"not within {TIMEOUT:.0f} s: {what()}")
            return found


class Clock:
    """The time that grace periods are measured with; a test turns it."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._ahead = 0.0

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let that much time have passed."""
        with self._changes.lock:
            self._ahead += seconds
            self._changes.tell()
