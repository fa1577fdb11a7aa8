"""What the kubelet and the scheduler need of the API server about claims and slices.

The kubelet goes through this alone, so that a stand-in may be in memory or a real server.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from tests.fakes.kubelet.specs import PodSpec


class ApiError(Exception):
    """The API server is away, or says no; the text is what it said."""


class UnschedulableError(Exception):
    """The node has not what a pod wants; the text ends up in the pod's status."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """An extended resource of a container, and the request of the hidden claim that it became."""

    container: str
    resource: str
    request: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A pod's status.extendedResourceClaimStatus."""

    claim: str
    mapped: tuple[Mapped, ...]

    def requests(self, container: str, limits: Mapping[str, int]) -> list[str]:
        """The claim's requests that one container asked for."""
        wanted = {name for name, count in limits.items() if count}
        return [m.request for m in self.mapped if m.container == container and m.resource in wanted]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the kubelet reads of a claim."""

    namespace: str
    name: str
    uid: str
    allocated: bool
    drivers: tuple[str, ...]  # with a result in the allocation, each once
    reserved_for: frozenset[str]  # uids of pods


class ApiServer(Protocol):
    """Every call may be made by any thread, and with the lock of `Changes` held or not.

    It may not wait for that lock while it has one of its own that a call here needs.
    """

    def claim(self, namespace: str, name: str) -> Mapping[str, Any]:
        """Read a claim, in v1's shape; raises ApiError."""

    def delete_slices(self, node: str, driver: str) -> None:
        """Delete a node's slices of one driver, or of all without a name; raises ApiError."""

    def schedule(self, pod: PodSpec, node: str, absent: Collection[str]) -> Extended | None:
        """Allocate a pod's claims and reserve them for it; raises UnschedulableError.

        `absent` are resources that it asks for and the node's status has none of: device
        classes may have them. What they became is returned.
        """

    def ended(self, pod: PodSpec) -> None:
        """Hear that a pod is over or gone: it has no claim any more."""


class NoApiServer:
    """For a kubelet whose pods have no claims."""

    def claim(self, namespace: str, name: str) -> Mapping[str, Any]:
        raise ApiError(f'resourceclaims.resource.k8s.io "{name}" not found in {namespace}')

    def delete_slices(self, node: str, driver: str) -> None:
        """There are none."""

    def schedule(self, pod: PodSpec, node: str, absent: Collection[str]) -> Extended | None:
        if pod.claims or absent:
            lacking = ", ".join((*absent, *pod.claims.values()))
            raise UnschedulableError(f"Insufficient {lacking}")
        return None

    def ended(self, pod: PodSpec) -> None:
        """It had none."""


def decode(claim: Mapping[str, Any]) -> Claim:
    """Read a claim of v1's shape."""
    metadata, status = claim["metadata"], claim.get("status") or {}
    allocation = status.get("allocation")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    return Claim(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        allocated=allocation is not None,
        drivers=tuple(dict.fromkeys(result["driver"] for result in results)),
        reserved_for=frozenset(user["uid"] for user in status.get("reservedFor") or ()),
    )
