"""Devices for a pod that is admitted, and for a container that is started.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager/manager.go: Allocate, devicesToAllocate,
allocateContainerResources, GetDeviceRunContainerOptions.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Iterable

from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.checkpoint import NO_NODE, Entry
from tests.fakes.kubelet.choice import Affinity, affinity, choose
from tests.fakes.kubelet.cluster import Pod
from tests.fakes.kubelet.devices import Devices
from tests.fakes.kubelet.ledger import Ledger
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.settings import Settings
from tests.fakes.kubelet.specs import ContainerSpec
from tests.fakes.kubelet.wire import deviceplugin as api

NOTHING: frozenset[str] = frozenset()


class AdmissionError(Exception):
    """A pod cannot have its devices; the text ends up in its status."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that was made to a plugin, for tests to look at."""

    method: str
    resource: str
    ids: frozenset[str]


class Admission:
    """Gives out devices, one pod at a time; no lock is held while a plugin is asked."""

    def __init__(
        self, devices: Devices, ledger: Ledger, changes: Changes, settings: Settings
    ) -> None:
        self._devices = devices
        self._ledger = ledger
        self._changes = changes
        self._numa = settings.numa
        self._random = random.Random(settings.seed)  # noqa: S311 -- an order, no secret
        self._serial = threading.Lock()
        self._reuse_of = ""  # the pod whose init containers' devices are in _reuse
        self._reuse: dict[str, set[str]] = {}
        self.calls: list[Call] = []

    def admit(self, pod: Pod, running: frozenset[str]) -> None:
        """Give a pod's containers their devices; raises AdmissionError.

        `running` are those that were found running when the kubelet started: while it has
        not seen all pods of before, they keep what they have and nothing is asked.
        """
        with self._serial:
            for container in pod.spec.all_containers:
                try:
                    self._container(pod, container, keep=container.name in running)
                except PluginError as error:
                    raise AdmissionError(str(error)) from error

    def start(self, pod: Pod, container: ContainerSpec) -> list[api.ContainerAllocateResponse]:
        """What the plugins said for a container; asked before each start of it.

        Raises PluginError, AdmissionError.
        """
        uid = pod.spec.uid
        for resource in pod.plugin_limits(container):
            if self._is_plugins(resource):
                self._pre_start(uid, container.name, resource)
                if self._is_missing(uid, container.name, resource):
                    with self._serial:
                        self._container(pod, container, keep=False)
        return [entry.response for entry in self._ledger.of(uid, container.name)]

    def _container(self, pod: Pod, container: ContainerSpec, *, keep: bool) -> None:
        uid = pod.spec.uid
        if self._reuse_of != uid:
            self._reuse_of, self._reuse = uid, {}
        for resource, needed in pod.plugin_limits(container).items():
            if not self._is_plugins(resource):
                continue  # as if nobody had asked for it
            self._ledger.forget_inactive()
            ids = self._ids(uid, container.name, resource, needed, keep=keep)
            if ids:
                self._allocate(uid, container.name, resource, ids)
                self._devices.save()
        for entry in self._ledger.of(uid, container.name):
            reusable = self._reuse.setdefault(entry.resource, set())
            if container in pod.spec.init_containers and not container.sidecar:
                reusable.update(entry.ids)
            else:
                reusable.difference_update(entry.ids)

    def _ids(
        self, pod: str, container: str, resource: str, needed: int, *, keep: bool
    ) -> list[str]:
        """Choose devices; none if the container has what it wants."""
        entry = self._ledger.find(pod, container, resource)
        if entry and len(entry.ids) != needed:
            raise AdmissionError(f"{container} has {len(entry.ids)} {resource}, wants {needed}")
        if keep and not self._ledger.ready:
            return []
        healthy = self._healthy(resource, entry.ids if entry else NOTHING)
        if entry or not needed:
            return []
        reusable = frozenset(self._reuse.get(resource, ()))
        free = healthy - self._ledger.taken(resource)
        missing = needed - len(reusable)
        if len(free) < missing:
            text = f"requested {missing} of {resource}, available are {len(free)}"
            raise AdmissionError(text)

        def prefer(available: frozenset[str], must: frozenset[str], size: int) -> frozenset[str]:
            return self._preferred(resource, available, must, size)

        return choose(
            needed, reusable, self._affinity(resource, free, missing), prefer, self._shuffled
        )

    def _healthy(self, resource: str, has: frozenset[str]) -> frozenset[str]:
        """What is healthy, if that is something and all that the container has."""
        healthy = self._devices.healthy(resource)
        if healthy is None:
            raise AdmissionError(f"cannot allocate devices of {resource}: not registered")
        if not healthy:
            raise AdmissionError(f"cannot allocate devices of {resource}: none is healthy")
        if not has <= healthy:
            lost = ", ".join(sorted(has - healthy))
            raise AdmissionError(f"devices of {resource} given before are not healthy: {lost}")
        return healthy

    def _affinity(self, resource: str, free: frozenset[str], needed: int) -> Affinity:
        nodes = self._devices.nodes(resource)
        if not self._numa or not any(nodes.values()):
            return Affinity(rest=free)
        return affinity(free, nodes, needed)

    def _preferred(
        self, resource: str, available: frozenset[str], must: frozenset[str], size: int
    ) -> frozenset[str]:
        endpoint = self._devices.endpoint(resource)
        if not endpoint.options.get_preferred_allocation_available:
            return NOTHING
        client = endpoint.running()
        self._note("GetPreferredAllocation", resource, available)
        return client.preferred(self._shuffled(available), self._shuffled(must), size)

    def _allocate(self, pod: str, container: str, resource: str, ids: list[str]) -> None:
        client = self._devices.endpoint(resource).running()
        self._note("Allocate", resource, ids)
        response = client.allocate(ids)
        known = self._devices.nodes(resource)
        nodes: dict[int, tuple[str, ...]] = {}
        for name in ids:
            for node in known.get(name) or (NO_NODE,):
                nodes[node] = (*nodes.get(node, ()), name)
        entry = Entry(
            pod=pod, container=container, resource=resource, devices=nodes, response=response
        )
        self._ledger.put(entry)

    def _pre_start(self, pod: str, container: str, resource: str) -> None:
        endpoint = self._devices.endpoint(resource)
        if not endpoint.options.pre_start_required:
            return
        entry = self._ledger.find(pod, container, resource)
        if entry is None:
            raise AdmissionError(f"{container} has no devices of {resource}")
        client = endpoint.running()
        self._note("PreStartContainer", resource, entry.ids)
        client.pre_start(self._shuffled(entry.ids))

    def _is_missing(self, pod: str, container: str, resource: str) -> bool:
        found = self._ledger.find(pod, container, resource)
        return found is None and self._ledger.is_active(pod)

    def _is_plugins(self, resource: str) -> bool:
        """A plugin has it, or had it when something was given that is in use."""
        return self._devices.healthy(resource) is not None or bool(self._ledger.taken(resource))

    def _note(self, method: str, resource: str, ids: Iterable[str]) -> None:
        with self._changes.lock:
            self.calls.append(Call(method=method, resource=resource, ids=frozenset(ids)))
            self._changes.tell()

    def _shuffled(self, names: Iterable[str]) -> list[str]:
        ordered = sorted(names)
        self._random.shuffle(ordered)
        return ordered
