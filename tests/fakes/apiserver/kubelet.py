"""The kubelet's and the scheduler's way to the API server: what tests/fakes/kubelet asks for.

The kubelet's own calls go over HTTP with a node's credentials, so that it meets the same
faults as everybody. The scheduler's do not: it is part of the cluster. Laxer than the real
thing: the node authorizer lets a kubelet read only the claims of its own pods.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from tests.fakes.apiserver.auth import User
from tests.fakes.apiserver.kinds import NODES
from tests.fakes.apiserver.manifest import Manifest, at, items
from tests.fakes.apiserver.scheduler import Scheduler
from tests.fakes.apiserver.scheduler import UnschedulableError as NotNowError
from tests.fakes.apiserver.server import ApiServer
from tests.fakes.apiserver.store import Event
from tests.fakes.kubelet.apiserver import ApiError, Extended, Mapped, UnschedulableError
from tests.fakes.kubelet.specs import ContainerSpec, PodSpec

_ROLE = "system:node"
_RULES = [
    {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": ["get"]},
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceslices"],
        "verbs": ["list", "watch", "delete", "deletecollection"],
    },
]
_WAKING = ("ResourceSlice", "ResourceClaim", "DeviceClass", "ResourceClaimTemplate")


class ClusterApi:
    """Satisfies `tests.fakes.kubelet.apiserver.ApiServer`, for one node, which is made."""

    def __init__(self, server: ApiServer, node: str, *, timeout: float = 10) -> None:
        self._server, self._timeout = server, timeout
        self._scheduler = Scheduler(server.registry)
        self._user = User(f"system:node:{node}", ("system:nodes", "system:authenticated"))
        self._token = server.token(self._user, 365 * 86400)
        server.apply(*_roles())
        if server.store.get(NODES, ("", node)) is None:
            server.cluster.add_node(node)
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def claim(self, namespace: str, name: str) -> Mapping[str, Any]:
        """Read a claim, in v1's shape whatever the server has; raises ApiError."""
        path = f"namespaces/{quote(namespace)}/resourceclaims/{quote(name)}"
        self._call("GET", path)
        return self._server.cluster.get("resourceclaims", name, namespace)

    def delete_slices(self, node: str, driver: str) -> None:
        """Delete a node's slices, all or one driver's; raises ApiError."""
        terms = [f"spec.nodeName={node}"] + [f"spec.driver={driver}"] * bool(driver)
        self._call("DELETE", f"resourceslices?fieldSelector={quote(','.join(terms))}")

    def schedule(self, pod: PodSpec, node: str, absent: Collection[str]) -> Extended | None:
        """Allocate a pod's claims and reserve them; raises UnschedulableError."""
        try:
            made = self._scheduler.schedule(manifest(pod), node, absent)
        except NotNowError as error:
            raise UnschedulableError(str(error)) from error
        status = at(made, "status", "extendedResourceClaimStatus")
        if status is None:
            return None
        mapped = tuple(
            Mapped(
                container=m["containerName"], resource=m["resourceName"], request=m["requestName"]
            )
            for m in items(status, "requestMappings")
        )
        return Extended(claim=status["resourceClaimName"], mapped=mapped)

    def ended(self, pod: PodSpec) -> None:
        """Hear that a pod is over or gone."""
        self._scheduler.ended(pod.namespace, pod.name)

    def follow(self, reschedule: Callable[[], None]) -> Callable[[], None]:
        """Call (from a thread) whenever pods that wait may have a chance; returns the end of it.

        A thread, since the store tells with its lock held, and who schedules takes that lock
        while he has his own.
        """

        def tell(event: Event) -> None:
            if event.kind.kind in _WAKING:
                self._wakes.put(True)

        def run() -> None:
            while self._wakes.get():
                reschedule()

        def end() -> None:
            self._server.store.listeners.remove(tell)
            self._wakes.put(False)
            thread.join(10)

        thread = threading.Thread(target=run, name="reschedule", daemon=True)
        thread.start()
        self._server.store.listeners.append(tell)
        return end

    def _call(self, method: str, path: str) -> None:
        version = next(iter(self._server.settings.versions), "v1")
        path = f"/apis/resource.k8s.io/{version}/{path}"
        try:
            answer = self._server.ask(method, path, self._token, seconds=self._timeout)
        except OSError as error:  # a timeout is one as well
            raise ApiError(str(error) or f"{path}: no answer") from error
        if answer.status != HTTPStatus.OK:
            raise ApiError(str(answer.body["message"]))


def manifest(pod: PodSpec) -> Manifest:
    """Write a pod as its author would have."""
    claims = [{"name": ours, "resourceClaimName": name} for ours, name in pod.claims.items()]
    return {
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "spec": {
            "containers": [_container(one) for one in pod.containers],
            "initContainers": [_container(one) for one in pod.init_containers],
            "resourceClaims": claims,
        },
    }


def _container(container: ContainerSpec) -> Manifest:
    limits = {name: str(count) for name, count in container.limits.items()}
    return {"name": container.name, "image": "none", "resources": {"limits": limits}}


def _roles() -> list[Manifest]:
    kind = "rbac.authorization.k8s.io"
    metadata = {"name": _ROLE}
    return [
        {"kind": "ClusterRole", "metadata": metadata, "rules": _RULES},
        {
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": _ROLE},
            "subjects": [{"kind": "Group", "name": "system:nodes"}],
        },
    ]
