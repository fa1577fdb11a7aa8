"""What a manifest may say at all: the published OpenAPI schemas, as a Go decoder applies them.

An unknown field is dropped and reported, a wrong type is an error, null is absence, and an
empty list is not written back (Go's omitempty), whoever compares what he sent. Nothing
else of the schema is used: a missing field is the zero value to a Go decoder, and it is
validation that asks for it.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

from tests.fakes.apiserver import rules
from tests.fakes.apiserver.failure import bad_request
from tests.fakes.apiserver.kinds import Kind
from tests.fakes.apiserver.manifest import Manifest

RELEASE = "v1.36.0-local"
_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}


class _Mismatch(Exception):  # noqa: N818 - carries where it was
    pass


def pruned(kind: Kind, version: str, manifest: Manifest) -> tuple[Manifest, list[str]]:
    """Return what is left of a manifest, and the paths of unknown fields.

    Raises:
        Failure: 400, a field has a type that it cannot have.
    """
    api = f"io.k8s.api.{kind.group.split('.')[0] or 'core'}.{version}.{kind.kind}"
    unknown: list[str] = []
    try:
        made = _walk({"$ref": f"#/$defs/{api}"}, manifest, "", unknown)
    except _Mismatch as error:
        message = (
            f'{kind.kind} in version "{version}" cannot be handled as a {kind.kind}: '
            f"json: cannot unmarshal {error}"
        )
        raise bad_request(message) from error
    assert isinstance(made, dict)
    return made, unknown


@functools.cache
def _definitions() -> Manifest:
    package = importlib.resources.files("kubernetes_validate")
    path = package / "kubernetes-json-schema" / RELEASE / "_definitions.json"
    definitions = json.loads(path.read_text(encoding="utf-8"))["$defs"]
    assert isinstance(definitions, dict)
    return definitions


def _walk(schema: Manifest, value: Any, where: str, unknown: list[str]) -> Any:
    while "$ref" in schema:
        if schema["$ref"].endswith(".RawExtension"):
            return value  # bytes to the decoder, and for validation to look into
        _check_form(schema["$ref"].rpartition(".")[2], value, where)
        schema = _definitions()[schema["$ref"].rpartition("/")[2]]
    if value is None:
        return None
    _check(schema, value, where)
    if isinstance(value, list) and "items" in schema:
        return [_walk(schema["items"], v, f"{where}[{i}]", unknown) for i, v in enumerate(value)]
    if not isinstance(value, dict):
        return value
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    if not known and not isinstance(rest, dict):
        return value  # FieldsV1
    made = {}
    for name, inner in value.items():
        path = f"{where}.{name}" if where else name
        if name in known or isinstance(rest, dict):
            walked = _walk(known.get(name, rest), inner, path, unknown)
            if walked is not None and walked != []:
                made[name] = walked
        elif inner is not None:
            unknown.append(path)
    return made


def _check_form(name: str, value: Any, where: str) -> None:
    """Refuse a text that its Go type cannot be made of."""
    if not isinstance(value, str):
        return
    if name == "Quantity" and not rules.QUANTITY.fullmatch(value):
        raise _Mismatch(f"string into {where}: quantities must match the regular expression")
    if name in ("Time", "MicroTime") and not rules.is_time(value):
        raise _Mismatch(f"string into {where}: parsing time {json.dumps(value)} as RFC 3339")


def _check(schema: Manifest, value: Any, where: str) -> None:
    declared = schema.get("type", [])
    types = {declared} if isinstance(declared, str) else set(declared)
    types -= {"null"}
    if not types or "oneOf" in schema or any(_is(value, name) for name in types):
        return
    have = {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    raise _Mismatch(f"{have} into Go struct field {where} of type {'/'.join(sorted(types))}")


def _is(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return abs(value) < 2**63 and (name == "number" or isinstance(value, int))
    return isinstance(value, _TYPES[name])
