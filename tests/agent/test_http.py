"""Metrics and health over real sockets: clients that hang, ports that are taken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import select
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from netdevice_plugin.errors import ListenError
from netdevice_plugin.operations import http
from netdevice_plugin.operations.health import Pulse, Readiness
from netdevice_plugin.operations.http import Listen, Response, Server, metrics_page, verdict_page
from netdevice_plugin.operations.metrics import Metrics

LOCAL = Listen("127.0.0.1", 0)
START = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[START]:
    """Starts servers, and stops them."""
    servers: list[Server] = []

    def make(listen: Listen = LOCAL, seconds: float = 5, **pages: http.Page) -> Server:
        server = Server(listen, {f"/{name}": page for name, page in pages.items()}, seconds)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()


def get(server: Server, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    """The status and the body, within a second."""
    url = f"http://{host}:{server.port}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    """A client of whatever manners."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    client.sendall(sent)
    return client


def ok() -> Response:
    return Response(b"ok\n")


def test_one_port_has_metrics_and_health(start: START, tmp_path: pathlib.Path) -> None:
    pulse, readiness, metrics = Pulse(), Readiness(["inventory"]), Metrics(tmp_path)
    server = start(
        metrics=metrics_page(metrics.page),
        healthz=verdict_page(pulse.check),
        readyz=verdict_page(readiness.check),
    )
    assert get(server, "/healthz") == (200, "[+]event loop: ok\nok\n")
    assert get(server, "/readyz") == (503, "[-]inventory: not yet\nnot ok\n")
    readiness.met("inventory")
    assert get(server, "/readyz") == (200, "[+]inventory: ok\nok\n")
    status, page = get(server, "/metrics")
    assert status == 200
    assert "\nnetdevice_plugin_build_info{" in page
    assert "\nprocess_resident_memory_bytes " in page
    assert get(server, "/")[0] == 404


@pytest.mark.parametrize(
    ("listen", "host"),
    [(Listen("127.0.0.1", 0), "127.0.0.1"), (Listen("::1", 0), "[::1]")],
    ids=["IPv4", "IPv6"],
)
def test_it_listens_where_it_was_told(start: START, listen: Listen, host: str) -> None:
    assert get(start(listen, healthz=ok), "/healthz", host)[0] == 200


def test_no_host_is_every_address(start: START) -> None:
    server = start(Listen("", 0), healthz=ok)
    for host in ("127.0.0.1", "[::1]"):
        assert get(server, "/healthz", host)[0] == 200


def test_a_post_is_refused(start: START) -> None:
    server = start(healthz=ok)
    with connect(server, b"POST /healthz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


def test_head_has_no_body_and_the_connection_ends(start: START) -> None:
    with connect(start(healthz=ok), b"HEAD /healthz HTTP/1.1\r\n\r\n") as client:
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_a_request_may_come_in_pieces(start: START) -> None:
    with connect(start(healthz=ok)) as client:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 10_000_000,
        b"G" * 10_000_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 1_000_000,
    ],
    ids=["a header", "a method", "many headers"],
)
def test_ten_megabytes_are_refused(start: START, sent: bytes) -> None:
    server = start(healthz=ok)
    with connect(server) as client, contextlib.suppress(ConnectionError):
        client.sendall(sent)
        assert client.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert get(server, "/healthz")[0] == 200


def test_clients_that_hang_keep_no_probe_waiting(start: START) -> None:
    server = start(healthz=ok)
    before = threading.active_count()  # those of other tests among them
    with contextlib.ExitStack() as clients:
        for number in range(4 * http.MAX_CLIENTS):
            clients.enter_context(connect(server, b"GET /healthz HT"))
            if number % http.MAX_CLIENTS == 0:
                began = time.monotonic()
                assert get(server, "/healthz")[0] == 200
                assert time.monotonic() - began < 1
        assert get(server, "/healthz")[0] == 200
        assert threading.active_count() <= before


