"""What is said to a program that provides ports, and what it answers: JSON, read strictly. Pure.

One object each way. Both ends use this, as our own provider for OpenStack is such a program.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from netdevice_plugin import fields
from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.errors import (
    KINDS,
    QuotaError,
    RefusedError,
    UnansweredError,
    kind_of,
    plain,
)
from netdevice_plugin.ports.provider import LIMITS, Call, Owner, Port

VERSION = 1
MAX_SIZE = 2**20  # bytes of a request, or an answer
MAX_ID = 255  # characters
MAX_TIMEOUT = 3600  # seconds

_T = TypeVar("_T")
_Object = Mapping[str, object]

_HINT = "what a provider has to answer is in docs/reference/port-provider.md"
_REMEDIES: dict[type[PortError], str] = {
    QuotaError: "raise the quota, or lower the pool's spare and max",
    RefusedError: "check the provider's settings in the configuration, and its rights",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of a provider's."""

    call: Call
    owner: Owner
    timeout: float  # seconds until whoever asks gives up
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of an attach
    request: str = ""  # of an attach: what it is for
    port: str = ""  # of a detach


def write_request(request: Request) -> bytes:
    """Write a call down."""
    value: dict[str, object] = {
        "version": VERSION,
        "call": request.call.value,
        "node": request.owner.node,
        "pool": request.owner.pool,
        "timeout": request.timeout,
    }
    if request.call is Call.ATTACH:
        value["parameters"] = dict(request.parameters)
        if request.request:
            value["request"] = request.request
    if request.call is Call.DETACH:
        value["port"] = request.port
    return _dump(value)


def read_request(data: bytes) -> Request:
    """Read a call; raises RefusedError, as a provider would answer."""
    try:
        value = _load(data)
        call = Call(_text(value, "call"))
        own = {
            Call.ATTACH: {"parameters", "request"},
            Call.DETACH: {"port"},
            Call.LIST: set[str](),
        }[call]
        _only(value, {"version", "call", "node", "pool", "timeout"} | own)
        return Request(
            call=_version(value, call),
            owner=Owner(node=_text(value, "node"), pool=_text(value, "pool")),
            timeout=_seconds(value.get("timeout", LIMITS[call])),
            parameters=_texts(value.get("parameters", {})),
            request=_request(value),
            port=_id(value, "port") if call is Call.DETACH else "",
        )
    except ValueError as error:
        raise RefusedError(f"the request makes no sense: {error}", hint=_HINT) from None


def write_port(port: Port) -> bytes:
    """Write the answer to attach."""
    return _dump({"port": _plain_port(port)})


def write_ports(ports: Iterable[Port]) -> bytes:
    """Write the answer to list."""
    return _dump({"ports": [_plain_port(port) for port in ports]})


def write_done() -> bytes:
    """Write the answer to detach."""
    return _dump({})


def write_error(error: PortError) -> bytes:
    """Write the answer to whatever failed."""
    said = {"kind": kind_of(error), "message": str(error)}
    if said["kind"] not in KINDS:
        said["kind"] = "failed"
    if error.hint:
        said["remedy"] = error.hint
    return _dump({"error": said})


def read_port(data: bytes, source: str) -> Port:
    """Read what attach was answered; `source` is what messages call the provider.

    Raises the error that the answer is, or UnansweredError for one that makes no sense.
    """
    return _answer(data, source, "port", port)


def read_ports(data: bytes, source: str) -> tuple[Port, ...]:
    """Read what list was answered; raises as `read_port` does."""
    return _answer(data, source, "ports", ports)


def read_done(data: bytes, source: str) -> None:
    """Read what detach was answered; raises as `read_port` does."""
    _answer(data, source, "", lambda _: None)


def is_error(data: bytes) -> bool:
    """Whether that is an answer that says what went wrong."""
    try:
        return "error" in _load(data)
    except ValueError:
        return False


