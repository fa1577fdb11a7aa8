"""The health of DRA devices as drivers tell it, and for how long the kubelet believes it.

k8s.io/kubernetes pkg/kubelet/cm/dra/healthinfo.go, and HandleWatchResourcesStream in manager.go.
What is odd there is played: the time that counts is when a list came, not the one in it; and the
end of any stream of a driver's forgets all of the driver's devices, those too that another of its
instances has told of.
"""

from __future__ import annotations

import dataclasses

from tests.fakes.kubelet.changes import Changes, Clock
from tests.fakes.kubelet.wire import health as api

TIMEOUT = 30.0  # seconds, for a device that tells none
MESSAGE = 1024  # the longest
UNKNOWN = "Unknown"
_WORDS = {api.HEALTHY: "Healthy", api.UNHEALTHY: "Unhealthy"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """The last word about a device, and when it was said."""

    health: str
    message: str
    at: float
    timeout: float


class Health:
    """By driver, pool and device."""

    def __init__(self, changes: Changes, clock: Clock) -> None:
        self._changes = changes
        self._clock = clock
        self._known: dict[str, dict[tuple[str, str], DeviceHealth]] = {}
        self.lists: dict[str, int] = {}  # how many were received, by driver

    def received(self, driver: str, devices: list[api.DeviceHealth]) -> None:
        """Take a list; what is not in it stays, until its time is over."""
        now = self._clock.now()
        with self._changes.lock:
            known = self._known.setdefault(driver, {})
            for device in devices:
                seconds = device.health_check_timeout_seconds
                known[device.device.pool_name, device.device.device_name] = DeviceHealth(
                    health=_WORDS.get(device.health, UNKNOWN),
                    message=_shortened(device.message),
                    at=now,
                    timeout=seconds if seconds > 0 else TIMEOUT,
                )
            self.lists[driver] = self.lists.get(driver, 0) + 1
            self._changes.tell()

    def forget(self, driver: str) -> None:
        """A stream of the driver's has ended."""
        with self._changes.lock:
            self._known.pop(driver, None)
            self._changes.tell()

    def of(self, driver: str, pool: str, device: str) -> tuple[str, str]:
        """A device's health and message, as a pod's status has them."""
        with self._changes.lock:
            found = self._known.get(driver, {}).get((pool, device))
            if found is None or self._clock.now() - found.at > found.timeout:
                return UNKNOWN, ""
            return found.health, found.message


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE else f"{message[: MESSAGE - 3]}..."
