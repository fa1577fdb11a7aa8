"""Alive is a loop that turns; ready is everything that was waited for."""

from __future__ import annotations

import asyncio

import pytest

from netdevice_plugin.operations import health
from netdevice_plugin.operations.health import Pulse, Readiness, Verdict


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_does_not_turn_is_stuck_after_ten_seconds() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    clock.now += 10
    assert pulse.check() == Verdict(True, ("[+]event loop: ok",))
    clock.now += 1
    assert pulse.check() == Verdict(False, ("[-]event loop: no turn for 11 s",))
    pulse.beat()
    assert pulse.check().ok


def test_beats_come_from_the_loop_and_bring_others_along() -> None:
    clock, beats = Clock(), []
    pulse = Pulse(clock)

    async def run() -> None:
        enough = asyncio.Event()

        def also() -> None:
            beats.append(clock.now)
            clock.now += 60
            if len(beats) == 3:
                enough.set()

        task = asyncio.create_task(pulse.run(0.001, also))
        await asyncio.wait_for(enough.wait(), 10)
        task.cancel()

    asyncio.run(run())
    assert beats[:3] == [100, 160, 220]


def test_nothing_is_ready_before_all_of_it_is() -> None:
    readiness = Readiness(["inventory", "CDI files"])
    assert readiness.check() == Verdict(False, ("[-]inventory: not yet", "[-]CDI files: not yet"))
    readiness.met("inventory")
    assert readiness.check() == Verdict(False, ("[+]inventory: ok", "[-]CDI files: not yet"))
    readiness.met("CDI files")
    assert readiness.check() == Verdict(True, ("[+]inventory: ok", "[+]CDI files: ok"))


def test_what_was_ready_may_be_so_no_longer() -> None:
    readiness = Readiness(["CDI files"])
    readiness.met("CDI files")
    readiness.missing("CDI files", "cannot write:\nno space")
    assert readiness.check() == Verdict(False, ("[-]CDI files: cannot write: no space",))


def test_one_thing_more_may_be_waited_for() -> None:
    readiness = Readiness(["inventory"])
    readiness.met("inventory")
    readiness.expect("dra")
    assert readiness.check() == Verdict(False, ("[+]inventory: ok", "[-]dra: not yet"))
    readiness.met("dra")
    readiness.expect("dra")
    assert readiness.check().ok


def test_a_condition_that_nobody_named_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Readiness(["inventory"]).met("inventroy")


def test_verdicts_add_up() -> None:
    good, bad = Verdict(True, ("a",)), Verdict(False, ("b",))
    assert good & bad == Verdict(False, ("a", "b"))
    assert good & good == Verdict(True, ("a", "a"))


def test_a_beat_comes_well_before_the_loop_counts_as_stuck() -> None:
    assert health.EVERY * 3 < health.STUCK
