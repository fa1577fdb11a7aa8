"""docs/reference/claim-parameters.md names every field, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from netdevice_plugin.dra.parameters import Parameters, sysctls
from tests.unit.dra.parameters import decoded, entry
from tests.unit.dra.test_parameters import SCHEMA, VALIDATOR

PAGE = Path(__file__).parents[3].joinpath("docs", "reference", "claim-parameters.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
EXAMPLES = [block for block in BLOCKS if "apiVersion" not in block]
NESTED = {
    **{key: SCHEMA["properties"][key] for key in ("vrf", "vlan", "vf", "ethtool")},
    **{f"{key}s": SCHEMA["$defs"][key] for key in ("route", "rule", "neighbour")},
}


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, str]:
    """What the tables of a text say, by the first column."""
    return dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", text, re.MULTILINE))


def test_every_field_is_documented_and_no_other() -> None:
    assert rows(section("The link")).keys() == SCHEMA["properties"].keys()


@pytest.mark.parametrize("key", NESTED)
def test_every_key_of_a_field_is_documented_and_no_other(key: str) -> None:
    found = rows(section(key))
    assert found.keys() == NESTED[key]["properties"].keys()
    for name in NESTED[key].get("required", ()):
        assert "required" in found[name]


def test_every_setting_is_documented_with_its_values() -> None:
    allowed = {name: f"{low} to {high}" for name, (low, high) in sysctls.ALLOWED.items()}
    assert rows(section("sysctls")) == allowed


@pytest.mark.parametrize("example", EXAMPLES, ids="-".join)
def test_an_example_is_right(example: dict[str, Any]) -> None:
    assert decoded(**example) != Parameters()
    VALIDATOR.validate(entry(**example))


def test_every_field_has_an_example() -> None:
    shown = {key for example in EXAMPLES for key in example}
    assert shown >= SCHEMA["properties"].keys() - {"apiVersion", "kind"}
