"""What the API server's side tells of itself, for metrics."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called from the event loop; must neither block nor raise."""

    def written(self, verb: str) -> None:
        """A slice was written: create, update or delete."""

    def failed(self, reason: str) -> None:
        """A call for the slices failed; there will be another one."""

    def synced(self, slices: int, devices: int) -> None:
        """The API server has all that is wanted: so many slices with so many devices."""

    def status_written(self) -> None:
        """A claim's status was written."""

    def status_failed(self, reason: str) -> None:
        """It could not be; there will be another attempt, unless the reason lasts."""


class Silence:
    """An observer that nobody listens to."""

    def written(self, verb: str) -> None:
        """Tell nobody, here and below."""

    def failed(self, reason: str) -> None:
        """See `Observer`."""

    def synced(self, slices: int, devices: int) -> None:
        """See `Observer`."""

    def status_written(self) -> None:
        """See `Observer`."""

    def status_failed(self, reason: str) -> None:
        """See `Observer`."""
