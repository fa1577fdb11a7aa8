"""The real server of a pool against the fake kubelet, which knows nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from netdevice_plugin.deviceplugin import Kubelet as Their
from netdevice_plugin.deviceplugin import PoolServer
from netdevice_plugin.model import Listed, Registration
from tests.fakes.kubelet import Kubelet, RefusedError, one
from tests.fakes.scene import Scene, scene
from tests.unit.deviceplugin.devices import KIND, POOL, listed

ONE = {KIND: 1}
BOTH_ROUTES = pytest.mark.parametrize("route", Registration)


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


class Agent:
    """A pool's server in a thread of its own."""

    def __init__(self, kubelet: Kubelet, route: Registration, *devices: Listed) -> None:
        self._their = Their(kubelet.place.root, route)
        self._server = PoolServer(POOL, self._their)
        self._server.publish(devices)
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None]
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,))
        self._thread.start()
        assert started.wait(20)

    def publish(self, *devices: Listed) -> None:
        self._loop.call_soon_threadsafe(self._server.publish, devices)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self, started: threading.Event) -> None:
        async def serve() -> None:
            self._task = asyncio.current_task()  # type: ignore[assignment]
            async with self._their:
                started.set()
                await self._server.run()

        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(serve())
        self._loop.close()


@contextlib.contextmanager
def agent(kubelet: Kubelet, route: Registration, *names: str) -> Iterator[Agent]:
    running = Agent(kubelet, route, *map(listed, names))
    try:
        yield running
    finally:
        running.stop()


@BOTH_ROUTES
def test_a_pool_is_offered_and_a_pod_has_its_device(here: Scene, route: Registration) -> None:
    with agent(here.kubelet, route, "eth1", "eth2") as running:
        here.kubelet.await_resource(KIND, 2, 2)
        pod = here.kubelet.run_pod(one("pod", ONE))
        given = here.runtime.configs[pod.container()].given
        (name,) = here.kubelet.given(pod, KIND)
        assert [cdi.name for cdi in given.cdi_devices] == [f"{KIND}={name}"]
        running.publish(listed("eth1", "unplugged"), listed("eth2"))
        here.kubelet.await_devices(KIND, {"eth1": "Unhealthy", "eth2": "Healthy"})


@BOTH_ROUTES
def test_a_kubelet_that_is_killed_again_and_again_has_the_pool_each_time(
    here: Scene, route: Registration
) -> None:
    with agent(here.kubelet, route, "eth1") as running:
        here.kubelet.await_resource(KIND, 1, 1)
        pod = here.kubelet.run_pod(one("pod", ONE))
        for _ in range(3):
            here.kubelet.restart()
            here.kubelet.await_registered(KIND)
            here.kubelet.await_resource(KIND, 1, 1)
        assert pod.running
        assert len(here.kubelet.calls("Allocate")) == 1
        running.publish()
        here.kubelet.await_devices(KIND, {})


@BOTH_ROUTES
def test_an_agent_that_is_replaced_leaves_the_pool_to_the_next_one(
    here: Scene, route: Registration
) -> None:
    with agent(here.kubelet, route, "eth1"):
        here.kubelet.await_resource(KIND, 1, 1)
        here.kubelet.run_pod(one("pod", ONE))
    here.kubelet.await_resource(KIND, 1, 0)
    with agent(here.kubelet, route, "eth1"):
        here.kubelet.await_resource(KIND, 1, 1)
    here.kubelet.await_resource(KIND, 1, 0)


@BOTH_ROUTES
def test_an_agent_that_was_there_before_the_kubelet_waits_for_it(
    here: Scene, route: Registration
) -> None:
    here.kubelet.kill()
    with agent(here.kubelet, route, "eth1"):
        here.kubelet.start()
        here.kubelet.await_resource(KIND, 1, 1)


def test_a_kubelet_that_refuses_is_asked_again(here: Scene) -> None:
    refusals = iter("ab")

    def refuse(point: str, _name: str) -> None:
        if point == "Register" and next(refusals, ""):
            raise RefusedError("not today")

    here.kubelet.interfere = refuse
    with agent(here.kubelet, Registration.SOCKET, "eth1"):
        here.kubelet.await_resource(KIND, 1, 1)
