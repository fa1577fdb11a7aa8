"""What an answer of the API server's means: an object, or which error, and the remedy. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from netdevice_plugin.dra.cluster.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from netdevice_plugin.dra.cluster.transport import Answer

Object = Mapping[str, Any]

_LONGEST_WAIT = 120.0  # seconds; whoever asks for more is asked again all the same
_MAX_MESSAGE = 500

_KINDS: Mapping[int, type[RefusedError]] = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
}


def decode(body: bytes, what: str) -> Object:
    """Read a JSON object; raises UnreachableError for what is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise nonsense(what, "is not JSON") from error
    if not isinstance(found, dict):
        raise nonsense(what, "is not an object")
    return found


def read(answer: Answer, what: str) -> Object:
    """Return the object that came, or raise what came instead of it: a ClusterError.

    `what` is what was tried: "update resourceslices worker-1-abc".
    """
    if answer.status in (200, 201, 202):
        return decode(answer.body, what)
    raise refusal(answer, what)


def refusal(answer: Answer, what: str) -> RefusedError:
    """Make an answer that is none of the good ones into an error."""
    status = _status(answer.body)
    said = _line(status.get("message")) or f"HTTP status {answer.status}"
    return _error(answer.status, said, what, _retry_after(answer, status))


def of_status(status: Object, what: str) -> RefusedError:
    """Make a Status object, as a watch's ERROR event has one, into an error."""
    code = status.get("code")
    said = _line(status.get("message")) or _line(status.get("reason")) or "an error without a word"
    details = status.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else 0
    return _error(code if isinstance(code, int) else 500, said, what, _bounded(seconds))


def names(answer: Answer, name: str) -> bool:
    """Whether a 404 is about that object, and not about the whole resource."""
    details = _status(answer.body).get("details")
    return isinstance(details, dict) and details.get("name") == name


def items(found: Object, what: str) -> list[Object]:
    """Return what a list lists; raises UnreachableError."""
    listed = found.get("items")
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise nonsense(f"{what}: items", "is not a list")
    return [checked(one, what) for one in listed]


def checked(one: object, what: str) -> Object:
    """Return an object that has what every object has; raises UnreachableError."""
    metadata = one.get("metadata") if isinstance(one, dict) else None
    if not isinstance(one, dict) or not isinstance(metadata, dict):
        raise nonsense(what, "has no metadata")
    for key in ("name", "uid", "resourceVersion"):
        if not isinstance(metadata.get(key), str) or not metadata[key]:
            raise nonsense(f"{what}: metadata.{key}", "is missing")
    if not isinstance(one.get("spec") or {}, dict):
        raise nonsense(f"{what}: spec", "is of the wrong type")
    return one


def checked_slice(one: object, what: str) -> Object:
    """Return a ResourceSlice that can be worked with; raises UnreachableError."""
    found = checked(one, what)
    spec = found.get("spec")
    pool = spec.get("pool") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(pool, dict):
        raise nonsense(f"{what}: spec.pool", "is missing")
    for place, value, kind in (
        ("spec.driver", spec.get("driver"), str),
        ("spec.pool.name", pool.get("name"), str),
        ("spec.pool.generation", pool.get("generation", 0), int),
        ("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0), int),
        ("spec.devices", spec.get("devices") or [], list),
    ):
        if not isinstance(value, kind):
            raise nonsense(f"{what}: {place}", "is of the wrong type")
    owners = found["metadata"].get("ownerReferences") or []
    if not isinstance(owners, list) or not all(isinstance(one, dict) for one in owners):
        raise nonsense(f"{what}: metadata.ownerReferences", "is of the wrong type")
    for device in spec.get("devices") or ():
        if not isinstance(device, dict) or not isinstance(device.get("name"), str):
            raise nonsense(f"{what}: spec.devices", "has one without a name")
        if not isinstance(device.get("basic", {}), dict):  # v1beta1
            raise nonsense(f"{what}: spec.devices", "has one that makes no sense")
    return found


def checked_claim(one: object, what: str) -> Object:
    """Return a ResourceClaim of which the outline is right; raises UnreachableError."""
    found = checked(one, what)
    devices = (found.get("spec") or {}).get("devices") or {}
    requests = devices.get("requests") or [] if isinstance(devices, dict) else None
    if not isinstance(requests, list) or not all(isinstance(each, dict) for each in requests):
        raise nonsense(f"{what}: spec.devices.requests", "is of the wrong type")
    status = found.get("status") or {}
    told = status.get("devices") or [] if isinstance(status, dict) else None
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise nonsense(f"{what}: status.devices", "is of the wrong type")
    return found


def _error(code: int, said: str, what: str, retry_after: float) -> RefusedError:
    kind = _KINDS.get(code, RefusedError)
    message = f"the API server refuses to {what}: {said}"
    return kind(message, hint=_hint(code, what), status=code, retry_after=retry_after)


def _hint(code: int, what: str) -> str:
    match code:
        case 401:
            return "the token is refused: does the service account still exist?"
        case 403:
            verb, resource = (*what.split(), "", "")[:2]
            return (
                f"the agent's service account needs the verb {verb} on {resource}: "
                "apply deploy/components/dra; an admission policy may be the reason as well"
            )
        case 429:
            return "the API server is overloaded, or limits this client; it is asked again later"
        case 422 | 400:
            return "if the line names an admission policy, it is that; else please report the line"
    return ""


def _status(body: bytes) -> Object:
    """Read a Status, if it is one: proxies answer in HTML."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _line(text: object) -> str:
    """Make somebody else's text fit into a line of log."""
    if not isinstance(text, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:4096]).split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 1] + "…"


def _retry_after(answer: Answer, status: Object) -> float:
    header = answer.headers.get("retry-after", "")
    if header.isascii() and header.isdigit():
        return _bounded(int(header[:9]))
    details = status.get("details")
    return _bounded(details.get("retryAfterSeconds") if isinstance(details, dict) else 0)


def _bounded(seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return 0.0
    return min(max(float(seconds), 0.0), _LONGEST_WAIT)


def nonsense(what: str, problem: str) -> UnreachableError:
    """Make the error for an answer that no API server gives."""
    return UnreachableError(
        f"the API server's answer makes no sense ({what}: {problem})",
        hint="is it the API server's address? A proxy may stand in between",
    )
