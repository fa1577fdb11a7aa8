"""What plugins offer, as the kubelet's device manager understands it.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager/manager.go. It lives as long as one run of
the kubelet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.fakes.kubelet.changes import Changes, Clock
from tests.fakes.kubelet.ledger import Ledger
from tests.fakes.kubelet.plugin import Client, Device, PluginError
from tests.fakes.kubelet.wire import deviceplugin as api


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a node's status says of a resource."""

    capacity: int
    allocatable: int


@dataclasses.dataclass(slots=True)
class Endpoint:
    """The last client of a name; it has none if only the checkpoint knows the name."""

    client: Client | None = None
    options: api.DevicePluginOptions = dataclasses.field(default_factory=api.DevicePluginOptions)
    stopped: float | None = None

    def running(self) -> Client:
        """The client; raises PluginError after its end."""
        if self.client is None or self.stopped is not None:
            raise PluginError("the plugin's endpoint is stopped")
        return self.client


class Devices:
    """The devices by resource, and who offers them."""

    def __init__(self, ledger: Ledger, changes: Changes, clock: Clock, grace: float) -> None:
        self._ledger = ledger
        self._changes = changes
        self._clock = clock
        self._grace = grace
        self._endpoints: dict[str, Endpoint] = {}
        self._known: dict[str, dict[str, Device]] = {}
        self._healthy: dict[str, set[str]] = {}
        self._unhealthy: dict[str, set[str]] = {}
        self.lists: dict[str, int] = {}  # how many were received
        for name in ledger.resources:
            self._healthy[name], self._unhealthy[name] = set(), set()
            self._endpoints[name] = Endpoint(stopped=clock.now())

    def connected(self, client: Client) -> None:
        """Take a client, once it has told its options."""
        options = client.options()
        with self._changes.lock:
            self._endpoints[client.resource] = Endpoint(client, options)
            self._changes.tell()

    def received(self, resource: str, devices: tuple[Device, ...]) -> None:
        """Replace the whole set; of two that share an id the last is known, and both count."""
        with self._changes.lock:
            self._known[resource] = {device.id: device for device in devices}
            self._healthy[resource] = {device.id for device in devices if device.healthy}
            self._unhealthy[resource] = {device.id for device in devices if not device.healthy}
            self.lists[resource] = self.lists.get(resource, 0) + 1
            self.save()
            self._changes.tell()

    def disconnected(self, resource: str) -> None:
        """All its devices are unhealthy from now on, and in five minutes forgotten."""
        with self._changes.lock:
            endpoint = self._endpoints.get(resource)
            if endpoint is not None:
                self._unhealthy.setdefault(resource, set()).update(self._healthy.get(resource, ()))
                self._healthy[resource] = set()
                endpoint.stopped = self._clock.now()
                self._changes.tell()

    def save(self) -> None:
        """Write the checkpoint."""
        with self._changes.lock:
            self._ledger.write(self._healthy)

    def status(self) -> tuple[Mapping[str, Resource], frozenset[str]]:
        """What each resource has, and which ones are over: those are written as 0."""
        with self._changes.lock:
            names = {*self._healthy, *self._unhealthy}
            over = frozenset(name for name in names if self._expired(name))
            for name in over:
                self._endpoints.pop(name, None)
                self._healthy.pop(name, None)
                self._unhealthy.pop(name, None)
            if over:
                self.save()
            return {name: self._resource(name) for name in names - over}, over

    def health(self, resource: str) -> Mapping[str, str]:
        """By device the plugin's last word, or Unhealthy after the plugin's end."""
        with self._changes.lock:
            healthy = self._healthy.get(resource, set())
            return {
                name: "Unhealthy" if device.healthy and name not in healthy else device.health
                for name, device in self._known.get(resource, {}).items()
            }

    def healthy(self, resource: str) -> frozenset[str] | None:
        """The devices that may be given; None for a resource that is not registered."""
        with self._changes.lock:
            found = self._healthy.get(resource)
            return None if found is None else frozenset(found)

    def nodes(self, resource: str) -> Mapping[str, tuple[int, ...]]:
        """The NUMA nodes by device."""
        with self._changes.lock:
            known = self._known.get(resource, {})
            return {name: device.nodes or () for name, device in known.items()}

    def allocatable(self) -> list[tuple[str, Device]]:
        """The healthy devices by resource name, whoever has them."""
        with self._changes.lock:
            return [
                (resource, device)
                for resource, devices in self._known.items()
                for device in devices.values()
                if device.id in self._healthy.get(resource, ())
            ]

    def endpoint(self, resource: str) -> Endpoint:
        """Who offers a resource; raises PluginError if nobody ever did."""
        with self._changes.lock:
            if resource not in self._endpoints:
                raise PluginError(f"unknown device plugin {resource}")
            return self._endpoints[resource]

    def registered(self, resource: str) -> bool:
        """Whether a plugin is connected for the name."""
        with self._changes.lock:
            endpoint = self._endpoints.get(resource)
            return bool(endpoint and endpoint.client and endpoint.stopped is None)

    def _expired(self, resource: str) -> bool:
        endpoint = self._endpoints.get(resource)
        if endpoint is None:
            return True
        stopped = endpoint.stopped
        return stopped is not None and self._clock.now() - stopped > self._grace

    def _resource(self, name: str) -> Resource:
        healthy, unhealthy = self._healthy.get(name, ()), self._unhealthy.get(name, ())
        return Resource(capacity=len(healthy) + len(unhealthy), allocatable=len(healthy))
