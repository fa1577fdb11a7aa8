"""A claim's JSON, from an API server that cannot be trusted to make sense."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra import allocation
from netdevice_plugin.dra.allocation import NotAllocatedError
from netdevice_plugin.dra.claim import Allocation, Result
from netdevice_plugin.errors import ClaimError
from tests.unit.dra.claimed import DRIVER, NODE, POOL, Json, claim, config, ref, result

ONE = ref(1)


def decode(value: object) -> Allocation:
    return allocation.decode(value, ONE, driver=DRIVER, node=NODE)


def test_results_of_ours_on_this_node_are_read_in_their_order() -> None:
    results = [
        result("eth2", "a/fast"),
        result("gpu0", driver="gpu.example.com"),
        result("eth1", "b", adminAccess=True),
        result("eth1", "c", shareID="s"),
        result("eth3", pool=f"worker-2/{POOL}"),
        result("eth4", pool="worker-1"),
    ]
    assert decode(claim(ONE, results)) == Allocation(
        claim=ONE,
        results=(
            Result(request="a/fast", pool=f"{NODE}/{POOL}", device="eth2"),
            Result(request="b", pool=f"{NODE}/{POOL}", device="eth1", admin=True),
            Result(request="c", pool=f"{NODE}/{POOL}", device="eth1", share_id="s"),
        ),
    )


def test_parameters_for_us_and_for_these_results_are_read_with_their_place() -> None:
    configs = [
        config({"mtu": 1}, source="FromClass"),
        {"requests": [], "opaque": {"driver": "gpu.example.com", "parameters": {"x": 1}}},
        config({"mtu": 2}, requests=["other"]),
        config({"mtu": 3}, requests=["a"]),
        config({"mtu": 4}, requests=["a/slow"]),
        config({"mtu": 5}, requests=["look"]),
        {"requests": ["a"]},
    ]
    results = [result("eth1", "a/fast"), result("eth2", "look", adminAccess=True)]
    found = decode(claim(ONE, results, configs)).configs
    assert [(one.parameters["mtu"], one.from_class, one.requests) for one in found] == [
        (1, True, ()),
        (3, False, ("a",)),
    ]
    assert found[1].place == "status.allocation.devices.config[3].opaque.parameters"


def at(path: str, value: object) -> Callable[[Json], object]:
    """Replace what is at a path; a path that ends in a dash takes it away."""

    def change(made: Json) -> None:
        target: Any = made
        *way, last = path.split(".")
        for key in way:
            target = target[int(key) if key.isdigit() else key]
        target[int(last) if last.isdigit() else last] = value

    return change


RESULT = "status.allocation.devices.results.0"
CONFIG = "status.allocation.devices.config.0"
DEEP: Any = {}
for _ in range(5000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (at("metadata", None), "metadata: must be an object"),
        (at("metadata.uid", 7), "metadata.uid: must be a text"),
        (at("metadata.uid", ""), "metadata.uid: must be a text"),
        (at("status", []), "status: must be an object"),
        (at("status.allocation", 1), "status.allocation: must be an object"),
        (at("status.allocation.devices", "x"), "status.allocation.devices: must be an object"),
        (at("status.allocation.devices.results", {}), "results: must be a list of at most 32"),
        (at("status.allocation.devices.results", ""), "results: must be a list of at most 32"),
        (at("status.allocation.devices.results", [{}] * 33), "results: must be a list of at"),
        (at(RESULT, None), "results[0]: must be an object"),
        (at(f"{RESULT}.driver", None), "results[0].driver: must be a text"),
        (at(f"{RESULT}.pool", 1), "results[0].pool: must be a text"),
        (at(f"{RESULT}.device", []), "results[0].device: must be a text"),
        (at(f"{RESULT}.device", "../x"), "results[0].device: '../x' is not a DNS label"),
        (at(f"{RESULT}.device", "e\0"), "results[0].device: 'e\\x00' cannot be"),
        (at(f"{RESULT}.device", "x" * 10_000_000), "results[0].device: 'xxx"),
        (at(f"{RESULT}.request", ""), "results[0].request: must be a text"),
        (at(f"{RESULT}.request", "\ud800"), "results[0].request: '\\ud800' cannot be"),
        (at(f"{RESULT}.adminAccess", "yes"), "results[0].adminAccess: must be true or false"),
        (at(f"{RESULT}.adminAccess", 1), "results[0].adminAccess: must be true or false"),
        (at(f"{RESULT}.shareID", 1), "results[0].shareID: must be a text"),
        (
            at("status.allocation.devices.results.1.device", "eth1"),
            "the device eth1 is given twice",
        ),
        (at("status.allocation.devices.config", 1), "config: must be a list of at most 64"),
        (at("status.allocation.devices.config", [{}] * 65), "config: must be a list of at most"),
        (at(CONFIG, 1), "config[0]: must be an object"),
        (at(f"{CONFIG}.opaque", 1), "config[0].opaque: must be an object"),
        (at(f"{CONFIG}.opaque.parameters", "x"), "config[0].opaque.parameters: must be an object"),
        (at(f"{CONFIG}.requests", "nic"), "config[0].requests: must be a list of at most 32"),
        (at(f"{CONFIG}.requests", [DEEP]), "config[0].requests: must be a list of names"),
        (at(f"{CONFIG}.requests", ["x" * 10_000_000]), "config[0].requests: must be a list of"),
    ],
)
def test_what_cannot_be_names_its_place(change: Callable[[Json], object], place: str) -> None:
    made = claim(ONE, [result("eth1"), result("eth2")], [config({})])
    change(made)
    with pytest.raises(ClaimError) as refused:
        decode(made)
    assert type(refused.value) is ClaimError
    assert str(refused.value).startswith("claim ns/claim-1: ")
    assert place in str(refused.value)
    assert len(str(refused.value)) < 300
    assert refused.value.hint


@pytest.mark.parametrize("value", [None, [], "claim", 7, True])
def test_what_is_no_claim_is_refused(value: object) -> None:
    with pytest.raises(ClaimError, match="the claim: must be an object"):
        decode(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("metadata.uid", "another"), "its uid is 'another', not 00000000"),
        (at("status", None), "is not allocated"),
        (at("status.allocation", None), "is not allocated"),
        (at("status.allocation.devices", None), "has no device of networking.k8s.io"),
        (at("status.allocation.devices.results", []), "has no device of networking.k8s.io"),
    ],
)
def test_a_claim_that_has_nothing_here_is_told_apart(
    change: Callable[[Json], object], message: str
) -> None:
    made = claim(ONE, [result("eth1")])
    change(made)
    with pytest.raises(NotAllocatedError, match=message) as refused:
        decode(made)
    assert refused.value.hint


@pytest.mark.parametrize("uid", ["", ".", "..", "a/b", "-a", "a-", "a" * 64, "ü", "a\n", "a b"])
def test_these_are_no_uids(uid: str) -> None:
    assert not allocation.is_uid(uid)


@given(st.uuids())
def test_a_uuid_is_a_uid(uid: object) -> None:
    assert allocation.is_uid(str(uid))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, st.integers(0, 200))
def test_any_json_anywhere_is_read_or_refused(value: object, where: int) -> None:
    made = claim(ONE, [result("eth1", adminAccess=False)], [config({"mtu": 1})])
    paths = list(places(made))
    path = paths[where % len(paths)]
    target: Any = made
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    try:
        found = decode(made)
    except ClaimError:
        return
    assert found.results[0].device
    again = json.loads(json.dumps(allocation.encode(found, DRIVER)))
    assert len(decode(again).results) == len(found.results)


def places(value: object, way: tuple[Any, ...] = ()) -> Any:
    if way:
        yield way
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*way, key))


def test_what_is_written_is_read_as_the_same() -> None:
    made = claim(
        ONE,
        [result("eth1", "a/b"), result("eth2", "c", adminAccess=True), result("eth3", shareID="s")],
        [config({"mtu": 1400}, source="FromClass"), config({"mac": "x"}, requests=["a"])],
    )
    before = copy.deepcopy(made)
    found = decode(made)
    assert decode(allocation.encode(found, DRIVER)) == found
    assert made == before
