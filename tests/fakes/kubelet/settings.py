"""What differs between kubelets, and what a test may want otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The defaults are those of a stock kubelet 1.36, but for the back-off."""

    active_pods_only: bool = True  # podresources; False is before 1.34: ended pods are listed
    get_pod_resources: bool = True  # False is before 1.34, where the gate is off
    numa: bool = False  # a topology manager's policy other than none
    grace: float = 300.0  # seconds that a plugin may be away
    backoff: tuple[float, float] = (0.1, 2.0)  # seconds: first and longest; a kubelet's are 10, 300
    seed: int = 0  # of the order in which devices are asked for: Go's sets have none
    node: str = "node"  # its name
    dra_services: tuple[str, ...] = ("v1.DRAPlugin", "v1beta1.DRAPlugin")  # 1.33: the second alone
    dra_call: float = 45.0  # seconds that a call to a DRA driver may take
    dra_reconcile: float = 60.0  # seconds between looks for claims of pods that are over
    dra_health: bool = True  # False is before 1.36, where the gate is off
    health_retry: float = 5.0  # seconds from the end of a driver's health stream to the next
    wipe_delay: float = 30.0  # seconds that a driver may be away before its slices are deleted


class RefusedError(Exception):
    """Raised by a test's interference: the call ends with this text."""


# Called with the point that was reached and a resource's name; it may block, or raise RefusedError.
Interfere = Callable[[str, str], None]


def nothing(_point: str, _resource: str) -> None:
    """No interference."""
