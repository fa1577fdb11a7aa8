from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.attachments import Holder, HostLink, Phase
from netdevice_plugin.loans.loan import Life, Seen
from netdevice_plugin.loans.reconcile import (
    EAGER,
    GAP,
    GRACE,
    PATIENCE,
    RETRY,
    Decision,
    Kind,
    Loan,
    Verdict,
    decide,
    retry,
)
from tests.unit.loans.made import PODMAN, WEB, loan, record

FINE = Verdict((), None)


def test_nothing_lent_is_nothing_to_wait_for() -> None:
    assert decide([], 0) == FINE


def test_a_container_that_lives_keeps_its_link_for_ever() -> None:
    assert decide([loan(record("eth1", WEB), Life.ALIVE)], 1e9) == FINE


def test_one_of_several_that_lives_is_enough() -> None:
    made = loan(record("eth1", PODMAN, WEB), Life.DEAD, Life.ALIVE)
    assert decide([made], 1e9) == FINE


@pytest.mark.parametrize("others", [(), (Life.DEAD,)])
def test_who_cannot_be_seen_is_not_dead(others: tuple[Life, ...]) -> None:
    holders = (WEB, PODMAN)[: 1 + len(others)]
    made = loan(record("eth1", *holders), Life.UNKNOWN, *others, unclaimed=1e9)
    assert decide([made], 1e9) == FINE


def test_the_runtime_has_some_seconds_for_its_own_poststop() -> None:
    made = loan(record("eth1", WEB), Life.DEAD, since=100)
    assert decide([made], 100) == Verdict((), 100 + GRACE)
    reason = "container cccccccccccc of default/web-0 is dead"
    decision = Decision(Kind.ABANDONED, "eth1", reason)
    assert decide([made], 100 + GRACE) == Verdict((decision,), None)


def test_a_link_that_was_born_in_a_pod_is_reclaimed_like_any_other() -> None:
    link = HostLink(name="net1", ifindex=0, kind="macvlan")
    born = dataclasses.replace(record("lan-0", WEB), born=True, link=link)
    (decision,) = decide([loan(born, Life.DEAD)], GRACE).decisions
    assert (decision.kind, decision.device) == (Kind.ABANDONED, "lan-0")


def test_the_seconds_count_from_the_last_ones_death() -> None:
    holders = (Seen(Life.DEAD, 50), Seen(Life.DEAD, 100))
    made = Loan(record=record("eth1", WEB, PODMAN), since=0, holders=holders)
    assert decide([made], 60) == Verdict((), 100 + GRACE)


def test_a_link_that_nobody_has_is_abandoned() -> None:
    (found,) = decide([loan(record("eth1"))], GRACE).decisions
    assert (found.kind, found.reason) == (Kind.ABANDONED, "its holder is dead")


@pytest.mark.parametrize("phase", [Phase.ATTACHING, Phase.RETURNING])
def test_what_a_dead_mover_left_half_done_is_abandoned_whoever_lives(phase: Phase) -> None:
    made = loan(record("eth1", WEB, phase=phase), Life.ALIVE, since=100)
    assert decide([made], 100) == Verdict((), 100 + GRACE)
    reason = f"a mover has died while {phase.value}"
    assert decide([made], 200).decisions == (Decision(Kind.ABANDONED, "eth1", reason),)


@pytest.mark.parametrize("phase", [Phase.ATTACHING, Phase.ATTACHED, Phase.RETURNING])
def test_a_mover_at_work_is_left_to_it_and_looked_at_again(phase: Phase) -> None:
    made = loan(record("eth1", WEB, phase=phase), Life.DEAD, locked=True)
    assert decide([made], 200) == Verdict((), 200 + GRACE)


@pytest.mark.parametrize(
    ("phase", "kind"), [(Phase.LOST, Kind.LOST), (Phase.STRANDED, Kind.STRANDED)]
)
@pytest.mark.parametrize("error", ["", "give the link its name back: eth1: File exists"])
def test_trouble_is_told_with_the_movers_words(phase: Phase, kind: Kind, error: str) -> None:
    (found,) = decide([loan(record("eth1", phase=phase, error=error))], 0).decisions
    assert (found.kind, found.device) == (kind, "eth1")
    assert found.reason == error or (not error and found.reason)


