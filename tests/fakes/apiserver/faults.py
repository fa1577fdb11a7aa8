"""What goes wrong on purpose, and the book of what was asked."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: when it came and what became of it; code 0 is no answer (yet)."""

    at: float  # time.monotonic()
    verb: str  # Kubernetes' word: list, watch, update...
    resource: str  # "resourceclaims/status"; the path of what is no resource
    name: str
    query: str
    user: str
    code: int = 0


@dataclasses.dataclass(eq=False)
class Fault:
    """What happens to requests that match, as often as it says (None is for ever).

    `lost` is the nastiest: what was asked is done, and the answer never arrives.
    """

    verb: str = ""  # empty is any
    resource: str = ""
    times: int | None = None
    delay: float = 0  # seconds before anything else
    hang: bool = False  # no answer until the fault is withdrawn
    reset: bool = False  # the connection breaks before anything is done
    lost: bool = False  # the connection breaks after it is done
    code: int = 0  # answered instead: 429, 500, 503
    retry_after: int = 0

    def matches(self, verb: str, resource: str) -> bool:
        """Tell whether a request is meant, and count it."""
        if self.verb not in ("", verb) or self.resource not in ("", resource):
            return False
        if self.times is not None:
            self.times -= 1
            return self.times >= 0
        return True


class Faults:
    """Those in force. Used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put one in force."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def withdraw(self, fault: Fault) -> None:
        """Let it be well again; what hangs goes on."""
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def clear(self) -> None:
        """Withdraw all."""
        with self._lock:
            self._faults.clear()

    def pick(self, verb: str, resource: str) -> Fault | None:
        """Return what is to happen to a request."""
        with self._lock:
            return next((f for f in self._faults if f.matches(verb, resource)), None)

    def holds(self, fault: Fault) -> bool:
        """Tell whether one is in force still."""
        with self._lock:
            return fault in self._faults


class Book:
    """Every request, in the order of arrival; and waiting for one. Used from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked: list[Asked] = []

    def begin(self, asked: Asked) -> int:
        """Write down that somebody asks; returns the page for the answer."""
        with self._changed:
            self._asked.append(asked)
            self._changed.notify_all()
            return len(self._asked) - 1

    def end(self, page: int, code: int) -> None:
        """Write down what became of it."""
        with self._changed:
            if page < len(self._asked):
                self._asked[page] = dataclasses.replace(self._asked[page], code=code)
                self._changed.notify_all()

    def find(self, verb: str = "", resource: str = "") -> list[Asked]:
        """Return the requests of a kind; empty is any."""
        with self._changed:
            return [
                asked
                for asked in self._asked
                if verb in ("", asked.verb) and resource in ("", asked.resource)
            ]

    def count(self, verb: str = "", resource: str = "") -> int:
        """Return how many there were."""
        return len(self.find(verb, resource))

    def clear(self) -> None:
        """Begin anew."""
        with self._changed:
            self._asked.clear()

    def poke(self) -> None:
        """Let everybody who waits look again: a watch has begun or ended."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, look: Callable[[], bool], seconds: float = 10) -> None:
        """Return once something is so; it is asked after every request, answer and watch."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not look():
                left = deadline - time.monotonic()
                assert left > 0, f"not within {seconds} s; asked was {self._asked[-20:]}"
                self._changed.wait(left)
