"""The HTTP of it: one server for the three APIs, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.openstack.state import GROUP, NETWORK, SERVER, SUBNET, Plain, State

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NAMED = {
    "networks": {"id": NETWORK, "name": "fast"},
    "subnets": {"id": SUBNET, "name": "fast-v4", "network_id": NETWORK},
    "security-groups": {"id": GROUP, "name": "open"},
}


class OpenStackServer:
    """Serves `state` while it is entered; `url` is Keystone's."""

    def __init__(self) -> None:
        self.state = State()
        self.url = ""
        self.hanging = threading.Event()  # somebody waits for an answer that never comes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._runner: web.AppRunner | None = None
        self._never = asyncio.Event()  # set at the end, so that nobody hangs longer

    def environment(self) -> dict[str, str]:
        """What a client finds its credentials by."""
        return {
            "OS_AUTH_URL": f"{self.url}/identity/v3",
            "OS_USERNAME": "node",
            "OS_PASSWORD": "secret",
            "OS_PROJECT_NAME": "cluster",
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": "here",
            "OS_CLIENT_CONFIG_FILE": "/nonexistent",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/identity/v3", self._identity),
                web.post("/identity/v3/auth/tokens", self._token),
                web.get("/network/", self._network),
                web.get("/network/v2.0/ports", self._ports),
                web.post("/network/v2.0/ports", self._create),
                web.get("/network/v2.0/ports/{port}", self._port),
                web.delete("/network/v2.0/ports/{port}", self._delete),
                web.get("/network/v2.0/{kind}", self._all),
                web.get("/network/v2.0/{kind}/{id}", self._one),
                web.get("/compute/v2.1", self._compute),
                web.get("/compute/v2.1/", self._compute),
                web.post("/compute/v2.1/servers/{server}/os-interface", self._attach),
                web.get("/compute/v2.1/servers/{server}/os-interface/{port}", self._interface),
                web.delete("/compute/v2.1/servers/{server}/os-interface/{port}", self._unplug),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _end(self) -> None:
        assert self._runner
        self._never.set()
        await self._runner.cleanup()

    async def _identity(self, _request: web.Request) -> web.Response:
        links = [{"rel": "self", "href": f"{self.url}/identity/v3/"}]
        return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": links}})

    async def _token(self, _request: web.Request) -> web.Response:
        if status := self.state.faults.token_status:
            return _failed(status, {"error": {"code": status, "message": "who are you"}})
        services = {"network": "network", "compute": "compute/v2.1", "identity": "identity/v3"}
        catalog = [
            {"type": kind, "name": kind, "id": kind, "endpoints": [self._endpoint(path)]}
            for kind, path in services.items()
        ]
        token = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "project": {"id": "p", "name": "cluster", "domain": {"id": "default", "name": "d"}},
            "user": {"id": "u", "name": "node", "domain": {"id": "default", "name": "d"}},
            "roles": [{"id": "m", "name": "member"}],
            "catalog": catalog,
        }
        headers = {"X-Subject-Token": "token"}
        return web.json_response({"token": token}, status=201, headers=headers)

    def _endpoint(self, path: str) -> Plain:
        return {
            "id": path,
            "interface": "public",
            "region": "here",
            "region_id": "here",
            "url": f"{self.url}/{path}",
        }

    async def _network(self, _request: web.Request) -> web.Response:
        links = [{"rel": "self", "href": f"{self.url}/network/v2.0/"}]
        versions = [{"id": "v2.0", "status": "CURRENT", "links": links}]
        return web.json_response({"versions": versions})

    async def _compute(self, _request: web.Request) -> web.Response:
        links = [{"rel": "self", "href": f"{self.url}/compute/v2.1/"}]
        version = {"id": "v2.1", "status": "CURRENT", "version": "2.90", "min_version": "2.1"}
        return web.json_response({"version": {**version, "links": links}})

    async def _all(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        one = _NAMED[kind]
        asked = request.query.get("name"), request.query.get("id")
        found = [one] if one["name"] == asked[0] or one["id"] == asked[1] else []
        return web.json_response({kind.replace("-", "_"): found})

    async def _one(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        one = _NAMED[kind]
        if one["id"] != request.match_info["id"]:
            return _neutron(404, "NotFound", f"{kind} could not be found")
        return web.json_response({kind.replace("-", "_").removesuffix("s"): one})

    async def _ports(self, request: web.Request) -> web.Response:
        if status := self.state.faults.port_status:
            return _neutron(status, "HTTPServerError", "it is a bad day")
        wanted = request.query.get("name")
        found = [port for port in self.state.ports.values() if wanted in (None, port["name"])]
        return web.json_response({"ports": [self.state.look(port) for port in found]})

    async def _create(self, request: web.Request) -> web.Response:
        state = self.state
        if status := state.faults.port_status:
            return _neutron(status, "HTTPServerError", "it is a bad day")
        if len(state.ports) >= state.faults.quota:
            return _neutron(409, "OverQuota", "Quota exceeded for resources: ['port'].")
        state.calls.append("create")
        port = state.create((await request.json())["port"])
        if state.faults.lose_create:
            return _break(request)
        return web.json_response({"port": state.look(port)}, status=201)

    async def _port(self, request: web.Request) -> web.Response:
        port = self.state.ports.get(request.match_info["port"])
        if port is None:
            return _neutron(404, "PortNotFound", "the port could not be found")
        return web.json_response({"port": self.state.look(port)})

    async def _delete(self, request: web.Request) -> web.Response:
        if status := self.state.faults.delete_status:
            return _neutron(status, "HTTPServerError", "it is a bad day")
        self.state.calls.append("delete")
        port_id = request.match_info["port"]
        assert port_id not in self.state.plugged, "Nova was at it yet"
        if self.state.ports.pop(port_id, None) is None:
            return _neutron(404, "PortNotFound", "the port could not be found")
        return web.Response(status=204)

    async def _attach(self, request: web.Request) -> web.Response:
        state, server = self.state, request.match_info["server"]
        if server != SERVER:
            return _nova(404, "itemNotFound", f"Instance {server} could not be found.")
        state.calls.append("attach")
        if status := state.faults.attach_status:
            return _nova(status, "computeFault", "Failed to attach network adapter device")
        wanted = (await request.json())["interfaceAttachment"]
        port = state.ports[wanted["port_id"]]
        state.plug(port, server)
        if state.faults.hang_attach:
            self.hanging.set()
            await self._never.wait()
        if state.faults.lose_attach:
            return _break(request)
        return web.json_response({"interfaceAttachment": _attachment(port)})

    async def _interface(self, request: web.Request) -> web.Response:
        port_id = request.match_info["port"]
        if not self.state.is_plugged(port_id):
            return _nova(404, "itemNotFound", "Port id could not be found.")
        return web.json_response({"interfaceAttachment": _attachment(self.state.ports[port_id])})

    async def _unplug(self, request: web.Request) -> web.Response:
        port_id = request.match_info["port"]
        if port_id not in self.state.plugged:
            return _nova(404, "itemNotFound", "Port is not attached.")
        self.state.calls.append("detach")
        self.state.unplug(port_id)
        return web.Response(status=202)


def _attachment(port: Plain) -> Plain:
    return {
        "port_id": port["id"],
        "net_id": port["network_id"],
        "mac_addr": port["mac_address"],
        "port_state": port["status"],
        "fixed_ips": [],
    }


def _failed(status: int, body: Plain) -> web.Response:
    return web.json_response(body, status=status)


def _neutron(status: int, kind: str, message: str) -> web.Response:
    return _failed(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}})


def _nova(status: int, kind: str, message: str) -> web.Response:
    return _failed(status, {kind: {"code": status, "message": message}})


def _break(request: web.Request) -> web.Response:
    """Break the connection instead of an answer."""
    assert request.transport
    request.transport.abort()
    return web.Response()
