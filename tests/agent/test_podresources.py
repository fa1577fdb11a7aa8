"""podresources over a real socket, from a server that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path

import grpc
import grpc.aio
import pytest

from netdevice_plugin._pb.podresources.v1 import podresources_pb2 as pb
from netdevice_plugin.errors import KubeletError
from netdevice_plugin.usage import checkpoint, podresources, reading
from netdevice_plugin.usage.usage import Answer, Grant, Pod
from tests.unit.usage.entries import KIND, entry
from tests.unit.usage.entries import checkpoint as contents

SERVICE = "v1.PodResourcesLister"
Context = grpc.aio.ServicerContext[bytes, bytes]
Behaviour = Callable[[bytes, Context], Awaitable[bytes]]

WEB = Pod(namespace="default", name="web-0", container="app")


def pods(kind: str = KIND, *devices: str) -> bytes:
    """An answer: one pod, one entry for each device, as the kubelet writes it."""
    given = [pb.ContainerDevices(resource_name=kind, device_ids=[one]) for one in devices]
    container = pb.ContainerResources(name="app", devices=given)
    pod = pb.PodResources(name="web-0", namespace="default", containers=[container])
    return pb.ListPodResourcesResponse(pod_resources=[pod]).SerializeToString()


def claimed(driver: str, pool: str, *devices: str) -> bytes:
    """An answer: one pod with one claim, which has these devices."""
    given = [
        pb.ClaimResource(driver_name=driver, pool_name=pool, device_name=one) for one in devices
    ]
    claim = pb.DynamicResource(claim_name="nic", claim_namespace="default", claim_resources=given)
    container = pb.ContainerResources(name="app", dynamic_resources=[claim])
    pod = pb.PodResources(name="web-0", namespace="default", containers=[container])
    return pb.ListPodResourcesResponse(pod_resources=[pod]).SerializeToString()


def says(answer: bytes) -> Behaviour:
    async def listed(_request: bytes, _context: Context) -> bytes:
        return answer

    return listed


@contextlib.asynccontextmanager
async def kubelet(directory: Path, answer: Behaviour) -> AsyncIterator[None]:
    """Serve List at the kubelet's place, in bytes, so that they may be anything."""
    path = directory / podresources.NAME
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"List": handler}),)
    )
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


def run(test: Coroutine[object, object, None]) -> None:
    """Run a test's coroutine; one that hangs fails."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(limited())


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def refusal(directory: Path, deadline: float = 5) -> str:
    """Why there is no answer: one line with the socket's name, and a way out."""
    with pytest.raises(KubeletError) as caught:
        await podresources.ask(directory, deadline)
    message = str(caught.value)
    assert message.startswith(str(directory / podresources.NAME))
    assert message.isprintable()
    assert caught.value.hint
    return message


def test_the_kubelet_is_asked_who_has_what(tmp_path: Path) -> None:
    async def test() -> None:
        async with kubelet(tmp_path, says(pods(KIND, "eth1", "eth2"))):
            assert await podresources.ask(tmp_path) == Answer(
                active=frozenset({("default", "web-0")}),
                grants=(
                    Grant(kind=KIND, devices=("eth1",), pod=WEB),
                    Grant(kind=KIND, devices=("eth2",), pod=WEB),
                ),
            )

    run(test())


def test_what_a_pod_has_by_a_claim_is_a_device_of_dras(tmp_path: Path) -> None:
    async def test() -> None:
        answer = claimed("networking.k8s.io", "node-1.example/fast", "eth0", "eth1")
        async with kubelet(tmp_path, says(answer)):
            found = await podresources.ask(tmp_path)
        key = "networking.k8s.io/fast@dra"
        assert found.grants == tuple(
            Grant(kind=key, devices=(name,), pod=WEB) for name in ("eth0", "eth1")
        )

    run(test())


def test_the_request_is_an_empty_list_request(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def listed(request: bytes, context: Context) -> bytes:
        asked.append(request)
        return b""

    async def test() -> None:
        async with kubelet(tmp_path, listed):
            assert await podresources.ask(tmp_path) == Answer()
        assert asked == [b""]

    run(test())


def test_an_answer_of_more_than_grpcs_default_is_taken(tmp_path: Path) -> None:
    async def test() -> None:
        devices = [f"{number:063}" for number in range(90_000)]
        answer = pods(KIND, *devices)
        assert 4 * 2**20 < len(answer) < podresources.MAX_SIZE
        async with kubelet(tmp_path, says(answer)):
            assert len((await podresources.ask(tmp_path)).grants) == len(devices)

    run(test())


def test_an_endless_answer_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with kubelet(tmp_path, says(b"\0" * (podresources.MAX_SIZE + 1))):
            assert "RESOURCE_EXHAUSTED" in await refusal(tmp_path)

    run(test())


def test_malformed_bytes_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        for answer in (b"\xff" * 9, pods(KIND, "eth1")[:-1]):
            async with kubelet(tmp_path, says(answer)):
                message = await refusal(tmp_path)
                assert message.endswith("the answer is not a ListPodResourcesResponse")

    run(test())


def test_a_kubelet_that_fails_is_quoted_in_one_line(tmp_path: Path) -> None:
    async def fails(_request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.INTERNAL, "no\n\x1b[31m pods" + "x" * 5000)
        raise AssertionError

    async def test() -> None:
        async with kubelet(tmp_path, fails):
            message = await refusal(tmp_path)
            assert ": INTERNAL: no  [31m pods" in message
            assert len(message) < 400

    run(test())


def test_a_kubelet_that_hangs_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    async def hangs(_request: bytes, _context: Context) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def test() -> None:
        async with kubelet(tmp_path, hangs):
            began = time.monotonic()
            assert "no answer within 0.2 s" in await refusal(tmp_path, 0.2)
            assert time.monotonic() - began < 5

    run(test())


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 999])
def test_who_does_not_speak_grpc_is_no_kubelet(tmp_path: Path, words: bytes) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    async def test() -> None:
        path = tmp_path / podresources.NAME
        path.parent.mkdir()
        async with await asyncio.start_unix_server(answer, path):
            await refusal(tmp_path, 2)

    run(test())


