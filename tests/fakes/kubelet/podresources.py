"""v1.PodResourcesLister on pod-resources/kubelet.sock.

k8s.io/kubernetes pkg/kubelet/apis/podresources. There is no uid in what it says.
"""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable, Iterable

import grpc

from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.checkpoint import NO_NODE, Entry
from tests.fakes.kubelet.cluster import Pod
from tests.fakes.kubelet.devices import Devices
from tests.fakes.kubelet.dra import Dra
from tests.fakes.kubelet.drastate import ClaimInfo
from tests.fakes.kubelet.ledger import Ledger
from tests.fakes.kubelet.plugin import Device
from tests.fakes.kubelet.settings import Settings
from tests.fakes.kubelet.specs import ContainerSpec
from tests.fakes.kubelet.wire import Server, podresources_grpc
from tests.fakes.kubelet.wire import podresources as api

SOCKET = "kubelet.sock"
RATE, BURST = 100.0, 10  # calls a second, and at once


class PodResources(podresources_grpc.PodResourcesListerServicer):
    """Tells which pod has which devices."""

    def __init__(
        self,
        pods: Callable[[], list[Pod]],
        ledger: Ledger,
        devices: Devices,
        dra: Dra,
        *,
        changes: Changes,
        settings: Settings,
    ) -> None:
        self._pods = pods
        self._changes = changes
        self._ledger = ledger
        self._devices = devices
        self._dra = dra
        self._settings = settings
        self._limit = _Bucket()
        self.lists = 0  # how often it was asked

    def List(  # noqa: N802 -- the protocol's name
        self, _request: api.ListPodResourcesRequest, context: grpc.ServicerContext
    ) -> api.ListPodResourcesResponse:
        """All pods; before 1.34 those too that have ended. Frees what those had."""
        self._limit.take(context)
        self._ledger.forget_inactive()
        pods = self._pods()
        if self._settings.active_pods_only:
            pods = [pod for pod in pods if not pod.over]
        answer = api.ListPodResourcesResponse(pod_resources=[self._pod(pod) for pod in pods])
        with self._changes.lock:
            self.lists += 1
            self._changes.tell()
        return answer

    def Get(  # noqa: N802 -- the protocol's name
        self, request: api.GetPodResourcesRequest, context: grpc.ServicerContext
    ) -> api.GetPodResourcesResponse:
        """One pod, by name."""
        self._limit.take(context)
        if not self._settings.get_pod_resources:
            context.abort(grpc.StatusCode.UNKNOWN, "Get is disabled")
        for pod in self._pods():
            if (pod.spec.name, pod.spec.namespace) == (request.pod_name, request.pod_namespace):
                return api.GetPodResourcesResponse(pod_resources=self._pod(pod))
        context.abort(grpc.StatusCode.UNKNOWN, f"pod {request.pod_name} is not known")
        raise AssertionError("abort raises")

    def GetAllocatableResources(  # noqa: N802 -- the protocol's name
        self, _request: api.AllocatableResourcesRequest, context: grpc.ServicerContext
    ) -> api.AllocatableResourcesResponse:
        """All healthy devices."""
        self._limit.take(context)
        listed = [
            message
            for resource, device in self._devices.allocatable()
            for message in _messages(resource, device.id, _places(device))
        ]
        return api.AllocatableResourcesResponse(devices=listed)

    def _pod(self, pod: Pod) -> api.PodResources:
        sidecars = tuple(c for c in pod.spec.init_containers if c.sidecar)
        return api.PodResources(
            name=pod.spec.name,
            namespace=pod.spec.namespace,
            containers=[self._container(pod, c) for c in (*sidecars, *pod.spec.containers)],
        )

    def _container(self, pod: Pod, container: ContainerSpec) -> api.ContainerResources:
        devices = [
            message
            for entry in self._ledger.of(pod.spec.uid, container.name)
            for name in sorted(entry.ids)
            for message in _messages(entry.resource, name, _nodes(entry, name))
        ]
        return api.ContainerResources(
            name=container.name,
            devices=devices,
            dynamic_resources=[_claim(info) for info in self._dra.infos(pod, container)],
        )


def _claim(info: ClaimInfo) -> api.DynamicResource:
    """A claim with all its devices, whichever of them the container asked for.

    As in the kubelet each device has the CDI names of the driver's before it too.
    """
    resources = []
    for driver, devices in info.devices.items():
        names: list[api.CDIDevice] = []
        for device in devices:
            names += [api.CDIDevice(name=name) for name in device.cdi]
            resource = api.ClaimResource(
                cdi_devices=names,
                driver_name=driver,
                pool_name=device.pool,
                device_name=device.device,
                share_id=device.share_id or None,
            )
            resources.append(resource)
    return api.DynamicResource(
        claim_name=info.name, claim_namespace=info.namespace, claim_resources=resources
    )


def _places(device: Device) -> Iterable[int]:
    """Its nodes, or that it tells none; one that tells an empty list is nowhere."""
    return (NO_NODE,) if device.nodes is None else device.nodes


def _nodes(entry: Entry, name: str) -> Iterable[int]:
    return sorted(node for node, names in entry.devices.items() if name in names)


def _messages(resource: str, name: str, nodes: Iterable[int]) -> list[api.ContainerDevices]:
    """One for each node, each with the one device."""
    messages = []
    for node in nodes:
        message = api.ContainerDevices(resource_name=resource, device_ids=[name])
        if node != NO_NODE:
            message.topology.nodes.add(ID=node)
        messages.append(message)
    return messages


class _Bucket:
    """The limit of calls, by real time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = float(BURST)
        self._at = time.monotonic()

    def take(self, context: grpc.ServicerContext) -> None:
        """Count a call, or end it."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(BURST, self._tokens + (now - self._at) * RATE)
            self._at = now
            enough = self._tokens >= 1
            self._tokens -= enough
        if not enough:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by the rate limit")


def serve(directory: pathlib.Path, aside: pathlib.Path, servicer: PodResources) -> Server:
    """Create the socket, in place of one of an earlier run."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SOCKET).unlink(missing_ok=True)
    return Server(
        directory / SOCKET,
        aside,
        lambda server: podresources_grpc.add_PodResourcesListerServicer_to_server(servicer, server),
    )