def test_there_is_room_for_so_many_clients_only(start: START) -> None:
    server = start(healthz=ok)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(http.MAX_CLIENTS + 3)]
        assert get(server, "/healthz")[0] == 200
        for client in clients[:4]:  # the oldest made room, the last of them for the probe
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b""
        clients[-1].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert clients[-1].recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_sends_nothing_is_dropped(start: START) -> None:
    server = start(seconds=0.05, healthz=ok)
    with connect(server) as client, contextlib.suppress(ConnectionError):
        assert client.recv(1) == b""


def test_a_client_that_reads_nothing_is_dropped(start: START) -> None:
    server = start(seconds=0.2, big=lambda: Response(b"x" * 50_000_000), healthz=ok)
    with connect(server, b"GET /big HTTP/1.1\r\n\r\n") as client:
        assert get(server, "/healthz")[0] == 200
        dropped = select.poll()
        dropped.register(client, 0)
        assert dropped.poll(10_000)[0][1] & (select.POLLHUP | select.POLLERR)


def test_a_large_page_arrives_whole(start: START) -> None:
    body = "0123456789" * 1_000_000
    server = start(big=lambda: Response(body.encode()))
    assert get(server, "/big") == (200, body)


def test_health_is_answered_while_the_loop_of_the_agent_is_stuck(start: START) -> None:
    stuck, free = threading.Event(), threading.Event()
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    server = start(healthz=verdict_page(pulse.check))

    async def agent() -> None:
        task = asyncio.create_task(pulse.run(0.01))
        await asyncio.sleep(0)
        stuck.set()
        free.wait(10)
        task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(agent(),))
    thread.start()
    assert stuck.wait(10)
    assert get(server, "/healthz")[0] == 200
    now[0] = 60
    assert get(server, "/healthz") == (503, "[-]event loop: no turn for 60 s\nnot ok\n")
    free.set()
    thread.join()


def test_a_port_that_is_taken_is_a_clear_error(start: START) -> None:
    taken = start(healthz=ok)
    second = Server(Listen("127.0.0.1", taken.port), {})
    with pytest.raises(ListenError) as caught:
        second.start()
    assert str(caught.value) == (f"cannot listen on 127.0.0.1:{taken.port}: Address already in use")
    assert "--listen" in caught.value.hint
    second.stop()


def test_an_address_that_is_not_here_is_a_clear_error() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:9479: Cannot assign requested address"):
        Server(Listen("192.0.2.1", 9479), {}).start()


def test_the_port_is_taken_as_soon_as_the_other_agent_gives_it_up(
    start: START, caplog: pytest.LogCaptureFixture
) -> None:
    old = start(healthz=ok)
    new = Server(Listen("127.0.0.1", old.port), {"/healthz": lambda: Response(b"new\n")})

    async def take_over() -> None:
        waiting = asyncio.create_task(new.start_when_free(0.01))
        while not caplog.records:
            await asyncio.sleep(0)
        assert not waiting.done()
        old.stop()
        await asyncio.wait_for(waiting, 5)

    try:
        with caplog.at_level(logging.INFO):
            asyncio.run(take_over())
        assert get(new, "/healthz") == (200, "new\n")
        assert [record.message for record in caplog.records] == ["Waiting to listen"]
    finally:
        new.stop()


def test_waiting_for_a_port_can_be_given_up(start: START, caplog: pytest.LogCaptureFixture) -> None:
    old = start(healthz=ok)
    new = Server(Listen("127.0.0.1", old.port), {})

    async def give_up() -> None:
        waiting = asyncio.create_task(new.start_when_free(0.01))
        while not caplog.records:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with caplog.at_level(logging.INFO):
        asyncio.run(give_up())
    new.stop()
    assert get(old, "/healthz")[0] == 200


def test_a_server_that_stops_drops_its_clients_and_leaves_nothing(start: START) -> None:
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    server = start(healthz=ok)
    with connect(server) as client:
        assert get(server, "/healthz")[0] == 200
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 1
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before
    assert "http" not in {thread.name for thread in threading.enumerate()}
    server.stop()


def test_it_can_start_again_on_the_same_port(start: START) -> None:
    server = start(healthz=ok)
    with connect(server, b"GET /healthz HTTP/1.1\r\n\r\n") as client:
        client.recv(1000)
    server.stop()
    again = start(Listen("127.0.0.1", server.port), healthz=ok)
    assert get(again, "/healthz")[0] == 200
