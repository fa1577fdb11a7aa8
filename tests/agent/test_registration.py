"""Getting known to a kubelet, and staying so: each trap of the protocol, and each bad kubelet."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from pathlib import Path

import grpc
import pytest

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin.deviceplugin import Kubelet, Limits, PoolServer, Silence
from netdevice_plugin.deviceplugin.server import FLOOR
from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import WatchError
from netdevice_plugin.model import Pool
from netdevice_plugin.serving.backoff import Backoff
from netdevice_plugin.serving.sockets import socket_mark
from tests.agent import scripted
from tests.agent.scripted import ScriptedKubelet, asynchronous, eventually, serving, sockets
from tests.unit.deviceplugin.devices import KIND, POOL, listed

NAME = "networking.k8s.io-netdevice.sock"
DEFAULT = Limits()


class Hearing(Silence):
    """An observer that remembers."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.successes = 0

    def registered(self, resource: str) -> None:
        self.successes += 1

    def registration_failed(self, resource: str, reason: str) -> None:
        self.failures.append(reason)


class Never(Backoff):
    """A wait for ever: what happens then happens because something was noticed."""

    def next(self) -> float:
        return 3600


class Scene:
    """A kubelet's root directory, a kubelet that is not started, and a pool of one device."""

    def __init__(self, root: Path) -> None:
        self.theirs = ScriptedKubelet(root)
        self.ours = Kubelet(root)
        self.heard = Hearing()
        self.directory = self.theirs.directory
        self.path = self.directory / NAME

    def server(
        self, pool: Pool = POOL, limits: Limits = DEFAULT, backoff: Backoff | None = None
    ) -> PoolServer:
        server = PoolServer(pool, self.ours, self.heard, limits=limits, backoff=backoff)
        server.publish([listed("eth1")])
        return server


@pytest.fixture
def scene(short_path: Path) -> Scene:
    return Scene(short_path)


# ---- a kubelet as it should be


@asynchronous
async def test_the_server_answers_the_kubelet_while_register_is_open(scene: Scene) -> None:
    server = scene.server()
    await scene.theirs.start()
    async with serving(scene.ours, server):
        client = await scene.theirs.client(KIND)
        assert scene.theirs.notes == ["register", "options", "registered", "list"]
        assert client.lists == [{"eth1": "Healthy"}]
        (request,) = scene.theirs.requests
        assert (request.version, request.resource_name) == ("v1beta1", KIND)
        assert request.endpoint == NAME
        await eventually(lambda: server.registered and server.streaming, "it is ready")
        assert scene.heard.successes == 1
        assert server.failure == ""


@asynchronous
async def test_nothing_is_offered_before_there_is_a_list(scene: Scene) -> None:
    server = PoolServer(POOL, scene.ours)
    await scene.theirs.start()
    async with serving(scene.ours, server):
        await asyncio.sleep(0.05)
        assert sockets(scene.directory) == ["kubelet.sock"]
        server.publish([])
        client = await scene.theirs.client(KIND)
        assert client.lists == [{}]


@asynchronous
async def test_pools_share_a_kubelet_and_each_has_a_socket(scene: Scene) -> None:
    pools = [Pool(name=name) for name in ("a", "b", "c")]
    await scene.theirs.start()
    async with serving(scene.ours, *map(scene.server, pools)):
        for pool in pools:
            await scene.theirs.client(pool.kind)
        assert len(sockets(scene.directory)) == 4
    assert sockets(scene.directory) == ["kubelet.sock"]


@asynchronous
async def test_a_kubelet_that_comes_later_is_met_at_once(scene: Scene) -> None:
    server = scene.server(backoff=Never())
    async with serving(scene.ours, server):
        await asyncio.sleep(0.05)
        assert not server.registered
        began = time.monotonic()
        await scene.theirs.start()
        await scene.theirs.client(KIND)
        assert time.monotonic() - began < 2


@asynchronous
async def test_a_percent_sign_in_a_path_is_a_percent_sign(short_path: Path) -> None:
    scene = Scene(short_path / "100%41?#")
    await scene.theirs.start()
    async with serving(scene.ours, scene.server()):
        await scene.theirs.client(KIND)


@pytest.mark.parametrize("authority", ["localhost", "%2Ftmp%2Fa.sock", "/tmp/a.sock", ""])
def test_any_authority_that_a_dialler_makes_of_a_path_is_served(
    scene: Scene, authority: str
) -> None:
    @asynchronous
    async def dial() -> None:
        await scene.theirs.start()
        async with serving(scene.ours, scene.server()):
            await scene.theirs.client(KIND)
            await scene.theirs.dial(scene.path, authority=authority)

    dial()


# ---- a kubelet that goes and comes


