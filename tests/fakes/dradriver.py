"""A DRA driver that does what a test says: the other side of the fake kubelet."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import grpc

from tests.fakes.kubelet.place import Place
from tests.fakes.kubelet.wire import dra as api
from tests.fakes.kubelet.wire import (
    dra_beta,
    dra_beta_grpc,
    dra_grpc,
    health_grpc,
    registration_grpc,
)
from tests.fakes.kubelet.wire import health as health_api
from tests.fakes.kubelet.wire import registration as watcher_api
from tests.fakes.plugin import FaultError

VERSIONS = ("v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth")
Answers = dict[str, api.NodePrepareResourceResponse]
_NUMBERS = itertools.count(1)


def device(name: str, *cdi: str, requests: Iterable[str] = ()) -> api.Device:
    """A prepared device of the pool that all claims here are of."""
    names = cdi or (f"example.com/claim={name}",)
    return api.Device(
        request_names=requests, pool_name="node/pool", device_name=name, cdi_device_ids=names
    )


def healthy(
    name: str, word: health_api.HealthStatus = health_api.HEALTHY
) -> health_api.DeviceHealth:
    """What is told of a device."""
    return health_api.DeviceHealth(
        device=health_api.DeviceIdentifier(pool_name="node/pool", device_name=name), health=word
    )


class DraDriver(
    dra_grpc.DRAPluginServicer,
    registration_grpc.RegistrationServicer,
    health_grpc.DRAResourceHealthServicer,
):
    """One instance with its two sockets; all that is public may be replaced by a test.

    It keeps no claims: each is prepared as `devices` says by its name.
    """

    def __init__(self, place: Place, name: str, instance: str = "") -> None:
        instance = instance or f"i{next(_NUMBERS)}"
        self.name = name
        self.socket = place.drivers / name / f"dra-{instance}.sock"
        self.registration = place.registry / f"{name}-{instance}-reg.sock"
        self.info = watcher_api.PluginInfo(
            type="DRAPlugin", name=name, endpoint=str(self.socket), supported_versions=VERSIONS
        )
        self.devices: dict[str, list[api.Device]] = {}  # by the claim's name
        self.health: list[health_api.DeviceHealth] = []
        self.change: Callable[[Answers], None] = lambda answers: None  # of Prepare's, in place
        self.before: Callable[[str], None] = lambda method: None  # may raise FaultError, or block
        self.prepared: list[tuple[str, ...]] = []  # the claims of each call, by name
        self.unprepared: list[tuple[str, ...]] = []
        self.versions: list[str] = []  # of each call
        self.told: queue.Queue[watcher_api.RegistrationStatus] = queue.Queue()
        self._lock = threading.Lock()
        self._streams: list[queue.Queue[list[health_api.DeviceHealth] | None]] = []
        self._servers: list[grpc.Server] = []
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
        """Listen, on the service's socket first."""
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="driver")
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        beta = _Beta(self)
        service = grpc.server(self._threads)
        dra_grpc.add_DRAPluginServicer_to_server(self, service)
        dra_beta_grpc.add_DRAPluginServicer_to_server(beta, service)
        health_grpc.add_DRAResourceHealthServicer_to_server(self, service)
        registrar = grpc.server(self._threads)
        registration_grpc.add_RegistrationServicer_to_server(self, registrar)
        for server, socket in ((service, self.socket), (registrar, self.registration)):
            server.add_insecure_port(f"unix:{socket}")
            server.start()
            self._servers.append(server)

    def close(self) -> None:
        """End everything, and take the sockets away: the registration's first."""
        self.end_health()
        while self._servers:
            self._servers.pop().stop(0).wait()
        self._threads.shutdown(wait=False)

    def disconnect(self) -> None:
        """End the service, and stay registered."""
        self.end_health()
        self._servers.pop(0).stop(0).wait()

    def tell(self, *devices: health_api.DeviceHealth) -> None:
        """Tell of devices' health."""
        with self._lock:
            self.health = list(devices)
            for stream in self._streams:
                stream.put(self.health)

    def end_health(self) -> None:
        """End every health stream, and nothing else."""
        with self._lock:
            for stream in self._streams:
                stream.put(None)

    # The protocol.

    def GetInfo(  # noqa: N802
        self, _request: watcher_api.InfoRequest, context: grpc.ServicerContext
    ) -> watcher_api.PluginInfo:
        self.enter("GetInfo", context)
        return self.info

    def NotifyRegistrationStatus(  # noqa: N802
        self, request: watcher_api.RegistrationStatus, context: grpc.ServicerContext
    ) -> watcher_api.RegistrationStatusResponse:
        self.enter("NotifyRegistrationStatus", context)
        self.told.put(request)
        return watcher_api.RegistrationStatusResponse()

    def NodePrepareResources(  # noqa: N802
        self, request: api.NodePrepareResourcesRequest, context: grpc.ServicerContext
    ) -> api.NodePrepareResourcesResponse:
        self.versions.append("v1")
        return self.prepare(request, context)

    def NodeUnprepareResources(  # noqa: N802
        self, request: api.NodeUnprepareResourcesRequest, context: grpc.ServicerContext
    ) -> api.NodeUnprepareResourcesResponse:
        self.enter("NodeUnprepareResources", context)
        self.unprepared.append(tuple(claim.name for claim in request.claims))
        answers = {claim.uid: api.NodeUnprepareResourceResponse() for claim in request.claims}
        return api.NodeUnprepareResourcesResponse(claims=answers)

    def NodeWatchResources(  # noqa: N802
        self, _request: health_api.NodeWatchResourcesRequest, context: grpc.ServicerContext
    ) -> Iterator[health_api.NodeWatchResourcesResponse]:
        self.enter("NodeWatchResources", context)
        stream: queue.Queue[list[health_api.DeviceHealth] | None] = queue.Queue()
        context.add_callback(lambda: stream.put(None))
        with self._lock:
            stream.put(self.health)
            self._streams.append(stream)
        while (devices := stream.get()) is not None:
            yield health_api.NodeWatchResourcesResponse(devices=devices)

    def prepare(
        self, request: api.NodePrepareResourcesRequest, context: grpc.ServicerContext
    ) -> api.NodePrepareResourcesResponse:
        """Answer, in whatever version it was asked."""
        self.prepared.append(tuple(claim.name for claim in request.claims))
        self.enter("NodePrepareResources", context)
        answers: Answers = {
            claim.uid: api.NodePrepareResourceResponse(devices=self._devices(claim.name))
            for claim in request.claims
        }
        self.change(answers)
        return api.NodePrepareResourcesResponse(claims=answers)

    def enter(self, method: str, context: grpc.ServicerContext) -> None:
        """Fail, or wait, if the test wants that."""
        try:
            self.before(method)
        except FaultError as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))

    def _devices(self, claim: str) -> list[api.Device]:
        return self.devices.get(claim, [device(f"{claim}-dev")])


class _Beta(dra_beta_grpc.DRAPluginServicer):
    """The same in v1beta1."""

    def __init__(self, driver: DraDriver) -> None:
        self._driver = driver

    def NodePrepareResources(  # noqa: N802
        self, request: dra_beta.NodePrepareResourcesRequest, context: grpc.ServicerContext
    ) -> dra_beta.NodePrepareResourcesResponse:
        self._driver.versions.append("v1beta1")
        new = api.NodePrepareResourcesRequest.FromString(request.SerializeToString())
        answer = self._driver.prepare(new, context).SerializeToString()
        return dra_beta.NodePrepareResourcesResponse.FromString(answer)
