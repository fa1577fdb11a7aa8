"""A kubelet that does what the test says, and notes what it sees: one trap at a time.

What it does of itself is what the real one does: wipe the directory's sockets at its
start, call back during Register, keep one client for a resource's name, and at the end
of any stream drop whichever client has the name by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import grpc

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2_grpc as rpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2_grpc as watcher
from netdevice_plugin.deviceplugin import Kubelet, PoolServer
from netdevice_plugin.serving.bell import Bell
from netdevice_plugin.serving.sockets import address

PATIENCE = 20.0  # seconds; the machine may be busy

_started: list[ScriptedKubelet] = []

Context = grpc.aio.ServicerContext[api.RegisterRequest, api.Empty]
Script = Callable[["ScriptedKubelet", api.RegisterRequest, Context], Awaitable[None]]


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own, for so long and no longer; then stop its kubelets."""

    async def tested(*args: object, **fixtures: object) -> None:
        try:
            await asyncio.wait_for(test(*args, **fixtures), 3 * PATIENCE)
        finally:
            while _started:
                await _started.pop().stop()

    @functools.wraps(test)
    def run(*args: object, **fixtures: object) -> None:
        asyncio.run(tested(*args, **fixtures))

    return run


@dataclasses.dataclass
class Client:
    """The kubelet's end of one plugin: the lists that came, the newest last."""

    channel: grpc.aio.Channel
    info: registration.PluginInfo | None = None
    lists: list[dict[str, str]] = dataclasses.field(default_factory=list)
    ended: bool = False
    reader: asyncio.Task[None] | None = None

    @property
    def plugin(self) -> rpc.DevicePluginStub:
        return rpc.DevicePluginStub(self.channel)

    async def hang_up(self) -> None:
        """End the stream and the connection."""
        if self.reader not in (None, asyncio.current_task()):
            self.reader.cancel()
        await self.channel.close()

    async def allocate(self, *names: str) -> api.ContainerAllocateResponse:
        """Ask as the kubelet does: one container, and no deadline."""
        one = api.ContainerAllocateRequest(devices_ids=names)
        request = api.AllocateRequest(container_requests=[one])
        answer: api.AllocateResponse = await self.plugin.Allocate(request)
        return answer.container_responses[0]


async def accept(kubelet: ScriptedKubelet, request: api.RegisterRequest, context: Context) -> None:
    """Call back as long as Register is open, and then follow the list."""
    client = await kubelet.dial(kubelet.directory / request.endpoint)
    kubelet.follow(request.resource_name, client)


async def ignore(kubelet: ScriptedKubelet, request: api.RegisterRequest, context: Context) -> None:
    """Accept, and never ask for the list."""


async def refuse(kubelet: ScriptedKubelet, request: api.RegisterRequest, context: Context) -> None:
    """Answer with an error."""
    await context.abort(grpc.StatusCode.UNKNOWN, "the ResourceName is invalid")


async def hang(kubelet: ScriptedKubelet, request: api.RegisterRequest, context: Context) -> None:
    """Never answer."""
    await asyncio.Event().wait()


