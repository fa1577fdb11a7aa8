"""The HTTP client against servers that do what none should: every call ends, and says why."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netdevice_plugin.dra.cluster.access import Access, Material
from netdevice_plugin.dra.cluster.errors import UnreachableError
from netdevice_plugin.dra.cluster.http import Client, Limits
from netdevice_plugin.errors import ClusterError
from tests.agent.dra.scriptedserver import Request, Script, ScriptedServer, reply, serving
from tests.agent.scripted import asynchronous

SHORT = Limits(connect=0.3, call=0.3, body=100_000, line=100_000)


def raw(data: bytes, *, close: bool = False) -> Script:
    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            writer.close()

    return script


def plain(server: ScriptedServer, limits: Limits = SHORT, token: Material | None = None) -> Client:
    access = Access(host="127.0.0.1", port=server.port, tls=False, token=token or Material())
    return Client(access, agent="test/1", limits=limits)


async def failure_of(script: Script) -> str:
    async with serving(script) as server:
        client = plain(server)
        with pytest.raises(UnreachableError) as caught:
            await client.call("GET", "/x")
        await client.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


HEAD = b"HTTP/1.1 200 OK\r\n"
NONSENSE = {
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not talk as an API server"),
    "NUL bytes": (b"\0" * 1000 + b"\r\n\r\n", "does not talk as an API server"),
    "an endless head": (HEAD + b"X: y\r\n" * 100_000, "does not talk as an API server"),
    "a header of a megabyte": (HEAD + b"X: " + b"y" * 1_000_000, "does not talk as an API server"),
    "two lengths": (
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "does not talk as an API server",
    ),
    "a bad chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "does not talk"),
    "a switch of protocols": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", ""),
    "a body that is too long": (
        HEAD + b"Content-Length: 10000000\r\n\r\n" + b"x" * 200_000,
        "an answer of more than 100000 bytes",
    ),
    "chunks without end": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 0x1000 + b"\r\n",
        "no answer within 0.3 s",
    ),
    "silence": (b"", "no answer within 0.3 s"),
    "half an answer": (HEAD + b"Content-Length: 10\r\n\r\nabc", "no answer within 0.3 s"),
}


@pytest.mark.parametrize(("data", "said"), NONSENSE.values(), ids=NONSENSE)
@asynchronous
async def test_nonsense_is_an_error_in_time(data: bytes, said: str) -> None:
    assert said in await failure_of(raw(data))


@pytest.mark.parametrize(
    "data",
    [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\nabc", b"HTTP/1.1"],
    ids=["at once", "in the head", "in the body", "in the first line"],
)
@asynchronous
async def test_a_connection_that_ends_too_soon_is_an_error(data: bytes) -> None:
    assert "connection" in await failure_of(raw(data, close=True))


@asynchronous
async def test_a_byte_now_and_then_does_not_hold_a_call() -> None:
    async def trickle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n")
        for byte in b"x" * 50:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    assert "no answer within 0.3 s" in await failure_of(trickle)


@asynchronous
async def test_http_1_0_is_understood() -> None:
    async with serving(raw(b"HTTP/1.0 200 OK\r\n\r\nall of it", close=True)) as server:
        client = plain(server)
        assert (await client.call("GET", "/")).body == b"all of it"
        assert (await client.call("GET", "/")).body == b"all of it"
        assert server.connections == 2
        await client.close()


@asynchronous
async def test_a_redirect_is_not_followed() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with serving(raw(answer)) as server:
        client = plain(server)
        assert (await client.call("GET", "/")).status == 302
        assert len(server.requests) == 1
        await client.close()


@asynchronous
async def test_what_precedes_an_answer_is_passed_over() -> None:
    async with serving(
        raw(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok")
    ) as server:
        client = plain(server)
        assert (await client.call("GET", "/")).body == b"ok"
        await client.close()


@asynchronous
async def test_nobody_there_is_an_error() -> None:
    client = Client(Access(host="127.0.0.1", port=1, tls=False), agent="test/1", limits=SHORT)
    with pytest.raises(UnreachableError, match=r"cannot reach http://127\.0\.0\.1:1: "):
        await client.call("GET", "/")


@pytest.mark.parametrize("host", ["a..b", "x" * 300, ".x", "no-such-host.invalid"])
@asynchronous
async def test_a_name_of_nobody_is_an_error(host: str) -> None:
    client = Client(Access(host=host, port=1), agent="test/1", limits=Limits())
    with pytest.raises(UnreachableError):
        await client.call("GET", "/")


async def ok(_: Request, writer: asyncio.StreamWriter) -> None:
    reply(writer, 200, b"{}")


@asynchronous
async def test_a_connection_is_used_again() -> None:
    async with serving(ok) as server:
        client = plain(server)
        for _ in range(5):
            await client.call("GET", "/")
        assert server.connections == 1
        await client.close()


@asynchronous
async def test_so_many_calls_are_under_way_at_most() -> None:
    under_way: list[int] = []
    now = 0

    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal now
        now += 1
        under_way.append(now)
        await asyncio.sleep(0.01)
        now -= 1
        await ok(request, writer)

    async with serving(slow) as server:
        client = plain(server, Limits(connections=3))
        answers = await asyncio.gather(*(client.call("GET", "/") for _ in range(9)))
        assert [one.status for one in answers] == [200] * 9
        assert max(under_way) == 3
        await client.close()


@pytest.mark.parametrize(("method", "asked"), [("GET", 3), ("POST", 2)])
@asynchronous
async def test_only_a_read_is_asked_again_on_a_connection_that_ended_unheard(
    method: str, asked: int
) -> None:
    async def second_fails(request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            writer.transport.abort()
        else:
            await ok(request, writer)

    async with serving(second_fails) as server:
        client = plain(server)
        await client.call("GET", "/")
        if method == "GET":
            await client.call(method, "/")
        else:
            with pytest.raises(UnreachableError):
                await client.call(method, "/", b"{}")
        assert len(server.requests) == asked
        await client.close()


@asynchronous
async def test_a_token_is_read_again_when_its_file_changed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with serving(ok) as server:
        client = plain(server, token=Material(path=file))
        await client.call("GET", "/")
        (tmp_path / "new").write_text("second\n")
        (tmp_path / "new").rename(file)
        await client.call("GET", "/")
        assert [one.headers["authorization"] for one in server.requests] == [
            "Bearer first",
            "Bearer second",
        ]
        await client.close()


@asynchronous
async def test_a_call_that_is_refused_is_asked_again_with_the_new_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    async def rotated(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers["authorization"] == "Bearer old":
            (tmp_path / "new").write_text("new")
            (tmp_path / "new").rename(file)
            reply(writer, 401, b"{}")
        else:
            reply(writer, 200, request.body)

    async with serving(rotated) as server:
        client = plain(server, token=Material(path=file))
        answer = await client.call("PUT", "/", b"[1]")
        assert (answer.status, answer.body) == (200, b"[1]")
        async with client.stream("/", 1) as stream:
            assert stream.status == 200
        await client.close()


@asynchronous
async def test_a_refusal_of_the_only_token_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")

    async def refuse(_: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, 401, b"{}")

    async with serving(refuse) as server:
        client = plain(server, token=Material(path=tmp_path / "token"))
        assert (await client.call("GET", "/")).status == 401
        assert len(server.requests) == 1
        await client.close()


@pytest.mark.parametrize(
    "content", [b"", b"two words", b"a\nb", b"\xff\xfe", b"x" * 2_000_000], ids=repr
)
@asynchronous
async def test_a_token_that_is_none_is_never_sent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    async with serving(ok) as server:
        client = plain(server, token=Material(path=tmp_path / "token"))
        with pytest.raises(ClusterError, match="token: "):
            await client.call("GET", "/")
        assert server.requests == []


@asynchronous
async def test_a_stream_gives_lines_however_they_come() -> None:
    async def chunks(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for part in (b"on", b"e\ntwo\n\nthr", b"ee\n", b"rest"):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(chunks) as server:
        client = plain(server)
        async with client.stream("/", 5) as stream:
            assert [line async for line in stream.lines()] == [b"one", b"two", b"three"]
        await client.close()


@asynchronous
async def test_a_line_without_end_is_an_error() -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        for part in [b"x" * 10_000] * 100:
            writer.write(part)
            await writer.drain()

    async with serving(endless) as server:
        client = plain(server)
        with pytest.raises(UnreachableError, match="a line of"):
            async with client.stream("/", 5) as stream:
                [line async for line in stream.lines()]
        await client.close()


@asynchronous
async def test_a_silent_stream_ends_with_our_patience() -> None:
    async with serving(raw(HEAD + b"\r\n")) as server:
        client = plain(server)
        async with client.stream("/", 0.1) as stream:
            assert [line async for line in stream.lines()] == []
        await client.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a certificate that signs itself, for an address; the key is in the same file."""
    directory = tmp_path_factory.mktemp("tls")

    def make(name: str, address: str = "127.0.0.1") -> Path:
        path = directory / f"{name}.pem"
        if not path.exists():
            command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            subject = f"-subj /CN={name} -addext subjectAltName=IP:{address}"
            files = ["-keyout", f"{path}.key", "-out", str(path)]
            line = [*command.split(), *subject.split(), *files]
            subprocess.run(line, check=True, capture_output=True)
        return path

    return make


