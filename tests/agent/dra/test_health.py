"""The health of devices, as a kubelet follows it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2 as api
from netdevice_plugin.model import Device, Frontend, Listed, Pool
from netdevice_plugin.offering import Listing
from tests.agent.dra.dialled import Client, Kubelet, channel, eventually, running, served, server
from tests.unit.dra.claimed import NODE, POOL, Node, asynchronous, link

DRA = Pool(name=POOL, frontend=Frontend.DRA)


@pytest.fixture
def node(short_path: Path) -> Node:
    return Node(short_path)


@pytest.fixture
def kubelet(short_path: Path) -> Kubelet:
    return Kubelet(short_path)


def listing(*, pool: Pool = DRA, **faults: str) -> Listing:
    devices = tuple(
        Listed(device=Device(name=name, pool=pool.name, interface=link(name)), fault=fault)
        for name, fault in sorted(faults.items())
    )
    return Listing(pool=pool, devices=devices)


async def told(stream: Any) -> dict[str, tuple[int, str]]:
    """What the next message says of each device."""
    message = await stream.read()
    return {one.device.device_name: (one.health, one.message) for one in message.devices}


@asynchronous
async def test_all_is_told_at_once_and_at_each_change(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    one.publish_health([listing(eth1="", eth2="it has no carrier")])
    async with served(kubelet, one) as to:
        stream = Client(to).watch()
        before = int(time.time())
        first = await stream.read()
        assert [
            (d.device.pool_name, d.device.device_name, d.health, d.message) for d in first.devices
        ] == [
            (f"{NODE}/{POOL}", "eth1", api.HEALTHY, ""),
            (f"{NODE}/{POOL}", "eth2", api.UNHEALTHY, "it has no carrier"),
        ]
        for device in first.devices:
            assert before <= device.last_updated_time <= time.time()
            assert device.health_check_timeout_seconds == 30
        one.publish_health([listing(eth1="it is lost", eth2="")])
        assert await told(stream) == {
            "eth1": (api.UNHEALTHY, "it is lost"),
            "eth2": (api.HEALTHY, ""),
        }
        one.publish_health([])
        assert await told(stream) == {}


@asynchronous
async def test_what_is_no_news_waits_for_the_refresh(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance(), refresh=0.3)
    one.publish_health([listing(eth1="")])
    async with served(kubelet, one) as to:
        stream = Client(to).watch()
        await told(stream)
        began = time.monotonic()
        one.publish_health([listing(eth1="")])
        assert await told(stream) == {"eth1": (api.HEALTHY, "")}
        assert time.monotonic() - began > 0.2


@asynchronous
async def test_nothing_is_told_before_it_is_known(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance(), refresh=0.02)
    async with served(kubelet, one) as to:
        stream = Client(to).watch()
        one.publish_health([listing(eth1="")])
        assert await told(stream) == {"eth1": (api.HEALTHY, "")}


@asynchronous
async def test_pools_of_the_device_plugin_are_not_in_it(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    one.publish_health([listing(eth1=""), listing(pool=Pool(name="old"), eth2="")])
    async with served(kubelet, one) as to:
        assert (await told(Client(to).watch())).keys() == {"eth1"}


@asynchronous
async def test_a_message_has_at_most_1024_characters_of_utf8(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    one.publish_health([listing(eth1="\udcff" + "x" * 5000)])
    async with served(kubelet, one) as to:
        [(_, text)] = (await told(Client(to).watch())).values()
    assert len(text) == 1024
    assert text.startswith(r"\udcff")


@asynchronous
async def test_several_streams_hear_the_same(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    one.publish_health([listing(eth1="")])
    async with served(kubelet, one) as to, channel(one.paths.service) as other:
        streams = [Client(to).watch(), Client(other).watch()]
        for stream in streams:
            await told(stream)
        one.publish_health([listing(eth1="gone")])
        assert [await told(stream) for stream in streams] == [{"eth1": (api.UNHEALTHY, "gone")}] * 2


@asynchronous
async def test_streams_end_with_the_server(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    one.publish_health([listing(eth1="")])
    async with running(one):
        await eventually(one.paths.service.exists)
        to = grpc.aio.insecure_channel(f"unix:{one.paths.service}")
        stream = Client(to).watch()
        await told(stream)
    assert await stream.read() == grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    await to.close()
