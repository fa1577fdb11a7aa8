"""What outlives every run of the kubelet: the API server's pods, and a scheduler.

One node. A pod is bound as soon as the node's status has room for it, and never before.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from tests.fakes.kubelet.apiserver import ApiServer, Extended, UnschedulableError
from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.devices import Resource
from tests.fakes.kubelet.specs import ContainerSpec, PodSpec


class Phase(enum.Enum):
    """A pod's status.phase."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """A container's last known state: waiting, running or terminated."""

    state: str
    id: str = ""
    restarts: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What the kubelet tells of a pod; one that repeats itself is told once."""

    reason: str
    message: str


class Pod:
    """A pod and its status; read it with the lock of `Changes` held, or when it is at rest."""

    def __init__(self, spec: PodSpec) -> None:
        self.spec = spec
        self.phase = Phase.PENDING
        self.reason = ""
        self.message = ""
        self.bound = False
        self.deleting = False
        self.gone = False
        self.released = False  # its claims are not reserved for it any more
        self.extended: Extended | None = None  # status.extendedResourceClaimStatus
        self.events: list[Event] = []
        self.containers: dict[str, ContainerStatus] = {}

    def __str__(self) -> str:
        said = " ".join(part for part in (self.phase.value, self.reason, self.message) if part)
        last = self.events[-1].message if self.events else ""
        states = ", ".join(
            " ".join(part for part in (name, c.state, c.reason, c.message) if part)
            for name, c in self.containers.items()
        )
        gone = "gone" if self.gone else "deleting" if self.deleting else "here"
        return f"{self.spec.name}: {said} ({gone}; {states}; {last})"

    @property
    def over(self) -> bool:
        """Ended for good: nothing of it will run again."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)

    @property
    def running(self) -> bool:
        """Every app container runs now."""
        states = [self.containers.get(container.name) for container in self.spec.containers]
        return all(status is not None and status.state == "running" for status in states)

    @property
    def claims(self) -> list[str]:
        """The names of its claims, with the hidden one of its extended resources last."""
        return [*self.spec.claims.values(), *([self.extended.claim] if self.extended else ())]

    def plugin_limits(self, container: ContainerSpec) -> dict[str, int]:
        """The limits of a container, less those that a claim serves."""
        mapped = self.extended.mapped if self.extended else ()
        served = {m.resource for m in mapped if m.container == container.name}
        return {name: count for name, count in container.limits.items() if name not in served}

    def tell(self, reason: str, message: str) -> None:
        """Note an event."""
        event = Event(reason, message)
        if event not in self.events[-1:]:
            self.events.append(event)

    def container(self, name: str = "main") -> str:
        """A container's id in the runtime."""
        return self.containers[name].id

    def fail(self, reason: str, message: str) -> None:
        """It is over, by the kubelet's word."""
        self.phase, self.reason, self.message = Phase.FAILED, reason, message


class Cluster:
    """The pods of one node by uid, and the resources that its status has."""

    def __init__(self, changes: Changes, api: ApiServer, node: str) -> None:
        self._changes = changes
        self._api = api
        self._node = node
        self._pods: dict[str, Pod] = {}
        self.resources: dict[str, Resource] = {}

    def create(self, spec: PodSpec) -> Pod:
        """Take a pod, and bind it if there is room."""
        with self._changes.lock:
            assert spec.uid not in self._pods, f"there is a pod {spec.uid} already"
            pod = self._pods[spec.uid] = Pod(spec)
            self._schedule()
            return pod

    def delete(self, pod: Pod) -> None:
        """Ask for its end; one that no kubelet knows of is gone at once."""
        with self._changes.lock:
            pod.deleting = True
            if not pod.bound:
                self.remove(pod)
            self._changes.tell()

    def remove(self, pod: Pod) -> None:
        """Forget a pod of which nothing is left."""
        with self._changes.lock:
            pod.gone = True
            self._pods.pop(pod.spec.uid, None)
            self._release(pod)
            self._schedule()

    def bound(self) -> list[Pod]:
        """The kubelet's pods, in the order in which they were created."""
        with self._changes.lock:
            return [pod for pod in self._pods.values() if pod.bound]

    def active(self) -> frozenset[str]:
        """The uids of those that may have devices: neither over nor gone."""
        return frozenset(pod.spec.uid for pod in self.bound() if not pod.over)

    def post(self, resources: Mapping[str, Resource], over: Iterable[str]) -> None:
        """Take a node's status. What is over is there with 0; what is not mentioned stays."""
        with self._changes.lock:
            before = dict(self.resources)
            self.resources.update(resources)
            self.resources.update({name: Resource(capacity=0, allocatable=0) for name in over})
            if self.resources != before:
                self._schedule()

    def tell(self) -> None:
        """A pod's status has changed, which may have made room."""
        with self._changes.lock:
            self._schedule()

    def _schedule(self) -> None:
        for pod in self._pods.values():
            if pod.over:
                self._release(pod)
        for pod in self._pods.values():
            if not pod.bound and not pod.over:
                pod.message = self._bind(pod)
                pod.bound = not pod.message
                pod.reason = "Unschedulable" if pod.message else ""
        self._changes.tell()

    def _release(self, pod: Pod) -> None:
        if not pod.released:
            pod.released = True
            self._api.ended(pod.spec)

    def _bind(self, pod: Pod) -> str:
        """Give a pod its claims; returns why there is no room for it.

        What the node's status has none of is for a device class to have, if one does.
        """
        absent = [name for name in pod.spec.requests if not self._allocatable(name)]
        if short := [name for name in self._short(pod.spec) if name not in absent]:
            return f"Insufficient {', '.join(short)}"
        try:
            pod.extended = self._api.schedule(pod.spec, self._node, absent)
        except UnschedulableError as error:
            return str(error)
        return ""

    def _short(self, spec: PodSpec) -> list[str]:
        used = [pod.spec.requests for pod in self.bound() if not pod.over]
        return [
            name
            for name, wanted in spec.requests.items()
            if self._allocatable(name) - sum(u.get(name, 0) for u in used) < wanted
        ]

    def _allocatable(self, name: str) -> int:
        return self.resources[name].allocatable if name in self.resources else 0
