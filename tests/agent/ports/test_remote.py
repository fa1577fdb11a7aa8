"""Services as providers, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest

from netdevice_plugin._pb.portprovider.v1alpha1 import portprovider_pb2 as pb
from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.errors import (
    BusyError,
    QuotaError,
    RefusedError,
    UnansweredError,
)
from netdevice_plugin.ports.provider import Call, Owner, Port
from netdevice_plugin.ports.remote import SERVICE, Remote

OWNER = Owner(node="worker-1", pool="networking.k8s.io/fast")
PORT = Port(id="f2b1", mac="fa:16:3e:00:00:01")
WIRE = pb.Port(id="f2b1", mac="FA:16:3E:00:00:01")
HIS = pb.Owner(node="worker-1", pool="networking.k8s.io/fast")

Context = grpc.aio.ServicerContext[bytes, bytes]
Behaviour = Callable[[bytes, Context], Awaitable[bytes]]
_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def service(path: Path, behaviour: Behaviour) -> AsyncIterator[Remote]:
    """Serve all calls alike, in bytes, so that they may be anything."""
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behaviour)
    handlers = dict.fromkeys(("Attach", "Detach", "List"), handler)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield Remote(path, OWNER, limits=dict.fromkeys(Call, 2.0))
    finally:
        await server.stop(None)


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    async def limited() -> _T:
        async with asyncio.timeout(20):
            return await coroutine

    return asyncio.run(limited())


def says(data: bytes) -> Behaviour:
    async def answer(_request: bytes, _context: Context) -> bytes:
        return data

    return answer


def test_the_three_calls_say_whose_ports_they_are_about(short_path: Path) -> None:
    asked: list[bytes] = []
    answers = [
        pb.AttachResponse(port=WIRE),
        pb.ListResponse(
            ports=[WIRE, pb.Port(id="x", mac="02:00:00:00:00:01", leftover=True, request="r")]
        ),
        pb.DetachResponse(),
    ]

    async def answer(request: bytes, _context: Context) -> bytes:
        asked.append(request)
        return answers[len(asked) - 1].SerializeToString()

    async def all_of_them() -> None:
        async with service(short_path / "s", answer) as remote:
            assert await remote.attach({"network": "a"}) == PORT
            left = Port(id="x", mac="02:00:00:00:00:01", leftover=True, request="r")
            assert await remote.list() == (PORT, left)
            await remote.detach("f2b1")

    run(all_of_them())
    assert pb.AttachRequest.FromString(asked[0]) == pb.AttachRequest(
        owner=HIS, parameters={"network": "a"}
    )
    assert pb.ListRequest.FromString(asked[1]) == pb.ListRequest(owner=HIS)
    assert pb.DetachRequest.FromString(asked[2]) == pb.DetachRequest(owner=HIS, id="f2b1")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, QuotaError),
        (grpc.StatusCode.ABORTED, BusyError),
        (grpc.StatusCode.PERMISSION_DENIED, RefusedError),
        (grpc.StatusCode.INTERNAL, PortError),
        (grpc.StatusCode.UNAVAILABLE, UnansweredError),
        (grpc.StatusCode.UNKNOWN, UnansweredError),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_status_is_a_kind_of_error(
    short_path: Path, code: grpc.StatusCode, kind: type[PortError]
) -> None:
    async def refuse(_request: bytes, context: Context) -> bytes:
        await context.abort(code, "not\ntoday")
        return b""

    async def ask() -> None:
        async with service(short_path / "s", refuse) as remote:
            await remote.attach({})

    with pytest.raises(PortError, match="not today") as caught:
        run(ask())
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"", pb.AttachResponse(port=pb.Port(id="a", mac="b")).SerializeToString()],
    ids=["no message", "no port", "no mac"],
)
def test_an_answer_that_makes_no_sense_is_none(short_path: Path, data: bytes) -> None:
    async def ask() -> None:
        async with service(short_path / "s", says(data)) as remote:
            await remote.attach({})

    with pytest.raises(UnansweredError):
        run(ask())


def test_no_answer_in_time_is_none(short_path: Path) -> None:
    async def wait(_request: bytes, _context: Context) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def ask() -> None:
        async with service(short_path / "s", wait):
            await Remote(short_path / "s", OWNER, limits=dict.fromkeys(Call, 0.2)).list()

    with pytest.raises(UnansweredError, match=r"no answer to list within 0\.2 s"):
        run(ask())


def test_a_provider_that_dies_in_the_middle_may_have_done_it(short_path: Path) -> None:
    async def ask() -> None:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS: it is a server of HTTP/2
            await writer.drain()
            await _reader.read(200)
            writer.close()

        async with await asyncio.start_unix_server(hang_up, short_path / "s"):
            await Remote(short_path / "s", OWNER, limits=dict.fromkeys(Call, 2.0)).attach({})

    with pytest.raises(UnansweredError):
        run(ask())


def test_nobody_there_is_for_later(short_path: Path) -> None:
    with pytest.raises(BusyError, match="nobody answers there"):
        run(Remote(short_path / "none", OWNER, limits=dict.fromkeys(Call, 5.0)).list())


def test_a_path_that_no_socket_can_have_is_refused(short_path: Path) -> None:
    with pytest.raises(RefusedError, match="too long"):
        run(Remote(short_path / ("x" * 200), OWNER).list())
