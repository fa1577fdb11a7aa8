"""What holds for every Spec, and for every file that anybody may leave in a directory."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
from typing import Any, Literal

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cdi
from cdi import versions, yamlreader
from tests.unit.cdi import specs
from tests.unit.cdi.specs import patient

formats = st.sampled_from(specs.FORMATS)


@patient
@given(spec=specs.any_spec, format=formats)
@example(spec=specs.EVERYTHING, format="json")
@example(spec=specs.EVERYTHING, format="yaml")
def test_what_is_written_reads_back_as_it_was(
    spec: cdi.Spec, format: Literal["json", "yaml"]
) -> None:
    data = cdi.dumps(spec, format)
    assert cdi.loads(data, format=format) == spec
    assert cdi.dumps(spec, format) == data


@patient
@given(spec=specs.any_spec)
def test_the_minimum_version_is_accepted_and_the_one_below_is_not(spec: cdi.Spec) -> None:
    plain = cdi.encode(spec)
    assert plain["cdiVersion"] == cdi.minimum_version(spec)
    assert cdi.decode(plain) == spec
    below = versions.KNOWN[versions.KNOWN.index(spec.version) - 1]
    with pytest.raises(cdi.SpecError, match=f"{below} is lower than {spec.version}") as caught:
        cdi.decode(plain | {"cdiVersion": below})
    assert [problem.path for problem in caught.value.problems] == ["cdiVersion"]


@patient
@given(spec=specs.any_spec, format=formats)
def test_every_higher_version_is_accepted_too(
    spec: cdi.Spec, format: Literal["json", "yaml"]
) -> None:
    for version in versions.KNOWN[versions.KNOWN.index(spec.version) :]:
        plain = cdi.encode(spec) | {"cdiVersion": version}
        assert cdi.decode(plain).version == version


@settings(patient, max_examples=300)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), format=formats)
def test_no_bytes_raise_anything_but_our_error(
    data: bytes, format: Literal["json", "yaml"]
) -> None:
    with contextlib.suppress(cdi.Error):
        cdi.loads(data, format=format)


VALID = {form: cdi.dumps(specs.EVERYTHING, form) for form in specs.FORMATS}
SCRAPS = st.sampled_from(
    (
        *(b"\0", b"\xff", b"&a ", b"*a", b"!!int ", b"<<: ", b"---\n", b"- ", b"? ", b"{", b"["),
        *(b'"', b"null", b"true", b"-1", b"1e999", b"9" * 5000, b"\\ud800", b"\\UFFFFFFFF", b": "),
    )
)


@settings(patient, max_examples=300)
@given(data=st.data(), format=formats)
def test_no_damage_to_a_valid_file_raises_anything_but_our_error(
    data: st.DataObject, format: Literal["json", "yaml"]
) -> None:
    text = VALID[format]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    scrap = data.draw(SCRAPS | st.binary(max_size=4) | st.just(b""))
    with contextlib.suppress(cdi.Error):
        cdi.loads(text[:start] + scrap + text[end:], format=format)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: object) -> list[tuple[str | int, ...]]:
    """Every place in a plain value, from the top."""
    members: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    return [(), *((key, *rest) for key, member in members for rest in places(member))]


@settings(patient, max_examples=300)
@given(place=st.sampled_from(places(cdi.encode(specs.EVERYTHING))), value=PLAIN)
def test_no_value_anywhere_raises_anything_but_our_error(
    place: tuple[str | int, ...], value: object
) -> None:
    whole: Any = {"": json.loads(cdi.dumps(specs.EVERYTHING))}
    *above, last = ("", *place)
    functools.reduce(operator.getitem, above, whole)[last] = value
    with contextlib.suppress(cdi.Error):
        cdi.decode(whole[""])


@patient
@given(data=st.data())
def test_the_parser_without_libyaml_raises_nothing_but_our_error_either(
    data: st.DataObject,
) -> None:
    text = VALID["yaml"].decode()
    start = data.draw(st.integers(0, len(text)))
    scrap = data.draw(SCRAPS).decode(errors="ignore") + data.draw(specs.text)
    with contextlib.suppress(cdi.Error):
        yamlreader.parse(text[:start] + scrap + text[start:], "x", yaml.SafeLoader)
    assert yamlreader.parse(text, "x", yaml.SafeLoader) == yamlreader.parse(text, "x")
