"""CEL, evaluated by an implementation that is not Kubernetes'.

What differs: types are not checked beforehand, there are no costs, and of Kubernetes' own
libraries (quantities, semantic versions, IP addresses) there is none; a version is a string.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from tests.fakes.apiserver.manifest import Manifest


class ExpressionError(Exception):
    """An expression does not parse, or what it says has no value: a missing attribute, say."""


class _Domains(celtypes.MapType):
    """Attributes by domain; a domain that a device has nothing in is empty, and no error."""

    def __getitem__(self, key: Any) -> Any:
        return super().get(key, celtypes.MapType())


def value(expression: str, given: Mapping[str, Any]) -> Any:
    """Evaluate an expression over values that are made with `cel` or `device`.

    Raises:
        ExpressionError: it has no value.
    """
    try:
        return _program(expression)(given)
    except (CELEvalError, CELParseError) as error:
        raise ExpressionError(f"{expression}: {error.args[0]}") from error


def true(expression: str, given: Mapping[str, Any]) -> bool:
    """Evaluate what has to be a truth value."""
    found = value(expression, given)
    if not isinstance(found, celtypes.BoolType):
        raise ExpressionError(f"{expression}: not a bool")
    return bool(found)


def cel(manifest: object) -> Any:
    """Return what JSON says, as CEL has it."""
    return json_to_cel(manifest)  # type: ignore[arg-type]


def made(values: Mapping[str, Any]) -> Any:
    """Return a map of what CEL has made already: the variables of a policy."""
    return celtypes.MapType({cel(name): found for name, found in values.items()})


def problem(expression: str) -> str:
    """Say why an expression does not parse; empty if it does."""
    try:
        _program(expression)
    except CELParseError as error:
        return f"compilation failed: {error.args[0]}"
    return ""


def selects(expression: str, driver: str, published: Manifest) -> bool:
    """Tell whether a selector means a device of a slice; remembered, since CEL is slow here.

    Raises:
        ExpressionError: as `value`.
    """
    return _selects(expression, driver, json.dumps(published))


@functools.lru_cache(maxsize=2**14)
def _selects(expression: str, driver: str, published: str) -> bool:
    return true(expression, device(driver, json.loads(published)))


def device(driver: str, published: Manifest) -> Mapping[str, Any]:
    """Return the variables of a selector, for one device of a slice."""
    attributes: dict[str, dict[str, Any]] = {}
    for qualified, typed in (published.get("attributes") or {}).items():
        domain, _, name = qualified.rpartition("/")
        (attributes.setdefault(domain or driver, {})[name],) = typed.values()
    capacity: dict[str, dict[str, Any]] = {}
    for qualified, amount in (published.get("capacity") or {}).items():
        domain, _, name = qualified.rpartition("/")
        capacity.setdefault(domain or driver, {})[name] = amount["value"]
    said = {
        "driver": cel(driver),
        "attributes": _Domains(cel(attributes)),
        "capacity": _Domains(cel(capacity)),
        "allowMultipleAllocations": cel(bool(published.get("allowMultipleAllocations"))),
    }
    return {"device": made(said)}


@functools.lru_cache(maxsize=256)
def _program(expression: str) -> Callable[[Any], Any]:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression)).evaluate