@pytest.mark.parametrize("stale", [False, True], ids=["stopped", "killed"])
def test_a_kubelet_that_restarts_gets_a_new_socket_and_a_new_registration(
    scene: Scene, stale: bool
) -> None:
    @asynchronous
    async def restart() -> None:
        await scene.theirs.start()
        async with serving(scene.ours, scene.server()):
            await scene.theirs.client(KIND)
            await scene.theirs.stop(stale=stale)
            await scene.theirs.start()
            again = await scene.theirs.client(KIND)
            assert again.lists == [{"eth1": "Healthy"}]
            assert sockets(scene.directory) == ["kubelet.sock", NAME]

    restart()


@asynchronous
async def test_a_new_kubelet_is_met_at_once_after_hours_without_one(scene: Scene) -> None:
    scene.directory.mkdir()
    scene.theirs.make_stale()
    server = scene.server(backoff=Never())
    async with serving(scene.ours, server):
        await eventually(lambda: server.failure, "a first attempt")
        assert "UNAVAILABLE" in server.failure
        began = time.monotonic()
        await scene.theirs.start()
        await scene.theirs.client(KIND)
        assert time.monotonic() - began < 2
        assert server.failure == ""


@asynchronous
async def test_the_old_stream_has_ended_before_there_is_a_new_registration(scene: Scene) -> None:
    await scene.theirs.start()
    async with serving(scene.ours, scene.server()):
        await scene.theirs.client(KIND)
        # A second kubelet in the first one's place, which still reads its stream.
        new = ScriptedKubelet(scene.theirs.root)
        new.notes = scene.theirs.notes
        del new.notes[:]
        scene.theirs.socket.unlink()
        await new.start()
        await new.client(KIND)
        assert new.notes[:2] == ["stream ended", "register"]


@asynchronous
async def test_a_socket_that_is_wiped_is_made_again_and_survives_its_old_streams_end(
    scene: Scene,
) -> None:
    # At the end of the old stream the kubelet drops whichever client has the name.
    await scene.theirs.start()
    server = scene.server()
    async with serving(scene.ours, server):
        await scene.theirs.client(KIND)
        scene.path.unlink()
        await scene.theirs.noted("registered", 2)
        client = await scene.theirs.client(KIND)
        assert scene.theirs.notes.index("stream ended") < len(scene.theirs.notes) - 1
        assert scene.theirs.times("stream ended") == 1
        server.publish([listed("eth1"), listed("eth2")])
        await scene.theirs.until(lambda: {"eth1", "eth2"} in map(set, client.lists))


@asynchronous
async def test_a_stream_that_is_open_is_kept_while_there_is_no_kubelet_to_call(
    scene: Scene,
) -> None:
    await scene.theirs.start()
    server = scene.server()
    async with serving(scene.ours, server):
        client = await scene.theirs.client(KIND)
        shutil.rmtree(scene.directory)
        server.publish([])
        await scene.theirs.until(lambda: client.lists[-1] == {})
        assert server.streaming


@asynchronous
async def test_a_directory_that_is_removed_and_made_again_is_no_obstacle(scene: Scene) -> None:
    await scene.theirs.start()
    async with serving(scene.ours, scene.server(backoff=Never())):
        await scene.theirs.client(KIND)
        for _ in range(3):
            await scene.theirs.stop()
            shutil.rmtree(scene.directory)
            await scene.theirs.start()
            await scene.theirs.client(KIND)


@asynchronous
async def test_a_stream_that_the_kubelet_ends_makes_a_new_registration(scene: Scene) -> None:
    await scene.theirs.start()
    server = scene.server()
    async with serving(scene.ours, server):
        client = await scene.theirs.client(KIND)
        await client.hang_up()
        await scene.theirs.noted("stream ended")
        assert await scene.theirs.client(KIND) is not client
        assert scene.heard.failures == []


class Deaf(Watch):
    """A watch for which the kernel has no room."""

    def arm(self) -> None:
        raise WatchError("cannot watch: No space left on device", hint="raise the limits")


