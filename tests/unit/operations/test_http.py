"""What is answered to which request; sockets are in tests/agent/test_http.py."""

from __future__ import annotations

import http

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import ConfigError
from netdevice_plugin.operations.health import Verdict
from netdevice_plugin.operations.http import (
    Listen,
    Response,
    answer,
    metrics_page,
    parse_listen,
    verdict_page,
)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:9479", Listen("127.0.0.1", 9479)),
        ("[::1]:9479", Listen("::1", 9479)),
        ("[fe80::1%eth0]:1", Listen("fe80::1%eth0", 1)),
        (":9479", Listen("", 9479)),
        ("192.0.2.1:0", Listen("192.0.2.1", 0)),
        ("none", None),
    ],
)
def test_an_address_is_understood(text: str, listen: Listen | None) -> None:
    assert parse_listen(text) == listen
    assert listen is None or str(listen) == text


def test_ipv4_may_stand_in_brackets_as_ipv6_must() -> None:
    assert parse_listen("[192.0.2.1]:9479") == Listen("192.0.2.1", 9479)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "9479", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1"),
        *("::1:9479", "[::1]", "[::1:9479", "[]:9479", "[localhost]:9479", "localhost:9479"),
        *("127.0.0.1:9479x", "127.0.0.1:\N{ARABIC-INDIC DIGIT ONE}", "127.0.0.1:123456"),
        *("999.0.0.1:1", "None", "none:1", " :9479", ":9479\n", "x" * 100_000),
    ],
)
def test_an_address_that_is_wrong_is_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_listen(text)
    assert "[::1]:9479 or :9479; or none" in caught.value.hint
    assert len(str(caught.value)) < 200


PAGES = {"/metrics": lambda: Response(b"all of it\n")}


def status(raw: bytes) -> int:
    return int(raw.split(b" ")[1])


def test_a_page_is_answered_in_full() -> None:
    head, _, body = answer(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", PAGES).partition(
        b"\r\n\r\n"
    )
    assert body == b"all of it\n"
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert "Content-Length: 10" in lines
    assert "Content-Type: text/plain; charset=utf-8" in lines
    assert "Connection: close" in lines


def test_head_is_answered_like_get_without_the_body() -> None:
    got = answer(b"GET /metrics HTTP/1.0\r\n\r\n", PAGES)
    assert answer(b"HEAD /metrics HTTP/1.0\r\n\r\n", PAGES) + b"all of it\n" == got


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"GET /metrics?name=x HTTP/1.1", 200),
        (b"GET / HTTP/1.1", 404),
        (b"GET /metrics/ HTTP/1.1", 404),
        (b"GET /../metrics HTTP/1.1", 404),
        (b"GET http://x/metrics HTTP/1.1", 404),
        (b"POST /nothing HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"get /metrics HTTP/1.1", 405),
        (b"DELETE /metrics HTTP/1.1", 405),
        (b"GET /metrics", 400),
        (b"GET /metrics HTTP/2.0", 400),
        (b"GET  /metrics HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"", 400),
    ],
)
def test_only_what_is_there_is_answered(line: bytes, code: int) -> None:
    raw = answer(line + b"\r\n\r\n", PAGES)
    assert status(raw) == code
    assert (b"\r\nAllow: GET, HEAD\r\n" in raw) == (code == 405)


@given(st.binary(max_size=100))
def test_any_bytes_get_an_answer(line: bytes) -> None:
    raw = answer(line + b"\r\n\r\n", PAGES)
    assert status(raw) in {200, 400, 404, 405}
    assert b"\r\n\r\n" in raw


def test_a_page_that_fails_is_logged_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def page() -> Response:
        raise RuntimeError("secret")

    raw = answer(b"GET /x HTTP/1.1\r\n\r\n", {"/x": page})
    assert status(raw) == 500
    assert b"secret" not in raw
    assert "secret" in caplog.text


@pytest.mark.parametrize(("ok", "code", "last"), [(True, 200, "ok"), (False, 503, "not ok")])
def test_a_probe_gets_the_lines_and_the_verdict(ok: bool, code: int, last: str) -> None:
    response = verdict_page(lambda: Verdict(ok, ("[+]a: ok", "[-]b: not yet \udc80")))()
    assert response.status == http.HTTPStatus(code)
    assert response.body.decode() == f"[+]a: ok\n[-]b: not yet \\udc80\n{last}\n"


def test_metrics_say_which_format_they_have() -> None:
    response = metrics_page(lambda: b"up 1\n")()
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
