"""The API server of the tests: what goes wrong when it is told to, and what is written down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

from tests.agent.apiclient import SLICES, Client, slice_of
from tests.fakes.apiserver import ApiServer, Fault, release

BROKEN = (OSError, http.client.HTTPException)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def client(server: ApiServer) -> Client:
    return Client(server)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(Fault(code=429, retry_after=7), "TooManyRequests", id="429"),
        pytest.param(Fault(code=500), "InternalError", id="500"),
        pytest.param(Fault(code=503, retry_after=1), "ServiceUnavailable", id="503"),
    ],
)
def test_errors_are_answered_so_often(
    server: ApiServer, client: Client, fault: Fault, reason: str
) -> None:
    fault.verb, fault.resource, fault.times = "create", "resourceslices", 2
    server.fault(fault)
    assert client.get(SLICES).status == 200, "another verb"
    for _ in range(2):
        answer = client.post(SLICES, slice_of())
        assert (answer.status, answer.body["reason"]) == (fault.code, reason)
        assert answer.headers["Retry-After"] == (
            str(fault.retry_after) if fault.retry_after else None
        )
    assert client.post(SLICES, slice_of()).status == 201


def test_a_connection_breaks_before_anything_is_done(server: ApiServer, client: Client) -> None:
    server.fault(Fault(verb="create", times=1, reset=True))
    with pytest.raises(BROKEN):
        client.post(SLICES, slice_of())
    assert server.cluster.slices() == []


def test_an_answer_is_lost_and_the_work_is_done(server: ApiServer, client: Client) -> None:
    server.fault(Fault(verb="create", times=1, lost=True))
    with pytest.raises(BROKEN):
        client.post(SLICES, slice_of())
    assert len(server.cluster.slices()) == 1


def test_it_hangs_until_it_does_not(server: ApiServer, client: Client) -> None:
    fault = server.fault(Fault(verb="list", hang=True))
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(client.get(SLICES).status))
    thread.start()
    server.book.wait(lambda: server.book.count("list") == 1)
    assert client.get("/version").status == 200, "others are served"
    assert answers == []
    server.faults.withdraw(fault)
    thread.join(10)
    assert answers == [200]


def test_it_is_slow(server: ApiServer, client: Client) -> None:
    server.fault(Fault(delay=0.1, times=1))
    begun = time.monotonic()
    assert client.get(SLICES).status == 200
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize(
    ("resetting", "error"),
    [
        pytest.param(False, ConnectionRefusedError, id="refused"),
        pytest.param(True, ConnectionResetError, id="reset"),
    ],
)
def test_it_goes_away_and_comes_back(
    server: ApiServer, client: Client, resetting: bool, error: type[Exception]
) -> None:
    events, port = client.watch(f"{SLICES}?watch=1"), server.port
    server.go_away(resetting=resetting)
    with pytest.raises(BROKEN):
        next(events)
    with pytest.raises(error):
        client.get(SLICES)
    with pytest.raises(OSError, match=str(port)):
        server.ask("GET", "/apis")
    server.cluster.create(slice_of())
    server.come_back()
    assert server.port == port
    assert len(client.get(SLICES).body["items"]) == 1


def test_everything_is_written_down(server: ApiServer, client: Client) -> None:
    begun = time.monotonic()
    name = client.post(SLICES, slice_of()).name
    client.get(f"{SLICES}/{name}")
    client.delete(f"{SLICES}/none")
    found = [(one.verb, one.resource, one.name, one.code) for one in server.book.find()]
    assert found == [
        ("create", "resourceslices", "", 201),
        ("get", "resourceslices", name, 200),
        ("delete", "resourceslices", "none", 404),
    ]
    assert begun <= server.book.find()[0].at <= time.monotonic()
    assert server.book.find()[0].user == "kubernetes-admin"
    server.book.clear()
    assert server.book.count() == 0


def test_it_becomes_another_release(server: ApiServer, client: Client) -> None:
    made = client.post(SLICES, slice_of())
    server.reconfigure(release(33))
    assert client.get(SLICES).status == 404
    beta = client.get(f"/apis/resource.k8s.io/v1beta1/resourceslices/{made.name}").body
    assert "basic" in beta["spec"]["devices"][0]


async def _see(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as response:
        return await response.content.readline()


def test_it_carries_five_hundred_watchers(server: ApiServer) -> None:
    asyncio.run(_five_hundred(server))


async def _five_hundred(server: ApiServer) -> None:
    headers = {"Authorization": f"Bearer {server.admin}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        base = f"{server.url}{SLICES}?watch=1&resourceVersion={server.store.revision}"
        tasks = [
            asyncio.create_task(_see(session, f"{base}&fieldSelector=spec.nodeName%3Dnode{index}"))
            for index in range(500)
        ]
        await asyncio.to_thread(server.book.wait, lambda: server.watches == 500)
        for index in range(500):
            server.cluster.create(slice_of(f"node{index}"))
        lines = await asyncio.gather(*tasks)
        assert all(f'"node{index}"'.encode() in line for index, line in enumerate(lines))


def test_nobody_is_forgotten_who_connects_as_it_goes(server: ApiServer) -> None:
    """What is left open is an error of the test run, once Python collects it."""
    over = threading.Event()

    def connect() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", server.port)).close()

    with ThreadPoolExecutor(4) as clients:
        for _ in range(4):
            clients.submit(connect)
        for _ in range(50):
            server.go_away()
            server.come_back()
        over.set()
    gc.collect()
