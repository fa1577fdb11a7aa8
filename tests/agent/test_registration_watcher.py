"""The other route: the kubelet's plugin watcher finds a socket in plugins_registry."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from pathlib import Path

import pytest

from netdevice_plugin.deviceplugin import Kubelet, Limits, PoolServer
from netdevice_plugin.model import Pool, Registration
from netdevice_plugin.serving.sockets import socket_mark
from tests.agent.scripted import ScriptedKubelet, asynchronous, eventually, serving, sockets
from tests.unit.deviceplugin.devices import KIND, POOL, listed

NAME = "networking.k8s.io-netdevice.sock"


class Scene:
    """The directory of a kubelet whose watcher looks when the test says so."""

    def __init__(self, root: Path) -> None:
        self.registry = root / "plugins_registry"
        self.registry.mkdir()
        self.path = self.registry / NAME
        self.kubelet = ScriptedKubelet(root)
        self.ours = Kubelet(root, Registration.WATCHER)
        self.server = self.make()

    def make(self, limits: Limits | None = None, pool: Pool = POOL) -> PoolServer:
        server = PoolServer(pool, self.ours, limits=limits or Limits())
        server.publish([listed("eth1")])
        return server

    async def appeared(self, before: object = None) -> None:
        """Wait for a socket that is not that one."""
        await eventually(lambda: socket_mark(self.path) not in (None, before), "a new socket")


@pytest.fixture
def scene(short_path: Path) -> Scene:
    return Scene(short_path)


@asynchronous
async def test_a_socket_that_is_found_says_who_it_is_and_serves_the_list(scene: Scene) -> None:
    async with serving(scene.ours, scene.server):
        await scene.appeared()
        assert not scene.server.registered
        client = await scene.kubelet.take(scene.path)
        assert client.info
        assert (client.info.type, client.info.name) == ("DevicePlugin", KIND)
        assert (client.info.endpoint, list(client.info.supported_versions)) == ("", ["v1beta1"])
        assert client.lists == [{"eth1": "Healthy"}]
        await eventually(lambda: scene.server.registered and scene.server.streaming, "ready")
        assert (await client.allocate("eth1")).cdi_devices[0].name == f"{KIND}=eth1"
        await scene.kubelet.stop()
    assert list(scene.registry.iterdir()) == []


@asynchronous
async def test_the_watcher_sees_no_name_but_of_a_socket_that_answers(scene: Scene) -> None:
    # It ignores names that begin with a dot, and gives a socket one second to answer.
    stop = asyncio.Event()
    visible: set[str] = set()

    def look() -> None:
        while not stop.is_set():
            for path in scene.registry.iterdir():
                if not path.name.startswith("."):
                    visible.add(path.name)
                    with socket.socket(socket.AF_UNIX) as client:
                        client.connect(str(path))

    looking = asyncio.ensure_future(asyncio.to_thread(look))
    async with serving(scene.ours, scene.server):
        await scene.appeared()
        await eventually(lambda: visible, "the watcher has seen it")
        stop.set()
        await looking
    assert visible == {NAME}


@asynchronous
async def test_nothing_but_waiting_is_done_while_nobody_looks(scene: Scene) -> None:
    server = scene.make(Limits(register=0.01, stream=0.01))
    async with serving(scene.ours, server):
        await scene.appeared()
        mark = socket_mark(scene.path)
        await asyncio.sleep(0.2)
        assert socket_mark(scene.path) == mark
        assert server.failure == ""
        await scene.kubelet.take(scene.path)
        await scene.kubelet.stop()


@asynchronous
async def test_a_refused_socket_is_taken_away_and_made_anew(scene: Scene) -> None:
    async with serving(scene.ours, scene.server):
        await scene.appeared()
        mark = socket_mark(scene.path)
        client = await scene.kubelet.find(scene.path)
        await scene.kubelet.notify(client, "there is another plugin of that name")
        await scene.appeared(mark)
        expected = f"{KIND}: the kubelet: there is another plugin of that name"
        assert scene.server.failure == expected
        assert not scene.server.registered
        await scene.kubelet.take(scene.path)
        await eventually(lambda: scene.server.failure == "", "all is well")
        await scene.kubelet.stop()


@asynchronous
async def test_a_registration_that_is_withdrawn_is_asked_for_again(scene: Scene) -> None:
    async with serving(scene.ours, scene.server):
        await scene.appeared()
        mark = socket_mark(scene.path)
        client = await scene.kubelet.take(scene.path)
        await scene.kubelet.notify(client, "withdrawn")
        await scene.appeared(mark)
        await scene.kubelet.noted("stream ended")
        await scene.kubelet.take(scene.path)
        await scene.kubelet.stop()


@pytest.mark.parametrize("told", [True, False], ids=["registered", "not yet registered"])
def test_a_stream_that_breaks_makes_a_new_socket(scene: Scene, told: bool) -> None:
    # Else the watcher would go on to believe that the plugin is registered.
    @asynchronous
    async def broken() -> None:
        async with serving(scene.ours, scene.server):
            await scene.appeared()
            mark = socket_mark(scene.path)
            client = await scene.kubelet.find(scene.path)
            scene.kubelet.follow(KIND, client)
            if told:
                await scene.kubelet.notify(client)
            await scene.kubelet.client(KIND)
            await client.hang_up()
            await scene.appeared(mark)
            await scene.kubelet.take(scene.path)
            await scene.kubelet.stop()

    broken()


@asynchronous
async def test_a_watcher_that_never_asks_for_the_list_finds_a_new_socket(scene: Scene) -> None:
    server = scene.make(Limits(stream=0.1))
    async with serving(scene.ours, server):
        await scene.appeared()
        mark = socket_mark(scene.path)
        await scene.kubelet.notify(await scene.kubelet.find(scene.path))
        await scene.appeared(mark)
        assert "never asked for the list" in server.failure
        await scene.kubelet.stop()


@asynchronous
async def test_a_removed_socket_or_directory_is_made_good_at_once(scene: Scene) -> None:
    async with serving(scene.ours, scene.server):
        await scene.appeared()
        for whole in (False, True):
            mark = socket_mark(scene.path)
            began = time.monotonic()
            if whole:
                shutil.rmtree(scene.registry)
                scene.registry.mkdir()
            else:
                scene.path.unlink()
            await scene.appeared(mark)
            assert time.monotonic() - began < 3
        assert sockets(scene.registry) == [NAME]
