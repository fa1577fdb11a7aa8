"""Sockets and registration: found, refused, taken away, left behind, one after the other."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from netdevice_plugin.dra.server import DraServer
from netdevice_plugin.dra.sockets import Paths
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.serving.sockets import socket_mark
from tests.agent.dra.dialled import (
    Client,
    Kubelet,
    channel,
    eventually,
    running,
    served,
    server,
)
from tests.unit.dra.claimed import DRIVER, Node, asynchronous, link, ref


@pytest.fixture
def node(short_path: Path) -> Node:
    made = Node(short_path)
    made.offer(link("eth1", 1))
    return made


@pytest.fixture
def kubelet(short_path: Path) -> Kubelet:
    return Kubelet(short_path)


def bound(path: Path) -> None:
    """Leave a socket as a process does that is killed: its name is there, and nobody listens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@asynchronous
async def test_it_says_who_it_is_and_v1_comes_first(node: Node, kubelet: Kubelet) -> None:
    async with running(server(kubelet, node.instance(), "pod-uid")):
        [path] = await kubelet.appeared()
        assert path.name == f"{DRIVER}-pod-uid-reg.sock"
        told = await kubelet.info(path)
        assert told.type == "DRAPlugin"
        assert told.name == DRIVER
        assert told.endpoint == str(kubelet.root / "plugins" / DRIVER / "dra-pod-uid.sock")
        assert list(told.supported_versions) == [
            "v1.DRAPlugin",
            "v1beta1.DRAPlugin",
            "v1alpha1.DRAResourceHealth",
        ]
        async with channel(Path(told.endpoint)) as to:
            assert await Client(to).unprepare(ref(1)) == {ref(1).uid: ""}