@asynchronous
async def test_a_directory_that_cannot_be_watched_is_looked_at_every_second(
    short_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(short_path)
    scene.ours = Kubelet(short_path, watch=Deaf)
    async with serving(scene.ours, scene.server(backoff=Never())):
        await asyncio.sleep(0)
        await scene.theirs.start()
        await scene.theirs.client(KIND)
        scene.path.unlink()
        await scene.theirs.noted("stream ended")
    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert "No space left" in record.__dict__["reason"]


def test_a_socket_made_again_is_another_one_though_its_inode_may_be_the_same(
    short_path: Path,
) -> None:
    path = short_path / "a.sock"
    marks = set()
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
        mark = socket_mark(path)
        path.chmod(0o600)
        path.replace(path.with_name("b.sock"))
        path.with_name("b.sock").replace(path)
        assert socket_mark(path) == mark is not None
        marks.add(mark)
        path.unlink()
        time.sleep(0.02)  # more than a tick of the kernel's clock for files
    assert len(marks) == 3
    path.write_text("not a socket")
    assert socket_mark(path) is None


# ---- a kubelet as it should not be


@asynchronous
async def test_a_kubelet_that_never_asks_for_the_list_hears_of_us_again(scene: Scene) -> None:
    scene.theirs.script = scripted.ignore
    await scene.theirs.start()
    server = scene.server(limits=Limits(stream=0.1))
    async with serving(scene.ours, server):
        await scene.theirs.noted("registered", 2)
        assert "never asked for the list" in scene.heard.failures[0]
        scene.theirs.script = scripted.accept
        await scene.theirs.client(KIND)


@asynchronous
async def test_a_refusal_is_told_and_tried_again(scene: Scene) -> None:
    scene.theirs.script = scripted.refuse
    await scene.theirs.start()
    server = scene.server()
    async with serving(scene.ours, server):
        await eventually(lambda: server.failure, "a refusal")
        assert server.failure == f"{KIND}: the kubelet: UNKNOWN: the ResourceName is invalid"
        assert not server.registered
        scene.theirs.script = scripted.accept
        await scene.theirs.client(KIND)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_no_code_that_a_kubelet_can_answer_with_ends_the_attempts(
    scene: Scene, code: grpc.StatusCode
) -> None:
    @asynchronous
    async def answered() -> None:
        async def answer(
            kubelet: ScriptedKubelet, request: api.RegisterRequest, context: scripted.Context
        ) -> None:
            await context.abort(code, "no")

        scene.theirs.script = answer
        await scene.theirs.start()
        server = scene.server()
        async with serving(scene.ours, server):
            await scene.theirs.noted("register", 2)
            assert f"{code.name}: no" in server.failure

    answered()


@asynchronous
async def test_a_register_that_hangs_is_given_up_and_tried_again(scene: Scene) -> None:
    scene.theirs.script = scripted.hang
    await scene.theirs.start()
    server = scene.server(limits=Limits(register=0.2))
    async with serving(scene.ours, server):
        await scene.theirs.noted("register", 2)
        assert "DEADLINE_EXCEEDED" in scene.heard.failures[0]
        scene.theirs.script = scripted.accept
        await scene.theirs.client(KIND)


@asynchronous
async def test_a_new_kubelet_is_not_made_to_wait_for_the_old_ones_answer(scene: Scene) -> None:
    scene.theirs.script = scripted.hang
    await scene.theirs.start()
    async with serving(scene.ours, scene.server()):
        await scene.theirs.noted("register")
        new = ScriptedKubelet(scene.theirs.root)
        scene.theirs.socket.unlink()
        began = time.monotonic()
        await new.start()
        await new.client(KIND)
        assert time.monotonic() - began < 5 < DEFAULT.register


async def die(kubelet: ScriptedKubelet, request: api.RegisterRequest, _: object) -> None:
    kubelet.note("about to die")
    await asyncio.Event().wait()


async def die_later(kubelet: ScriptedKubelet, request: api.RegisterRequest, _: object) -> None:
    await kubelet.dial(kubelet.directory / request.endpoint)
    await die(kubelet, request, _)


async def die_last(kubelet: ScriptedKubelet, request: api.RegisterRequest, _: object) -> None:
    client = await kubelet.dial(kubelet.directory / request.endpoint)
    await client.plugin.ListAndWatch(api.Empty()).read()
    await die(kubelet, request, _)


@pytest.mark.parametrize(
    "script", [die, die_later, die_last], ids=["at once", "after the options", "with a stream"]
)
def test_a_kubelet_that_dies_while_it_registers_us_is_tried_again(
    scene: Scene, script: scripted.Script
) -> None:
    @asynchronous
    async def scenario() -> None:
        scene.theirs.script = script
        await scene.theirs.start()
        async with serving(scene.ours, scene.server()):
            await scene.theirs.noted("about to die")
            await scene.theirs.stop(stale=True)
            await eventually(lambda: scene.heard.failures, "a failure")
            scene.theirs.script = scripted.accept
            await scene.theirs.start()
            await scene.theirs.client(KIND)

    scenario()


@asynchronous
async def test_a_kubelet_sock_that_says_gibberish_is_tried_again(scene: Scene) -> None:
    scene.directory.mkdir()
    server = scene.server(limits=Limits(register=1))

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-no\r\n" * 9)
        writer.close()

    babbling = await asyncio.start_unix_server(babble, scene.theirs.socket)
    async with serving(scene.ours, server):
        await eventually(lambda: server.failure, "a failure")
        babbling.close()
        await scene.theirs.start()
        await scene.theirs.client(KIND)


@asynchronous
async def test_attempts_are_bounded_whatever_happens_to_kubelet_sock(scene: Scene) -> None:
    scene.directory.mkdir()
    server = scene.server()
    async with serving(scene.ours, server):
        began = time.monotonic()
        while (spent := time.monotonic() - began) < 1 or len(scene.heard.failures) < 3:
            scene.theirs.make_stale()
            await asyncio.sleep(0.002)
        assert len(scene.heard.failures) <= 1 + spent / FLOOR
        await scene.theirs.start()
        await scene.theirs.client(KIND)


@asynchronous
async def test_a_resource_that_the_kubelet_does_not_take_harms_no_other(scene: Scene) -> None:
    async def choose(
        kubelet: ScriptedKubelet, request: api.RegisterRequest, context: scripted.Context
    ) -> None:
        good = request.resource_name == KIND
        await (scripted.accept if good else scripted.refuse)(kubelet, request, context)

    scene.theirs.script = choose
    await scene.theirs.start()
    odd = scene.server(Pool(name="a\udcff b/../%41\n", prefix="x" * 300))
    async with serving(scene.ours, odd, scene.server()):
        await scene.theirs.client(KIND)
        await eventually(lambda: odd.failure, "a refusal")
        assert "the ResourceName is invalid" in odd.failure
    assert sockets(scene.directory) == ["kubelet.sock"]


# ---- our own socket


@asynchronous
async def test_a_socket_that_a_killed_agent_left_is_replaced(scene: Scene) -> None:
    await scene.theirs.start()
    for path in (scene.path, scene.path.with_name(f".{NAME}")):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    async with serving(scene.ours, scene.server()):
        await scene.theirs.client(KIND)
        assert [path.name for path in scene.directory.glob(".*")] == []


@asynchronous
async def test_the_socket_of_a_successor_is_left_alone(scene: Scene) -> None:
    await scene.theirs.start()
    server = scene.server(backoff=Never())
    async with serving(scene.ours, server):
        await scene.theirs.client(KIND)
        successors = scene.directory / "successor"
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(successors))
            successors.replace(scene.path)
            await scene.theirs.noted("stream ended")
            await eventually(lambda: not server.streaming, "the round is over")
    assert scene.path.is_socket()


