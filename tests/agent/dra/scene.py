"""Publishers and statuses against the API server of the tests, with waits short enough for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from lightkube import SingleConfig
from lightkube.config.models import User as LightkubeUser

from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.observer import Silence
from netdevice_plugin.dra.cluster.pacing import Timing
from netdevice_plugin.dra.cluster.publisher import Publisher
from tests.agent.dra.conftest import NODE
from tests.agent.dra.reaching import reaching
from tests.agent.scripted import eventually
from tests.fakes.apiserver import ApiServer, Manifest, User
from tests.unit.dra.listed import DRIVER

QUICK = Timing(
    first_retry=0.02,
    longest_retry=0.1,
    foreign=0.02,
    longest_foreign=0.05,
    writes=1000,
    settle=0.01,
)


class Hearing(Silence):
    """An observer that remembers."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.failures: list[str] = []
        self.states: list[tuple[int, int]] = []

    def written(self, verb: str) -> None:
        self.writes.append(verb)

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    def synced(self, slices: int, devices: int) -> None:
        self.states.append((slices, devices))

    def status_written(self) -> None:
        self.writes.append("status")

    def status_failed(self, reason: str) -> None:
        self.failures.append(reason)


def access(server: ApiServer, user: User | None = None) -> SingleConfig:
    token = server.token(user) if user else server.admin
    return reaching(server.url, LightkubeUser(token=token))


@contextlib.asynccontextmanager
async def publishing(
    server: ApiServer,
    timing: Timing = QUICK,
    user: User | None = None,
    chance: Callable[[], float] = lambda: 0.5,
) -> AsyncIterator[tuple[Publisher, Hearing]]:
    """A publisher that runs, and what it tells."""
    heard = Hearing()
    async with Api(access(server, user)) as api:
        publisher = Publisher(
            api, driver=DRIVER, node=NODE, observer=heard, timing=timing, chance=chance
        )
        async with running(publisher.run()):
            yield publisher, heard


@contextlib.asynccontextmanager
async def running(work: object) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def names(server: ApiServer) -> list[str]:
    """The devices of all our slices."""
    slices = server.cluster.slices(NODE, DRIVER)
    return sorted(one["name"] for each in slices for one in each["spec"].get("devices") or ())


async def shows(server: ApiServer, *devices: str) -> Manifest:
    """Wait for one slice with these devices; return it."""
    await eventually(lambda: names(server) == sorted(devices), f"{devices}: {names(server)}")
    return server.cluster.slices(NODE, DRIVER)[0]
