"""Parameters as tests write them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from netdevice_plugin.dra.claim import Opaque, Result
from netdevice_plugin.dra.parameters import (
    API_VERSION,
    KIND,
    InvalidParametersError,
    Parameters,
    of_request,
)
from netdevice_plugin.model import Device, Interface

PLACE = "p"
RESULT = Result(request="nic", pool="node/pool", device="eth1")


def device(interface: Interface, **more: object) -> Device:
    """A device as a pool offers it."""
    return Device(name="eth1", pool="pool", interface=interface, **more)  # type: ignore[arg-type]


def entry(**fields: object) -> dict[str, object]:
    """One entry's parameters."""
    return {"apiVersion": API_VERSION, "kind": KIND, **fields}


def opaque(
    parameters: Mapping[str, object], *requests: str, place: str = PLACE, from_class: bool = False
) -> Opaque:
    """Parameters as a claim has them."""
    return Opaque(parameters=parameters, place=place, from_class=from_class, requests=requests)


def decoded(**fields: object) -> Parameters:
    """What one entry with these fields asks for."""
    return of_request([opaque(entry(**fields))], RESULT)


def problems(**fields: object) -> list[str]:
    """What is wrong with these fields: one line each."""
    return problems_of([opaque(entry(**fields))])


def problems_of(configs: list[Opaque], result: Result = RESULT) -> list[str]:
    """What is wrong with these entries: one line each."""
    with pytest.raises(InvalidParametersError) as caught:
        of_request(configs, result)
    assert str(caught.value).startswith("; ".join(caught.value.problems[:10]))
    return list(caught.value.problems)
