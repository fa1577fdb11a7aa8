"""Bodies: what a client sends, held against its schema, and what it is sent."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.apiserver import schema, shapes
from tests.fakes.apiserver.failure import Failure, bad_request
from tests.fakes.apiserver.kinds import Kind
from tests.fakes.apiserver.manifest import Manifest

MOST = 3 * 1024 * 1024  # bytes of a body
STORED = 3 * 512 * 1024  # bytes that etcd takes, of JSON here


def parse(body: bytes) -> tuple[Manifest, list[str]]:
    """Read JSON; returns the names of members that stand in it twice as well."""
    twice: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> Manifest:
        made: Manifest = {}
        for name, value in members:
            if name in made:
                twice.append(name)
            made[name] = value
        return made

    if len(body) > MOST:
        message = f"Request entity too large: limit is {MOST}"
        raise Failure(413, "RequestEntityTooLarge", message)
    if len(body) > STORED:
        raise Failure(500, "", "etcdserver: request is too large")
    try:
        made = json.loads(body, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error
    if not isinstance(made, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return made, twice


def decode(
    kind: Kind, version: str, sent: Manifest, twice: list[str], level: str = "Warn"
) -> tuple[Manifest, list[str]]:
    """Return the v1 object of a manifest, and what to warn of.

    Raises:
        Failure: 400, another kind, a wrong type, or an unknown field with level Strict.
    """
    said, wanted = (
        (sent.get("apiVersion"), sent.get("kind")),
        (kind.api_version(version), kind.kind),
    )
    if said != wanted and any(said):
        raise bad_request(
            f"the object provided is a {said[0]}, Kind={said[1]}, "
            f"expected {wanted[0]}, Kind={wanted[1]}"
        )
    if level not in ("", "Ignore", "Warn", "Strict"):
        raise bad_request(f'invalid fieldValidation "{level}"')
    made, unknown = schema.pruned(kind, version, sent)
    made.update(apiVersion=wanted[0], kind=wanted[1])
    found = [f'unknown field "{path}"' for path in unknown]
    found += [f'duplicate field "{name}"' for name in twice]
    if found and level == "Strict":
        raise bad_request(
            f'{kind.kind} in version "{version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {', '.join(found)}"
        )
    return shapes.to_stored(kind, version, made), [] if level == "Ignore" else found


def encode(kind: Kind, version: str, manifest: Manifest, *, typed: bool = True) -> bytes:
    """Return a v1 object as JSON in a version; those in a list do not say their kind."""
    made = shapes.to_wire(kind, version, manifest)
    if not typed:
        made = {name: made[name] for name in made if name not in ("apiVersion", "kind")}
    return dumps(made)


def dumps(value: Manifest) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
