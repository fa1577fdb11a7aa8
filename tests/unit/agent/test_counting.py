"""Virtual functions are there before anything is offered, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from netdevice_plugin.agent import counting
from netdevice_plugin.agent.counting import Counting, Records
from netdevice_plugin.model import (
    Interface,
    PciDevice,
    PhysicalFunction,
    Snapshot,
    VirtualFunction,
)
from netdevice_plugin.offering import InUse
from netdevice_plugin.provisioning import PfCount

PF = "0000:03:00.0"
WANTED = (PfCount(pf="eth0", num_vfs=2),)


def snapshot(vfs: int = 0, bare: int = 0, number: int = 0) -> Snapshot:
    pf = Interface(
        ifindex=2,
        name="eth0",
        pci=PciDevice(address=PF, driver="igb"),
        pf=PhysicalFunction(total_vfs=7, num_vfs=number),
    )
    links = [
        Interface(ifindex=3 + n, name=f"v{n}", vf=VirtualFunction(number=n, pf_address=PF))
        for n in range(vfs)
    ]
    functions = [
        Interface(ifindex=0, name="", vf=VirtualFunction(number=vfs + n, pf_address=PF))
        for n in range(bare)
    ]
    return Snapshot(interfaces=(pf, *links), functions=tuple(functions))


class Counts:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.faults: Mapping[str, str] = {}
        self.told: list[tuple[Sequence[PfCount], Snapshot]] = []
        self.given: Collection[str] = ()
        self.heard = asyncio.Event()
        self.closed = False

    async def follow(
        self,
        counts: Sequence[PfCount],
        snapshot: Snapshot,
        records: Records,
        given: Collection[str] = (),
    ) -> None:
        self.told.append((counts, snapshot))
        self.given = given
        self.heard.set()

    def close(self) -> None:
        self.closed = True


def first(counts: Counts, *looks: Snapshot, wanted: Sequence[PfCount] = WANTED) -> None:
    """Run `first` on a kernel that shows these one after the other, and the last for ever."""
    left = list(looks)

    async def run() -> None:
        stirred = asyncio.Event()

        def seen() -> Snapshot:
            asyncio.get_running_loop().call_soon(stirred.set)
            return left.pop(0) if len(left) > 1 else left[0]

        await Counting(counts, dict).first(wanted, seen, stirred)

    asyncio.run(run())


@pytest.fixture
def counts() -> Counts:
    return Counts()


def test_a_number_that_is_another_is_not_changed_at_first(counts: Counts) -> None:
    first(counts, snapshot(number=1))
    first(counts, snapshot(number=2))
    assert counts.told == [(WANTED, snapshot(number=2))]


def test_nothing_is_awaited_where_nothing_is_wanted(counts: Counts) -> None:
    first(counts, snapshot(), wanted=())
    assert counts.told == []


@pytest.mark.parametrize("last", [snapshot(vfs=2), snapshot(bare=2), snapshot(vfs=1, bare=1)])
def test_it_returns_once_all_are_in_sight_with_links_or_without(
    counts: Counts, last: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    first(counts, snapshot(), snapshot(), snapshot(vfs=1), last)
    assert counts.told == [(WANTED, snapshot())]
    assert not caplog.records


def test_what_cannot_be_made_is_not_awaited(
    counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    counts.faults = {"eth0": "it can have 1 virtual function, not 2"}
    first(counts, snapshot())
    assert not caplog.records


def test_what_does_not_come_is_told_and_not_awaited_for_ever(
    counts: Counts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "APPEARANCE", 0.05)
    first(counts, snapshot(vfs=1))
    assert [one.message for one in caplog.records] == ["Virtual functions have not appeared"]


def test_a_driver_that_hangs_keeps_nothing_else_waiting(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Counts):
        async def follow(self, *_: object) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(counting, "PATIENCE", 0.05)
    first(Hanging(), snapshot())
    assert [one.message for one in caplog.records] == ["Virtual functions take long to make"]


def test_what_goes_wrong_at_first_is_raised() -> None:
    class Failing(Counts):
        async def follow(self, *_: object) -> None:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        first(Failing(), snapshot())


def following(test: Callable[[Counting, Counts], None]) -> list[tuple[Sequence[PfCount], Snapshot]]:
    async def run() -> list[tuple[Sequence[PfCount], Snapshot]]:
        counts = Counts()
        followed = Counting(counts, dict)
        task = asyncio.create_task(followed.run())
        test(followed, counts)
        await asyncio.wait_for(counts.heard.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert counts.closed
        return counts.told

    return asyncio.run(run())


def test_a_change_is_followed_and_of_several_the_last() -> None:
    def test(followed: Counting, _: Counts) -> None:
        followed.look((), snapshot(), InUse())
        followed.look(WANTED, snapshot(), InUse())
        followed.look(WANTED, snapshot(vfs=1), InUse())

    assert following(test) == [(WANTED, snapshot(vfs=1))]


def in_use(asked: float, *, known: bool = True) -> InUse:
    """What was answered to a question of that time."""
    names = {"networking.k8s.io/vf": frozenset({"v0"}), "networking.k8s.io/x": frozenset({"x"})}
    return InUse(devices=names, known=known, asked=asked)


def test_a_number_is_changed_only_when_it_was_asked_since_what_pods_have() -> None:
    async def run() -> None:
        counts = Counts()
        followed = Counting(counts, dict, clock=lambda: 100.0)
        task = asyncio.create_task(followed.run())
        for answer in (in_use(99.0), in_use(100.0), in_use(101.0, known=False)):
            followed.look(WANTED, snapshot(number=1), answer)
            assert (followed.waits, followed.unsure) == (True, True)
            await asyncio.sleep(0)
        assert not counts.told
        followed.look(WANTED, snapshot(number=1), in_use(101.0))
        assert (followed.waits, followed.unsure) == (True, False)
        await asyncio.wait_for(counts.heard.wait(), 5)
        assert counts.given == {"v0", "x"}
        followed.look(WANTED, snapshot(number=2), in_use(101.0))
        assert (followed.waits, followed.unsure) == (False, False)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