@asynchronous
async def test_it_is_registered_once_the_kubelet_says_so(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    async with running(one):
        await kubelet.appeared()
        assert not one.registered
        await kubelet.take()
        await eventually(lambda: one.registered)
    assert not one.registered


@asynchronous
async def test_a_refusal_is_told_and_another_socket_made(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    async with running(one):
        [path] = await kubelet.appeared()
        mark = socket_mark(path)
        await kubelet.notify(path, "no such version")
        await eventually(lambda: socket_mark(path) not in (mark, None))
        assert one.failure == f"{DRIVER}: the kubelet: no such version"
        assert not one.registered
        await kubelet.take()
        await eventually(lambda: one.registered)
        assert one.failure == ""


@asynchronous
async def test_a_registration_that_is_withdrawn_is_sought_again(
    node: Node, kubelet: Kubelet
) -> None:
    one = server(kubelet, node.instance())
    async with served(kubelet, one):
        [path] = kubelet.found()
        mark = socket_mark(path)
        await kubelet.notify(path, "the driver did not answer")
        await eventually(lambda: not one.registered)
        await eventually(lambda: socket_mark(path) not in (mark, None))


@asynchronous
async def test_a_socket_that_is_removed_comes_back(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    async with served(kubelet, one) as to:
        kubelet.found()[0].unlink()
        await kubelet.take()  # while the service goes on, on the channel that there is
        assert await Client(to).unprepare(ref(1)) == {ref(1).uid: ""}
        one.paths.service.unlink()
        await eventually(lambda: socket_mark(one.paths.service))
        async with channel(await kubelet.take()) as again:
            assert await Client(again).unprepare(ref(1)) == {ref(1).uid: ""}


@asynchronous
async def test_a_directory_that_is_removed_is_waited_for(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    async with served(kubelet, one):
        kubelet.found()[0].unlink()
        kubelet.registry.rmdir()
        await eventually(lambda: not one.registered)
        kubelet.registry.mkdir()
        await kubelet.take()
        await eventually(lambda: one.registered)


@asynchronous
async def test_it_waits_for_a_kubelet_that_is_not_there_yet(node: Node, kubelet: Kubelet) -> None:
    kubelet.registry.rmdir()
    one = server(kubelet, node.instance())
    async with running(one):
        await eventually(lambda: socket_mark(one.paths.service))
        kubelet.registry.mkdir()
        await kubelet.take()
        await eventually(lambda: one.registered)


@asynchronous
async def test_what_is_in_the_way_is_told(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    one.paths.service.mkdir(parents=True)
    async with running(one):
        await eventually(lambda: one.failure)
        assert str(one.paths.service) in one.failure
        one.paths.service.rmdir()
        await kubelet.take()
        await eventually(lambda: one.registered and not one.failure)


@asynchronous
async def test_nothing_is_left_at_the_end(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    async with served(kubelet, one):
        pass
    assert list(kubelet.registry.iterdir()) == []
    assert [path.name for path in one.paths.data_dir.iterdir() if path.suffix == ".sock"] == []


@asynchronous
async def test_the_registration_ends_before_the_service_does(node: Node, kubelet: Kubelet) -> None:
    """A kubelet that has work under way gets its answer, and no more work comes."""
    one, claim = server(kubelet, node.instance()), node.give(1, "eth1")
    node.waiting = asyncio.Event()
    task = asyncio.create_task(one.run())
    async with channel(await kubelet.take()) as to:
        asking = asyncio.create_task(Client(to).prepare(claim))
        await eventually(lambda: node.reads)
        task.cancel()
        await eventually(lambda: not kubelet.found())
        node.waiting.set()
        assert (await asking)[claim.uid].error == ""
    with pytest.raises(asyncio.CancelledError):
        await task
    assert node.checkpoints() == {claim.uid}


@asynchronous
async def test_two_instances_are_there_at_once_and_share_the_claims(
    node: Node, kubelet: Kubelet
) -> None:
    old, new = server(kubelet, node.instance(), "old"), server(kubelet, node.instance(), "new")
    claim = node.give(1, "eth1")
    async with served(kubelet, old) as to_old:
        assert (await Client(to_old).prepare(claim))[claim.uid].error == ""
        async with running(new):
            assert [path.name for path in await kubelet.appeared(2)] == [
                f"{DRIVER}-new-reg.sock",
                f"{DRIVER}-old-reg.sock",
            ]
            async with channel(new.paths.service) as to_new:
                assert await Client(to_new).unprepare(claim) == {claim.uid: ""}
                assert (await Client(to_old).prepare(claim))[claim.uid].error == ""
    assert node.checkpoints() == {claim.uid}


@asynchronous
async def test_sockets_of_the_dead_are_removed_and_those_of_the_living_left(
    node: Node, kubelet: Kubelet
) -> None:
    alive = server(kubelet, node.instance(), "alive")
    dead = Paths.of(kubelet.root, DRIVER, "dead")
    foreign = [
        kubelet.registry / "other.example.com-dead-reg.sock",
        dead.data_dir / "other.sock",
        dead.data_dir / "dra-file.sock",
        dead.data_dir / ".dra-starting.sock",
    ]
    async with running(alive):
        await kubelet.appeared()
        for path in (dead.service, dead.registration, foreign[0], foreign[1], foreign[3]):
            bound(path)
        foreign[2].write_text("no socket")
        long_ago = dead.data_dir / ".dra-long-ago.sock"
        bound(long_ago)
        os.utime(long_ago, (1, 1))
        one = server(kubelet, node.instance(), "new")
        async with running(one):
            await eventually(lambda: socket_mark(one.paths.registration))
            assert not dead.service.exists()
            assert not dead.registration.exists()
            assert not long_ago.exists()
            assert all(path.exists() for path in foreign)
            assert alive.paths.service.exists()
            assert alive.paths.registration.exists()
        [path] = [one for one in kubelet.found() if one.name.startswith(DRIVER)]
        assert (await kubelet.info(path)).endpoint == str(alive.paths.service)


@asynchronous
async def test_its_own_dead_sockets_are_replaced(node: Node, kubelet: Kubelet) -> None:
    one = server(kubelet, node.instance())
    bound(one.paths.service)
    bound(one.paths.registration)
    marks = socket_mark(one.paths.service), socket_mark(one.paths.registration)
    async with running(one):
        await eventually(lambda: socket_mark(one.paths.registration) not in (*marks, None))
        async with channel(await kubelet.take()) as to:
            assert await Client(to).unprepare(ref(1)) == {ref(1).uid: ""}


@pytest.mark.parametrize("instance", ["x" * 90, "a/../b", "", ".hidden", "ü", "a b", "-dash"])
@asynchronous
async def test_an_instance_of_an_odd_or_long_name_gets_a_short_plain_one(
    node: Node, kubelet: Kubelet, instance: str
) -> None:
    one = server(kubelet, node.instance(), instance)
    assert one.paths.service.parent == kubelet.root / "plugins" / DRIVER
    assert one.paths.registration.parent == kubelet.registry
    assert not one.paths.registration.name.startswith(".")
    async with served(kubelet, one) as to:
        assert await Client(to).unprepare(ref(1)) == {ref(1).uid: ""}


@asynchronous
async def test_dead_sockets_of_short_names_are_removed_too(node: Node, kubelet: Kubelet) -> None:
    dead = Paths.of(kubelet.root, DRIVER, "x" * 90)
    bound(dead.registration)
    bound(dead.service)
    async with running(server(kubelet, node.instance())):
        await eventually(lambda: not dead.registration.exists() and not dead.service.exists())


def test_a_directory_without_room_for_a_socket_is_refused_at_once(node: Node) -> None:
    with pytest.raises(ConfigError, match="has more than 107 bytes"):
        DraServer(Path("/", "k" * 90), "one", node.instance())


def test_paths_of_a_pod_fit_into_the_usual_directory() -> None:
    uid = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"
    paths = Paths.of(Path("/var/lib/kubelet"), DRIVER, uid)
    assert paths.service == Path("/var/lib/kubelet/plugins", DRIVER, f"dra-{uid}.sock")
    assert paths.registration.name == f"{DRIVER}-{uid}-reg.sock"