Make = Callable[[str], Path]


def server_context(path: Path, clients: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, f"{path}.key")
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


def encrypted(server: ScriptedServer, **changes: Material | bool | str) -> Client:
    access = Access(host="127.0.0.1", port=server.port, **changes)  # type: ignore[arg-type]
    return Client(access, agent="test/1", limits=Limits(connect=2, call=2))


async def asks(client: Client, call: Callable[[Client], Awaitable[object]] | None = None) -> int:
    try:
        return (await client.call("GET", "/")).status
    finally:
        await client.close()


@asynchronous
async def test_a_private_authority_is_trusted_as_a_file_and_as_text(authority: Make) -> None:
    path = authority("server")
    async with serving(ok, server_context(path)) as server:
        for material in (Material(path=path), Material(text=path.read_text())):
            assert await asks(encrypted(server, authorities=material)) == 200


@asynchronous
async def test_another_authority_is_refused(authority: Make) -> None:
    async with serving(ok, server_context(authority("server"))) as server:
        other = Material(path=authority("other"))
        with pytest.raises(UnreachableError, match="self-signed certificate") as caught:
            await asks(encrypted(server, authorities=other))
        assert "authority" in caught.value.hint
        assert await asks(encrypted(server, insecure=True)) == 200


@asynchronous
async def test_an_authority_that_is_replaced_is_read_again(authority: Make, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(authority("other").read_text())
    async with serving(ok, server_context(authority("server"))) as server:
        client = encrypted(server, authorities=Material(path=file))
        with pytest.raises(UnreachableError):
            await client.call("GET", "/")
        (tmp_path / "new").write_text(authority("server").read_text())
        (tmp_path / "new").rename(file)
        assert await asks(client) == 200


@asynchronous
async def test_a_client_certificate_is_shown(authority: Make) -> None:
    ours = authority("client")
    key = Path(f"{ours}.key")
    async with serving(ok, server_context(authority("server"), clients=ours)) as server:
        trusted = Material(path=authority("server"))
        for certificate, secret in (
            (Material(path=ours), Material(path=key)),
            (Material(text=ours.read_text()), Material(text=key.read_text())),
        ):
            client = encrypted(server, authorities=trusted, certificate=certificate, key=secret)
            assert await asks(client) == 200
        with pytest.raises(UnreachableError):
            await asks(encrypted(server, authorities=trusted))


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nx\n"])
@asynchronous
async def test_an_authority_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "ca.crt").write_text(text)
    access = Access(host="127.0.0.1", port=1, authorities=Material(path=tmp_path / "ca.crt"))
    with pytest.raises(ClusterError, match="certificate authority"):
        await Client(access, agent="test/1").call("GET", "/")


@asynchronous
async def test_a_server_without_tls_is_an_error(authority: Make) -> None:
    async with serving(ok) as server:
        with pytest.raises(ClusterError):
            await asks(encrypted(server, authorities=Material(path=authority("server"))))
