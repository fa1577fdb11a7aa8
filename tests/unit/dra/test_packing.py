"""Every device in one slice, none moved without need, and as few slices as can be. Pure."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from netdevice_plugin.dra.packing import LIMIT, LIMIT_TAINTED, pack


def names(count: int, prefix: str = "n") -> list[str]:
    return [f"{prefix}{index:03}" for index in range(count)]


def plain(*several: str) -> dict[str, bool]:
    return dict.fromkeys(several, False)


devices = st.tuples(st.integers(0, 300), st.integers(0, 200)).map(
    lambda both: plain(*names(both[0])) | dict.fromkeys(names(both[1], "t"), True)
)
universe = st.sampled_from([*names(300), *names(200, "t")])
currents = st.lists(st.sets(universe, max_size=LIMIT + 10), max_size=5)


def limit(slice_: tuple[str, ...], wanted: dict[str, bool]) -> int:
    return LIMIT_TAINTED if any(wanted[name] for name in slice_) else LIMIT


def holds(packed: tuple[tuple[str, ...], ...], wanted: dict[str, bool]) -> None:
    """Every device exactly once, in its order, within the limits."""
    assert sorted(name for one in packed for name in one) == sorted(wanted)
    for one in packed:
        assert list(one) == sorted(one)
        assert len(one) <= limit(one, wanted)


@given(devices)
def test_from_nothing_there_are_as_few_as_there_can_be(wanted: dict[str, bool]) -> None:
    packed = pack([], wanted)
    holds(packed, wanted)
    tainted = sum(wanted.values())
    special = math.ceil(tainted / LIMIT_TAINTED)
    rest = max(0, len(wanted) - special * LIMIT_TAINTED)
    assert len(packed) == special + math.ceil(rest / LIMIT)


@given(currents, devices)
@example([set(names(LIMIT))], plain(*names(LIMIT)) | {"t000": True})
def test_from_anything_every_device_is_in_one_slice(
    current: list[set[str]], wanted: dict[str, bool]
) -> None:
    packed = pack(current, wanted)
    holds(packed, wanted)
    assert all(packed[len(current) :])


@given(devices, devices)
def test_a_device_stays_where_it_is_while_there_is_room(
    before: dict[str, bool], after: dict[str, bool]
) -> None:
    current = pack([], before)
    packed = pack(current, after)
    for old, new in zip(current, packed, strict=False):
        left = {name for name in old if name in after} - set(new)
        stayed = [name for name in old if name in new]
        if left:  # then there was not room for one of them more
            some = tuple(stayed)
            assert all(len(some) + 1 > limit((*some, name), after) for name in left)


@given(devices, st.data())
def test_a_slice_is_added_only_when_none_has_room(
    before: dict[str, bool], data: st.DataObject
) -> None:
    current = pack([], before)
    added = data.draw(devices)
    wanted = before | added
    packed = pack(current, wanted)
    for new in packed[len(current) :]:
        for name in new:
            for old in packed[: len(current)]:
                assert len(old) + 1 > limit((*old, name), wanted)


@given(currents, devices)
def test_packing_again_changes_nothing(current: list[set[str]], wanted: dict[str, bool]) -> None:
    packed = pack(current, wanted)
    assert pack(packed, wanted) == packed


def test_one_that_falls_ill_leaves_a_full_slice_and_not_64_others() -> None:
    healthy = names(LIMIT)
    packed = pack([healthy], plain(*healthy) | {"n007": True})
    assert packed == (tuple(name for name in healthy if name != "n007"), ("n007",))


def test_one_that_is_well_again_stays_where_it_went() -> None:
    healthy = names(LIMIT)
    current = pack([healthy], plain(*healthy) | {"n007": True})
    assert pack(current, plain(*healthy)) == current


def test_the_fewer_leave_a_slice_that_is_too_full() -> None:
    many = names(70)
    ill = dict.fromkeys(many[:20], True)
    first, second = pack([many], plain(*many) | ill)
    assert second == tuple(many[LIMIT_TAINTED:])
    assert len(first) == LIMIT_TAINTED


def test_a_device_in_two_slices_stays_in_the_first() -> None:
    assert pack([["a", "b"], ["b", "c"]], plain("a", "b", "c")) == (("a", "b"), ("c",))


def test_an_ill_one_goes_to_others_like_it() -> None:
    packed = pack([["a"], ["t1"]], plain("a") | {"t1": True, "t2": True})
    assert packed == (("a",), ("t1", "t2"))
