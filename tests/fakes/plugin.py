"""A device plugin that does what a test says: the other side of the fake kubelet."""

from __future__ import annotations

import pathlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import grpc

from tests.fakes.kubelet.place import Place
from tests.fakes.kubelet.wire import deviceplugin as api
from tests.fakes.kubelet.wire import (
    deviceplugin_grpc,
    dial,
    podresources_grpc,
    registration_grpc,
)
from tests.fakes.kubelet.wire import registration as watcher_api

HEALTHY = "Healthy"
Allocator = Callable[[list[str]], api.ContainerAllocateResponse]
_END = None


class FaultError(Exception):
    """What a call is to fail with."""


def device(name: str, health: str = HEALTHY, nodes: tuple[int, ...] | None = None) -> api.Device:
    """A device of a list; without nodes it tells no topology."""
    message = api.Device(ID=name, health=health)
    if nodes is not None:
        message.topology.SetInParent()
        for node in nodes:
            message.topology.nodes.add(ID=node)
    return message


def by_cdi(kind: str) -> Allocator:
    """Answer with the devices' CDI names, as this project's agent does."""

    def allocate(ids: list[str]) -> api.ContainerAllocateResponse:
        names = [api.CDIDevice(name=f"{kind}={name}") for name in ids]
        return api.ContainerAllocateResponse(envs={"GIVEN": ",".join(ids)}, cdi_devices=names)

    return allocate


class Plugin(
    deviceplugin_grpc.DevicePluginServicer,
    registration_grpc.RegistrationServicer,
):
    """One plugin on one socket; all that is public may be replaced by a test."""

    def __init__(self, socket: pathlib.Path, resource: str, *devices: str) -> None:
        self.socket = socket
        self.resource = resource
        self.devices = [device(name) for name in devices]
        self.options = api.DevicePluginOptions()
        self.info = watcher_api.PluginInfo(
            type="DevicePlugin", name=resource, supported_versions=["v1beta1"]
        )
        self.allocate = by_cdi(resource)
        self.prefer: Callable[[list[str], list[str], int], list[str]] = lambda free, must, size: []
        self.before: Callable[[str], None] = lambda method: None  # may raise FaultError, or block
        self.ended: Callable[[], None] = lambda: None  # called at the end of each list
        self.allocated: list[tuple[str, ...]] = []
        self.started: list[tuple[str, ...]] = []
        self.preferred: list[tuple[frozenset[str], frozenset[str], int]] = []
        self.told: queue.Queue[watcher_api.RegistrationStatus] = queue.Queue()
        self._lock = threading.Lock()
        self._streams: list[queue.Queue[list[api.Device] | None]] = []
        self._server: grpc.Server | None = None
        self._threads: ThreadPoolExecutor

    def __enter__(self) -> Self:
        self.serve()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def serve(self) -> None:
        """Listen."""
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="plugin")
        server = grpc.server(self._threads)
        deviceplugin_grpc.add_DevicePluginServicer_to_server(self, server)
        registration_grpc.add_RegistrationServicer_to_server(self, server)
        server.add_insecure_port(f"unix:{self.socket}")
        server.start()
        self._server = server

    def close(self) -> None:
        """End everything, and take the socket away."""
        if self._server is not None:
            self.end_lists()
            self._server.stop(0).wait()
            self._threads.shutdown(wait=False)
            self._server = None

    def register(self, place: Place, *, version: str = "v1beta1", resource: str = "") -> None:
        """Call the kubelet; raises grpc.RpcError."""
        request = api.RegisterRequest(
            version=version, endpoint=self.socket.name, resource_name=resource or self.resource
        )
        with dial(place.socket, "localhost") as channel:
            deviceplugin_grpc.RegistrationStub(channel).Register(request, timeout=15)

    def send(self, *devices: api.Device) -> None:
        """Replace the list."""
        with self._lock:
            self.devices = list(devices)
            for stream in self._streams:
                stream.put(self.devices)

    def end_lists(self) -> None:
        """End every open list, and nothing else."""
        with self._lock:
            for stream in self._streams:
                stream.put(_END)

    # The protocol.

    def GetInfo(  # noqa: N802
        self, _request: watcher_api.InfoRequest, context: grpc.ServicerContext
    ) -> watcher_api.PluginInfo:
        self._enter("GetInfo", context)
        return self.info

    def NotifyRegistrationStatus(  # noqa: N802
        self, request: watcher_api.RegistrationStatus, context: grpc.ServicerContext
    ) -> watcher_api.RegistrationStatusResponse:
        self._enter("NotifyRegistrationStatus", context)
        self.told.put(request)
        return watcher_api.RegistrationStatusResponse()

    def GetDevicePluginOptions(  # noqa: N802
        self, _request: api.Empty, context: grpc.ServicerContext
    ) -> api.DevicePluginOptions:
        self._enter("GetDevicePluginOptions", context)
        return self.options

    def ListAndWatch(  # noqa: N802
        self, _request: api.Empty, context: grpc.ServicerContext
    ) -> Iterator[api.ListAndWatchResponse]:
        self._enter("ListAndWatch", context)
        stream: queue.Queue[list[api.Device] | None] = queue.Queue()

        def end() -> None:
            stream.put(_END)
            self.ended()

        context.add_callback(end)
        with self._lock:
            stream.put(self.devices)
            self._streams.append(stream)
        while (devices := stream.get()) is not _END:
            yield api.ListAndWatchResponse(devices=devices)

    def GetPreferredAllocation(  # noqa: N802
        self, request: api.PreferredAllocationRequest, context: grpc.ServicerContext
    ) -> api.PreferredAllocationResponse:
        self._enter("GetPreferredAllocation", context)
        (wanted,) = request.container_requests
        free, must = list(wanted.available_deviceIDs), list(wanted.must_include_deviceIDs)
        self.preferred.append((frozenset(free), frozenset(must), wanted.allocation_size))
        response = api.PreferredAllocationResponse()
        chosen = self.prefer(free, must, wanted.allocation_size)
        response.container_responses.add(deviceIDs=chosen)
        return response

    def Allocate(  # noqa: N802
        self, request: api.AllocateRequest, context: grpc.ServicerContext
    ) -> api.AllocateResponse:
        self._enter("Allocate", context)
        (wanted,) = request.container_requests
        self.allocated.append(tuple(wanted.devices_ids))
        answer = self.allocate(list(wanted.devices_ids))
        return api.AllocateResponse(container_responses=[answer])

    def PreStartContainer(  # noqa: N802
        self, request: api.PreStartContainerRequest, context: grpc.ServicerContext
    ) -> api.PreStartContainerResponse:
        self._enter("PreStartContainer", context)
        self.started.append(tuple(request.devices_ids))
        return api.PreStartContainerResponse()

    def _enter(self, method: str, context: grpc.ServicerContext) -> None:
        try:
            self.before(method)
        except FaultError as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))


def lister(place: Place) -> podresources_grpc.PodResourcesListerStub:
    """A client of the kubelet's podresources."""
    return podresources_grpc.PodResourcesListerStub(dial(place.pod_resources / "kubelet.sock"))
