"""HTTP/1.1 to one server: h11 has the protocol, asyncio the sockets, and every bound is here.

Whatever the other side does, a call ends in time and takes so much memory at most. No
proxies, no redirects, no compression: API servers need none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator, Mapping

import h11

from netdevice_plugin.dra.cluster.access import Access, Credentials
from netdevice_plugin.dra.cluster.errors import UnreachableError

_CHUNK = 2**16
_IDLE = 2  # connections that are kept between calls
# A peer that vanished without a word is noticed within about 30 s, on a silent watch too.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a call may take: seconds, bytes, connections."""

    connect: float = 5.0
    call: float = 10.0  # from the wish for a connection to the last byte
    body: int = 16 * 2**20
    line: int = 8 * 2**20  # one event of a watch: an object is 1.5 MiB at most, in protobuf
    connections: int = 8  # calls at the same time; watches come on top


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Client:
    """Calls one server with one set of credentials; for one event loop."""

    def __init__(self, access: Access, *, agent: str, limits: Limits | None = None) -> None:
        self._access = access
        self._credentials = Credentials(access)
        self._agent = agent
        self._limits = limits or Limits()
        self._slots = asyncio.Semaphore(self._limits.connections)
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    def __str__(self) -> str:
        return str(self._access)

    async def call(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Ask, and have the whole answer, whatever its status; raises ClusterError.

        A 401 is asked again with what the token's file holds by now.
        """
        request = self._request(method, target, body)
        try:
            async with asyncio.timeout(self._limits.call), self._slots:
                answer = await self._call(request, body)
                if answer.status != 401 or (again := self._renewed(request)) is None:
                    return answer
                return await self._call(again, body)
        except TimeoutError as error:
            raise self._late(self._limits.call) from error

    @contextlib.asynccontextmanager
    async def stream(self, target: str, patience: float) -> AsyncIterator[Stream]:
        """Ask for what has no end, on a connection of its own, for so many seconds at most."""
        request = self._request("GET", target, b"")
        connection = None
        try:
            async with asyncio.timeout(self._limits.call):
                connection = await self._connect()
                answer = await connection.ask(request, b"")
                if answer.status == 401 and (again := self._renewed(request)):
                    self._drop(connection)
                    connection = await self._connect()
                    answer = await connection.ask(again, b"")
            yield Stream(connection, answer, self._limits, patience)
        except TimeoutError as error:
            raise self._late(self._limits.call) from error
        finally:
            if connection is not None:
                self._drop(connection)

    async def close(self) -> None:
        """End all connections."""
        for connection in tuple(self._open):
            self._drop(connection)
            await connection.closed()

    async def _call(self, request: h11.Request, body: bytes) -> Answer:
        reused = self._reusable()
        if reused is not None:
            try:
                return await self._exchange(reused, request, body)
            except _StaleError:
                # It ended as we asked, unheard. What changes something may have been heard.
                if request.method != b"GET":
                    raise
        return await self._exchange(await self._connect(), request, body)

    async def _exchange(self, connection: _Connection, request: h11.Request, body: bytes) -> Answer:
        try:
            head = await connection.ask(request, body)
            answer = dataclasses.replace(head, body=await connection.body(self._limits.body))
        except BaseException:
            self._drop(connection)
            raise
        if len(self._idle) < _IDLE and connection.next():
            self._idle.append(connection)
        else:
            self._drop(connection)
        return answer

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended():
                return connection
            self._drop(connection)
        return None

    async def _connect(self) -> _Connection:
        access, context = self._access, self._credentials.context()
        try:
            async with asyncio.timeout(self._limits.connect):
                reader, writer = await asyncio.open_connection(
                    access.host,
                    access.port,
                    ssl=context,
                    server_hostname=(access.server_name or access.host) if context else None,
                    limit=_CHUNK,
                )
            for option in _KEEPALIVE:
                writer.get_extra_info("socket").setsockopt(*option)
        except ssl.SSLCertVerificationError as error:
            self._credentials.forget()
            hint = "its certificate has to be of the authority that the agent was given"
            raise UnreachableError(f"{self}: {error.verify_message}", hint=hint) from error
        except TimeoutError as error:
            raise self._late(self._limits.connect) from error
        except (OSError, ValueError) as error:  # ValueError: a name that none can have
            raise UnreachableError(f"cannot reach {self}: {_why(error)}") from error
        connection = _Connection(reader, writer, str(self))
        self._open.add(connection)
        return connection

    def _drop(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.abort()

    def _request(self, method: str, target: str, body: bytes) -> h11.Request:
        access = self._access
        host = f"[{access.host}]" if ":" in access.host else access.host
        headers = [
            ("Host", f"{host}:{access.port}"),
            ("User-Agent", self._agent),
            ("Accept", "application/json"),
        ]
        if token := self._credentials.token():
            headers.append(("Authorization", f"Bearer {token}"))
        if body:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        return h11.Request(method=method, target=access.path + target, headers=headers)

    def _renewed(self, refused: h11.Request) -> h11.Request | None:
        """Make the request anew if there is another token by now."""
        self._credentials.forget()
        token = self._credentials.token()
        bearer = f"Bearer {token}".encode()
        if not token or (b"authorization", bearer) in refused.headers:
            return None
        kept = [one for one in refused.headers.raw_items() if one[0].lower() != b"authorization"]
        return h11.Request(
            method=refused.method,
            target=refused.target,
            headers=[*kept, (b"Authorization", bearer)],
        )

    def _late(self, seconds: float) -> UnreachableError:
        return UnreachableError(f"{self}: no answer within {seconds:g} s")


class Stream:
    """An answer that goes on: its status, then line after line."""

    def __init__(
        self, connection: _Connection, head: Answer, limits: Limits, patience: float
    ) -> None:
        self._connection = connection
        self._head = head
        self._limits = limits
        self._patience = patience

    @property
    def status(self) -> int:
        """As HTTP has it; only 200 has lines."""
        return self._head.status

    async def answer(self) -> Answer:
        """Read it as one that does end: an error."""
        async with asyncio.timeout(self._limits.call):
            body = await self._connection.body(self._limits.body)
        return dataclasses.replace(self._head, body=body)

    async def lines(self) -> AsyncIterator[bytes]:
        """Give each line as it comes, until the server or our patience ends it."""
        end = asyncio.get_running_loop().time() + self._patience
        rest = bytearray()
        while data := await self._some(end):
            rest += data
            if b"\n" in data:
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    if line.strip():
                        yield bytes(line)
            if len(rest) > self._limits.line:
                raise self._connection.nonsense(f"a line of {len(rest)} bytes and more")

    async def _some(self, end: float) -> bytes:
        """Read some more; nothing at the end, the server's or ours."""
        try:
            async with asyncio.timeout_at(end):
                return await self._connection.data()
        except TimeoutError:
            return b""


class _StaleError(UnreachableError):
    """The connection ended before anything of an answer came."""


class _Connection:
    """One connection, as long as it lives."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._server = server
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_CHUNK)
        self._heard = False  # anything, since the last request

    def ended(self) -> bool:
        """Whether the server has closed it, or said what was not asked for."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def ask(self, request: h11.Request, body: bytes) -> Answer:
        """Send a request, and read the answer up to its body."""
        sent = self._protocol.send(request) or b""
        if body:
            sent += self._protocol.send(h11.Data(data=body)) or b""
        sent += self._protocol.send(h11.EndOfMessage()) or b""
        self._heard = False
        try:
            self._writer.write(sent)
            await self._writer.drain()
            event = await self._event()
        except (OSError, UnreachableError) as error:
            if self._heard:
                raise
            raise _StaleError(f"{self._server} ended the connection: {_why(error)}") from error
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        if not isinstance(event, h11.Response):
            raise self.nonsense("an answer without a head")
        names = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        return Answer(event.status_code, names)

    async def data(self) -> bytes:
        """Read some more of the body; empty at its end."""
        event = await self._event()
        while isinstance(event, h11.Data) and not event.data:
            event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def body(self, limit: int) -> bytes:
        """Read all of it."""
        parts = bytearray()
        while data := await self.data():
            parts += data
            if len(parts) > limit:
                raise self.nonsense(f"an answer of more than {limit} bytes")
        return bytes(parts)

    def next(self) -> bool:
        """Get ready for another request; False where there can be none."""
        done = self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE
        if done:
            self._protocol.start_next_cycle()
        return done and not self._protocol.trailing_data[0] and not self.ended()

    def abort(self) -> None:
        """End it now, whatever is under way."""
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Wait until its socket is gone."""
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def nonsense(self, what: str) -> UnreachableError:
        """Describe what no API server says."""
        return UnreachableError(
            f"{self._server} does not talk as an API server: {what}",
            hint="is it the API server's address?",
        )

    async def _event(self) -> h11.Event:
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                raise self._broken(error) from error
            if event is h11.NEED_DATA:
                await self._receive()
            elif isinstance(event, h11.ConnectionClosed):
                raise UnreachableError(f"{self._server} closed the connection")
            elif isinstance(event, h11.Event):
                return event
            else:
                raise self.nonsense("more than was asked for")

    async def _receive(self) -> None:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as error:
            raise UnreachableError(f"{self._server}: {_why(error)}") from error
        self._heard = self._heard or bool(data)
        self._protocol.receive_data(data)

    def _broken(self, error: h11.RemoteProtocolError) -> UnreachableError:
        if self._reader.at_eof():
            return UnreachableError(f"{self._server} closed the connection")
        return self.nonsense(str(error))


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error)
