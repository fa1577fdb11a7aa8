"""HTTP to one server: httpx speaks it, on connections as lightkube's configuration has them.

Whatever the other side does, a call ends in time and takes so much memory at most: httpx
has times for each read alone, and no bound on bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping

import httpx2
from lightkube import SingleConfig

from netdevice_plugin.dra.cluster import access
from netdevice_plugin.dra.cluster.bounds import Bounds, Limits


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers are in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Client:
    """Calls one server with one set of credentials; for one event loop."""

    def __init__(self, config: SingleConfig, *, agent: str, limits: Limits | None = None) -> None:
        self._config = config
        self._agent = agent
        self._bounds = Bounds(config.cluster.server, limits or Limits())
        self._http: httpx2.AsyncClient | None = None
        self._marks: tuple[access.Mark, ...] = ()

    async def call(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Ask, and have the whole answer, whatever its status; raises ClusterError."""
        with self._bounds.told():
            async with self._bounds.time(), self.stream(target, method, body) as stream:
                return await stream.answer()

    @contextlib.asynccontextmanager
    async def stream(
        self, target: str, method: str = "GET", body: bytes = b""
    ) -> AsyncIterator[Stream]:
        """Ask for what may have no end; entered when the answer begins. Raises ClusterError."""
        with self._bounds.told():
            async with self._bounds.time():
                response = await self._send(method, target, body)
        try:
            yield Stream(response, self._bounds)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """End all connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _send(self, method: str, target: str, body: bytes) -> httpx2.Response:
        http = await self._connected()
        headers = {"Content-Type": "application/json"} if body else {}
        request = http.build_request(method, target, content=body or None, headers=headers)
        try:
            return await http.send(request, stream=True)
        except (httpx2.ReadError, httpx2.RemoteProtocolError):
            # A connection that was kept ended as we asked. What changes something may
            # have been heard.
            if method != "GET":
                raise
        return await http.send(http.build_request(method, target), stream=True)

    async def _connected(self) -> httpx2.AsyncClient:
        """Return the connections: new ones when what TLS is made of was replaced.

        What is under way on the old ones fails, as it does when the API server ends.
        """
        marks = access.marks(self._config)
        if self._http is None or marks != self._marks:
            new = access.connect(self._config, self._agent, self._bounds.limits)
            old, self._http, self._marks = self._http, new, marks
            if old is not None:
                await old.aclose()
        return self._http


class Stream:
    """An answer that begins: its status, then all of it, or line after line."""

    def __init__(self, response: httpx2.Response, bounds: Bounds) -> None:
        self._response = response
        self._bounds = bounds

    @property
    def status(self) -> int:
        """As HTTP has it; only 200 has lines."""
        return self._response.status_code

    async def answer(self) -> Answer:
        """Read it to its end; raises ClusterError."""
        bounds, body = self._bounds, bytearray()
        with bounds.told():
            async with bounds.time(), contextlib.aclosing(self._response.aiter_raw()) as parts:
                async for part in parts:
                    body += part
                    if len(body) > bounds.limits.body:
                        raise bounds.nonsense(f"an answer of more than {bounds.limits.body} bytes")
        return Answer(self.status, self._response.headers, bytes(body))

    async def lines(self, seconds: float) -> AsyncIterator[bytes]:
        """Give each line as it comes, until the server or our patience ends it."""
        end = asyncio.get_running_loop().time() + seconds
        rest = bytearray()
        async with contextlib.aclosing(self._response.aiter_raw()) as parts:
            while part := await self._some(parts, end):
                rest += part
                if b"\n" in part:
                    *lines, rest = rest.split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield bytes(line)
                if len(rest) > self._bounds.limits.line:
                    raise self._bounds.nonsense(f"a line of {len(rest)} bytes and more")

    async def _some(self, parts: AsyncIterator[bytes], end: float) -> bytes:
        """Read some more; nothing at the end, the server's or ours."""
        with self._bounds.told():
            try:
                async with asyncio.timeout_at(end):
                    return await anext(parts, b"")
            except TimeoutError:
                return b""
