"""Metrics and health on one port: a small HTTP server in a thread of its own.

Of its own, so that it answers while the agent's loop is stuck and can say so. One
thread for all clients, each with a bound on what it may send, how long that may take
in all, and how many there are: the oldest makes room, so that clients which hang keep
no probe waiting. The standard library's server takes a thread for each client, has no
bound on the whole of a request, and lets one send megabytes of headers.

GET and HEAD, one request a connection, no names looked up. It reads nothing but the
request line: nothing here depends on a header.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import errno
import http
import ipaddress
import logging
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import cast

from netdevice_plugin.errors import ConfigError, ListenError
from netdevice_plugin.operations.health import Verdict

MAX_REQUEST = 16384  # bytes, with all headers
MAX_CLIENTS = 64
CLIENT_SECONDS = 5.0  # from the connection to the last byte of the answer
JOIN_SECONDS = 1.0

_LISTEN = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[0-9.]*)):(?P<port>[0-9]{1,5})")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; no host is every address of the network namespace, IPv4 and IPv6."""

    host: str
    port: int  # 0: the kernel chooses

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_listen(text: str) -> Listen | None:
    """Parse `127.0.0.1:9479`, `[::1]:9479`, `:9479` or `none`; raises ConfigError.

    IPv4 may stand in brackets too, so that a manifest can write `[$(HOST_IP)]:9479`. No
    host names: an agent that starts before the network is up has no resolver.
    """
    if text == "none":
        return None
    found = _LISTEN.fullmatch(text)
    host = (found["bracketed"] or found["plain"]) if found else ""
    with contextlib.suppress(ValueError):
        if host:
            ipaddress.ip_address(host)
        if found and int(found["port"]) <= 65535:
            return Listen(host, int(found["port"]))
    hint = "an IP address and a port, as 127.0.0.1:9479, [::1]:9479 or :9479; or none"
    raise ConfigError(f"cannot listen on {text[:80]!r}", hint=hint)


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """What a page answers."""

    body: bytes
    status: http.HTTPStatus = http.HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"
    allow: str = ""

    def encode(self, *, head: bool) -> bytes:
        """The bytes to send; `head` leaves out the body alone."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "X-Content-Type-Options: nosniff",
            "Cache-Control: no-store",
            "Connection: close",
            *([f"Allow: {self.allow}"] if self.allow else []),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else self.body)


Page = Callable[[], Response]


def verdict_page(check: Callable[[], Verdict]) -> Page:
    """A page for a probe: 200 or 503, and a line for everything looked at."""

    def page() -> Response:
        verdict = check()
        body = "\n".join([*verdict.lines, "ok" if verdict.ok else "not ok", ""])
        status = http.HTTPStatus.OK if verdict.ok else http.HTTPStatus.SERVICE_UNAVAILABLE
        return Response(body.encode("utf-8", "backslashreplace"), status)

    return page


def metrics_page(generate: Callable[[], bytes]) -> Page:
    """A page for Prometheus, in its text format."""
    return lambda: Response(generate(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _error(status: http.HTTPStatus, allow: str = "") -> Response:
    return Response(f"{status.phrase}\n".encode(), status, allow=allow)


def answer(request: bytes, pages: Mapping[str, Page]) -> bytes:
    """Answer a request, of which the first line counts. Pure, but for the page.

    A page that raises is logged and answered with 500.
    """
    words = request.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _error(http.HTTPStatus.BAD_REQUEST).encode(head=False)
    method, target = words[0], words[1].split(b"?", 1)[0].decode("latin-1")
    page = pages.get(target)
    if page is None:
        response = _error(http.HTTPStatus.NOT_FOUND)
    elif method not in (b"GET", b"HEAD"):
        response = _error(http.HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
    else:
        response = _render(page, target)
    return response.encode(head=method == b"HEAD")


def _render(page: Page, target: str) -> Response:
    try:
        return page()
    except Exception:
        _log.exception("Cannot make a page", extra={"page": target})
        return _error(http.HTTPStatus.INTERNAL_SERVER_ERROR)


class Server:
    """Serves `pages`, by their path, from a daemon thread between `start` and `stop`."""

    def __init__(
        self, listen: Listen, pages: Mapping[str, Page], client_seconds: float = CLIENT_SECONDS
    ) -> None:
        self._listen = listen
        self._pages = pages
        self._client_seconds = client_seconds
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._clients: dict[asyncio.Task[None], None] = {}  # the oldest first
        self.port = listen.port  # after `start`, the one that the kernel chose

    def start(self) -> None:
        """Listen and serve; raises ListenError."""
        sock = _bind(self._listen)
        self.port = sock.getsockname()[1]
        serving: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=(sock, serving), name="http", daemon=True
        )
        self._thread.start()
        serving.result()

    async def start_when_free(self, pause: float = 0.2) -> None:
        """Listen as soon as whoever has the port gives it up; says once that it waits.

        Raises ListenError for what waiting does not mend.
        """
        said = False
        while True:
            try:
                return self.start()
            except ListenError as error:
                cause = error.__cause__
                if not isinstance(cause, OSError) or cause.errno not in (
                    errno.EADDRINUSE,
                    errno.EADDRNOTAVAIL,
                ):
                    raise
                if not said:
                    _log.info("Waiting to listen", extra={"err": error})
                said = True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def stop(self) -> None:
        """Close the port, and every connection; does nothing if it does not serve."""
        if self._thread is None or self._loop is None or self._ending is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(JOIN_SECONDS)
        self._thread = None

    def _run(self, sock: socket.socket, serving: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._serve(sock, serving))
        except Exception as error:
            sock.close()
            if serving.done():
                _log.exception("Metrics and health have ended")
            else:
                serving.set_exception(error)

    async def _serve(self, sock: socket.socket, serving: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        server = await asyncio.start_server(self._client, sock=sock, limit=MAX_REQUEST)
        serving.set_result(None)
        await self._ending.wait()
        server.close()  # asyncio.run() ends the clients

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        if len(self._clients) >= MAX_CLIENTS:
            oldest = next(iter(self._clients))
            del self._clients[oldest]  # at once: the next one is to push out another
            oldest.cancel()
        self._clients[task] = None
        try:
            async with asyncio.timeout(self._client_seconds):
                await self._talk(reader, writer)
            writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._clients.pop(task, None)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # drain() is when the kernel has it all
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status = http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            writer.write(_error(status).encode(head=False))
        else:
            writer.write(answer(request, self._pages))
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Drop a client with all that it has not read: the kernel would keep that for minutes."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def _bind(listen: Listen) -> socket.socket:
    try:
        if not listen.host and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", listen.port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        return socket.create_server((listen.host, listen.port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        hint = "another program, or an agent that is ending, may have it; see --listen"
        raise ListenError(f"cannot listen on {listen}: {reason}", hint=hint) from error
