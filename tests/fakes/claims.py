"""Claims and slices in memory: as much of an API server and a scheduler as a kubelet needs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any

from tests.fakes.kubelet.apiserver import ApiError, Extended, Mapped, UnschedulableError
from tests.fakes.kubelet.specs import PodSpec

Device = tuple[str, str]  # request and device


class MemoryApi:
    """All that is public may be replaced by a test."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.claims: dict[tuple[str, str], dict[str, Any]] = {}  # by namespace and name
        self.slices: dict[str, str] = {}  # the driver, by name
        self.classes: dict[str, str] = {}  # the driver, by extended resource
        self.away = False
        self.reserves = True  # whether who is scheduled has its claims reserved
        self.deleted: list[tuple[str, str]] = []  # node and driver of each deletion of slices

    def add(self, name: str, driver: str, *devices: str, uid: str = "") -> str:
        """Make a claim that has these devices for its request `all`; returns its uid."""
        return self.allocate(name, [(driver, "all", device) for device in devices], uid=uid)

    def allocate(self, name: str, results: list[tuple[str, str, str]], *, uid: str = "") -> str:
        """Make a claim of results: driver, request and device."""
        uid = uid or f"uid-{next(self._numbers)}"
        listed = [
            {"driver": driver, "pool": "node/pool", "request": request, "device": device}
            for driver, request, device in results
        ]
        self.claims["default", name] = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"namespace": "default", "name": name, "uid": uid},
            "status": {"allocation": {"devices": {"results": listed}}, "reservedFor": []},
        }
        return uid

    def claim(self, namespace: str, name: str) -> Mapping[str, Any]:
        self._check()
        try:
            return self.claims[namespace, name]
        except KeyError as error:
            raise ApiError(f'resourceclaims.resource.k8s.io "{name}" not found') from error

    def delete_slices(self, node: str, driver: str) -> None:
        self._check()
        self.deleted.append((node, driver))
        self.slices = {
            name: owner for name, owner in self.slices.items() if driver not in ("", owner)
        }

    def schedule(self, pod: PodSpec, node: str, absent: Collection[str]) -> Extended | None:
        unknown = [name for name in absent if name not in self.classes]
        unknown += [name for name in pod.claims.values() if ("default", name) not in self.claims]
        if unknown:
            raise UnschedulableError(f"Insufficient {', '.join(unknown)}")
        extended = self._extended(pod, absent) if absent else None
        names = [*pod.claims.values(), *([extended.claim] if extended else [])]
        for name in names if self.reserves else ():
            users = self.claims["default", name]["status"]["reservedFor"]
            users.append({"resource": "pods", "name": pod.name, "uid": pod.uid})
        return extended

    def ended(self, pod: PodSpec) -> None:
        for claim in self.claims.values():
            users = claim["status"]["reservedFor"]
            claim["status"]["reservedFor"] = [u for u in users if u["uid"] != pod.uid]

    def _extended(self, pod: PodSpec, absent: Collection[str]) -> Extended:
        """Make the hidden claim: one request for each container and resource."""
        mapped = [
            Mapped(container=c.name, resource=resource, request=f"container-{i}-request-{j}")
            for i, c in enumerate(pod.all_containers)
            for j, resource in enumerate(c.limits)
            if resource in absent
        ]
        name = f"{pod.name}-extended-resources"
        results = [(self.classes[m.resource], m.request, f"dev-{m.request}") for m in mapped]
        self.allocate(name, results)
        return Extended(claim=name, mapped=tuple(mapped))

    def _check(self) -> None:
        if self.away:
            raise ApiError("connection refused")
