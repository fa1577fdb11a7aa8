"""A server for each resource, begun and ended as resources come and go, to a fake kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from netdevice_plugin.agent.servers import Servers
from netdevice_plugin.deviceplugin import Kubelet, PoolServer
from netdevice_plugin.model import Device, Interface, Listed, Pool
from netdevice_plugin.offering import Listing
from netdevice_plugin.operations.metrics import Metrics
from tests.fakes.scene import Scene, scene

ONE, TWO = Pool(name="one"), Pool(name="two")


def listing(pool: Pool, *names: str) -> Listing:
    devices = tuple(
        Listed(device=Device(name=name, pool=pool.name, interface=Interface(ifindex=1, name=name)))
        for name in names
    )
    return Listing(pool=pool, devices=devices)


def publish(servers: Servers, *listings: Listing) -> None:
    by_kind: Mapping[str, Listing] = {one.pool.kind: one for one in listings}
    servers.publish(by_kind, {kind: one.devices for kind, one in by_kind.items()})


def play(scene: Scene, act: Callable[[Servers], Awaitable[None]]) -> None:
    async def run() -> None:
        place = scene.kubelet.place
        servers = Servers(Kubelet(place.root), Metrics(place.root / "run"))
        running = asyncio.ensure_future(servers.run())
        await asyncio.sleep(0)
        acting = asyncio.ensure_future(act(servers))
        async with asyncio.timeout(30):
            await asyncio.wait([running, acting], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            acting.cancel()
            running.result()
        running.cancel()
        await asyncio.wait([running])
        await acting

    asyncio.run(run())


async def listed(scene: Scene, pool: Pool, *names: str) -> None:
    health = dict.fromkeys(names, "Healthy")
    await asyncio.to_thread(scene.kubelet.await_registered, pool.kind)
    await asyncio.to_thread(scene.kubelet.await_devices, pool.kind, health)


def test_resources_come_and_go_and_come_back() -> None:
    async def act(servers: Servers) -> None:
        plugins = here.kubelet.place.plugins
        publish(servers, listing(ONE, "a"), listing(TWO, "b"))
        assert servers.unregistered() == [ONE.kind, TWO.kind]
        await listed(here, ONE, "a")
        await listed(here, TWO, "b")
        publish(servers, listing(ONE, "a", "c"))
        await listed(here, ONE, "a", "c")
        await asyncio.to_thread(
            here.kubelet.changes.wait,
            lambda: not here.kubelet.life.devices.registered(TWO.kind),
            lambda: "the second is gone",
        )
        publish(servers, listing(ONE, "a", "c"), listing(TWO, "d"))
        await listed(here, TWO, "d")
        publish(servers)
        publish(servers, listing(ONE, "e"))  # before the one before it has ended
        await listed(here, ONE, "e")
        assert (plugins / "networking.k8s.io-one.sock").is_socket()

    with scene() as here:
        play(here, act)
        left = [path.name for path in here.kubelet.place.plugins.iterdir() if path.is_socket()]
        assert left == ["kubelet.sock"]


def test_a_server_that_dies_of_a_bug_is_not_missed_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_self: PoolServer) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PoolServer, "run", broken)

    async def act(servers: Servers) -> None:
        publish(servers, listing(ONE, "a"))
        await asyncio.Event().wait()

    with scene() as here, pytest.raises(ZeroDivisionError):
        play(here, act)
