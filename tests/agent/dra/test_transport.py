"""Calls of servers that do what none should: every call ends, and says why."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lightkube.config.models import NameValue, User, UserExec

from netdevice_plugin.dra.cluster.bounds import Limits
from netdevice_plugin.dra.cluster.errors import UnreachableError
from netdevice_plugin.dra.cluster.transport import Client
from netdevice_plugin.errors import ClusterError
from tests.agent.dra.reaching import reaching
from tests.agent.dra.scriptedserver import Request, Script, ScriptedServer, reply, serving
from tests.agent.scripted import asynchronous, eventually

EXEC = "client.authentication.k8s.io/v1beta1"
# Those who answer are given as long as a busy machine takes; those who do not, no longer than it
# takes to see that they are given up.
PATIENT = Limits(body=100_000, line=100_000)
SHORT = Limits(call=0.3, body=100_000, line=100_000)


def raw(data: bytes, *, close: bool = False) -> Script:
    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            writer.close()

    return script


def plain(server: ScriptedServer, limits: Limits = PATIENT, user: User | None = None) -> Client:
    return Client(reaching(server.url, user), agent="test/1", limits=limits)


def holding(token: Path) -> User:
    return User(token_file=str(token))


async def failure_of(script: Script, limits: Limits = PATIENT) -> str:
    async with serving(script) as server:
        client = plain(server, limits)
        with pytest.raises(UnreachableError) as caught:
            await client.call("GET", "/x")
        await client.close()
    assert "\n" not in str(caught.value)
    return f"{caught.value} ({caught.value.hint})"


HEAD = b"HTTP/1.1 200 OK\r\n"
NONSENSE = {
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "API server"),
    "NUL bytes": (b"\0" * 1000 + b"\r\n\r\n", "API server"),
    "an endless head": (HEAD + b"X: y\r\n" * 100_000, "API server"),
    "a header of a megabyte": (HEAD + b"X: " + b"y" * 1_000_000, "API server"),
    "two lengths": (
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "API server",
    ),
    "a bad chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "API server"),
    "a switch of protocols": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", ""),
    "a body that is too long": (
        HEAD + b"Content-Length: 10000000\r\n\r\n" + b"x" * 200_000,
        "does not talk as an API server: an answer of more than 100000 bytes",
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
    limits = SHORT if said.startswith("no answer") or not said else PATIENT
    assert said in await failure_of(raw(data), limits)


@pytest.mark.parametrize(
    "data",
    [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\nabc", b"HTTP/1.1"],
    ids=["at once", "in the head", "in the body", "in the first line"],
)
@asynchronous
async def test_a_connection_that_ends_too_soon_is_an_error(data: bytes) -> None:
    assert "it has just ended" in await failure_of(raw(data, close=True))


@asynchronous
async def test_a_byte_now_and_then_does_not_hold_a_call() -> None:
    async def trickle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n")
        for byte in b"x" * 50:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    assert "no answer within 0.3 s" in await failure_of(trickle, SHORT)


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
    client = Client(reaching("http://127.0.0.1:1"), agent="test/1", limits=PATIENT)
    with pytest.raises(UnreachableError, match=r"cannot reach http://127\.0\.0\.1:1: "):
        await client.call("GET", "/")


@pytest.mark.parametrize(
    "server",
    [
        *("", "x", "ftp://x", "https://x:y", "https://[::1", "https://x\0", "https://\ud800"),
        *("https://a..b", f"https://{'x' * 300}", "https://.x"),
    ],
)
@asynchronous
async def test_an_address_of_nobody_is_an_error(server: str) -> None:
    client = Client(reaching(server), agent="test/1")
    with pytest.raises(ClusterError):
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
async def test_nothing_is_left_open_at_the_end() -> None:
    async def once(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.target == "/":
            await ok(request, writer)

    async with serving(once) as server:
        client = plain(server, Limits(call=2))
        await asyncio.gather(*(client.call("GET", "/") for _ in range(3)))
        with pytest.raises(UnreachableError):
            await client.call("GET", "/silence")
        async with client.stream("/"):
            pass
        assert 0 < server.open <= 2  # kept for the next call
        await client.close()
        await eventually(lambda: not server.open, "closed")


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
        client = plain(server, user=holding(file))
        await client.call("GET", "/")
        (tmp_path / "new").write_text("second\n")
        (tmp_path / "new").rename(file)
        await client.call("GET", "/")
        assert [one.headers["authorization"] for one in server.requests] == [
            "Bearer first",
            "Bearer second",
        ]
        await client.close()


@pytest.mark.parametrize(
    "content", [b"", b"two words", b"a\nb", b"\xff\xfe", b"x" * 2_000_000], ids=repr
)
@asynchronous
async def test_a_token_that_is_none_is_never_sent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    async with serving(ok) as server:
        client = plain(server, user=holding(tmp_path / "token"))
        with pytest.raises(ClusterError, match="token: holds no token"):
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
        async with client.stream("/") as stream:
            assert [line async for line in stream.lines(5)] == [b"one", b"two", b"three"]
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
            async with client.stream("/") as stream:
                [line async for line in stream.lines(5)]
        await client.close()


@asynchronous
async def test_a_silent_stream_ends_with_our_patience() -> None:
    async with serving(raw(HEAD + b"\r\n")) as server:
        client = plain(server)
        async with client.stream("/") as stream:
            assert [line async for line in stream.lines(0.1)] == []
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


def encrypted(server: ScriptedServer, user: User | None = None, **cluster: str | bool) -> Client:
    config = reaching(f"https://127.0.0.1:{server.port}", user, **cluster)
    return Client(config, agent="test/1", limits=Limits(connect=0.5, call=2))


def base64_of(path: Path | str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


async def asks(client: Client) -> int:
    try:
        return (await client.call("GET", "/")).status
    finally:
        await client.close()


@asynchronous
async def test_a_private_authority_is_trusted_as_a_file_and_as_text(authority: Make) -> None:
    path = authority("server")
    async with serving(ok, server_context(path)) as server:
        assert await asks(encrypted(server, certificate_auth=str(path))) == 200
        assert await asks(encrypted(server, certificate_auth_data=base64_of(path))) == 200


@asynchronous
async def test_another_authority_is_refused(authority: Make) -> None:
    async with serving(ok, server_context(authority("server"))) as server:
        with pytest.raises(UnreachableError, match="self-signed certificate") as caught:
            await asks(encrypted(server, certificate_auth=str(authority("other"))))
        assert "authority" in caught.value.hint
        assert await asks(encrypted(server, insecure=True)) == 200


@asynchronous
async def test_an_authority_that_is_replaced_is_read_again(authority: Make, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"

    def replace(name: str) -> None:
        (tmp_path / "new").write_text(authority(name).read_text())
        (tmp_path / "new").rename(file)

    replace("other")
    async with serving(ok, server_context(authority("server"))) as server:
        client = encrypted(server, certificate_auth=str(file))
        with pytest.raises(UnreachableError):
            await client.call("GET", "/")
        replace("server")
        assert (await client.call("GET", "/")).status == 200
        replace("other")
        with pytest.raises(UnreachableError):  # the one of before is not trusted any more
            await asks(client)


@asynchronous
async def test_a_client_certificate_is_shown(authority: Make) -> None:
    ours, trusted = authority("client"), str(authority("server"))
    async with serving(ok, server_context(authority("server"), clients=ours)) as server:
        for user in (
            User(client_cert=str(ours), client_key=f"{ours}.key"),
            User(client_cert_data=base64_of(ours), client_key_data=base64_of(f"{ours}.key")),
        ):
            assert await asks(encrypted(server, user, certificate_auth=trusted)) == 200
        with pytest.raises(UnreachableError):
            await asks(encrypted(server, certificate_auth=trusted))


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nx\n", None])
@asynchronous
async def test_an_authority_that_is_none_is_an_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "ca.crt").write_text(text)
    config = reaching("https://127.0.0.1:1", certificate_auth=str(tmp_path / "ca.crt"))
    with pytest.raises(ClusterError, match=r"certificates for|cannot read") as caught:
        await Client(config, agent="test/1").call("GET", "/")
    assert caught.value.hint


@pytest.mark.parametrize(
    "user",
    [
        User(client_cert="/nowhere"),
        User(client_cert_data="%"),
        User(client_cert_data="AA=="),
        User(client_cert="a", client_key="b"),
        User(token_file="relative"),  # noqa: S106
        User(token_file="\0"),  # noqa: S106
        User(auth_provider={"name": "oidc"}),
        User(token="two\nlines-t0psecret"),  # noqa: S106
        User(exec=UserExec(apiVersion="v7", command="x")),
        User(exec=UserExec(apiVersion=EXEC, command="/nowhere")),
        User(exec=UserExec(apiVersion=EXEC, command="false")),
        User(exec=UserExec(apiVersion=EXEC, command="echo", args=["no JSON"])),
        User(exec=UserExec(apiVersion=EXEC, command="echo", args=["{}"])),
        User(exec=UserExec(apiVersion=EXEC, command="echo", args=["[]"])),
    ],
    ids=repr,
)
@asynchronous
async def test_a_user_that_is_none_is_an_error_without_secrets(user: User) -> None:
    async with serving(ok) as server:
        with pytest.raises(ClusterError) as caught:
            await asks(plain(server, Limits(), user))
        assert server.requests == []
    assert "t0psecr" not in f"{caught.value}{caught.value.hint}"


@asynchronous
async def test_a_program_of_a_kubeconfig_is_asked_for_a_token() -> None:
    made = '{"status": {"token": "\'$WORD\'"}}'
    program = UserExec(
        apiVersion=EXEC,
        command="sh",
        args=["-c", f"echo '{made}'"],
        env=[NameValue(name="WORD", value="made")],
    )
    async with serving(ok) as server:
        assert await asks(plain(server, Limits(), User(exec=program))) == 200
        assert server.requests[0].headers["authorization"] == "Bearer made"


@asynchronous
async def test_a_server_without_tls_is_an_error(authority: Make) -> None:
    async with serving(ok) as server:
        with pytest.raises(ClusterError):
            await asks(encrypted(server, certificate_auth=str(authority("server"))))