class ScriptedKubelet(rpc.RegistrationServicer):
    """One kubelet process after another in one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / "device-plugins"
        self.socket = self.directory / "kubelet.sock"
        self.script: Script = accept
        self.notes: list[str] = []
        self.requests: list[api.RegisterRequest] = []
        self.clients: dict[str, Client] = {}
        self.every: list[Client] = []
        self.bell = Bell()
        self._server: grpc.aio.Server | None = None
        self._streams: set[asyncio.Task[None]] = set()

    def note(self, what: str) -> None:
        self.notes.append(what)
        self.bell.ring()

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        """Wait for something that the kubelet sees."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.bell.until(lambda: bool(holds()))
        except TimeoutError:
            raise AssertionError(f"{what or 'it'} did not happen; seen: {self.notes}") from None

    async def noted(self, what: str, times: int = 1) -> None:
        """Wait for a note, or for so many."""
        await self.until(lambda: self.notes.count(what) >= times, f"{times} times {what}")

    def times(self, what: str) -> int:
        return self.notes.count(what)

    # ---- a process's life

    async def start(self) -> None:
        """Wipe every socket, then listen."""
        _started.append(self)
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in self.directory.iterdir():
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        self._server = grpc.aio.server()
        rpc.add_RegistrationServicer_to_server(self, self._server)
        self._server.add_insecure_port(address(self.socket))
        await self._server.start()

    async def stop(self, *, stale: bool = False) -> None:
        """End with all connections; with `stale` as by SIGKILL, which leaves the socket."""
        if self._server is not None:
            await self._server.stop(None)
        self._server = None
        for client in self.every:
            await client.hang_up()
        await asyncio.gather(*self._streams, return_exceptions=True)
        self.clients.clear()
        if stale:
            self.make_stale()

    def make_stale(self) -> None:
        """Leave a kubelet.sock on which nobody listens."""
        self.socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.socket))

    # ---- what it does with plugins

    async def Register(self, request: api.RegisterRequest, context: Context) -> api.Empty:
        self.requests.append(request)
        self.note("register")
        await self.script(self, request, context)
        self.note("registered")
        return api.Empty()

    async def dial(self, path: Path, *, authority: str = "localhost") -> Client:
        """Connect to a plugin and ask for its options."""
        options = (("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1))
        client = Client(grpc.aio.insecure_channel(address(path), options))
        self.every.append(client)
        await client.plugin.GetDevicePluginOptions(api.Empty(), timeout=PATIENCE)
        self.note("options")
        return client

    def follow(self, resource: str, client: Client) -> None:
        """Make the client the resource's, whoever had it before, and read its list."""
        self.clients[resource] = client
        client.reader = asyncio.create_task(self._follow(resource, client))
        self._streams.add(client.reader)
        client.reader.add_done_callback(self._streams.discard)

    async def _follow(self, resource: str, client: Client) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            async for answer in client.plugin.ListAndWatch(api.Empty()):
                client.lists.append({one.ID: one.health for one in answer.devices})
                self.note("list")
        client.ended = True
        self.note("stream ended")
        if current := self.clients.pop(resource, None):
            await current.hang_up()

    # ---- the other route: sockets that it finds

    async def find(self, path: Path) -> Client:
        """Come upon a socket in plugins_registry: ask who it is, and connect."""
        channel = grpc.aio.insecure_channel(address(path), (("grpc.use_local_subchannel_pool", 1),))
        client = Client(channel)
        self.every.append(client)
        client.info = await watcher.RegistrationStub(channel).GetInfo(
            registration.InfoRequest(), timeout=1
        )
        await client.plugin.GetDevicePluginOptions(api.Empty(), timeout=PATIENCE)
        self.note("found")
        return client

    async def notify(self, client: Client, error: str = "") -> None:
        """Say what became of the registration; a refused plugin may hang up before it answers."""
        status = registration.RegistrationStatus(plugin_registered=not error, error=error)
        call = watcher.RegistrationStub(client.channel).NotifyRegistrationStatus(status, timeout=5)
        answer: object = (await asyncio.gather(call, return_exceptions=True))[0]
        assert error or isinstance(answer, registration.RegistrationStatusResponse), answer

    async def take(self, path: Path) -> Client:
        """Find a plugin, follow its list, and tell it so."""
        client = await self.find(path)
        assert client.info
        self.follow(client.info.name, client)
        await self.notify(client)
        return await self.client(client.info.name)

    async def client(self, resource: str) -> Client:
        """Wait for a plugin that has sent its first list."""

        def listed() -> bool:
            client = self.clients.get(resource)
            return client is not None and bool(client.lists) and not client.ended

        await self.until(listed, f"a list of {resource}")
        return self.clients[resource]


@contextlib.asynccontextmanager
async def serving(kubelet: Kubelet, *servers: PoolServer) -> AsyncIterator[None]:
    """Run the servers of pools as the agent does."""
    async with kubelet:
        tasks = [asyncio.create_task(server.run()) for server in servers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


def sockets(directory: Path) -> Sequence[str]:
    """What is visible in a directory and is a socket."""
    return sorted(path.name for path in directory.iterdir() if path.is_socket())


async def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait for something that nobody tells of: files, mostly."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.005)
    assert holds(), what
