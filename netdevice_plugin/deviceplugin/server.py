"""A pool's device plugin: served, registered, and registered again whenever that is lost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Sequence

import grpc

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2_grpc as device_plugin
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2_grpc as watcher
from netdevice_plugin.deviceplugin import messages
from netdevice_plugin.deviceplugin.kubelet import Kubelet
from netdevice_plugin.deviceplugin.observer import Observer, Silence
from netdevice_plugin.deviceplugin.servicer import Introduction, Newest, Ready, Service
from netdevice_plugin.errors import KubeletError
from netdevice_plugin.model import Listed, Pool, Registration
from netdevice_plugin.serving.backoff import Backoff
from netdevice_plugin.serving.endpoint import Endpoint
from netdevice_plugin.serving.racing import first
from netdevice_plugin.serving.sockets import Mark, address

FLOOR = 0.1  # seconds between two attempts, whatever happens in the directory
STEADY = 10.0  # seconds of a stream after which a next end is not one more of the same

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long a kubelet may take, in seconds."""

    register: float = 15.0  # within it, it dials us for up to 10 s
    stream: float = 10.0  # from the registration to its asking for the list


class PoolServer:
    """Offers a pool to a kubelet for as long as `run` runs.

    Nothing is offered before the first `publish`: to a kubelet that has just
    started, a list that is not yet filled means that what its pods have is gone.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        pool: Pool,
        kubelet: Kubelet,
        observer: Observer | None = None,
        *,
        limits: Limits = Limits(),
        backoff: Backoff | None = None,
        ready: Ready | None = None,
    ) -> None:
        self._ready = ready
        self._pool = pool
        self._kubelet = kubelet
        self._observer = observer or Silence()
        self._limits = limits
        self._path = kubelet.path_of(pool.kind)
        self._newest = Newest(pool)
        self._service: Service | None = None
        self._backoff = backoff or Backoff()
        self.registered = False
        self.failure = ""  # of the last attempt, if it failed

    @property
    def streaming(self) -> bool:
        """Whether the kubelet hears of every change."""
        return self._service is not None and self._service.opened and not self._service.ended

    def publish(self, listed: Sequence[Listed]) -> None:
        """Tell the kubelet, if that is news; from the event loop, and before or during `run`."""
        before = self._newest.roster
        roster = messages.roster(self._pool, listed)
        if roster.left_out and not before.left_out:
            counts = self._about(listed=len(roster.devices), left_out=roster.left_out)
            _log.error("More devices than a message can have", extra=counts)
        self._newest.replace(roster)

    async def run(self) -> None:
        """Serve and register, for ever; when cancelled, end the streams, then the socket."""
        await self._newest.bell.until(lambda: self._newest.published)
        while True:
            await self._kubelet.until(lambda: self._kubelet.presence() is not None)
            began, met = time.monotonic(), self._kubelet.presence()
            try:
                await self._round(met)
                self.failure = ""
            except KubeletError as error:
                self._fail(error)
            await self._pause(began, met)

    async def _round(self, met: Mark | None) -> None:
        """Serve and register once; return when it takes another registration."""
        service = Service(self._newest, self._observer, self._ready)
        introduction = Introduction(self._newest)

        def add(server: grpc.aio.Server) -> None:
            device_plugin.add_DevicePluginServicer_to_server(service, server)
            if self._kubelet.route is Registration.WATCHER:
                watcher.add_RegistrationServicer_to_server(introduction, server)

        async with Endpoint(self._path, add) as endpoint:
            self._service = service
            try:
                await first(
                    self._displaced(endpoint, met),
                    self._session(service, introduction),
                )
            finally:
                self.registered = False
                self._service = None
                service.end()

    async def _displaced(self, endpoint: Endpoint, met: Mark | None) -> None:
        """Return when the kubelet is another one, or cannot find us any more."""
        await self._kubelet.until(lambda: self._is_displaced(endpoint, met))
        same = self._kubelet.presence() == met
        reason = "the socket was removed" if same else "there is another kubelet"
        _log.info("Registering again", extra=self._about(reason=reason))

    def _is_displaced(self, endpoint: Endpoint, met: Mark | None) -> bool:
        """A stream that is open is worth more than a socket, as long as there is none to call."""
        now = self._kubelet.presence()
        return now is not None and (now != met or not endpoint.intact())

    async def _session(self, service: Service, introduction: Introduction) -> None:
        """Get registered, and return when the kubelet has ended its stream."""
        if self._kubelet.route is Registration.SOCKET:
            await self._register()
        else:
            await self._introduced(service, introduction)
        self.registered = True
        self.failure = ""
        self._observer.registered(self._pool.kind)
        _log.info("Registered with the kubelet", extra=self._about(socket=str(self._path)))
        bell = self._newest.bell
        try:
            async with asyncio.timeout(self._limits.stream):
                await bell.until(lambda: service.opened)
        except TimeoutError:
            raise self._error("took the registration and never asked for the list") from None
        since = time.monotonic()
        try:
            await bell.until(lambda: service.ended or bool(introduction.refusal))
        finally:
            if time.monotonic() - since >= STEADY:
                self._backoff.reset()
        if introduction.refusal:
            raise self._error(introduction.refusal)
        _log.info("The kubelet ended its stream", extra=self._about())

    async def _register(self) -> None:
        """Call the kubelet; it calls us back before it answers."""
        # A pool of its own: gRPC's own back-off must not be that of an earlier attempt.
        options = (("grpc.use_local_subchannel_pool", 1),)
        request = messages.register_request(self._pool, self._path.name)
        async with grpc.aio.insecure_channel(address(self._kubelet.socket), options) as channel:
            stub = device_plugin.RegistrationStub(channel)
            try:
                await stub.Register(request, timeout=self._limits.register)
            except grpc.aio.AioRpcError as error:
                raise self._error(f"{error.code().name}: {error.details()}") from error

    async def _introduced(self, service: Service, introduction: Introduction) -> None:
        """Wait to be found: there may be no kubelet for hours."""
        told = introduction
        await self._newest.bell.until(lambda: told.accepted or bool(told.refusal) or service.ended)
        if not told.accepted:
            raise self._error(told.refusal or "ended its stream before it had registered us")

    async def _pause(self, began: float, met: Mark | None) -> None:
        """Wait for the next attempt; not at all, but for the floor, if the kubelet is new."""
        await asyncio.sleep(FLOOR - (time.monotonic() - began))
        kubelet = self._kubelet
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next()):
                await kubelet.until(lambda: kubelet.presence() not in (met, None))
                self._backoff.reset()

    def _fail(self, error: KubeletError) -> None:
        """Say so, but once for as long as it stays the same."""
        reason = str(error)
        level = logging.DEBUG if reason == self.failure else logging.WARNING
        why = self._about(reason=reason, **({"remedy": error.hint} if error.hint else {}))
        _log.log(level, "Not registered with the kubelet", extra=why)
        self.failure = reason
        self._observer.registration_failed(self._pool.kind, reason)

    def _error(self, what: str) -> KubeletError:
        return KubeletError(f"{messages.utf8(self._pool.kind)}: the kubelet: {what}")

    def _about(self, **more: object) -> dict[str, object]:
        return {"resource": self._pool.kind, **more}