@asynchronous
async def test_what_is_in_the_sockets_way_is_named_until_it_is_gone(scene: Scene) -> None:
    scene.path.mkdir(parents=True)
    await scene.theirs.start()
    server = scene.server()
    async with serving(scene.ours, server):
        await eventually(lambda: server.failure, "a failure")
        assert server.failure == f"cannot serve on {scene.path}: Is a directory"
        scene.path.rmdir()
        await scene.theirs.client(KIND)


@asynchronous
async def test_what_keeps_us_from_binding_is_said(scene: Scene) -> None:
    scene.path.with_name(f".{NAME}").mkdir(parents=True)
    await scene.theirs.start()
    server = scene.server()
    async with serving(scene.ours, server):
        await eventually(lambda: server.failure, "a failure")
        assert "Address already in use" in server.failure


@pytest.mark.parametrize("client", ["reads", "does not read", "only connects", "speaks half"])
def test_the_end_comes_within_a_second_streams_first_and_nothing_is_left(
    scene: Scene, client: str
) -> None:
    @asynchronous
    async def end() -> None:
        await scene.theirs.start()
        server = scene.server()
        with socket.socket(socket.AF_UNIX) as raw:
            async with serving(scene.ours, server):
                followed = await scene.theirs.client(KIND)
                if client == "does not read":
                    call = followed.plugin.ListAndWatch(api.Empty())
                    await call.read()
                elif client != "reads":
                    raw.connect(str(scene.path))
                if client == "speaks half":
                    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
                await asyncio.sleep(0.05)
                began = time.monotonic()
            assert time.monotonic() - began < 1
        await scene.theirs.until(lambda: followed.ended)
        assert sockets(scene.directory) == ["kubelet.sock"]
        assert not server.streaming
        assert not server.registered

    end()


@asynchronous
async def test_no_moment_is_a_wrong_one_to_be_cancelled(scene: Scene) -> None:
    await scene.theirs.start()
    async with scene.ours:
        for moment in range(30):
            task = asyncio.create_task(scene.server().run())
            await (await scene.theirs.client(KIND)).hang_up()
            await asyncio.sleep(moment / 5000)
            task.cancel()
            await asyncio.wait([task], timeout=1)
            assert task.cancelled()
            assert sockets(scene.directory) == ["kubelet.sock"]
            await scene.theirs.until(lambda: KIND not in scene.theirs.clients)
