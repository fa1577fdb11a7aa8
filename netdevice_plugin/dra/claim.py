"""A ResourceClaim as far as it concerns us: what it was given of our devices, and how. Frozen.

Facts: k8s.io/api/resource/v1. What the scheduler wrote is `status.allocation`; the
parameters in it are opaque to Kubernetes, and are decoded in `parameters`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ClaimRef:
    """Which claim is meant: the name may be another claim's by now, the uid is not."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"claim {self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A device of ours that the claim was given for one of its requests."""

    request: str  # "main", or "main/sub" of a request with alternatives
    pool: str  # as in the slice: "<node>/<pool>"
    device: str
    admin: bool = False  # adminAccess: to look at, not to have
    share_id: str = ""

    @property
    def main_request(self) -> str:
        """The request without the alternative that was chosen: what the kubelet calls it."""
        return self.request.partition("/")[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """Parameters for our driver, not yet decoded; `place` is where they stand, for messages."""

    parameters: Mapping[str, object]
    place: str  # "status.allocation.devices.config[0].opaque.parameters"
    from_class: bool = False  # of the DeviceClass; else of the claim, which overrides it
    requests: tuple[str, ...] = ()  # "main" or "main/sub"; none is all


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a claim was given of this driver's, on this node; in the order of the results."""

    claim: ClaimRef
    results: tuple[Result, ...]
    configs: tuple[Opaque, ...] = ()
    # MACs of the NICs that are attached for it, by device; empty until one is known. What we
    # know, and nobody else.
    macs: tuple[tuple[str, str], ...] = ()

    def mac(self, device: str) -> str:
        """Find the MAC of the NIC that was attached for it as a device; empty if it is none."""
        return dict(self.macs).get(device, "")