def test_no_kubelet_is_said_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        assert (await refusal(tmp_path)).endswith("kubelet.sock: No such file or directory")
        (tmp_path / "pod-resources").write_text("")
        assert (await refusal(tmp_path)).endswith("kubelet.sock: Not a directory")

    run(test())


def test_a_socket_that_nobody_serves_any_more_is_no_kubelet(tmp_path: Path) -> None:
    async def test() -> None:
        async with kubelet(tmp_path, says(b"")):
            os.link(tmp_path / podresources.NAME, tmp_path / "kept")
        (tmp_path / "kept").rename(tmp_path / podresources.NAME)
        assert "UNAVAILABLE" in await refusal(tmp_path)

    run(test())


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        directory = tmp_path / ("x" * 100)
        path = directory / podresources.NAME
        path.parent.mkdir(parents=True)
        path.touch()
        assert "longer than the path of a socket" in await refusal(directory)

    run(test())


def test_a_kubelet_that_is_back_is_asked_again_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        for device in ("eth1", "eth2", "eth3"):
            async with kubelet(tmp_path, says(pods(KIND, device))):
                (found,) = (await podresources.ask(tmp_path)).grants
                assert found.devices == (device,)
            await refusal(tmp_path)

    run(test())


def test_asking_leaves_nothing_open(tmp_path: Path) -> None:
    async def test() -> None:
        async with kubelet(tmp_path, says(pods(KIND, "eth1"))):
            await podresources.ask(tmp_path)
            before = descriptors()
            for _ in range(20):
                await podresources.ask(tmp_path)
            while descriptors() > before:  # the server's ends close by themselves
                await asyncio.sleep(0.01)

    run(test())


def test_asking_can_be_cancelled(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def hangs(_request: bytes, _context: Context) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b""

    async def test() -> None:
        async with kubelet(tmp_path, hangs):
            task = asyncio.create_task(podresources.ask(tmp_path))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(test())


def keep(directory: Path, data: bytes) -> None:
    path = directory / checkpoint.NAME
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def test_both_sources_make_one_answer(tmp_path: Path) -> None:
    async def test() -> None:
        keep(tmp_path, contents(entry("eth1"), entry("eth9", kind="x.io/y")))
        async with kubelet(tmp_path, says(pods(KIND, "eth1") + pods("x.io/y", "eth9"))):
            usage = await reading.read(tmp_path, "networking.k8s.io")
        pod = Pod(namespace="default", name="web-0", uid="uid-1", container="app")
        assert usage.holders == {(KIND, "eth1"): (pod,)}
        assert usage.complete
        assert [grant.devices for grant in usage.kept] == [("eth1",)]
        assert usage.problems == ()

    run(test())


def test_while_the_kubelet_is_away_its_checkpoint_is_believed(tmp_path: Path) -> None:
    async def test() -> None:
        keep(tmp_path, contents(entry("eth1")))
        usage = await reading.read(tmp_path, "networking.k8s.io")
        assert usage.devices == {"eth1"}
        assert not usage.complete
        assert [str(one) for one in usage.problems] == [
            f"{tmp_path / podresources.NAME}: No such file or directory"
        ]

    run(test())


def test_a_broken_checkpoint_hides_no_answer(tmp_path: Path) -> None:
    async def test() -> None:
        keep(tmp_path, b"{")
        async with kubelet(tmp_path, says(pods(KIND, "eth1"))):
            usage = await reading.read(tmp_path, "networking.k8s.io")
        assert usage.holders == {(KIND, "eth1"): (WEB,)}
        assert usage.complete
        assert len(usage.problems) == 1

    run(test())


def test_where_there_is_no_kubelet_nothing_is_known(tmp_path: Path) -> None:
    async def test() -> None:
        usage = await reading.read(tmp_path / "none", "networking.k8s.io")
        assert (usage.holders, usage.complete, usage.kept) == ({}, False, ())
        assert len(usage.problems) == 1

    run(test())
