from __future__ import annotations

import pytest

from netdevice_plugin.cdistore.pacing import CONTESTED, Pace, Pacer

PACE = Pace(check=0.05, first=0.2, cap=10, calm=60)


def test_an_attempt_that_went_well_is_followed_by_another_at_the_next_event() -> None:
    pacer = Pacer(PACE)
    assert pacer.deaf(0) == PACE.check
    pacer.count(failed=False, repaired=False, now=1)
    assert pacer.deaf(1) == PACE.check
    assert not pacer.failing
    assert not pacer.contested


def test_failures_make_pauses_that_double_up_to_a_limit_and_end_with_success() -> None:
    pacer = Pacer(PACE)
    pauses = []
    for now in range(100):
        pacer.count(failed=True, repaired=False, now=now)
        pauses.append(pacer.deaf(now))
    assert pauses[:7] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10]
    assert set(pauses[7:]) == {10}
    assert pacer.failing
    pacer.count(failed=False, repaired=False, now=100)
    assert pacer.deaf(100) == PACE.check


def test_repairs_make_pauses_that_double_while_they_go_on() -> None:
    pacer = Pacer(PACE)
    pauses, contested = [], []
    now = 0.0
    for _ in range(8):
        pacer.count(failed=False, repaired=True, now=now)
        pauses.append(pacer.deaf(now))
        contested.append(pacer.contested)
        now += pauses[-1]
        pacer.count(failed=False, repaired=False, now=now)  # a look at what we did ourselves
        assert pacer.deaf(now) == PACE.check
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert contested.index(True) == CONTESTED - 1


def test_after_a_quiet_minute_a_repair_is_the_first_again() -> None:
    pacer = Pacer(PACE)
    for now in range(CONTESTED):
        pacer.count(failed=False, repaired=True, now=now)
    assert pacer.contested
    quiet = CONTESTED - 1 + PACE.calm
    pacer.count(failed=False, repaired=False, now=quiet - 1)
    assert pacer.contested
    pacer.count(failed=False, repaired=False, now=quiet)
    assert not pacer.contested
    pacer.count(failed=False, repaired=True, now=quiet + 1)
    assert pacer.deaf(quiet + 1) == pytest.approx(PACE.first)
