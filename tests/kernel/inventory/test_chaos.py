"""What the stream shows must in the end be what is there, whatever happened on the way."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from netdevice_plugin import inventory
from netdevice_plugin.inventory import live
from netdevice_plugin.model import Interface, Protection, Snapshot
from tests.kernel.inventory.chaos import Chaos
from tests.kernel.scratch import Netns

PATIENCE = 10.0  # seconds; the kernel tells of a carrier up to one late


class Follower:
    """Keeps the last snapshot of a stream."""

    def __init__(self, receive_buffer: int) -> None:
        self.overruns = 0
        self.last = Snapshot()
        self._stream = live.stream(
            timing=live.Timing(revisit=None),
            receive_buffer=receive_buffer,
            on_overrun=self._overrun,
        )

    def _overrun(self) -> None:
        self.overruns += 1

    async def follow(self) -> None:
        async for snapshot in self._stream:
            self.last = snapshot


def told(snapshot: Snapshot) -> tuple[tuple[Interface, ...], tuple[Protection, ...]]:
    """All of a snapshot but what the kernel never tells of a link that is down."""
    links = (
        one if one.up else dataclasses.replace(one, alias="", altnames=())
        for one in snapshot.interfaces
    )
    return tuple(links), snapshot.protected


async def agree(follower: Follower) -> None:
    """Wait until the stream shows what there is; a change that was missed never will."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        fresh = await asyncio.to_thread(inventory.snapshot)
        if told(fresh) == told(follower.last):
            return
        if asyncio.get_running_loop().time() > end:
            assert told(follower.last) == told(fresh)
        await asyncio.sleep(0.02)


async def compare(chaos: Chaos, rounds: int, commands: int, receive_buffer: int) -> int:
    """Stir, and compare in each pause; returns how often the socket overran."""
    follower = Follower(receive_buffer)
    following = asyncio.create_task(follower.follow())
    for _ in range(rounds):
        await asyncio.to_thread(chaos.stir, commands)
        agreeing = asyncio.create_task(agree(follower))
        await asyncio.wait((agreeing, following), return_when=asyncio.FIRST_COMPLETED)
        await (following if following.done() else agreeing)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return follower.overruns


@pytest.fixture
def calm(host: Netns, pod: Netns) -> Netns:
    """Without duplicate address detection, which takes seconds."""
    for space in (host, pod):
        space.sysctl("ipv6/conf/default/accept_dad", "0")
    return host


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("compatible", "promote"), [("0", "0"), ("1", "1")])
def test_a_thousand_changes(
    calm: Netns, pod: Netns, seed: int, compatible: str, promote: str
) -> None:
    calm.sysctl("ipv4/nexthop_compat_mode", compatible)
    calm.sysctl("ipv4/conf/all/promote_secondaries", promote)
    chaos = Chaos(seed, calm, pod)
    overruns = calm.call(lambda: asyncio.run(compare(chaos, 40, 25, 2**20)))
    assert overruns == 0


def test_changes_that_are_not_heard(calm: Netns, pod: Netns) -> None:
    """The socket holds one message or two, so that most are lost."""
    chaos = Chaos(4, calm, pod)
    overruns = calm.call(lambda: asyncio.run(compare(chaos, 20, 25, 1)))
    assert overruns > 5


def test_changes_while_addresses_are_checked_for_duplicates(host: Netns, pod: Netns) -> None:
    chaos = Chaos(5, host, pod)
    host.call(lambda: asyncio.run(compare(chaos, 5, 60, 2**20)))
