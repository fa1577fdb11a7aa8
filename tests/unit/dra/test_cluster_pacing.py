"""Waits and rates, on a clock of the test's."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra.cluster.pacing import Backoff, Bucket, Pace


def test_waits_reach_twice_as_far_each_time_up_to_the_longest() -> None:
    backoff = Backoff(1, 10, steady=60, chance=lambda: 1.0)
    assert [backoff.next(0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_wait_may_be_none_at_all() -> None:
    assert Backoff(1, 10, steady=60, chance=lambda: 0.0).next(0) == 0


def test_success_and_a_quiet_time_begin_anew() -> None:
    backoff = Backoff(1, 10, steady=60, chance=lambda: 1.0)
    assert [backoff.next(0), backoff.next(1)] == [1, 2]
    backoff.reset()
    assert [backoff.next(2), backoff.next(3)] == [1, 2]
    assert backoff.next(3 + 2 + 60) == 1


def test_what_works_for_long_enough_begins_anew() -> None:
    backoff = Backoff(1, 10, steady=60, chance=lambda: 1.0)
    assert [backoff.next(0), backoff.next(1)] == [1, 2]
    backoff.works(3, lasting=2)
    assert backoff.next(4.9) == 4
    backoff.works(9, lasting=2)
    assert backoff.next(11) == 1
    assert backoff.next(12) == 2


def test_what_a_server_asks_for_is_the_least_and_spread_behind() -> None:
    assert Backoff(1, 10, steady=60, chance=lambda: 0.0).next(0, at_least=30) == 30
    assert Backoff(1, 10, steady=60, chance=lambda: 1.0).next(0, at_least=30) == 45


def test_five_thousand_that_fail_together_come_back_apart() -> None:
    dice = random.Random(1)  # noqa: S311 - the same every time
    backoffs = [Backoff(1, 60, steady=60, chance=dice.random) for _ in range(5000)]
    at = [0.0] * 5000
    for _ in range(10):
        at = [now + backoff.next(now) for now, backoff in zip(at, backoffs, strict=True)]
    seconds = [int(now) for now in at]
    assert max(seconds.count(second) for second in set(seconds)) < 100


def test_the_first_round_is_at_once_and_many_writes_are_a_long_rest() -> None:
    pace = Pace(2)
    assert pace.wait(100) == 0
    pace.took(1, 100)
    assert pace.wait(100) == 0.5
    pace.took(16, 100.5)
    assert pace.wait(100.5) == 8
    assert pace.wait(200) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 3)), max_size=50))
def test_no_more_than_the_rate_and_one_round(rounds: list[tuple[int, float]]) -> None:
    pace, now, written = Pace(2), 0.0, 0
    for count, idle in rounds:
        now += pace.wait(now)
        assert written <= 2 * now + 1e-6
        pace.took(count, now)
        written += count
        now += idle


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(5, 3)
    assert [bucket.take(0) for _ in range(5)] == pytest.approx([0, 0, 0, 0.2, 0.4])
    assert bucket.take(100) == 0


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(gaps: list[float]) -> None:
    bucket, now, used = Bucket(5, 3), 0.0, []
    for gap in gaps:
        now += gap
        now += bucket.take(now)
        used.append(now)
    for first in range(len(used)):
        for last in range(first, len(used)):
            assert last - first + 1 <= 3 + 5 * (used[last] - used[first]) + 1e-6
