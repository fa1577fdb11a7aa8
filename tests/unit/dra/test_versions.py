"""The shapes of v1beta2 and v1beta1, there and back. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra import versions

SLICE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "worker-1-x", "labels": {"of": "others"}},
    "spec": {
        "driver": "networking.k8s.io",
        "nodeName": "worker-1",
        "pool": {"name": "worker-1/netdevice", "generation": 1, "resourceSliceCount": 1},
        "devices": [
            {
                "name": "eth1",
                "attributes": {"mtu": {"int": 1500}},
                "taints": [{"key": "a/b", "effect": "NoSchedule"}],
            },
            {"name": "eth2"},
        ],
    },
}
CLAIM = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaim",
    "metadata": {"name": "nic", "namespace": "default", "uid": "1"},
    "spec": {
        "devices": {
            "requests": [
                {"name": "a", "exactly": {"deviceClassName": "netdevice", "count": 2}},
                {"name": "b", "firstAvailable": [{"name": "c", "deviceClassName": "fast"}]},
            ],
            "config": [{"opaque": {"driver": "networking.k8s.io", "parameters": {}}}],
        }
    },
    "status": {
        "allocation": {"devices": {"results": [{"request": "a", "device": "eth1"}]}},
        "devices": [{"device": "eth1", "conditions": []}],
    },
}

words = st.text("abcxyz", min_size=1, max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
things = st.dictionaries(words, values, max_size=3)


def with_name(more: dict[str, Any]) -> dict[str, Any]:
    return {"name": "eth1", **more}


wire_devices = things.map(lambda basic: {"name": "eth1", "basic": basic})
flat = things.map(with_name)
alternatives = things.map(lambda more: {"name": "b", "firstAvailable": [more]})


def test_v1beta1_has_a_device_in_basic() -> None:
    made = versions.to_wire(SLICE, "v1beta1")
    assert made["apiVersion"] == "resource.k8s.io/v1beta1"
    assert made["spec"]["devices"] == [
        {
            "name": "eth1",
            "basic": {
                "attributes": {"mtu": {"int": 1500}},
                "taints": [{"key": "a/b", "effect": "NoSchedule"}],
            },
        },
        {"name": "eth2", "basic": {}},
    ]
    assert made["metadata"] == SLICE["metadata"]


def test_v1beta1_has_a_request_flat() -> None:
    made = versions.to_wire(CLAIM, "v1beta1")
    assert made["spec"]["devices"]["requests"] == [
        {"name": "a", "deviceClassName": "netdevice", "count": 2},
        {"name": "b", "firstAvailable": [{"name": "c", "deviceClassName": "fast"}]},
    ]
    assert made["spec"]["devices"]["config"] == [
        {"opaque": {"driver": "networking.k8s.io", "parameters": {}}}
    ]
    assert made["status"] == CLAIM["status"]


def test_v1beta2_differs_by_its_name() -> None:
    for one in (SLICE, CLAIM):
        expected = {**one, "apiVersion": "resource.k8s.io/v1beta2"}
        assert versions.to_wire(one, "v1beta2") == expected


@pytest.mark.parametrize("version", versions.VERSIONS)
@pytest.mark.parametrize("one", [SLICE, CLAIM], ids=["slice", "claim"])
def test_there_and_back_is_where_it_was(one: dict[str, Any], version: str) -> None:
    before = json.dumps(one)
    assert versions.from_wire(versions.to_wire(one, version), version) == one
    assert json.dumps(one) == before


def test_members_of_a_list_have_no_version_of_their_own() -> None:
    member = {key: value for key, value in SLICE.items() if key not in ("apiVersion", "kind")}
    wire = versions.to_wire(member, "v1beta1")
    assert "apiVersion" not in wire
    assert versions.from_wire(wire, "v1beta1") == member


def test_other_objects_pass() -> None:
    node = {"kind": "Node", "metadata": {"uid": "1"}, "spec": {"podCIDR": "192.0.2.0/24"}}
    assert versions.from_wire(node, "v1beta1") == node


@pytest.mark.parametrize("nothing", [None, []])
def test_a_slice_without_devices_stays_one(nothing: object) -> None:
    one = {"spec": {"devices": nothing}}
    assert versions.from_wire(one, "v1beta1") == one


@given(st.lists(wire_devices, max_size=3), things, things)
def test_nothing_unknown_of_a_slice_is_lost(
    devices: list[dict[str, Any]], top: dict[str, Any], spec: dict[str, Any]
) -> None:
    wire = {**top, "apiVersion": "resource.k8s.io/v1beta1", "spec": {**spec, "devices": devices}}
    assert versions.to_wire(versions.from_wire(wire, "v1beta1"), "v1beta1") == wire


@given(st.lists(flat | alternatives, max_size=3), things, things)
def test_nothing_unknown_of_a_claim_is_lost(
    requests: list[dict[str, Any]], top: dict[str, Any], inner: dict[str, Any]
) -> None:
    devices = {**inner, "requests": requests}
    wire = {**top, "apiVersion": "resource.k8s.io/v1beta1", "spec": {"devices": devices}}
    assert versions.to_wire(versions.from_wire(wire, "v1beta1"), "v1beta1") == wire
