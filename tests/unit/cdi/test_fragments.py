"""Files put together from devices that were written before."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import cdi
from cdi import syntax
from cdi.syntax import Plain
from tests.unit.cdi import specs
from tests.unit.cdi.specs import patient

plain_spec = specs.any_spec.map(
    lambda spec: dataclasses.replace(spec, edits=cdi.ContainerEdits(), annotations=(), version="")
)
json_values: st.SearchStrategy[Plain] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def fragments(spec: cdi.Spec) -> list[cdi.Fragment]:
    return [cdi.fragment(spec.kind, device) for device in spec.devices]


@patient
@given(spec=plain_spec)
@example(spec=specs.hook_spec("vendor.com/net", "eth1", "eth2"))
@example(spec=dataclasses.replace(specs.EVERYTHING, edits=cdi.ContainerEdits(), annotations=()))
def test_the_file_of_the_fragments_is_the_file_of_the_spec(spec: cdi.Spec) -> None:
    assert cdi.assemble(fragments(spec)) == cdi.dumps(spec)


@patient
@given(spec=plain_spec)
def test_a_fragment_says_which_version_its_device_needs(spec: cdi.Spec) -> None:
    for device, fragment in zip(spec.devices, fragments(spec), strict=True):
        assert fragment.version == cdi.Spec(kind=spec.kind, devices=(device,)).version
        assert fragment.name == device.name


@patient
@given(value=json_values)
def test_json_is_as_the_standard_library_indents_it(value: Plain) -> None:
    assert syntax.indented_json(value) == json.dumps(value, indent=2)


def test_json_of_500_levels_is_written() -> None:
    value: Plain = 1
    for _ in range(syntax.MAX_DEPTH):
        value = [value]
    assert syntax.parse(syntax.dump(value, "json"), source="x", format="json") == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_in_json_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        syntax.dump([number], "json")


def test_a_device_that_is_wrong_makes_no_fragment() -> None:
    with pytest.raises(cdi.SpecError) as caught:
        cdi.fragment("vendor.com/net", cdi.Device(name="-"), source="x.json")
    assert [(one.source, one.path) for one in caught.value.problems] == [
        ("x.json", "devices[0].name"),
        ("x.json", "devices[0].containerEdits"),
    ]


def test_an_annotation_that_the_spec_could_not_have_makes_no_fragment() -> None:
    device = dataclasses.replace(specs.hook_device("eth1"), annotations=(("a b", "1"),))
    with pytest.raises(cdi.SpecError, match="is not a key as Kubernetes has them"):
        cdi.fragment("vendor.com/net", device)


def test_a_kind_that_crashes_runtimes_makes_no_fragment() -> None:
    with pytest.raises(cdi.SpecError, match="one letter only"):
        cdi.fragment("vendor.com/n", specs.hook_device("eth1"))


@pytest.mark.parametrize(
    ("kinds", "names", "message"),
    [
        pytest.param("", "", "devices: is empty", id="none"),
        pytest.param("aa/bb aa/bb aa/bb", "x y x", "devices: 'x' is there twice", id="twice"),
        pytest.param("aa/bb aa/cc", "x y", "devices: are not all of one kind", id="two kinds"),
    ],
)
def test_fragments_that_make_no_file_are_refused(kinds: str, names: str, message: str) -> None:
    parts = [
        cdi.fragment(kind, specs.hook_device(name))
        for kind, name in zip(kinds.split(), names.split(), strict=True)
    ]
    with pytest.raises(cdi.SpecError, match=f"x.json: {message}"):
        cdi.assemble(parts, source="x.json")
