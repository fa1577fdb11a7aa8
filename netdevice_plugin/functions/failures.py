"""What failed last with each function, told once, and when it may be tried again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from netdevice_plugin.errors import FunctionError

RETRY = 15.0  # seconds until what failed is tried again

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    step: str
    reason: str
    again: float  # when it may be tried again, on the clock


class Failures:
    """By device; a step is `bind` or `return`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, _Failure] = {}

    def add(self, device: str, step: str, error: FunctionError) -> None:
        """Note a failure, and tell of it unless it is the one that was told last."""
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        known = self._last.get(device)
        if known is None or known.reason != reason:
            extra = {"device": device, "reason": reason}
            if step == "bind":
                _log.warning("Function is not bound", extra=extra)
            else:
                _log.warning("Function is not home", extra=extra)
        self._last[device] = _Failure(step, reason, self._clock() + RETRY)

    def reason(self, device: str, *, bound: bool) -> str:
        """Why a device cannot be lent now: what failed a moment ago, or left it bound."""
        last = self._last.get(device)
        if last and (self._clock() < last.again or (bound and last.step == "return")):
            return last.reason
        return ""

    def is_over(self, device: str) -> bool:
        """Whether it may be tried again, or nothing has failed."""
        last = self._last.get(device)
        return last is None or self._clock() >= last.again

    def forget(self, device: str, step: str = "") -> bool:
        """Forget what failed, if it did at that step; say whether there was any."""
        last = self._last.get(device)
        if last is None or step not in ("", last.step):
            return False
        del self._last[device]
        return True
