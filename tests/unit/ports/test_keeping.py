"""What is decided about a pool's ports, case by case."""

from __future__ import annotations

import dataclasses

import pytest

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import keeping
from netdevice_plugin.ports.errors import BusyError, QuotaError, RefusedError, UnansweredError
from netdevice_plugin.ports.keeping import ARRIVAL, DRAIN, IDLE, Leaving, Memory, Scene, Use, Why
from netdevice_plugin.ports.provider import Port
from tests.unit.ports.world import World, mac, settings

ONE = Port(id="one", mac=mac(1))
TWO = Port(id="two", mac=mac(2))


def known(*ports: Port, at: float = 0.0, **more: object) -> Memory:
    return dataclasses.replace(keeping.seen(Memory(), ports, at), **more)  # type: ignore[arg-type]


def scene(uses: dict[str, Use], **more: object) -> Scene:
    free = sum(use is Use.FREE for use in uses.values())
    made = Scene(uses=uses, free=free, here=frozenset(uses), known=True)
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def going(**more: object) -> tuple[Memory, Scene]:
    """One of two free ports is on its way out, and all was said that has to be."""
    leaving = Leaving(port=TWO, why=Why.IDLE, told=1000.0, serial=7)
    memory = known(ONE, TWO, leaving={"two": leaving}, arrived=frozenset({"one", "two"}))
    seen = scene({ONE.mac: Use.FREE, TWO.mac: Use.FAULTY}, kept=frozenset({TWO.mac}), serial=9)
    return memory, dataclasses.replace(seen, **more)  # type: ignore[arg-type]


def test_a_pool_without_a_free_device_has_a_port_attached() -> None:
    _, plan = keeping.decide(settings(), scene({}), Memory(), 0.0)
    assert plan.attach


def test_one_that_a_pod_takes_is_made_up_for_at_once() -> None:
    life = World(settings())
    life.step()
    life.pass_time(2)
    life.publish()
    assert not life.step().attach
    life.held = set(life.here())
    life.ask()
    life.answer()
    assert life.step().attach


def test_a_nic_on_its_way_is_waited_for() -> None:
    memory, plan = keeping.decide(settings(), scene({}), known(ONE), ARRIVAL - 1)
    assert (plan.attach, plan.coming, plan.again, plan.missing) == (False, 1, ARRIVAL, True)
    assert not memory.leaving


def test_a_nic_that_does_not_come_costs_its_port_and_the_next_waits() -> None:
    memory, plan = keeping.decide(settings(), scene({}), known(ONE), ARRIVAL)
    assert not plan.attach
    assert memory.leaving["one"].why is Why.ABSENT
    assert (memory.failures, memory.hold) == (1, ARRIVAL + 5)
    told = scene({}, kept=frozenset({ONE.mac}))
    memory, plan = keeping.decide(settings(), told, memory, ARRIVAL)
    assert plan.detach is not None


def test_a_nic_that_comes_after_all_is_kept() -> None:
    memory, _ = keeping.decide(settings(), scene({}), known(ONE), ARRIVAL)
    memory, plan = keeping.decide(settings(), scene({ONE.mac: Use.FREE}), memory, ARRIVAL + 1)
    assert plan.detach is None
    assert (memory.leaving, memory.failures) == ({}, 0)


@pytest.mark.parametrize("doubt", [{"hidden": True}, {"nameless": 1}])
def test_a_nic_that_may_be_in_a_pod_is_not_missing(doubt: dict[str, object]) -> None:
    memory, plan = keeping.decide(settings(), scene({}, **doubt), known(ONE), ARRIVAL + 1)
    assert not memory.leaving
    assert plan.problems == (
        f"the NIC {ONE.mac} of the port one did not come, or is one of those without a link",
    )


def test_a_nic_that_was_here_is_not_given_up() -> None:
    memory = known(ONE, arrived=frozenset({"one"}))
    memory, plan = keeping.decide(settings(most=1), scene({}), memory, ARRIVAL + 1)
    assert not memory.leaving
    assert plan.problems[0].endswith("was here, and is nowhere to be seen")


def test_a_nic_that_the_pool_does_not_have_stops_others_from_being_attached() -> None:
    stray = scene({}, here=frozenset({ONE.mac}))
    memory, plan = keeping.decide(settings(), stray, known(ONE), ARRIVAL + 1)
    assert (plan.attach, memory.leaving) == (False, {})
    assert plan.problems[0].endswith("is here, but the pool does not have it")


def test_what_was_made_and_never_attached_is_deleted_once_nobody_can_be_at_it() -> None:
    left = dataclasses.replace(ONE, leftover=True)
    memory, _ = keeping.decide(settings(), scene({}), known(left), ARRIVAL - 1)
    assert not memory.leaving
    memory, plan = keeping.decide(settings(), scene({}), memory, ARRIVAL)
    assert memory.leaving["one"].why is Why.LEFTOVER
    assert plan.attach  # there is room


def test_what_is_spare_for_long_is_on_its_way_out() -> None:
    both = scene({ONE.mac: Use.FREE, TWO.mac: Use.FREE})
    memory, plan = keeping.decide(settings(), both, known(ONE, TWO), 0.0)
    assert (memory.surplus, plan.again, memory.leaving) == (0.0, IDLE, {})
    memory, _ = keeping.decide(settings(), both, memory, IDLE - 1)
    assert not memory.leaving
    memory, plan = keeping.decide(settings(), both, memory, IDLE)
    assert [one.why for one in memory.leaving.values()] == [Why.IDLE]
    assert plan.asks
    assert plan.detach is None


