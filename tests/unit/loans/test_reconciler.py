from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netdevice_plugin.attachments import Attachment, Holder, Phase
from netdevice_plugin.loans.loan import Life, Seen
from netdevice_plugin.loans.reconcile import GAP, GRACE, PATIENCE
from netdevice_plugin.loans.reconciler import CALM, Reconciler
from netdevice_plugin.look import View
from netdevice_plugin.model import Interface, Snapshot
from netdevice_plugin.mover import Outcome
from netdevice_plugin.usage.usage import Answer, Grant, Pod, Usage, join
from tests.unit.loans.made import PODMAN, WEB, Clock, Runs, Told, record, settle

KIND = "networking.k8s.io/netdevice"
NOBODY = join(Answer(), [])
HOME = Outcome(0, "")


def used(*devices: str) -> Usage:
    """What the kubelet says: one pod has these."""
    pod = Pod(namespace="default", name="web-0", container="app")
    return join(Answer(grants=(Grant(kind=KIND, devices=devices, pod=pod),)), [])


class Lives:
    """Who lives, as the test says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lives: dict[str, Seen] = {}
        self.followed: tuple[Holder, ...] = ()
        self.wake: Callable[[], object] = lambda: None

    def follow(self, records: Iterable[Attachment]) -> None:
        self.followed = tuple(holder for one in records for holder in one.holders)

    def seen(self, holder: Holder) -> Seen:
        assert holder in self.followed
        return self.lives.get(holder.container, Seen(Life.ALIVE, 0))

    def become(self, holder: Holder, life: Life) -> None:
        self.lives[holder.container] = Seen(life, self.clock())
        self.wake()

    def close(self) -> None:
        self.followed = ()


class Scene:
    """A reconciler under a clock, and all that it works with."""

    def __init__(self, *outcomes: Outcome, allowed: bool = True, hold: bool = False) -> None:
        self.clock = Clock()
        self.lives = Lives(self.clock)
        self.runs = Runs(self.clock, *outcomes, hold=hold)
        self.told = Told()
        self.locks: set[str] = set()
        self.changes = 0
        self.reconciler = Reconciler(
            holders=self._holders,
            reclaim=self.runs if allowed else None,
            locked=self.locks.__contains__,
            observer=self.told,
            changed=self._changed,
            clock=self.clock,
        )

    def _holders(self, wake: Callable[[], object]) -> Lives:
        self.lives.wake = wake
        return self.lives

    def _changed(self) -> None:
        self.changes += 1

    def follow(self, *records: Attachment, links: Iterable[Interface] = ()) -> None:
        snapshot = Snapshot(interfaces=tuple(links))
        self.reconciler.follow(View(snapshot=snapshot, attachments=records))

    async def step(self) -> float | None:
        """Judge once, let the mover run; when to look again, in seconds from now."""
        again = self.reconciler.step()
        await settle()
        return None if again is None else again - self.clock()

    async def wait(self, seconds: float) -> float | None:
        """Let time pass, looking whenever that was asked for."""
        end = self.clock.now + seconds
        again = await self.step()
        while again is not None and self.clock.now + again <= end:
            self.clock.now += again
            again = await self.step()
        self.clock.now = end
        return await self.step()


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records]


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "netdevice_plugin.loans"):
        yield


def test_where_nothing_is_lent_it_sleeps() -> None:
    async def test() -> None:
        scene = Scene()
        assert await scene.step() is None
        scene.follow()
        assert await scene.step() is None
        assert scene.reconciler.ask_at is None

    run(test())


def test_a_link_that_a_container_has_is_left_alone_without_a_timer() -> None:
    async def test() -> None:
        scene = Scene()
        scene.follow(record("eth1", WEB))
        scene.reconciler.hear(used("eth1"))
        assert await scene.wait(10_000) is None
        assert (scene.runs.begun, scene.told.orphaned, scene.reconciler.orphaned) == ([], [], {})

    run(test())


def test_a_dead_holders_link_is_brought_home_after_the_runtimes_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        scene = Scene(HOME)
        scene.follow(record("eth1", WEB))
        await scene.step()
        scene.lives.become(WEB, Life.DEAD)
        assert await scene.step() == GRACE
        scene.clock.now += GRACE
        await scene.step()
        assert scene.runs.devices == ["eth1"]
        assert (scene.told.codes, scene.told.died) == ([0], 1)
        scene.follow()
        assert await scene.step() is None
        assert len(scene.runs.begun) == 1

    run(test())
    assert said(caplog) == [
        "Device was not returned",
        "Brought link home",
        "Device is in order again",
    ]


def test_poststop_that_comes_in_time_is_all_there_is(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        scene = Scene()
        scene.follow(record("eth1", WEB))
        scene.lives.become(WEB, Life.DEAD)
        await scene.wait(GRACE - 1)
        scene.follow(record("eth1", WEB, phase=Phase.RETURNING))
        scene.locks.add("eth1")
        await scene.wait(0.02)
        scene.follow()
        assert await scene.wait(100) is None
        assert (scene.runs.begun, scene.told.died) == ([], 0)

    run(test())
    assert said(caplog) == []


def test_a_mover_at_work_is_looked_at_until_it_has_died() -> None:
    async def test() -> None:
        scene = Scene(HOME)
        scene.locks.add("eth1")
        scene.follow(record("eth1", WEB, phase=Phase.ATTACHING))
        assert await scene.wait(60) == GRACE
        assert scene.runs.begun == []
        scene.locks.clear()
        await scene.step()
        assert scene.runs.devices == ["eth1"]
        assert scene.told.died == 0

    run(test())


def test_one_that_may_not_reclaim_says_so_once_and_what_helps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        scene = Scene(allowed=False)
        scene.follow(record("eth1"))
        assert await scene.wait(10_000) is None
        assert scene.runs.begun == []

    run(test())
    (only,) = caplog.records
    assert only.getMessage() == "Device was not returned"
    assert only.__dict__["remedy"].endswith("netdevice-plugin reclaim eth1")
    assert only.__dict__["reason"] == "its holder is dead"


def test_what_a_failed_attempt_leaves_is_the_same_case(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        scene = Scene(Outcome(1, "eth1: move it: busy"), Outcome(1, "eth1: move it: busy"))
        dead = record("eth1", WEB)
        scene.lives.become(WEB, Life.DEAD)
        scene.follow(dead)
        await scene.wait(GRACE)
        left = dataclasses.replace(dead, phase=Phase.RETURNING, holders=(), error="move it: busy")
        scene.follow(left)
        assert await scene.step() == 5
        await scene.wait(5)
        assert len(scene.runs.begun) == 2
        assert await scene.step() == 10
        assert scene.told.died == 1

    run(test())
    told = [one.__dict__["reason"] for one in caplog.records if "not returned" in one.getMessage()]
    assert told == ["container cccccccccccc of default/web-0 is dead", "move it: busy"]
    assert "Device is in order again" not in said(caplog)


def test_while_the_agents_own_mover_is_at_work_nothing_is_decided_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        scene = Scene(HOME, hold=True)
        scene.follow(record("eth1"))
        await scene.wait(GRACE)
        assert scene.runs.at_once == 1
        scene.locks.add("eth1")
        scene.follow(record("eth1", phase=Phase.RETURNING))
        assert await scene.step() is None
        scene.runs.go()
        await settle()
        scene.follow()
        await scene.step()

    run(test())
    assert said(caplog) == [
        "Device was not returned",
        "Brought link home",
        "Device is in order again",
    ]


def test_a_link_that_no_pod_has_is_nobodys_to_give_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        scene = Scene()
        scene.follow(record("eth1", PODMAN), record("eth2", WEB))
        scene.reconciler.hear(used("eth2"))
        await scene.wait(1000)
        assert scene.reconciler.orphaned == {}, "one answer may have come too early"
        scene.reconciler.hear(used("eth2"))
        assert await scene.step() is None
        reason = "held by container dddddddddddd, which is no pod's"
        assert scene.reconciler.orphaned == {"eth1": reason}
        scene.reconciler.hear(used("eth2"))
        await scene.step()
        assert (scene.told.orphaned, scene.changes) == ([1], 1)
        assert scene.runs.begun == [], "a live container's link is not taken"
        scene.follow(record("eth2", WEB))
        await scene.step()
        assert scene.reconciler.orphaned == {}
        assert (scene.told.orphaned, scene.changes) == ([1, 0], 2)

    run(test())
    assert said(caplog) == ["Device is held by no pod", "Device is in order again"]


@pytest.mark.parametrize(
    "answer",
    [
        used("eth1"),
        join(None, []),
        join(
            Answer(active=frozenset({("default", "web-0")})),
            [Grant(kind=KIND, devices=("eth1",), pod=Pod(uid="uid-1", container="init"))],
        ),
    ],
    ids=["a pod has it", "no answer", "its init container has it"],
)
def test_an_answer_in_between_starts_the_wait_anew(answer: Usage) -> None:
    async def test() -> None:
        scene = Scene()
        scene.follow(record("eth1", WEB))
        for usage in (NOBODY, answer, NOBODY):
            scene.reconciler.hear(usage)
            await scene.wait(PATIENCE - 1)
        assert scene.reconciler.orphaned == {}
        scene.clock.now += 1
        scene.reconciler.hear(NOBODY)
        await scene.step()
        assert scene.reconciler.orphaned.keys() == {"eth1"}

    run(test())


def test_another_holder_is_another_case() -> None:
    async def test() -> None:
        scene = Scene()
        scene.follow(record("eth1", PODMAN))
        scene.reconciler.hear(NOBODY)
        scene.clock.now += PATIENCE
        scene.follow(record("eth1", WEB))
        scene.reconciler.hear(NOBODY)
        await scene.step()
        assert scene.reconciler.orphaned == {}

    run(test())


def test_the_kubelet_is_asked_at_once_about_what_is_new_then_when_it_matters() -> None:
    async def test() -> None:
        scene = Scene()

        def ask() -> float:
            at = scene.reconciler.ask_at
            assert at is not None
            return at - scene.clock()

        scene.follow(record("eth1", WEB))
        assert ask() == 0
        scene.reconciler.hear(used("eth1"))
        assert ask() == CALM
        scene.follow(record("eth1", WEB), record("eth2", PODMAN))
        assert ask() == 0
        scene.reconciler.hear(used("eth1"))
        assert ask() == PATIENCE
        scene.clock.now += PATIENCE
        scene.reconciler.hear(used("eth1"))
        assert ask() == CALM
        scene.reconciler.hear(join(None, []))
        assert ask() == PATIENCE

    run(test())


def test_the_kubelet_is_not_asked_about_what_no_living_container_has() -> None:
    async def test() -> None:
        scene = Scene()
        scene.follow(record("eth1", WEB), record("eth2", phase=Phase.LOST))
        scene.lives.become(WEB, Life.UNKNOWN)
        assert scene.reconciler.ask_at is None

    run(test())


@pytest.mark.parametrize("phase", [Phase.LOST, Phase.STRANDED])
def test_a_link_in_trouble_is_tried_again_when_its_name_is_free_or_taken(phase: Phase) -> None:
    async def test() -> None:
        scene = Scene()
        clash = Interface(ifindex=9, name="x", altnames=("eth1",))
        trouble = record("eth1", phase=phase, error="why")
        scene.follow(trouble, links=[clash])
        await scene.wait(1000)
        before = len(scene.runs.begun)
        scene.follow(trouble, links=[clash, Interface(ifindex=10, name="y")])
        assert (await scene.step() or 0) > GAP, "another link is no reason to hurry"
        scene.follow(trouble)
        await scene.wait(GAP)
        assert len(scene.runs.begun) == before + 1

    run(test())


def test_it_wakes_up_by_itself_and_ends_clean() -> None:
    async def test() -> None:
        scene = Scene(HOME)
        task = asyncio.create_task(scene.reconciler.run())
        scene.follow(record("eth1", WEB))
        await settle()
        scene.lives.become(WEB, Life.DEAD)
        await settle()
        assert scene.runs.begun == []
        scene.clock.now += GRACE
        scene.lives.wake()
        await settle()
        assert scene.runs.devices == ["eth1"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert scene.lives.followed == ()

    run(test())


HOLDERS = tuple(dataclasses.replace(WEB, container=letter * 64) for letter in "abcd")
EVENTS = st.one_of(
    st.tuples(st.just("record"), st.sampled_from(("eth1", "eth2")), st.sampled_from(Phase)),
    st.tuples(st.just("gone"), st.sampled_from(("eth1", "eth2"))),
    st.tuples(st.just("life"), st.sampled_from(HOLDERS), st.sampled_from(Life)),
    st.tuples(st.just("kubelet"), st.sampled_from((NOBODY, used("eth1"), join(None, [])))),
    st.tuples(st.just("lock"), st.sampled_from(("eth1", "eth2"))),
    st.tuples(st.just("time"), st.floats(0.01, 30)),
)


class World:
    """Something that can happen at any time does, in any order."""

    def __init__(self, pick: Callable[[int], int]) -> None:
        self.scene = Scene()
        self.records: dict[str, Attachment] = {}
        self.pick = pick
        self.wrong: list[str] = []
        self.scene.runs.check = self._check

    def _check(self, device: str) -> None:
        """Whether the mover may be run now; a failure in its task would be seen by nobody."""
        if device in self.forbidden():
            self.wrong.append(device)

    async def happen(self, event: tuple[object, ...]) -> None:
        match event:
            case ("record", str(device), Phase() as phase):
                holders = HOLDERS[: self.pick(3)] if device == "eth1" else HOLDERS[2:]
                self.records[device] = record(device, *holders, phase=phase)
            case ("gone", str(device)):
                self.records.pop(device, None)
            case ("life", Holder() as holder, Life() as life):
                self.scene.lives.become(holder, life)
            case ("kubelet", Usage() as usage):
                self.scene.reconciler.hear(usage)
            case ("lock", str(device)):
                self.scene.locks ^= {device}
            case ("time", float(seconds)):
                await self.scene.wait(seconds)
        self.scene.follow(*self.records.values())
        await self.scene.step()

    def forbidden(self) -> set[str]:
        """Who has a live holder, or one that nobody sees, or a mover at work."""
        return {
            device
            for device, one in self.records.items()
            if one.phase is Phase.ATTACHED
            and any(self.scene.lives.seen(h).life is not Life.DEAD for h in one.holders)
        } | {
            device
            for device, one in self.records.items()
            if device in self.scene.locks and one.phase not in (Phase.LOST, Phase.STRANDED)
        }


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=30), st.randoms(use_true_random=False))
def test_whatever_happens_no_link_is_taken_from_who_may_live_and_there_is_no_storm(
    events: list[tuple[object, ...]], random: Random
) -> None:
    async def test() -> None:
        world = World(lambda most: random.randint(1, most))
        for event in events:
            await world.happen(event)
        await world.scene.wait(100_000)
        assert world.wrong == []
        begun = world.scene.runs.begun
        for device in ("eth1", "eth2"):
            times = sorted(when for when, name in begun if name == device)
            assert all(b - a >= GAP - 1e-6 for a, b in itertools.pairwise(times))
            late = [when for when in times if when > world.scene.clock.now - 90_000]
            assert len(late) <= 90_000 / 300 + 1

    run(test())
