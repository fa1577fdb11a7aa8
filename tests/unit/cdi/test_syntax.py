"""Files that are not even JSON or YAML, or that mean to hurt whoever reads them."""

from __future__ import annotations

import json
from typing import Literal

import pytest

import cdi
from cdi import syntax
from cdi.syntax import Plain
from tests.unit.cdi import specs

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

BAD: dict[str, tuple[Literal["json", "yaml"], bytes, str]] = {
    "empty JSON": ("json", b"", "line 1, column 1: is not JSON: Expecting value"),
    "JSON cut off": ("json", b'{"kind": "a', "line 1, column 10: is not JSON: Unterminated"),
    "two JSON documents": ("json", b"{}\n{}", "line 2, column 1: is not JSON: Extra data"),
    "JSON with a comment": ("json", b"{} // x", "line 1, column 4: is not JSON"),
    "JSON key twice": ("json", b'{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice in one object"),
    "JSON key twice, deep": ("json", b'[{"a": [{"b": 1, "b": 1}]}]', "has the key 'b' twice"),
    "JSON with NaN": ("json", b'{"a": NaN}', "has a number that cannot be read: NaN"),
    "JSON with a huge number": ("json", b"9" * 5000, "has a number that cannot be read: Exceeds"),
    "JSON without end": ("json", b"[" * 100_000, "is nested too deeply"),
    "JSON objects without end": ("json", b'{"a":' * 100_000, "is nested too deeply"),
    "JSON with NUL bytes": ("json", b"\0" * 100, "line 1, column 1: is not JSON"),
    "JSON in Latin-1": ("json", '{"a": "é"}'.encode("latin-1"), "is not UTF-8 text (byte 7)"),
    "JSON in UTF-16": ("json", "{}".encode("utf-16"), "is not UTF-8 text (byte 0)"),
    "10 MB of JSON": ("json", b" " * 10_000_000, "is larger than 8 MiB"),
    "10 MB of YAML": ("yaml", b" " * 10_000_000, "is larger than 8 MiB"),
    "YAML cut off": ("yaml", b'kind: "a', "is not YAML: found unexpected end of stream"),
    "YAML with a tab": ("yaml", b"a:\n\t- b", "line 2, column 1: is not YAML"),
    "two YAML documents": ("yaml", b"a: 1\n---\nb: 1", "line 2, column 1: has more than one"),
    "YAML key twice": ("yaml", b"a: 1\nb: 1\na: 2", "line 3, column 1: has the key 'a' twice"),
    "YAML key twice, once quoted": ("yaml", b"a: 1\n'a': 2", "line 2, column 1: has the key 'a'"),
    "YAML key that is a number": ("yaml", b"1: x", "line 1, column 1: has a key that is not a"),
    "YAML key that is a boolean": ("yaml", b"a:\n  on: x", "line 2, column 3: has a key that is"),
    "YAML key that is a list": ("yaml", b"? [a]\n: b", "line 1, column 3: has a key that is not"),
    "YAML without end": ("yaml", b"[" * 50_000, "line 1, column 34: is nested more than 32"),
    "YAML lists without end": ("yaml", b"- " * 50_000, "column 67: is nested more than 32"),
    "YAML with NUL bytes": ("yaml", b"a: \0", "is not YAML: "),
    "YAML in Latin-1": ("yaml", "a: é".encode("latin-1"), "is not UTF-8 text (byte 3)"),
    "a billion laughs": ("yaml", BOMB.encode(), "has more than 1048576 values, aliases expanded"),
    "an alias to what holds it": ("yaml", b"a: &x [*x]", "line 1, column 8: has an alias to 'x'"),
    "an alias to nothing": ("yaml", b"a: *x", "line 1, column 4: has an alias to 'x'"),
    "a Python object": ("yaml", b"!!python/object:os.x {}", "line 1, column 1: has the tag"),
    "a binary": ("yaml", b"a: !!binary eA==", "line 1, column 4: has the tag"),
    "a set": ("yaml", b"a: !!set {b}", "line 1, column 4: has the tag"),
    "an integer by tag": ("yaml", b'a: !!int "5"', "line 1, column 4: has the tag"),
    "a huge number in YAML": ("yaml", b"a: " + b"9" * 5000, "is not YAML: Exceeds the limit"),
}


@pytest.mark.parametrize(("format", "data", "message"), BAD.values(), ids=BAD.keys())
def test_bytes_that_cannot_be_read_are_one_problem_with_its_place(
    format: Literal["json", "yaml"], data: bytes, message: str
) -> None:
    with pytest.raises(cdi.SpecError) as caught:
        cdi.loads(data, source="x", format=format)
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)
    assert str(caught.value).startswith("x: ")
    assert str(caught.value).isprintable()


