"""The API server: a thread with a loop of its own, and what goes wrong with it.

It listens on 127.0.0.1, and everything here may be called from any thread, with or without
a loop. What the cluster itself does is in `cluster`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import socket
import ssl
import threading
from collections.abc import Coroutine
from typing import NamedTuple, TypeVar

import aiohttp
import yaml
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from tests.fakes.apiserver import auth, codec
from tests.fakes.apiserver.auth import User
from tests.fakes.apiserver.breaking import reset
from tests.fakes.apiserver.cluster import Cluster
from tests.fakes.apiserver.faults import Fault
from tests.fakes.apiserver.handler import Handler
from tests.fakes.apiserver.manifest import Manifest
from tests.fakes.apiserver.registry import Registry
from tests.fakes.apiserver.settings import Settings
from tests.fakes.apiserver.store import Store
from tests.fakes.apiserver.tls import Certificate
from tests.fakes.apiserver.watching import Hub

Found = TypeVar("Found")
_POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
_ROLES = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


class _Resetting(asyncio.Protocol):
    """A server that breaks every connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        reset(transport)


class Answer(NamedTuple):
    """What the server said."""

    status: int
    body: Manifest


class ApiServer:
    """An API server to test with. `cluster` is what is in it, `book` what was asked."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.store = Store(self.settings.history)
        self.registry = Registry(self.store, lambda: self.settings.gates_on)
        self._hub = Hub(self.store)
        self._handler = Handler(self.settings, self.registry, self._hub)
        self.cluster = Cluster(self.registry)
        self.book, self.faults = self._handler.book, self._handler.faults
        self._hub.changed = self.book.poke
        self.tokens = self._handler.tokens
        self.admin = self.tokens.issue(auth.ADMIN, 10 * 365 * 86400)
        self._certificate = Certificate() if self.settings.tls else None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="apiserver", daemon=True
        )
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is: https if it has a certificate."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def authority(self) -> pathlib.Path | None:
        """The file that a client has to trust, if there is TLS."""
        return self._certificate.path if self._certificate else None

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._do(self._begin())

    def stop(self) -> None:
        """End everything, open watches too."""
        self.faults.clear()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        if self._certificate:
            self._certificate.discard()

    def reconfigure(self, settings: Settings) -> None:
        """Be another release, or have other gates: as after an upgrade; watches are cut."""
        self.settings = self._handler.settings = settings
        self.cut_watches()

    # Who may do what

    def token(self, user: User, seconds: float = 3600) -> str:
        """Return a bearer token; `auth.service_account` makes users of pods."""
        return self.tokens.issue(user, seconds)

    def kubeconfig(self, path: pathlib.Path, token: str = "") -> pathlib.Path:
        """Write a kubeconfig file with a token (the administrator's unless another is given)."""
        cluster: Manifest = {"server": self.url}
        if self.authority:
            cluster["certificate-authority"] = str(self.authority)
        said = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token or self.admin}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "user"}}],
            "current-context": "fake",
        }
        path.write_text(json.dumps(said), encoding="utf-8")
        return path

    def ask(self, method: str, path: str, token: str = "", *, seconds: float = 10) -> Answer:
        """Call this server over HTTP from its own thread, which may be in another netns.

        Raises:
            OSError: it cannot be reached, or does not answer in time.
        """
        return self._do(self._ask(method, path, token or self.admin, seconds))

    def apply(self, *documents: Manifest) -> None:
        """Take roles, bindings and policies, and create what is none of those.

        What this server does not have (a DaemonSet, a ServiceAccount) is passed over.
        """
        for document in documents:
            if document["kind"] in _ROLES:
                self._handler.rbac.apply(document)
            elif document["kind"] in _POLICIES:
                self._handler.policies.apply(document)
            else:
                self.cluster.apply(document)

    def apply_file(self, path: pathlib.Path) -> None:
        """Take every document of a YAML file."""
        documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
        self.apply(*(document for document in documents if document))

    # What goes wrong

    def fault(self, fault: Fault) -> Fault:
        """Let something go wrong with requests that match."""
        return self.faults.add(fault)

    def go_away(self, *, resetting: bool = False) -> None:
        """Break every connection and accept no more: refused, or accepted and reset."""
        self._do(self._leave(resetting))

    def come_back(self) -> None:
        """Listen again, on the same port."""
        self._do(self._return())

    def cut_watches(self, *, abruptly: bool = False) -> None:
        """End the watches that are open: as after their time, or with a reset."""
        for subscription in self._hub:
            subscription.end("abruptly" if abruptly else "cleanly")

    def compact(self) -> None:
        """Forget all history: who goes on from before is told 410."""
        self.store.compact()

    def deafen(self, deaf: bool = True) -> None:
        """Lose events: open watches stay open and hear nothing."""
        self._hub.deaf = deaf

    def send_bookmarks(self) -> None:
        """Send a bookmark to whoever takes them."""
        self._hub.send_bookmarks()

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(list(self._hub))

    # The thread

    def _do(self, work: Coroutine[object, object, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _ask(self, method: str, path: str, token: str, seconds: float) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        tls = ssl.create_default_context(cafile=self.authority) if self.authority else True
        try:
            async with (
                asyncio.timeout(seconds),
                aiohttp.ClientSession(headers=headers) as session,
                session.request(method, self.url + path, ssl=tls) as response,
            ):
                return Answer(response.status, json.loads(await response.read()))
        except aiohttp.ClientError as error:
            raise OSError(f"{self.url}: {error}") from error

    async def _begin(self) -> None:
        # Bound and never listening: nobody else gets the port while we are away.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port = self._place.getsockname()[1]
        self._web = web.Server(
            self._handle, request_factory=_request, handler_cancellation=True, access_log=None
        )
        await self._return()

    async def _return(self) -> None:
        await self._stop_listening()
        assert self._web is not None
        tls = self._certificate.context if self._certificate else None
        self._listener = await self._loop.create_server(
            self._web, "127.0.0.1", self.port, ssl=tls, backlog=1024
        )

    async def _leave(self, resetting: bool) -> None:
        assert self._web is not None
        await self._stop_listening()
        for connection in self._web.connections:
            reset(connection.transport)
        if resetting:
            self._listener = await self._loop.create_server(_Resetting, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        """Accept no more, and have whoever was accepted be a connection.

        asyncio forgets a socket, and leaves it open, whose listener closes in the same moment.
        """
        if self._listener is not None:
            for listening in self._listener.sockets:
                self._loop.remove_reader(listening)
            for _ in range(3):  # a task makes its transport, which then tells its protocol
                await asyncio.sleep(0)
            self._listener.close()
            self._listener = None

    async def _end(self) -> None:
        await self._leave(False)
        assert self._web is not None
        await asyncio.sleep(0.01)  # whoever has just been let in is a connection by then
        await self._web.shutdown(0.01)  # 0 would be for ever
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._place.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        with contextlib.suppress(ConnectionError):
            return await self._handler(request)
        raise asyncio.CancelledError  # the client is gone


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Make a request whose body may be as large as the API server takes, and no larger."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=codec.MOST + 1
    )
