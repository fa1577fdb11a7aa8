"""What a device plugin server tells of itself, for metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Observer(Protocol):
    """Called from the event loop; must neither block nor raise."""

    def registered(self, resource: str) -> None:
        """The kubelet took a registration."""

    def registration_failed(self, resource: str, reason: str) -> None:
        """An attempt failed; there will be another one."""

    def stream_opened(self, resource: str) -> None:
        """The kubelet listens to the list of devices."""

    def stream_ended(self, resource: str) -> None:
        """It does no longer, so that it takes every device for unhealthy."""

    def list_sent(self, resource: str, healthy: int, unhealthy: int) -> None:
        """A list went out."""

    def allocated(self, resource: str, devices: Sequence[str], seconds: float) -> None:
        """An Allocate succeeded."""

    def allocation_failed(self, resource: str, code: str) -> None:
        """An Allocate failed, with that gRPC code, such as NOT_FOUND."""


class Silence:
    """An observer that nobody listens to."""

    def registered(self, resource: str) -> None:
        """Tell nobody, here and below."""

    def registration_failed(self, resource: str, reason: str) -> None:
        """See `Observer`."""

    def stream_opened(self, resource: str) -> None:
        """See `Observer`."""

    def stream_ended(self, resource: str) -> None:
        """See `Observer`."""

    def list_sent(self, resource: str, healthy: int, unhealthy: int) -> None:
        """See `Observer`."""

    def allocated(self, resource: str, devices: Sequence[str], seconds: float) -> None:
        """See `Observer`."""

    def allocation_failed(self, resource: str, code: str) -> None:
        """See `Observer`."""
