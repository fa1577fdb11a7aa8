"""What the kubelet's side of DRA tells of itself, for metrics."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called from the event loop; must neither block nor raise."""

    def registered(self) -> None:
        """The kubelet took the registration."""

    def registration_failed(self, reason: str) -> None:
        """It did not; there will be another one."""

    def prepared(self, devices: int, seconds: float) -> None:
        """A claim was prepared, with so many devices."""

    def prepare_failed(self, reason: str) -> None:
        """It was not: the name of the error's class."""

    def unprepared(self, seconds: float) -> None:
        """A claim was unprepared, if it was prepared at all."""

    def unprepare_failed(self, reason: str) -> None:
        """It was not: the name of the error's class."""

    def taken_over(self) -> None:
        """A device was taken from a claim that the API server has not any more."""

    def health_sent(self, healthy: int, unhealthy: int) -> None:
        """The kubelet was told of all devices' health."""


class Silence:
    """An observer that nobody listens to."""

    def registered(self) -> None:
        """Tell nobody, here and below."""

    def registration_failed(self, reason: str) -> None:
        """See `Observer`."""

    def prepared(self, devices: int, seconds: float) -> None:
        """See `Observer`."""

    def prepare_failed(self, reason: str) -> None:
        """See `Observer`."""

    def unprepared(self, seconds: float) -> None:
        """See `Observer`."""

    def unprepare_failed(self, reason: str) -> None:
        """See `Observer`."""

    def taken_over(self) -> None:
        """See `Observer`."""

    def health_sent(self, healthy: int, unhealthy: int) -> None:
        """See `Observer`."""
