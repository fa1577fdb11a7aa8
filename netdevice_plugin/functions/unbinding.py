"""A write to a driver's `unbind`, which may take as long as a program pleases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Unbinding:
    """One write to `unbind`, that may take as long as others please."""

    def __init__(self, unbind: Callable[[], None]) -> None:
        self._unbind = unbind
        self._begun = time.monotonic()
        self.error: OSError | None = None
        # Not one of a pool's: those are waited for when the program ends.
        self._thread = threading.Thread(target=self._run, daemon=True, name="unbind")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._unbind()
        except OSError as error:
            self.error = error

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._begun

    def ended(self, patience: float) -> bool:
        """Wait so long for its end."""
        self._thread.join(patience)
        return not self._thread.is_alive()
