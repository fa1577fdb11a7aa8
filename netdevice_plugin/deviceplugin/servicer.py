"""The calls of the kubelet, answered from what was published last."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import grpc

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin._pb.deviceplugin.v1beta1.deviceplugin_pb2_grpc import DevicePluginServicer
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.pluginregistration.v1.pluginregistration_pb2_grpc import (
    RegistrationServicer,
)
from netdevice_plugin.deviceplugin import messages
from netdevice_plugin.deviceplugin.observer import Observer
from netdevice_plugin.errors import NetdevError
from netdevice_plugin.model import Pool
from netdevice_plugin.serving.bell import Bell
from netdevice_plugin.serving.guard import code_of

# Makes devices ready for a container; None where they are.
Ready: TypeAlias = Callable[[Sequence[str]], "Awaitable[object] | None"]


class Newest:
    """The newest roster of a pool. The bell is for all that happens to the pool's server."""

    def __init__(self, pool: Pool) -> None:
        self.roster = messages.roster(pool, ())
        self.published = False  # until then the empty roster is no news
        self.bell = Bell()

    def replace(self, roster: messages.Roster) -> None:
        """Have it told to every stream, unless it says the same."""
        self.roster = roster
        self.published = True
        self.bell.ring()


class Service(DevicePluginServicer):
    """A pool's devices, from one registration to its end.

    Devices that have to be are made `ready` before they are given out. Nothing is awaited
    between the last check of an Allocate and its answer, so that what was checked still holds.
    """

    def __init__(self, newest: Newest, observer: Observer, ready: Ready | None = None) -> None:
        self._newest = newest
        self._observer = observer
        self._ready = ready
        self._resource = newest.roster.pool.kind
        self._streams = 0
        self._over = False
        self.opened = False  # a stream has been
        self.ended = False  # the first stream, or every one, is no more

    def end(self) -> None:
        """Let every stream end: the kubelet must see that before a next registration."""
        self._over = True
        self._newest.bell.ring()

    async def GetDevicePluginOptions(
        self, request: api.Empty, context: grpc.aio.ServicerContext[api.Empty, object]
    ) -> api.DevicePluginOptions:
        """Say which optional calls we want."""
        return messages.options()

    async def ListAndWatch(
        self,
        request: api.Empty,
        context: grpc.aio.ServicerContext[api.Empty, api.ListAndWatchResponse],
    ) -> None:
        """Send the list, and again at each change; a slow reader misses what is outdated."""
        first = not self.opened
        self._open(first)
        try:
            await self._send(context)
        finally:
            self._close(first)

    async def _send(
        self, context: grpc.aio.ServicerContext[api.Empty, api.ListAndWatchResponse]
    ) -> None:
        sent: bytes | None = None
        while not self._over:
            now = self._newest.roster
            if now.wire == sent:
                await self._newest.bell.heard()
                continue
            await context.write(now.message())
            sent = now.wire
            self._observer.list_sent(self._resource, now.healthy, now.unhealthy)

    def _open(self, first: bool) -> None:
        self._streams += 1
        self.opened = True
        if first:
            self._observer.stream_opened(self._resource)
        self._newest.bell.ring()

    def _close(self, first: bool) -> None:
        """The first stream is the kubelet's; others are of somebody who looks for a bug."""
        self._streams -= 1
        if not self.ended and (first or not self._streams):
            self.ended = True
            self._observer.stream_ended(self._resource)
        self._newest.bell.ring()

    async def GetPreferredAllocation(
        self,
        request: api.PreferredAllocationRequest,
        context: grpc.aio.ServicerContext[api.PreferredAllocationRequest, object],
    ) -> api.PreferredAllocationResponse:
        """Advise; see `preference`."""
        return messages.preferred(self._newest.roster, request)

    async def Allocate(
        self,
        request: api.AllocateRequest,
        context: grpc.aio.ServicerContext[api.AllocateRequest, object],
    ) -> api.AllocateResponse:
        """Answer with the devices asked for, or with an error that names the one that is not."""
        began = time.perf_counter()
        names = [name for one in request.container_requests for name in one.devices_ids]
        try:
            answer = messages.allocate(self._newest.roster, request)
            if self._ready and (work := self._ready(names)):
                await work
                answer = messages.allocate(self._newest.roster, request)
        except NetdevError as error:
            self._observer.allocation_failed(self._resource, code_of(error).name)
            raise
        self._observer.allocated(self._resource, names, time.perf_counter() - began)
        return answer

    async def PreStartContainer(
        self,
        request: api.PreStartContainerRequest,
        context: grpc.aio.ServicerContext[api.PreStartContainerRequest, object],
    ) -> api.PreStartContainerResponse:
        """Do nothing: the options do not ask for the call."""
        return api.PreStartContainerResponse()


class Introduction(RegistrationServicer):
    """What the kubelet's plugin watcher asks of a socket, and what it then says of it."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self.accepted = False
        self.refusal = ""

    async def GetInfo(
        self, request: registration.InfoRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> registration.PluginInfo:
        """Say who we are; there is one second for that."""
        return messages.plugin_info(self._newest.roster.pool)

    async def NotifyRegistrationStatus(
        self,
        request: registration.RegistrationStatus,
        context: grpc.aio.ServicerContext[object, object],
    ) -> registration.RegistrationStatusResponse:
        """Hear what became of it."""
        self.accepted = request.plugin_registered
        self.refusal = "" if self.accepted else request.error or "no reason given"
        self._newest.bell.ring()
        return registration.RegistrationStatusResponse()
