"""CDI files first, then the kubelet, whatever the directory does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from netdevice_plugin.agent.publishing import Publishing
from netdevice_plugin.cdistore import State
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Interface, Listed, Pool
from netdevice_plugin.offering import Listing, Offering
from netdevice_plugin.operations.health import Readiness
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.operations.notify import Notifier

POOL = Pool(name="netdevice")
KIND = POOL.kind
CONFIG = Config()
PROBLEM = "/run/cdi/networking.k8s.io-netdevice.json: Read-only file system"


class Store:
    """A directory that takes files, or refuses them, or hangs."""

    def __init__(self) -> None:
        self.state = State()
        self.refused = ""
        self.left_out: frozenset[str] = frozenset()
        self.writes = 0
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, wanted: Mapping[Pool, Sequence[Device]], config: Config) -> State:
        self.writes += 1
        await self.free.wait()
        known = {
            pool.kind: frozenset(one.name for one in devices) - self.left_out
            for pool, devices in wanted.items()
        }
        if self.refused:
            old = self.state.known
            both = {kind: names & old.get(kind, frozenset()) for kind, names in known.items()}
            self.state = State(known=both, problems=(self.refused,))
        else:
            self.state = State(known=known, settled=True)
        return self.state

    def known(self, kind: str) -> frozenset[str]:
        return self.state.known.get(kind, frozenset())


class Servers:
    """Notes what is published."""

    def __init__(self) -> None:
        self.lists: list[dict[str, str]] = []

    def publish(
        self, _listings: Mapping[str, Listing], lists: Mapping[str, Sequence[Listed]]
    ) -> None:
        self.lists.append({one.device.name: one.fault for one in lists[KIND]})


class Scene:
    """A publisher with what is around it."""

    def __init__(self) -> None:
        self.store = Store()
        self.servers = Servers()
        self.stirred = asyncio.Event()
        self.readiness = Readiness(("cdi",))
        self.publishing = Publishing(
            store=self.store,
            servers=self.servers,  # type: ignore[arg-type]
            metrics=Metrics(Path("/nonexistent")),
            readiness=self.readiness,
            notifier=Notifier({}),
            stirred=self.stirred.set,
            patience=0.05,
        )

    async def say(self, offering: Offering) -> dict[str, str]:
        """Say it, and return the kubelet's list: faults by device."""
        await self.publishing.say(offering, CONFIG)
        return self.servers.lists[-1]


def offering(*names: str, mtu: int = 1500, **faults: str) -> Offering:
    devices = [
        Listed(
            device=Device(
                name=name, pool=POOL.name, interface=Interface(ifindex=1, name=name, mtu=mtu)
            ),
            fault=faults.get(name, ""),
        )
        for name in (*names, *faults)
    ]
    return Offering(listings={KIND: Listing(pool=POOL, devices=tuple(devices))})


def test_what_is_in_a_file_is_healthy_and_what_has_a_fault_is_not() -> None:
    async def play() -> None:
        here = Scene()
        assert not here.publishing.began
        assert await here.say(offering("eth1", eth2="gone")) == {"eth1": "", "eth2": "gone"}
        assert here.publishing.began
        assert here.readiness.check().ok

    asyncio.run(play())


def test_the_same_again_writes_nothing() -> None:
    async def play() -> None:
        here = Scene()
        same = offering("eth1")
        for _ in range(3):
            await here.say(same)
        assert here.store.writes == 1

    asyncio.run(play())


def test_a_directory_that_refuses_is_tried_again_at_each_turn_and_named() -> None:
    async def play() -> None:
        here = Scene()
        await here.say(offering("eth1"))
        here.store.refused = PROBLEM
        both = offering("eth1", "eth2")
        expected = {"eth1": "", "eth2": f"it is not in a CDI file: {PROBLEM}"}
        assert await here.say(both) == expected
        assert not here.readiness.check().ok
        here.store.refused = ""
        assert await here.say(both) == {"eth1": "", "eth2": ""}
        assert here.readiness.check().ok

    asyncio.run(play())


def test_of_thousands_of_problems_the_devices_own_is_the_reason() -> None:
    async def play() -> None:
        here = Scene()
        names = [f"eth{number}" for number in range(1000)]
        lines = tuple(f"{KIND}={name}: cannot be in a CDI file: its name" for name in names)
        here.store.left_out = frozenset(names)
        await here.say(offering(*names))
        here.store.state = State(known={}, problems=lines, settled=True)
        faults = await here.say(offering(*names, mtu=1500))
        assert all(len(fault) < 200 for fault in faults.values())

    asyncio.run(play())


def test_a_directory_that_hangs_keeps_the_kubelet_from_nothing_that_is_sure() -> None:
    async def play() -> None:
        here = Scene()
        await here.say(offering("eth1", "eth2", "eth3"))
        here.store.free.clear()
        now = Offering(
            listings={
                KIND: Listing(
                    pool=POOL,
                    devices=(
                        *offering("eth1").listings[KIND].devices,
                        *offering("eth2", mtu=9000).listings[KIND].devices,  # described otherwise
                        *offering(eth3="its link is gone").listings[KIND].devices,
                        *offering("eth4").listings[KIND].devices,
                    ),
                )
            }
        )
        hangs = "it is not in a CDI file: the CDI directory does not answer"
        expected = {"eth1": "", "eth2": hangs, "eth3": "its link is gone", "eth4": hangs}
        for _ in range(3):
            assert await here.say(now) == expected
        assert here.store.writes == 2  # one waits, and no more
        assert not here.readiness.check().ok
        here.store.free.set()
        await here.stirred.wait()
        assert await here.say(now) == {**dict.fromkeys(expected, ""), "eth3": "its link is gone"}
        assert here.readiness.check().ok

    asyncio.run(play())


def test_what_came_while_it_hung_is_written_afterwards() -> None:
    async def play() -> None:
        here = Scene()
        here.store.free.clear()
        await here.say(offering("eth1"))
        later = offering("eth2")
        await here.say(later)
        here.store.free.set()
        await here.stirred.wait()
        assert await here.say(later) == {"eth2": ""}
        assert here.store.writes == 2

    asyncio.run(play())


def test_a_bug_of_the_store_is_not_silenced() -> None:
    async def play() -> None:
        here = Scene()

        async def broken(_wanted: object, _config: object) -> State:
            raise ZeroDivisionError

        here.store.write = broken  # type: ignore[method-assign, assignment]
        with pytest.raises(ZeroDivisionError):
            await here.say(offering("eth1"))

    asyncio.run(play())
