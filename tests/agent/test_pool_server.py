"""What a kubelet gets from a pool's server once it has found it."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin.deviceplugin import Kubelet, PoolServer, Ready, Silence
from netdevice_plugin.model import Listed, Pool
from netdevice_plugin.serving.errors import UnhealthyDeviceError
from tests.agent.scripted import Client, ScriptedKubelet, asynchronous, serving
from tests.unit.deviceplugin.devices import KIND, POOL, link, listed

ALLOCATE = "/v1beta1.DevicePlugin/Allocate"


class Hearing(Silence):
    """An observer that remembers."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []
        self.allocations: list[tuple[tuple[str, ...], float]] = []
        self.refusals: list[str] = []
        self.streams: list[str] = []

    def list_sent(self, resource: str, healthy: int, unhealthy: int) -> None:
        self.sent.append((healthy, unhealthy))

    def allocated(self, resource: str, devices: Sequence[str], seconds: float) -> None:
        self.allocations.append((tuple(devices), seconds))

    def allocation_failed(self, resource: str, code: str) -> None:
        self.refusals.append(code)

    def stream_opened(self, resource: str) -> None:
        self.streams.append("opened")

    def stream_ended(self, resource: str) -> None:
        self.streams.append("ended")


class Scene:
    """A kubelet that has registered a pool."""

    def __init__(self, root: Path, pool: Pool = POOL) -> None:
        self.kubelet = ScriptedKubelet(root)
        self.heard = Hearing()
        self.ours = Kubelet(root)
        self.server = PoolServer(pool, self.ours, self.heard)
        self.path = self.ours.path_of(pool.kind)

    @asynccontextmanager
    async def run(self, *devices: Listed) -> AsyncIterator[Client]:
        self.server.publish(devices)
        await self.kubelet.start()
        async with serving(self.ours, self.server):
            yield await self.kubelet.client(KIND)


@pytest.fixture
def scene(short_path: Path) -> Scene:
    return Scene(short_path)


def complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged as going wrong; watchdog has something to say whenever it is stopped."""
    return [
        one
        for one in caplog.records
        if one.levelno >= logging.WARNING and not one.name.startswith("watchdog.")
    ]


# ---- ListAndWatch


def shows(client: Client, expected: dict[str, str]) -> bool:
    return client.lists[-1] == expected


@asynchronous
async def test_each_change_is_sent_at_once_and_as_a_whole(scene: Scene) -> None:
    async with scene.run(listed("eth1")) as client:
        for devices in (
            [listed("eth1"), listed("eth2")],
            [listed("eth1", "its driver is gone"), listed("eth2")],
            [],
            [listed("eth3")],
        ):
            expected = {one.device.name: "Unhealthy" if one.fault else "Healthy" for one in devices}
            began = time.monotonic()
            scene.server.publish(devices)
            await scene.kubelet.until(functools.partial(shows, client, expected))
            assert time.monotonic() - began < 1
        assert len(client.lists) == 5
    assert scene.heard.sent == [(1, 0), (2, 0), (1, 1), (0, 0), (1, 0)]


@asynchronous
async def test_nothing_is_sent_when_nothing_changed(scene: Scene) -> None:
    async with scene.run(listed("eth1"), listed("eth2")) as client:
        scene.server.publish([listed("eth2"), listed("eth1")])
        scene.server.publish([listed("eth2"), listed(link("eth1", ifindex=7), lent=True)])
        await asyncio.sleep(0.05)
        scene.server.publish([])
        await scene.kubelet.until(lambda: client.lists[-1] == {})
        assert len(client.lists) == 2


@asynchronous
async def test_what_came_and_went_between_two_sends_is_not_told(scene: Scene) -> None:
    async with scene.run(listed("eth1")) as client:
        for n in range(100):
            scene.server.publish([listed(f"eth{n}")])
        await scene.kubelet.until(lambda: client.lists[-1] == {"eth99": "Healthy"})
        assert client.lists == [{"eth1": "Healthy"}, {"eth99": "Healthy"}]


@asynchronous
async def test_a_kubelet_that_reads_slowly_gets_the_newest_list_then(scene: Scene) -> None:
    wide = [listed(f"eth{n}") for n in range(2048)]
    async with scene.run(*wide) as client:
        call = client.plugin.ListAndWatch(api.Empty())
        for n in range(300):
            scene.server.publish([*wide, listed(f"new{n}")])
            await asyncio.sleep(0)
        await scene.kubelet.until(lambda: "new299" in client.lists[-1])
        received = 0
        last: set[str] = set()
        while "new299" not in last:
            last = {one.ID for one in (await call.read()).devices}
            received += 1
        assert received < 300
        call.cancel()


@asynchronous
async def test_every_stream_is_told_and_the_end_of_one_that_looks_on_is_harmless(
    scene: Scene,
) -> None:
    async with scene.run(listed("eth1")) as client:
        onlookers = [await scene.kubelet.dial(scene.path) for _ in range(3)]
        calls = [one.plugin.ListAndWatch(api.Empty()) for one in onlookers]
        for call in calls:
            assert [one.ID for one in (await call.read()).devices] == ["eth1"]
        scene.server.publish([listed("eth2")])
        for call in calls:
            assert [one.ID for one in (await call.read()).devices] == ["eth2"]
        calls[0].cancel()
        await onlookers[1].hang_up()
        scene.server.publish([listed("eth3")])
        await scene.kubelet.until(lambda: client.lists[-1] == {"eth3": "Healthy"})
        assert [one.ID for one in (await calls[2].read()).devices] == ["eth3"]
        assert scene.kubelet.times("register") == 1
        assert scene.heard.streams == ["opened"]
    assert scene.heard.streams == ["opened", "ended"]


@asynchronous
async def test_more_devices_than_a_message_holds_are_listed_as_far_as_they_fit(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.run(listed("eth1")) as client:
        many = [listed(f"ETH{n:012}") for n in range(100_000)]
        for _ in range(2):
            scene.server.publish([*many, listed("veth0", lent=True)])
            await scene.kubelet.until(lambda: len(client.lists[-1]) > 40_000)
        assert "veth0" in client.lists[-1]
        (record,) = complaints(caplog)
        counts = record.__dict__
        assert counts["listed"] == len(client.lists[-1])
        assert counts["listed"] + counts["left_out"] == 100_001


# ---- the other calls


@asynchronous
async def test_the_kubelet_is_told_that_advice_can_be_had_and_no_start_is_of_interest(
    scene: Scene,
) -> None:
    async with scene.run(listed("eth1")) as client:
        options = await client.plugin.GetDevicePluginOptions(api.Empty())
        assert options.get_preferred_allocation_available
        assert not options.pre_start_required
        started = api.PreStartContainerRequest(devices_ids=["eth1"])
        answer = await client.plugin.PreStartContainer(started)
        assert answer == api.PreStartContainerResponse()


@asynchronous
async def test_advice_is_given(scene: Scene) -> None:
    near = [listed(link(name, numa=1, pci=f"0000:03:00.{name[-1]}")) for name in ("eth3", "eth4")]
    async with scene.run(listed("eth1"), *near) as client:
        wanted = api.ContainerPreferredAllocationRequest(
            available_deviceIDs=["eth1", "eth3", "eth4"],
            must_include_deviceIDs=["eth4"],
            allocation_size=2,
        )
        request = api.PreferredAllocationRequest(container_requests=[wanted])
        answer = await client.plugin.GetPreferredAllocation(request)
        assert [list(one.deviceIDs) for one in answer.container_responses] == [["eth4", "eth3"]]


@asynchronous
async def test_an_allocation_has_the_cdi_names_and_variables_of_just_what_was_asked(
    scene: Scene,
) -> None:
    async with scene.run(listed("eth1"), listed("eth2", lent=True)) as client:
        for _container in ("init", "app"):
            answer = await client.allocate("eth2")
            assert answer == api.ContainerAllocateResponse(
                envs={"NETDEVICE_NETWORKING_K8S_IO_NETDEVICE": "eth2"},
                cdi_devices=[api.CDIDevice(name=f"{KIND}=eth2")],
            )
    names = [names for names, _ in scene.heard.allocations]
    assert names == [("eth2",), ("eth2",)]
    assert all(0 < seconds < 1 for _, seconds in scene.heard.allocations)


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (["eth9"], grpc.StatusCode.NOT_FOUND, f"{KIND} has no device 'eth9'; it is gone"),
        (["eth2"], grpc.StatusCode.FAILED_PRECONDITION, "eth2 is unhealthy: no carrier; see"),
        (["eth1", "eth1"], grpc.StatusCode.INVALID_ARGUMENT, "eth1 twice"),
        ([], grpc.StatusCode.INVALID_ARGUMENT, "names no device"),
        (["x" * 3_000_000], grpc.StatusCode.NOT_FOUND, "has no device 'xxx"),
        (["eth\n\x1b[2J ü"], grpc.StatusCode.NOT_FOUND, r"'eth\n\x1b[2J ü'"),
    ],
    ids=["unknown", "unhealthy", "twice", "none", "huge", "hostile"],
)
def test_a_refusal_names_the_device_and_the_remedy(
    scene: Scene, names: list[str], code: grpc.StatusCode, said: str
) -> None:
    @asynchronous
    async def refused() -> None:
        async with scene.run(listed("eth1"), listed("eth2", "no carrier")) as client:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.allocate(*names)
            assert caught.value.code() is code
            assert said in (caught.value.details() or "")
            assert KIND in (caught.value.details() or "")
            await client.allocate("eth1")
        assert scene.heard.refusals == [code.name]

    refused()


@asynchronous
async def test_a_device_that_was_unlisted_a_moment_ago_is_not_handed_out(scene: Scene) -> None:
    async with scene.run(listed("eth1")) as client:
        scene.server.publish([])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.allocate("eth1")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def waiting(scene: Scene, ready: Ready) -> Scene:
    scene.server = PoolServer(POOL, scene.ours, scene.heard, ready=ready)
    return scene


@asynchronous
async def test_a_device_is_made_ready_before_it_is_handed_out(scene: Scene) -> None:
    made: list[tuple[str, ...]] = []

    async def make(names: Sequence[str]) -> None:
        await asyncio.sleep(0)
        made.append(tuple(names))

    async with waiting(scene, make).run(listed("eth1"), listed("eth2")) as client:
        answer = await client.allocate("eth2", "eth1")
        assert made == [("eth2", "eth1")]
        assert [one.name for one in answer.cdi_devices] == [f"{KIND}=eth2", f"{KIND}=eth1"]
        with pytest.raises(grpc.aio.AioRpcError):
            await client.allocate("eth9")
        assert len(made) == 1


@asynchronous
async def test_a_device_that_cannot_be_made_ready_is_not_handed_out(scene: Scene) -> None:
    async def fail(_names: Sequence[str]) -> None:
        raise UnhealthyDeviceError("eth1 is in a group with eth0", hint="bind both")

    async with waiting(scene, fail).run(listed("eth1")) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.allocate("eth1")
        assert caught.value.details() == "eth1 is in a group with eth0; bind both"
    assert scene.heard.refusals == ["FAILED_PRECONDITION"]


@asynchronous
async def test_a_device_that_vanishes_while_it_is_made_ready_is_not_handed_out(
    scene: Scene,
) -> None:
    async def lose(_names: Sequence[str]) -> None:
        scene.server.publish([])

    async with waiting(scene, lose).run(listed("eth1")) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.allocate("eth1")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


# ---- bad input


@pytest.mark.parametrize(
    ("method", "data", "code"),
    [
        (ALLOCATE, b"\xff\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (ALLOCATE, b"\x0a\x06\x0a\x04\xff\xfeth", grpc.StatusCode.INVALID_ARGUMENT),
        (ALLOCATE, b"", grpc.StatusCode.INVALID_ARGUMENT),
        (ALLOCATE, bytes(10_000_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (ALLOCATE, b"\x0b" * 100_000, grpc.StatusCode.INVALID_ARGUMENT),
        ("/v1beta1.DevicePlugin/ListAndWatch", b"\x08", grpc.StatusCode.INVALID_ARGUMENT),
        ("/v1beta1.DevicePlugin/Nope", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/v1beta2.DevicePlugin/Allocate", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/pluginregistration.Registration/GetInfo", b"", grpc.StatusCode.UNIMPLEMENTED),
    ],
    ids=[
        *("gibberish", "not UTF-8", "nothing", "ten megabytes", "nested deeply"),
        *("gibberish for a stream", "unknown call", "unknown version", "the other route's"),
    ],
)
def test_bytes_that_are_no_call_are_refused_and_the_server_lives_on(
    scene: Scene, caplog: pytest.LogCaptureFixture, method: str, data: bytes, code: grpc.StatusCode
) -> None:
    @asynchronous
    async def refused() -> None:
        async with scene.run(listed("eth1")) as client:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            call = client.channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(data)
            assert caught.value.code() is code
            await client.allocate("eth1")
        assert not complaints(caplog)

    refused()


@asynchronous
async def test_clients_that_vanish_in_the_middle_harm_nobody(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    many = [listed(f"eth{n}") for n in range(2048)]
    async with scene.run(*many) as client:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(scene.path))
                raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0")
            other = await scene.kubelet.dial(scene.path)
            stream = other.plugin.ListAndWatch(api.Empty())
            calls = [asyncio.ensure_future(other.allocate(f"eth{n}")) for n in range(5)]
            await asyncio.sleep(0)
            await other.hang_up()
            stream.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            scene.server.publish(many[1:])
            scene.server.publish(many)
        await client.allocate("eth1")
        assert scene.kubelet.times("register") == 1
    assert not complaints(caplog)


class Broken(Hearing):
    """An observer with a bug."""

    def allocated(self, resource: str, devices: Sequence[str], seconds: float) -> None:
        raise ZeroDivisionError


@asynchronous
async def test_a_bug_is_an_internal_error_with_a_traceback_in_the_log(
    short_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(short_path)
    scene.server = PoolServer(POOL, scene.ours, Broken())
    async with scene.run(listed("eth1")) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.allocate("eth1")
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == "netdevice-plugin has a bug: see its log"
    (record,) = complaints(caplog)
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


# ---- speed


@asynchronous
async def test_eight_callers_at_once_get_an_answer_within_milliseconds(scene: Scene) -> None:
    # Both ends are in this process: a real caller waits less than half as long.
    count, callers = 100, 8
    times: list[float] = []

    async def call(client: Client, caller: int) -> None:
        for n in range(count):
            began = time.perf_counter()
            name = f"eth{caller * count + n}"
            answer = await client.allocate(name)
            times.append(time.perf_counter() - began)
            assert [one.name for one in answer.cdi_devices] == [f"{KIND}={name}"]

    async with scene.run(*(listed(f"eth{n}") for n in range(count * callers))):
        clients = [await scene.kubelet.dial(scene.path) for _ in range(callers)]
        await asyncio.gather(*(call(client, n) for n, client in enumerate(clients)))
    own = sorted(seconds for _, seconds in scene.heard.allocations)
    print(f"answer: median {statistics.median(own) * 1e3:.3f} ms, p99 {own[-8] * 1e3:.3f} ms")
    times.sort()
    print(f"caller: median {statistics.median(times) * 1e3:.3f} ms, p99 {times[-8] * 1e3:.3f} ms")
    assert statistics.median(own) < 0.001
    assert statistics.median(times) < 0.05
