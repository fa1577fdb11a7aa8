"""Containers that end without poststop, on the kernel that runs: their links come home."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from netdevice_plugin import attachments, mover
from netdevice_plugin.loans import returns
from netdevice_plugin.loans.holders import Holders
from netdevice_plugin.loans.reclaiming import reclaim
from netdevice_plugin.loans.reconcile import GRACE
from netdevice_plugin.loans.reconciler import Reconciler
from netdevice_plugin.look import View
from netdevice_plugin.model import Snapshot
from tests.kernel.mover.dump import Dump, assert_same, settled
from tests.kernel.mover.harness import Container, Containers, Mover, identity, unmount
from tests.kernel.scratch import Netns
from tests.unit.loans.made import Told

LINKS = tuple(f"lend{number}" for number in range(8))


class Clock:
    """The real one, put forward where a test would have to wait."""

    def __init__(self) -> None:
        self.forward = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.forward


@pytest.fixture
def lent(host: Netns, tmp_path: Path) -> Iterator[Mover]:
    """The mover as it is shipped, and links to lend."""
    host.sysctl("ipv6/conf/default/accept_dad", "0")
    for name in LINKS:
        host.batch(
            [
                f"link add {name} type veth peer name {name}p",
                f"link set {name}p up",
                f"link set {name} mtu 1400 up",
                f"addr add 10.{name[4:]}.0.5/24 dev {name}",
            ]
        )
    yield Mover(mover.BUNDLED, host, tmp_path / "run")
    unmount(tmp_path)


@pytest.fixture
def containers() -> Iterator[Containers]:
    started = Containers()
    yield started
    started.end()


def lend(lent: Mover, link: str, container: Container) -> None:
    lent.attach(container, *identity(lent.host, link), device=link).ok()


class Agent:
    """A reconciler with everything real, in the host's namespace but for the loop."""

    def __init__(self, lent: Mover, tmp_path: Path) -> None:
        self.run_dir = lent.run_dir
        wrapper = tmp_path / "mover"
        wrapper.write_text(
            f'#!/bin/sh\nexec nsenter --net={lent.host.path} -- {lent.binary} "$@"\n'
        )
        wrapper.chmod(0o755)
        self.clock = Clock()
        self.told = Told()
        self.reconciler = Reconciler(
            holders=Holders,
            reclaim=functools.partial(reclaim, run_dir=lent.run_dir, path=wrapper),
            locked=functools.partial(returns.locked, lent.run_dir),
            observer=self.told,
            changed=lambda: None,
            clock=self.clock,
        )

    def look(self) -> tuple[str, ...]:
        """Read the records and pass them on; the devices that are lent."""
        records, problems = attachments.load(self.run_dir)
        assert problems == ()
        self.reconciler.follow(View(snapshot=Snapshot(), attachments=records))
        return tuple(one.device for one in records)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Agent:
        self.look()
        self.task = asyncio.create_task(self.reconciler.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


def run(test: Coroutine[object, object, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(limited())


def ready(lent: Mover) -> Dump:
    return settled(lent.host)


def test_all_links_of_containers_that_were_killed_come_home_and_the_others_stay(
    lent: Mover, containers: Containers, tmp_path: Path
) -> None:
    before = ready(lent)
    started = {link: containers.alone() for link in LINKS}
    for link, container in started.items():
        lend(lent, link, container)
    survivor = LINKS[-1]

    async def test() -> None:
        async with Agent(lent, tmp_path) as agent:
            for link, container in started.items():
                if link != survivor:
                    container.end()
            await asyncio.sleep(0.1)
            assert agent.look() == LINKS, "the runtime has its time first"
            agent.clock.forward += GRACE
            await agent.until(lambda: agent.look() == (survivor,))
            await agent.until(lambda: agent.told.codes == [0] * (len(LINKS) - 1))
            assert agent.told.died == len(LINKS) - 1

    run(test())
    assert survivor in started[survivor].netns.links()
    started[survivor].end()
    lent.reclaim(device=survivor).ok()
    assert lent.leftovers() == []
    assert_same(lent.host, before)


def test_within_seconds_and_without_a_hand_being_lifted(
    lent: Mover, containers: Containers, tmp_path: Path
) -> None:
    container = containers.alone()
    lend(lent, "lend0", container)

    async def test() -> None:
        async with Agent(lent, tmp_path):
            began = time.monotonic()
            container.end()
            while "lend0" not in lent.host.links():
                await asyncio.sleep(0.05)
            assert GRACE - 0.1 < time.monotonic() - began < GRACE + 5

    run(test())
    assert lent.leftovers() == []


def test_what_a_killed_mover_left_is_ended(
    lent: Mover, containers: Containers, tmp_path: Path
) -> None:
    before = ready(lent)
    container = containers.alone()
    lend(lent, "lend0", container)
    record = lent.run_dir / "attachments" / "lend0"
    record.write_text(record.read_text().replace("phase=attached", "phase=returning"))

    async def test() -> None:
        async with Agent(lent, tmp_path) as agent:
            agent.clock.forward += GRACE
            await agent.until(lambda: agent.look() == ())

    run(test())
    assert lent.leftovers() == []
    assert_same(lent.host, before)


def test_a_stranded_link_is_put_right_when_its_name_is_free(
    lent: Mover, containers: Containers, tmp_path: Path
) -> None:
    before = ready(lent)
    container = containers.alone()
    lend(lent, "lend0", container)
    lent.host.ip("link", "add", "lend0", "type", "veth", "peer", "name", "clash1")
    container.end()

    async def test() -> None:
        async with Agent(lent, tmp_path) as agent:
            agent.clock.forward += GRACE
            await agent.until(lambda: len(agent.told.codes) == 1)
            assert agent.told.codes == [1]
            agent.look()
            lent.host.ip("link", "del", "lend0")
            agent.clock.forward += 15
            await agent.until(lambda: agent.look() == ())

    run(test())
    assert lent.leftovers() == []
    assert_same(lent.host, before)


def test_a_mover_that_works_on_the_device_is_not_disturbed(
    lent: Mover, containers: Containers, tmp_path: Path
) -> None:

    container = containers.alone()
    lend(lent, "lend0", container)
    container.end()

    async def test() -> None:
        async with Agent(lent, tmp_path) as agent:
            with (lent.run_dir / "locks" / "lend0").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                agent.clock.forward += 2 * GRACE
                agent.look()
                await asyncio.sleep(0.2)
                assert agent.told.codes == []
            agent.look()
            await agent.until(lambda: agent.told.codes == [0])
            assert agent.look() == ()

    run(test())
    assert lent.leftovers() == []
