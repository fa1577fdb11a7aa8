"""Which devices are advised: see `prefer`."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.deviceplugin.preference import NOWHERE, Place, place, prefer
from tests.unit.deviceplugin.devices import link, listed

PLACES = {
    "a0": Place(0, "pf0"),
    "a1": Place(0, "pf0"),
    "b0": Place(0, "pf1"),
    "b1": Place(0, "pf1"),
    "b2": Place(0, "pf1"),
    "c0": Place(1, "pf2"),
    "c1": Place(1, "pf2"),
    "v0": NOWHERE,
}


@pytest.mark.parametrize(
    ("must", "size", "expected"),
    [
        ((), 1, ("v0",)),
        ((), 2, ("c0", "c1")),
        ((), 3, ("b0", "b1", "b2")),
        ((), 4, ("b0", "b1", "b2", "a0")),
        ((), 7, ("b0", "b1", "b2", "a0", "a1", "c0", "c1")),
        (("b1",), 2, ("b1", "b0")),
        (("b1",), 4, ("b1", "b0", "b2", "a0")),
        (("a1",), 3, ("a1", "a0", "b0")),
        (("c1",), 3, ("c1", "c0", "v0")),
        (("c0", "a0"), 4, ("c0", "a0", "a1", "b0")),
    ],
    ids=[
        "one comes from where the fewest are",
        "two fill the smaller node",
        "three fill a physical function",
        "four fill the largest function of a node and start the next",
        "more than a node has spill over",
        "one is to be the neighbour of another",
        "a function is used up before the next of its node",
        "the node comes before all others",
        "a full node is left",
        "between two nodes the roomier one",
    ],
)
def test_devices_of_one_node_and_one_function_go_together(
    must: tuple[str, ...], size: int, expected: tuple[str, ...]
) -> None:
    assert prefer(PLACES, must, size, PLACES) == expected


def test_what_is_not_known_is_still_chosen_if_there_is_nothing_else() -> None:
    assert prefer(["x", "a0"], [], 2, {}) == ("a0", "x")


@pytest.mark.parametrize("size", [-(2**31), -1, 0])
def test_a_size_that_asks_for_nothing_gets_what_must_be_in(size: int) -> None:
    assert prefer(["a", "b"], ["b"], size, {}) == ("b",)


def test_ten_thousand_devices_are_sorted_out_at_once() -> None:
    places = {f"eth{n}": Place(n % 8, f"pf{n % 512}") for n in range(10_000)}
    chosen = prefer(places, ["eth5"], 20, places)
    assert {places[name].pf for name in chosen} == {"pf5"}


IDS = st.sampled_from([*PLACES, "unknown"])


@given(available=st.lists(IDS), must=st.lists(IDS, max_size=4), size=st.integers(-1, 12))
def test_the_answer_is_of_the_right_size_and_only_of_what_was_offered(
    available: list[str], must: list[str], size: int
) -> None:
    chosen = prefer(available, must, size, PLACES)
    offered = {*available, *must}
    assert len(chosen) == len(set(chosen)) == max(len(set(must)), min(size, len(offered)))
    assert set(must) <= set(chosen) <= offered
    assert list(chosen[: len(set(must))]) == list(dict.fromkeys(must))


@given(
    available=st.lists(IDS, unique=True),
    must=st.lists(IDS, max_size=3),
    size=st.integers(0, 9),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_what_is_offered_does_not_matter(
    available: list[str], must: list[str], size: int, random: Random
) -> None:
    other = list(available)
    random.shuffle(other)
    assert prefer(available, must, size, PLACES) == prefer(other, must, size, PLACES)


@given(size=st.integers(1, 7), nodes=st.lists(st.integers(0, 3), min_size=7, max_size=20))
def test_one_node_is_enough_where_one_has_enough(size: int, nodes: list[int]) -> None:
    places = {f"eth{n}": Place(node, f"pf{n}") for n, node in enumerate(nodes)}
    used = {places[name].numa for name in prefer(places, [], size, places)}
    if max(nodes.count(node) for node in nodes) >= size:
        assert len(used) == 1


def test_a_function_sits_where_its_physical_function_is() -> None:
    vf = link("vf", numa=1, pci="0000:03:10.0", pf="0000:03:00.0")
    assert place(listed(vf).device) == Place(1, "0000:03:00.0")
    assert place(listed(link("pf", numa=1, pci="0000:03:00.0")).device) == Place(1, "0000:03:00.0")
    assert place(listed("veth0").device) == NOWHERE
