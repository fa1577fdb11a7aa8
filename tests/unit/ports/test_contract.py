"""What is said to a program, and what may come back: anything at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import contract
from netdevice_plugin.ports.contract import Request
from netdevice_plugin.ports.errors import (
    KINDS,
    QuotaError,
    RefusedError,
    UnansweredError,
    kind_of,
    plain,
)
from netdevice_plugin.ports.provider import Call, Owner, Port

OWNER = Owner(node="worker-1", pool="a.b/fast")
PORT = Port(id="f2b1", mac="fa:16:3e:00:00:01")
LEFT = Port(id="c3d4", mac="fa:16:3e:00:00:02", leftover=True, request="uid/fast-0")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            Request(call=Call.ATTACH, owner=OWNER, timeout=120.0, parameters={"network": "a"}),
            b'{"version": 1, "call": "attach", "node": "worker-1", "pool": "a.b/fast",'
            b' "timeout": 120.0, "parameters": {"network": "a"}}\n',
        ),
        (
            Request(call=Call.DETACH, owner=OWNER, timeout=90.0, port="f2b1"),
            b'{"version": 1, "call": "detach", "node": "worker-1", "pool": "a.b/fast",'
            b' "timeout": 90.0, "port": "f2b1"}\n',
        ),
        (
            Request(call=Call.LIST, owner=OWNER, timeout=30.0),
            b'{"version": 1, "call": "list", "node": "worker-1", "pool": "a.b/fast",'
            b' "timeout": 30.0}\n',
        ),
    ],
    ids=["attach", "detach", "list"],
)
def test_a_request_is_written_and_read_as_documented(request_: Request, said: bytes) -> None:
    assert contract.write_request(request_) == said
    assert contract.read_request(said) == request_


def test_answers_are_written_and_read_as_documented() -> None:
    assert contract.write_port(PORT) == b'{"port": {"id": "f2b1", "mac": "fa:16:3e:00:00:01"}}\n'
    assert contract.read_port(contract.write_port(PORT), "x") == PORT
    assert contract.read_ports(contract.write_ports([PORT, LEFT]), "x") == (PORT, LEFT)
    assert contract.write_done() == b"{}\n"
    contract.read_done(b"{}", "x")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_of_the_same_kind_on_the_other_side(kind: str) -> None:
    data = contract.write_error(KINDS[kind]("no\nway", hint="do this"))
    assert contract.is_error(data)
    with pytest.raises(PortError) as caught:
        contract.read_done(data, "/bin/provide")
    assert kind_of(caught.value) == kind
    assert str(caught.value) == "/bin/provide: no way"
    assert caught.value.hint == "do this"


def test_what_is_unanswered_is_no_word_of_a_providers() -> None:
    data = contract.write_error(UnansweredError("hm"))
    assert json.loads(data)["error"]["kind"] == "failed"


def test_an_error_without_a_remedy_has_ours() -> None:
    with pytest.raises(QuotaError) as caught:
        contract.read_done(b'{"error": {"kind": "quota", "message": ""}}', "x")
    assert str(caught.value) == "x: quota"
    assert caught.value.hint == "raise the quota, or lower the pool's spare and max"


NONSENSE = {
    "nothing": (b"", "no JSON"),
    "cut": (b'{"ports": [', "no JSON"),
    "not utf-8": (b"\xff\xfe", "no UTF-8 text"),
    "nul": (b"\0", "no JSON"),
    "deep": (b"[" * 100_000, "nested too deep"),
    "large": (b" " * (contract.MAX_SIZE + 1), "more than 1048576 bytes"),
    "a list": (b"[]", "it must be an object"),
    "no list": (b'{"ports": {}}', "ports must be a list"),
    "nothing said": (b"{}", "ports must be a list"),
    "unknown key": (b'{"ports": [], "more": 1}', "unknown key 'more'"),
    "twice": (b'{"ports": [], "ports": []}', "a key is there twice"),
    "unknown key of a port": (b'{"ports": [{"id": "a", "mac": "m", "x": 1}]}', "unknown key 'x'"),
    "no mac": (b'{"ports": [{"id": "a"}]}', "mac must be text"),
    "bad mac": (b'{"ports": [{"id": "a", "mac": "m"}]}', "mac must be a MAC address"),
    "empty id": (b'{"ports": [{"id": "", "mac": "02:00:00:00:00:01"}]}', "id must be 1 to 255"),
    "nul in an id": (b'{"ports": [{"id": "\\u0000", "mac": "02:00:00:00:00:01"}]}', "printable"),
    "text for a truth": (
        b'{"ports": [{"id": "a", "mac": "02:00:00:00:00:01", "leftover": "no"}]}',
        "leftover must be true or false",
    ),
    "the same mac": (
        b'{"ports": [{"id": "a", "mac": "02:00:00:00:00:01"},'
        b' {"id": "b", "mac": "02:00:00:00:00:01"}]}',
        "two ports have the same id or mac",
    ),
    "unknown kind": (b'{"error": {"kind": "odd", "message": "m"}}', "error.kind must be one of"),
    "error and more": (b'{"error": {"kind": "busy", "message": "m"}, "ports": []}', "unknown key"),
    "error of a text": (b'{"error": "no"}', "error must be an object"),
}


@pytest.mark.parametrize(("data", "said"), NONSENSE.values(), ids=list(NONSENSE))
def test_an_answer_that_makes_no_sense_is_none(data: bytes, said: str) -> None:
    with pytest.raises(UnansweredError, match=said) as caught:
        contract.read_ports(data, "/bin/provide")
    assert str(caught.value).startswith("/bin/provide: its answer makes no sense: ")
    assert "port-provider.md" in caught.value.hint


@given(strategies.binary(max_size=200))
def test_no_bytes_do_more_than_that(data: bytes) -> None:
    for read in (contract.read_ports, contract.read_port, contract.read_done):
        try:
            read(data, "x")
        except PortError:
            continue
    contract.is_error(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version must be 1"),
        ({"call": "destroy"}, "destroy"),
        ({"call": 7}, "call must be text"),
        ({"node": None}, "node must be text"),
        ({"timeout": 0}, "timeout must be seconds"),
        ({"timeout": True}, "timeout must be seconds"),
        ({"timeout": 1e300}, "timeout must be seconds"),
        ({"port": "x"}, "unknown key 'port'"),
        ({"parameters": {"a": 1}}, "a must be text"),
        ({"parameters": []}, "parameters must be an object"),
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, object], said: str) -> None:
    value = {"version": 1, "call": "attach", "node": "n", "pool": "p", "timeout": 5}
    with pytest.raises(RefusedError, match=said):
        contract.read_request(json.dumps(value | change).encode())


def test_what_a_provider_says_is_one_line_and_not_a_long_one() -> None:
    assert plain("a\x1b[31mb\0\nc\u202ed") == "a [31mb cd"
    assert len(plain("x" * 100_000)) == 501
