"""What the ports tell of themselves, for metrics."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called from the event loop; must neither block nor raise."""

    def called(self, pool: str, call: str, outcome: str, seconds: float) -> None:
        """A provider was asked to attach, detach or list; `outcome` is done or the kind of error.

        The kinds are quota, busy, refused, failed and unanswered.
        """

    def counted(self, pool: str, *, ports: int, coming: int, leaving: int) -> None:
        """A pool has so many ports, of some of which the NIC is not here yet, or is to go."""


class Silence:
    """An observer that nobody listens to."""

    def called(self, pool: str, call: str, outcome: str, seconds: float) -> None:
        """Tell nobody, here and below."""

    def counted(self, pool: str, *, ports: int, coming: int, leaving: int) -> None:
        """See `Observer`."""