def test_an_empty_yaml_file_is_a_spec_that_is_null() -> None:
    with pytest.raises(cdi.SpecError, match="must be an object, not null"):
        cdi.loads(b"# nothing\n", format="yaml")


def test_a_key_twice_among_hundred_thousands_is_found_without_comparing_them_all() -> None:
    keys = [f'"{number}": 0' for number in range(300_000)]
    data = "{" + ", ".join([*keys, keys[-1]]) + "}"
    with pytest.raises(cdi.SpecError, match="'299999' twice"):
        syntax.parse(data, source="x", format="json")


WORDS: dict[str, Plain] = {
    "": None,
    "~": None,
    "NULL": None,
    "y": True,
    "Yes": True,
    "on": True,
    "TRUE": True,
    "n": False,
    "off": False,
    "0": 0,
    "-12": -12,
    "+1_000": 1000,
    "0660": 0o660,
    "0o660": 0o660,
    "0x1F": 31,
    "0b11": 3,
    "1.5": 1.5,
    "1e3": 1000.0,
    "-.INF": float("-inf"),
    "0.5.0": "0.5.0",
    "2001-01-01": "2001-01-01",
    "12:30": "12:30",
    "0000:03:00.1": "0000:03:00.1",
    "089": 89.0,
    "<<": "<<",
    "=": "=",
    "0x": "0x",
    "0b_": "0b_",
    "tRue": "tRue",
    '"yes"': "yes",
    "'1'": "1",
    "!!str 1": "1",
    "! 'x'": "x",
    "|\n  1\n": "1\n",
}


@pytest.mark.parametrize(("text", "value"), WORDS.items(), ids=map(repr, WORDS))
def test_a_plain_word_means_what_it_means_to_the_runtimes(text: str, value: Plain) -> None:
    found = syntax.parse(f"a: {text}", source="x", format="yaml")
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_aliases_within_bounds_are_followed() -> None:
    text = "a: &x {b: [1, 2]}\nc: *x\nd: [*x, *x]\n"
    inner = {"b": [1, 2]}
    expected = {"a": inner, "c": inner, "d": [inner, inner]}
    assert syntax.parse(text, source="x", format="yaml") == expected


@pytest.mark.parametrize("format", specs.FORMATS)
def test_a_byte_order_mark_is_passed_over(format: Literal["json", "yaml"]) -> None:
    data = b"\xef\xbb\xbf" + cdi.dumps(specs.EVERYTHING, format)
    assert cdi.loads(data, format=format) == specs.EVERYTHING
    assert syntax.sniff(data) == format


@pytest.mark.parametrize(
    "value",
    [
        *({"a": []}, {"a": {}}, [], {}, [[]], [[1, [2, {}]], {"x": [{"y": None}]}], None, "x"),
        {"yes": "no", "null": 1, "e3": True, "3e": -1, "a b": "c", "": "", "é": "é", "y": "~"},
        ["\x7f\x80\xa0\u2028\ufeff\ufffe\U0010ffff", "\n", " ", "- a", "# b", "a: b", "\\", '"'],
    ],
)
@pytest.mark.parametrize("format", specs.FORMATS)
def test_every_plain_value_reads_back_as_it_was(
    value: Plain, format: Literal["json", "yaml"]
) -> None:
    data = syntax.dump(value, format)
    assert data.isascii()
    assert data.endswith(b"\n")
    assert syntax.parse(data, source="x", format=format) == value


def test_json_is_yaml_as_well_so_that_either_reader_takes_it() -> None:
    data = cdi.dumps(specs.hook_spec(), "json")
    assert cdi.loads(data, format="yaml") == specs.hook_spec()
    assert syntax.parse(data, source="x", format="yaml") == json.loads(data)
