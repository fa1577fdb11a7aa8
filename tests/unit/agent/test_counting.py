"""Virtual functions are there before anything is offered, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

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
from netdevice_plugin.provisioning import PfCount

PF = "0000:03:00.0"
WANTED = (PfCount(pf="eth0", num_vfs=2),)


def snapshot(vfs: int = 0, bare: int = 0) -> Snapshot:
    pf = Interface(
        ifindex=2,
        name="eth0",
        pci=PciDevice(address=PF, driver="igb"),
        pf=PhysicalFunction(total_vfs=7, num_vfs=0),
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
        self.heard = asyncio.Event()
        self.closed = False

    async def follow(self, counts: Sequence[PfCount], snapshot: Snapshot, _: Records) -> None:
        self.told.append((counts, snapshot))
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
        async def follow(self, counts: Sequence[PfCount], snapshot: Snapshot, _: Records) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(counting, "PATIENCE", 0.05)
    first(Hanging(), snapshot())
    assert [one.message for one in caplog.records] == ["Virtual functions take long to make"]


def test_what_goes_wrong_at_first_is_raised() -> None:
    class Failing(Counts):
        async def follow(self, counts: Sequence[PfCount], snapshot: Snapshot, _: Records) -> None:
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
        followed.look((), snapshot())
        followed.look(WANTED, snapshot())
        followed.look(WANTED, snapshot(vfs=1))

    assert following(test) == [(WANTED, snapshot(vfs=1))]
