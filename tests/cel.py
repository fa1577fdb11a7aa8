"""CEL as the scheduler and the API server evaluate it, by an implementation that is neither's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import celpy
from celpy.adapter import json_to_cel


def evaluate(expression: str, **variables: Any) -> object:
    """Evaluate an expression; whatever is wrong with it, or is not there, is an error."""
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    return program.evaluate({name: json_to_cel(value) for name, value in variables.items()})


def device(published: Mapping[str, Any], driver: str) -> dict[str, Any]:
    """Make the variable `device` of a selector from a device as slices have it.

    A domain that the device has nothing in is empty there, and not an error.
    """
    attributes: dict[str, dict[str, object]] = {driver: {}, "resource.kubernetes.io": {}}
    for qualified, value in published["attributes"].items():
        domain, _, name = qualified.rpartition("/")
        (attributes[domain or driver][name],) = value.values()
    return {"driver": driver, "attributes": attributes, "capacity": {}}
