"""What becomes of functions, told to metrics."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called from the event loop; must neither block nor raise."""

    def bound(self, device: str, seconds: float) -> None:
        """A device has got its userspace driver."""

    def returned(self, device: str, seconds: float) -> None:
        """A device has its own driver again."""

    def failed(self, device: str, step: str) -> None:
        """`bind` or `return` failed."""

    def vf_set(self, device: str) -> None:
        """The PF was told something of a VF."""

    def counted(self, pf: str, vfs: int) -> None:
        """A PF was given that many VFs."""

    def not_counted(self, pf: str) -> None:
        """A PF could not be given its VFs."""


class Silence:
    """An observer that nobody listens to."""

    def bound(self, device: str, seconds: float) -> None:
        """Tell nobody, here and below."""

    def returned(self, device: str, seconds: float) -> None:
        """See `Observer`."""

    def failed(self, device: str, step: str) -> None:
        """See `Observer`."""

    def vf_set(self, device: str) -> None:
        """See `Observer`."""

    def counted(self, pf: str, vfs: int) -> None:
        """See `Observer`."""

    def not_counted(self, pf: str) -> None:
        """See `Observer`."""
