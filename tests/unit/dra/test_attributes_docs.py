"""docs/reference/dra-attributes.md says what the code does, and its selectors select."""

from __future__ import annotations

import re

import pytest
from celpy.evaluation import CELEvalError

from netdevice_plugin.dra import attributes
from tests import cel
from tests.manifests import ROOT
from tests.unit.dra.listed import DRIVER, NIC, VETH, VF, device

PAGE = (ROOT / "docs" / "reference" / "dra-attributes.md").read_text()
_ROW = re.compile(r"^\| `(\S+)` \| (\w+) \| (yes)? ?\| \S", re.MULTILINE)
_EXAMPLE = re.compile(r"^```cel\n// (.+): (.+)\n((?:.|\n)+?)```$", re.MULTILINE)
DEVICES = {
    link.name: cel.device({"attributes": attributes.of(device(link))[0]}, DRIVER)
    for link in (NIC, VF, VETH)
}


def test_the_table_is_that_of_the_code() -> None:
    types = {str: "string", int: "int", bool: "bool"}
    expected = [
        (row.name, types[row.type], "yes" if row.always else "") for row in attributes.TABLE
    ]
    assert _ROW.findall(PAGE) == expected


@pytest.mark.parametrize(
    ("who", "expression"),
    [pytest.param(who, text, id=what) for what, who, text in _EXAMPLE.findall(PAGE)],
)
def test_an_example_selects_what_it_says(who: str, expression: str) -> None:
    selected = [name for name, one in DEVICES.items() if cel.evaluate(expression, device=one)]
    assert selected == ([] if who == "none" else who.split(", "))


def test_no_example_is_overlooked() -> None:
    assert len(_EXAMPLE.findall(PAGE)) == PAGE.count("```cel") > 10


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(CELEvalError):
        cel.evaluate('device.attributes["networking.k8s.io"].speed > 1', device=DEVICES["eth1"])