@pytest.mark.parametrize(
    ("holder", "reason"),
    [
        (PODMAN, "held by container dddddddddddd, which is no pod's"),
        (
            WEB,
            "held by container cccccccccccc of default/web-0, a pod that the kubelet does not know",
        ),
    ],
    ids=["podman's", "a pod's"],
)
def test_what_no_pod_has_had_for_a_while_is_orphaned(holder: Holder, reason: str) -> None:
    made = record("eth1", holder)
    assert decide([loan(made, Life.ALIVE, unclaimed=PATIENCE - 0.1)], 1e9) == FINE
    found = decide([loan(made, Life.ALIVE, unclaimed=PATIENCE)], 1e9)
    assert found == Verdict((Decision(Kind.ORPHANED, "eth1", reason),), None)


LIVES = st.sampled_from(Life)
TIMES = st.floats(0, 1000)


@st.composite
def loans(draw: st.DrawFn) -> Loan:
    seen = draw(st.lists(st.builds(Seen, LIVES, TIMES), max_size=3))
    phase, error = draw(st.sampled_from(Phase)), draw(st.sampled_from(("", "why")))
    name = draw(st.sampled_from(("eth1", "eth2", "eth3")))
    return Loan(
        record=record(name, *(WEB, PODMAN, WEB)[: len(seen)], phase=phase, error=error),
        since=draw(TIMES),
        holders=tuple(seen),
        unclaimed=draw(st.floats(0, 100)),
        locked=draw(st.booleans()),
    )


@given(loans(), TIMES)
def test_no_link_is_abandoned_that_a_live_container_has(made: Loan, now: float) -> None:
    kinds = {one.kind for one in decide([made], now).decisions}
    living = any(one.life is not Life.DEAD for one in made.holders)
    if made.locked or (made.record.phase is Phase.ATTACHED and living):
        assert Kind.ABANDONED not in kinds


@given(st.lists(loans(), max_size=5), TIMES)
def test_each_loan_is_judged_by_itself(made: list[Loan], now: float) -> None:
    together = decide(made, now)
    alone = [decide([one], now) for one in made]
    assert together.decisions == tuple(one for each in alone for one in each.decisions)
    assert len(together.decisions) <= len(made)
    times = [each.again for each in alone if each.again is not None]
    assert together.again == min(times, default=None)


@given(st.lists(loans(), max_size=5), TIMES)
def test_to_look_again_at_the_time_given_ends(made: list[Loan], now: float) -> None:
    """Without a mover at work, all is decided after as many looks as there are loans."""
    idle = [
        Loan(record=one.record, since=one.since, holders=one.holders, unclaimed=one.unclaimed)
        for one in made
    ]
    for _ in range(len(idle) + 1):
        verdict = decide(idle, now)
        if verdict.again is None:
            break
        assert verdict.again > now
        now = verdict.again
    assert verdict.again is None


@given(st.lists(loans(), max_size=5), TIMES)
def test_nothing_changes_before_the_time_to_look_again(made: list[Loan], now: float) -> None:
    verdict = decide(made, now)
    before = 1e9 if verdict.again is None else (now + verdict.again) / 2
    assert decide(made, before).decisions == verdict.decisions


def test_retries_come_ever_later_up_to_five_minutes() -> None:
    waits = [retry(count, 0, stirred=False, changed=False) for count in range(1, 9)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    assert retry(10**6, 0, stirred=False, changed=False) == RETRY[1]


def test_a_retry_does_not_wait_as_long_if_links_have_changed() -> None:
    assert retry(1, 100, stirred=True, changed=False) == 100 + RETRY[0]
    assert retry(9, 100, stirred=True, changed=False) == 100 + EAGER


@given(st.integers(1, 99), st.booleans())
def test_another_reason_to_try_is_tried_soon_but_not_in_a_storm(
    failures: int, stirred: bool
) -> None:
    assert retry(failures, 100, stirred=stirred, changed=True) == 100 + GAP
