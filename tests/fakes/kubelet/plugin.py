"""The kubelet as the client of one device plugin, from dial to the end of its list.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager: endpoint.go, plugin/v1beta1/client.go.
"""

from __future__ import annotations

import dataclasses
import pathlib
import threading
from collections.abc import Iterable, Iterator

import grpc

from tests.fakes.kubelet.wire import await_ready, channel, deviceplugin_grpc, said
from tests.fakes.kubelet.wire import deviceplugin as api

PRE_START = 30.0  # seconds; the one call to a plugin that has a deadline


class PluginError(Exception):
    """A call to a plugin failed; the text is what the kubelet says of it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of a plugin's list."""

    id: str
    health: str
    nodes: tuple[int, ...] | None  # None without topology, which is not the same as none

    @property
    def healthy(self) -> bool:
        """Only this very word counts."""
        return self.health == "Healthy"


class Client:
    """A connection to a plugin; once closed it stays closed."""

    def __init__(self, resource: str, socket: pathlib.Path) -> None:
        self.resource = resource
        self._channel = channel(socket, "localhost")
        self._settled = threading.Event()  # the dial has ended
        self._dialled = False
        self._stub = deviceplugin_grpc.DevicePluginStub(self._channel)

    def dial(self) -> None:
        """Connect; raises DialError after 10 s."""
        await_ready(self._channel, self._settled)
        self._dialled = True

    def close(self) -> None:
        """End the connection, and with it the list and every call."""
        self._settled.set()
        if self._dialled:
            self._channel.close()

    def options(self) -> api.DevicePluginOptions:
        """Ask which calls the plugin offers."""
        try:
            answer: api.DevicePluginOptions = self._stub.GetDevicePluginOptions(api.Empty())
        except (grpc.RpcError, ValueError) as error:
            raise PluginError(f"no options from the plugin: {said(error)}") from error
        return answer

    def lists(self) -> Iterator[tuple[Device, ...]]:
        """Each list that the plugin sends, until its stream ends in whatever way."""
        try:
            for message in self._stub.ListAndWatch(api.Empty()):
                yield tuple(_decode(device) for device in message.devices)
        except (grpc.RpcError, ValueError):
            return

    def allocate(self, ids: Iterable[str]) -> api.ContainerAllocateResponse:
        """Ask for one container's devices. There is no deadline."""
        request = api.AllocateRequest()
        request.container_requests.add(devices_ids=ids)
        try:
            response: api.AllocateResponse = self._stub.Allocate(request)
        except (grpc.RpcError, ValueError) as error:
            raise PluginError(said(error)) from error
        if not response.container_responses:
            raise PluginError("the answer to Allocate has no container")
        return response.container_responses[0]

    def preferred(self, available: Iterable[str], must: Iterable[str], size: int) -> frozenset[str]:
        """Ask which devices go well together. There is no deadline."""
        request = api.PreferredAllocationRequest()
        request.container_requests.add(
            available_deviceIDs=available, must_include_deviceIDs=must, allocation_size=size
        )
        try:
            response = self._stub.GetPreferredAllocation(request)
        except (grpc.RpcError, ValueError) as error:
            text = f"GetPreferredAllocation failed: {said(error)}"
            raise PluginError(text) from error
        answers = response.container_responses
        return frozenset(answers[0].deviceIDs if answers else ())

    def pre_start(self, ids: Iterable[str]) -> None:
        """Announce the start of a container."""
        request = api.PreStartContainerRequest(devices_ids=ids)
        try:
            self._stub.PreStartContainer(request, timeout=PRE_START)
        except (grpc.RpcError, ValueError) as error:
            text = f"PreStartContainer failed: {said(error)}"
            raise PluginError(text) from error


def _decode(device: api.Device) -> Device:
    nodes = tuple(node.ID for node in device.topology.nodes)
    return Device(
        id=device.ID,
        health=device.health,
        nodes=nodes if device.HasField("topology") else None,
    )