def made(kind: str, message: str, source: str, remedy: str = "") -> PortError:
    """Make the error that a provider has told of; raises ValueError for no kind that there is."""
    if kind not in KINDS:
        raise ValueError(f"error.kind must be one of {', '.join(KINDS)}")
    error = KINDS[kind]
    hint = plain(remedy) or _REMEDIES.get(error, "see the provider's own log")
    return error(f"{source}: {plain(message) or kind}", hint=hint)


def port(value: object) -> Port:
    """Read a port; raises ValueError."""
    found = _object(value, "port")
    _only(found, {"id", "mac", "leftover", "request"})
    try:
        mac = fields.mac(_text(found, "mac"))
    except ValueError as error:
        raise ValueError(f"mac {error}") from None
    leftover = found.get("leftover", False)
    if isinstance(leftover, bool):
        return Port(id=_id(found, "id"), mac=mac, leftover=leftover, request=_request(found))
    raise ValueError("leftover must be true or false")


def ports(value: object) -> tuple[Port, ...]:
    """Read a list of ports, no two of which are the same; raises ValueError."""
    found = tuple(port(one) for one in _list(value))
    for what in ({one.id for one in found}, {one.mac for one in found}):
        if len(what) != len(found):
            raise ValueError("two ports have the same id or mac")
    return found


def _plain_port(port: Port) -> dict[str, object]:
    value: dict[str, object] = {"id": port.id, "mac": port.mac}
    if port.leftover:
        value["leftover"] = True
    if port.request:
        value["request"] = port.request
    return value


def _answer(data: bytes, source: str, key: str, read: Callable[[object], _T]) -> _T:
    try:
        value = _load(data)
        if "error" in value:
            _only(value, {"error"})
            error = _error(_object(value["error"], "error"), source)
        else:
            _only(value, {key} - {""})
            return read(value.get(key))
    except ValueError as problem:
        what = f"{source}: its answer makes no sense: {problem}"
        raise UnansweredError(what, hint=_HINT) from None
    raise error


def _error(value: _Object, source: str) -> PortError:
    _only(value, {"kind", "message", "remedy"})
    remedy = _text(value, "remedy") if "remedy" in value else ""
    return made(_text(value, "kind"), _text(value, "message"), source, remedy)


def _dump(value: _Object) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode() + b"\n"


def _load(data: bytes) -> _Object:
    if len(data) > MAX_SIZE:
        raise ValueError(f"more than {MAX_SIZE} bytes")
    try:
        return _object(json.loads(data.decode(), object_pairs_hook=_unique), "it")
    except UnicodeDecodeError:
        raise ValueError("no UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON, at character {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _object(value: object, what: str) -> _Object:
    if isinstance(value, dict):
        return value
    raise ValueError(f"{what} must be an object")


def _list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    raise ValueError("ports must be a list")


def _version(value: _Object, call: Call) -> Call:
    """Pass the call on if it is of a version that we know."""
    if value.get("version") == VERSION:
        return call
    raise ValueError(f"version must be {VERSION}")


def _only(value: _Object, known: Iterable[str]) -> None:
    if unknown := sorted(value.keys() - set(known)):
        raise ValueError(f"unknown key {plain(unknown[0])[:40]!r}")


def _text(value: _Object, key: str) -> str:
    found = value.get(key)
    if isinstance(found, str):
        return found
    raise ValueError(f"{key} must be text")


def _id(value: _Object, key: str) -> str:
    found = _text(value, key)
    if not found or len(found) > MAX_ID or not found.isprintable():
        raise ValueError(f"{key} must be 1 to {MAX_ID} printable characters")
    return found


def _request(value: _Object) -> str:
    return _id(value, "request") if value.get("request", "") != "" else ""


def _texts(value: object) -> Mapping[str, str]:
    found = _object(value, "parameters")
    return {key: _text(found, key) for key in found}


def _seconds(value: object) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 < number <= MAX_TIMEOUT:
        raise ValueError(f"timeout must be seconds, up to {MAX_TIMEOUT}")
    return float(number)
