"""The health of all devices, as the kubelet follows it: dra-health v1alpha1.

Each message has every device, and holds for `TIMEOUT`: one that is not refreshed is
unknown after that. The kubelet asks whether or not the API was announced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import grpc

from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2 as api
from netdevice_plugin._pb.drahealth.v1alpha1.drahealth_pb2_grpc import DRAResourceHealthServicer
from netdevice_plugin.dra.observer import Observer
from netdevice_plugin.dra.slices import pool_name
from netdevice_plugin.model import Frontend, Listed
from netdevice_plugin.offering import Listing
from netdevice_plugin.serving.bell import Bell

TIMEOUT = 30  # seconds
REFRESH = 10.0  # seconds; two may be lost
MAX_MESSAGE = 1024  # characters

Health = tuple[tuple[str, Listed], ...]  # by the name that slices give the pool


def of(listings: Iterable[Listing], node: str) -> Health:
    """Take from the listings what DRA hands out, in an order of its own."""
    mine = [one for one in listings if one.pool.frontend is Frontend.DRA]
    named = [(pool_name(node, one.pool.name), listed) for one in mine for listed in one.devices]
    return tuple(sorted(named, key=lambda pair: (pair[0], pair[1].device.name)))


def message(health: Health, now: float) -> api.NodeWatchResourcesResponse:
    """Write a list down, as of `now` (unix seconds)."""
    return api.NodeWatchResourcesResponse(devices=_devices(health, int(now)))


def _devices(health: Health, now: int) -> Iterator[api.DeviceHealth]:
    for pool, listed in health:
        text = listed.fault.encode("utf-8", "backslashreplace").decode()
        yield api.DeviceHealth(
            device=api.DeviceIdentifier(pool_name=pool, device_name=listed.device.name),
            health=api.UNHEALTHY if listed.fault else api.HEALTHY,
            last_updated_time=now,
            health_check_timeout_seconds=TIMEOUT,
            message=text[:MAX_MESSAGE],
        )


class HealthService(DRAResourceHealthServicer):
    """Tells every stream what was published last; nothing before the first time."""

    def __init__(
        self,
        observer: Observer,
        refresh: float = REFRESH,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._observer = observer
        self._refresh = refresh
        self._clock = clock
        self._bell = Bell()
        self._newest: Health | None = None
        self._over = False

    def publish(self, health: Health) -> None:
        """Have it told, if it is another than before."""
        told = [_told(one) for one in self._newest or ()]
        first = self._newest is None
        self._newest = health
        if first or [_told(one) for one in health] != told:
            self._bell.ring()

    def end(self) -> None:
        """Let every stream end."""
        self._over = True
        self._bell.ring()

    async def NodeWatchResources(
        self,
        request: api.NodeWatchResourcesRequest,
        context: grpc.aio.ServicerContext[
            api.NodeWatchResourcesRequest, api.NodeWatchResourcesResponse
        ],
    ) -> None:
        """Send all devices at once, at each change, and before their time is over."""
        while not self._over:
            if (now := self._newest) is not None:
                await context.write(message(now, self._clock()))
                unhealthy = sum(bool(listed.fault) for _, listed in now)
                self._observer.health_sent(len(now) - unhealthy, unhealthy)
            if self._newest is now and not self._over:
                await self._bell.heard(self._refresh)


def _told(one: tuple[str, Listed]) -> tuple[str, str, str]:
    pool, listed = one
    return pool, listed.device.name, listed.fault