def test_a_moment_without_too_many_begins_the_wait_anew() -> None:
    both = scene({ONE.mac: Use.FREE, TWO.mac: Use.FREE})
    memory, _ = keeping.decide(settings(), both, known(ONE, TWO), 0.0)
    one = scene({ONE.mac: Use.FREE, TWO.mac: Use.HELD})
    memory, _ = keeping.decide(settings(), one, memory, 200.0)
    memory, _ = keeping.decide(settings(), both, memory, 201.0)
    memory, _ = keeping.decide(settings(), both, memory, IDLE + 1)
    assert not memory.leaving


def test_more_than_the_most_do_not_wait() -> None:
    both = scene({ONE.mac: Use.FREE, TWO.mac: Use.HELD})
    memory, _ = keeping.decide(settings(0, 1), both, known(ONE, TWO), 0.0)
    assert list(memory.leaving) == ["one"]


def test_as_long_as_the_kubelet_says_nothing_none_is_chosen_to_go() -> None:
    both = scene({ONE.mac: Use.FREE, TWO.mac: Use.FREE}, known=False)
    memory, _ = keeping.decide(settings(), both, known(ONE, TWO, surplus=0.0), IDLE)
    assert not memory.leaving


def test_a_port_goes_when_it_was_kept_from_pods_and_nobody_has_it() -> None:
    memory, seen = going()
    _, plan = keeping.decide(settings(), seen, memory, 1000.0 + DRAIN)
    assert plan.detach == memory.leaving["two"]


@pytest.mark.parametrize(
    "yet",
    [{"serial": 8}, {"known": False}, {"kept": frozenset()}, {"uses": {TWO.mac: Use.FREE}}],
    ids=["the question was on its way", "no answer", "pods may have it", "it is listed as free"],
)
def test_it_does_not_go_while(yet: dict[str, object]) -> None:
    memory, seen = going(**yet)
    after, plan = keeping.decide(settings(), seen, memory, 1000.0 + DRAIN)
    assert list(after.leaving) == ["two"]
    assert plan.detach is None


def test_it_does_not_go_before_a_claim_that_was_given_it_had_time_to_say_so() -> None:
    memory, seen = going()
    _, plan = keeping.decide(settings(), seen, memory, 999.0 + DRAIN)
    assert (plan.detach, plan.again) == (None, 1000.0 + DRAIN)


def test_it_stays_if_somebody_has_it_after_all() -> None:
    memory, seen = going(uses={ONE.mac: Use.FREE, TWO.mac: Use.HELD})
    memory, plan = keeping.decide(settings(), seen, memory, 1000.0 + DRAIN)
    assert (memory.leaving, plan.detach) == ({}, None)


def test_it_stays_if_it_is_needed_again() -> None:
    memory, seen = going(uses={ONE.mac: Use.HELD, TWO.mac: Use.FAULTY}, free=0)
    memory, plan = keeping.decide(settings(), seen, memory, 1001.0)
    assert (memory.leaving, plan.attach) == ({}, False)


def test_it_goes_once_that_was_begun_even_if_it_is_needed_again() -> None:
    memory, seen = going(uses={ONE.mac: Use.HELD, TWO.mac: Use.FAULTY}, free=0)
    memory = keeping.detach_failed(
        keeping.detach_begins(memory, "two"), "two", UnansweredError("?"), 1001.0, 1.0
    )
    memory, plan = keeping.decide(settings(), seen, memory, 1000.0 + DRAIN)
    assert list(memory.leaving) == ["two"]
    assert plan.attach


def test_an_attach_without_an_answer_counts_until_it_shows_itself_or_time_is_up() -> None:
    memory = keeping.attach_failed(Memory(), UnansweredError("?"), 0.0, 0.0)
    assert not keeping.decide(settings(most=1), scene({}), memory, 50.0)[1].attach
    assert keeping.decide(settings(most=1), scene({}), memory, 61.0)[1].attach
    other = keeping.attached(memory, ONE, 10.0)
    assert other.pending == (60.0,)
    assert keeping.seen(other, (ONE, TWO), 11.0).pending == ()
    # With one more than what is missing there is room, but nothing is wanted.
    two = dataclasses.replace(memory, pending=(60.0, 60.0))
    assert not keeping.decide(settings(spare=3, most=2), scene({}), two, 50.0)[1].attach


@pytest.mark.parametrize(
    ("error", "delays"),
    [
        (QuotaError("q"), [300.0, 600.0, 1200.0, 1800.0]),
        (RefusedError("r"), [60.0, 120.0, 240.0, 480.0]),
        (BusyError("b"), [2.0, 4.0, 8.0, 16.0]),
        (PortError("f"), [5.0, 10.0, 20.0, 40.0]),
    ],
    ids=["quota", "refused", "busy", "failed"],
)
def test_what_fails_is_tried_ever_later(error: PortError, delays: list[float]) -> None:
    memory, found = Memory(), []
    for _ in delays:
        memory = keeping.attach_failed(memory, error, 0.0, 1.0)
        found.append(memory.hold)
        assert not keeping.decide(settings(), scene({}), memory, memory.hold - 1)[1].attach
        assert keeping.decide(settings(), scene({}), memory, memory.hold)[1].attach
    assert found == delays


def test_a_port_given_back_ends_the_wait_for_the_quota() -> None:
    memory = keeping.attach_failed(known(ONE), QuotaError("q"), 0.0, 1.0)
    assert keeping.detached(memory, "one", 1.0).hold == 0.0
    refused = keeping.attach_failed(known(ONE), RefusedError("r"), 0.0, 1.0)
    assert keeping.detached(refused, "one", 1.0).hold == 60.0
