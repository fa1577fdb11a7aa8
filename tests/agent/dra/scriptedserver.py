"""An HTTP server of which every byte is the test's: for what no API server should do, but may."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a client asked; headers by name in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


# Writes the answer, all of it: its head too. The connection goes on until the script closes it.
Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class ScriptedServer:
    """Listens on a port of the loopback device; counts connections, keeps requests."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._open)

    @property
    def url(self) -> str:
        """Without TLS."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                await self.script(request, writer)
                await writer.drain()
        self._open.discard(writer)
        writer.close()

    def cut(self) -> None:
        """End every connection as a crash does."""
        for writer in self._open:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    script: Script, context: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """Serve while entered."""
    scripted = ScriptedServer(script)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=context)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        scripted.cut()
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


def reply(writer: asyncio.StreamWriter, status: int, body: object, *headers: str) -> None:
    """Write an answer as an API server does; bytes are sent as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Some Words", "Content-Type: application/json", *headers]
    writer.write("\r\n".join((*head, f"Content-Length: {len(data)}", "", "")).encode() + data)


def failure(status: int, message: str, **details: object) -> dict[str, object]:
    """A Status object, as errors come in."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "code": status,
        "details": details,
    }
