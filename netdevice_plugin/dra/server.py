"""The driver as the kubelet has it: found in plugins_registry, served on a socket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc

from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2_grpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2_grpc as watcher
from netdevice_plugin.dra import health, servicer, sockets
from netdevice_plugin.dra.claims import Claims
from netdevice_plugin.dra.observer import Observer, Silence
from netdevice_plugin.errors import KubeletError, NetdevError
from netdevice_plugin.offering import Listing
from netdevice_plugin.serving.backoff import Backoff
from netdevice_plugin.serving.bell import Bell
from netdevice_plugin.serving.endpoint import Endpoint
from netdevice_plugin.serving.lookout import Lookout
from netdevice_plugin.serving.racing import first

_log = logging.getLogger(__name__)


class DraServer:
    """Serves claims and health to the kubelet for as long as `run` runs.

    Raises ConfigError if no socket's path fits below `kubelet_dir`, the kubelet's
    --root-dir. `instance` is what no other instance has at the same time: the pod's uid.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        kubelet_dir: Path,
        instance: str,
        claims: Claims,
        *,
        observer: Observer | None = None,
        backoff: Backoff | None = None,
        refresh: float = health.REFRESH,
    ) -> None:
        self._driver = claims.driver
        self._claims = claims
        self._observer = observer or Silence()
        self._backoff = backoff or Backoff()
        self.paths = sockets.Paths.of(kubelet_dir, self._driver, instance)
        self._health = health.HealthService(self._observer, refresh)
        self._bell = Bell()
        self._serving = False
        self.registered = False
        self.failure = ""  # of the last attempt, if it failed

    def publish_health(self, listings: Iterable[Listing]) -> None:
        """Tell the kubelet how all devices are, if that is news; from the event loop."""
        self._health.publish(health.of(listings, self._claims.node))

    async def run(self) -> None:
        """Serve and be registered, for ever.

        When cancelled, the registration ends first, then the streams, then, with what
        is being worked on, the service.
        """
        await asyncio.to_thread(self._prepare)
        async with (
            Lookout(self.paths.data_dir) as data_dir,
            Lookout(self.paths.registration.parent) as registry,
        ):
            service = asyncio.create_task(self._keep_served(data_dir))
            try:
                await first(_unending(service), self._keep_registered(registry))
            finally:
                self._health.end()
                service.cancel()
                await asyncio.gather(service, return_exceptions=True)
                await self._claims.close()

    def _prepare(self) -> None:
        with contextlib.suppress(OSError):  # serving will say so
            self.paths.data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        for path in sockets.sweep(self.paths, self._driver):
            _log.info("Socket of an instance that is dead removed", extra={"socket": str(path)})

    async def _keep_served(self, lookout: Lookout) -> None:
        """Have the service there, and again whenever somebody takes it away."""

        def add(server: grpc.aio.Server) -> None:
            servicer.add(self._claims, server)
            drahealth_pb2_grpc.add_DRAResourceHealthServicer_to_server(self._health, server)

        while True:
            with self._reported():
                async with Endpoint(self.paths.service, add) as endpoint:
                    self._say_served(serving=True)
                    try:
                        await lookout.until(lambda: not endpoint.intact())
                    finally:
                        self._say_served(serving=False)
            await asyncio.sleep(self._backoff.next())

    def _say_served(self, *, serving: bool) -> None:
        self._serving = serving
        self._bell.ring()

    async def _keep_registered(self, lookout: Lookout) -> None:
        """Have the registration's socket there while the service is."""
        while True:
            await lookout.until(lookout.directory.is_dir)  # or there is no kubelet yet
            await self._bell.until(lambda: self._serving)
            with self._reported():
                await self._round(lookout)
            await asyncio.sleep(self._backoff.next())

    async def _round(self, lookout: Lookout) -> None:
        """Be registered once; return when it takes another time. Raises KubeletError."""
        told = servicer.Introduction(self._driver, self.paths.service, self._bell.ring)

        def add(server: grpc.aio.Server) -> None:
            watcher.add_RegistrationServicer_to_server(told, server)

        async with Endpoint(self.paths.registration, add) as endpoint:
            try:
                await first(
                    lookout.until(lambda: not endpoint.intact()),
                    self._bell.until(lambda: not self._serving),
                    self._follow(told),
                )
            finally:
                self.registered = False

    async def _follow(self, told: servicer.Introduction) -> None:
        """Say what the kubelet said; a new one says it again. Raises KubeletError if it refuses."""
        await self._bell.until(lambda: told.accepted or bool(told.refusal))
        if told.accepted:
            self.registered = True
            self.failure = ""
            self._backoff.reset()
            self._observer.registered()
            where = {"driver": self._driver, "socket": str(self.paths.service)}
            _log.info("Registered with the kubelet", extra=where)
        await self._bell.until(lambda: bool(told.refusal))
        raise KubeletError(f"{self._driver}: the kubelet: {told.refusal}")

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Say what fails, but once for as long as it stays the same."""
        try:
            yield
        except NetdevError as error:
            reason = str(error)
            level = logging.DEBUG if reason == self.failure else logging.WARNING
            why = {"driver": self._driver, "reason": reason}
            if error.hint:
                why["remedy"] = error.hint
            _log.log(level, "Not registered with the kubelet", extra=why)
            self.failure = reason
            self._observer.registration_failed(reason)


async def _unending(task: asyncio.Task[None]) -> None:
    """Raise what a task dies of; to stop waiting for it does not end it."""
    await asyncio.shield(task)
