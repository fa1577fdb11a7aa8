from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

from netdevice_plugin import inventory
from netdevice_plugin.inventory import live
from netdevice_plugin.inventory.rtnl import InterruptedDumpError
from netdevice_plugin.model import Snapshot
from tests.kernel.scratch import Netns

Result = TypeVar("Result")
Stream = AsyncIterator[Snapshot]


def run(host: Netns, body: Callable[[], Awaitable[Result]]) -> Result:
    """Run an event loop in the namespace; nothing here takes more than ten seconds."""

    async def bounded() -> Result:
        return await asyncio.wait_for(body(), 10)

    return host.call(lambda: asyncio.run(bounded()))


async def until(stream: Stream, wanted: Callable[[Snapshot], bool]) -> list[Snapshot]:
    """Collect what is published up to the first snapshot that is as wanted."""
    seen = []
    async for snapshot in stream:
        seen.append(snapshot)
        if wanted(snapshot):
            return seen
    raise AssertionError("the stream ended")


def has(name: str) -> Callable[[Snapshot], bool]:
    return lambda snapshot: snapshot.named(name) is not None


def lacks(name: str) -> Callable[[Snapshot], bool]:
    return lambda snapshot: snapshot.named(name) is None


def addressed(name: str, address: str) -> Callable[[Snapshot], bool]:
    def check(snapshot: Snapshot) -> bool:
        link = snapshot.named(name)
        return link is not None and address in {a.address for a in link.addresses}

    return check


def test_what_there_is_comes_at_once(host: Netns) -> None:
    host.ip("link", "add", "eth1", "type", "ifb")

    async def body() -> Snapshot:
        return await anext(inventory.stream())

    assert run(host, body).named("eth1")


def test_every_kind_of_change_is_published(host: Netns) -> None:
    async def body() -> None:
        stream = inventory.stream()
        await anext(stream)
        for command, wanted in (
            ("link add eth1 type veth peer name eth2", has("eth1")),
            ("link set eth1 name eth9", lacks("eth1")),
            ("link set eth9 up", lambda s: s.named("eth9").up),
            ("link property add dev eth9 altname other", has("other")),
            ("link set eth9 mtu 1300", lambda s: s.named("eth9").mtu == 1300),
            ("addr add 192.0.2.1/24 dev eth9", addressed("eth9", "192.0.2.1")),
            ("addr add 2001:db8::1/64 dev eth9", addressed("eth9", "2001:db8::1")),
            ("route add default via 192.0.2.2", lambda s: reason(s, "eth9") != ""),
            ("route del default", lambda s: reason(s, "eth9") == ""),
            ("-6 route add default dev eth9", lambda s: reason(s, "eth9") != ""),
            ("-6 route del default", lambda s: reason(s, "eth9") == ""),
            ("addr del 192.0.2.1/24 dev eth9", lambda s: not addressed("eth9", "192.0.2.1")(s)),
            ("link del eth9", lacks("eth9")),
        ):
            await asyncio.to_thread(host.ip, *command.split())
            await until(stream, wanted)

    run(host, body)


def reason(snapshot: Snapshot, name: str) -> str:
    link = snapshot.named(name)
    assert link is not None
    return snapshot.reason(link.ifindex)


def test_a_nexthop_that_changes_is_published(host: Netns) -> None:
    """With the compatibility off the kernel tells of the nexthop, and not of its routes."""
    host.sysctl("ipv4/nexthop_compat_mode", "0")
    host.batch(
        [
            *(f"link add eth{n} type veth peer name p{n}" for n in (1, 2)),
            *(f"link set {name} up" for name in ("eth1", "eth2", "p1", "p2")),
            "nexthop add id 1 dev eth1",
            "route add default nhid 1",
        ]
    )

    async def body() -> None:
        stream = inventory.stream()
        await until(stream, lambda s: reason(s, "eth1") == "carries the IPv4 default route")
        await asyncio.to_thread(host.ip, "nexthop", "replace", "id", "1", "dev", "eth2")
        await until(stream, lambda s: reason(s, "eth2") == "carries the IPv4 default route")

    run(host, body)


def test_the_last_removal_is_published(host: Netns) -> None:
    host.ip("link", "add", "eth1", "type", "ifb")

    async def body() -> Snapshot:
        stream = inventory.stream()
        await anext(stream)
        await asyncio.to_thread(host.ip, "link", "del", "eth1")
        return (await until(stream, lacks("eth1")))[-1]

    assert [i.name for i in run(host, body).interfaces] == ["lo"]


def test_a_burst_is_one_snapshot_or_a_few(host: Netns) -> None:
    burst = [f"link add b{n} type ifb" for n in range(60)]

    async def body() -> list[Snapshot]:
        stream = live.stream(coalesce=0.2)
        await anext(stream)
        await asyncio.to_thread(host.batch, burst)
        return await until(stream, has("b59"))

    assert len(run(host, body)) < 10


def counting(reads: list[float], failures: Iterator[Exception]) -> Callable[..., Snapshot]:
    """A reader that fails as scripted, and otherwise reads."""

    def read(**options: object) -> Snapshot:
        reads.append(time.monotonic())
        for error in failures:
            raise error
        return inventory.snapshot()

    return read


def test_what_changes_nothing_is_not_published(host: Netns) -> None:
    """A change and its undoing within one look; and routes that a routing daemon has."""
    reads: list[float] = []
    host.batch(["link add eth1 type veth peer name eth2", "link set eth1 up", "link set eth2 up"])

    async def body() -> list[Snapshot]:
        stream = live.stream(coalesce=0.3, read=counting(reads, iter(())))
        await anext(stream)
        task = asyncio.create_task(until(stream, has("end")))
        flap = ["link add flap type ifb", "link del flap"]
        await asyncio.to_thread(host.batch, flap)
        await asyncio.to_thread(host.ip, "link", "add", "end", "type", "ifb")
        return await task

    assert "flap" not in {i.name for snapshot in run(host, body) for i in snapshot.interfaces}


def test_a_routing_daemons_routes_cause_no_reading(host: Netns) -> None:
    reads: list[float] = []
    host.batch(["link add eth1 type ifb", "link set eth1 up"])
    routes = [f"route add 10.{n}.0.0/16 dev eth1 proto bgp" for n in range(200)]

    async def body() -> None:
        stream = live.stream(read=counting(reads, iter(())))
        last = await anext(stream)
        # eth1's own address is settled once nothing is tentative.
        while any(a.flags & 0x40 for i in last.interfaces for a in i.addresses):
            last = await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        reads.clear()
        await asyncio.to_thread(host.batch, routes)
        await asyncio.to_thread(host.ip, "link", "add", "end", "type", "ifb")
        assert (await waiting).named("end")

    run(host, body)
    assert len(reads) == 1


def test_a_socket_that_overran_is_followed_by_a_new_reading(host: Netns) -> None:
    """The consumer sleeps while far more happens than the socket can hold."""

    host.ip("link", "add", "eth1", "type", "ifb")
    flood = [f"addr {verb} 192.0.2.{n}/32 dev eth1" for n in range(200) for verb in ("add", "del")]

    async def body() -> Snapshot:
        stream = live.stream(receive_buffer=1)  # the kernel makes it some 2 KiB
        await anext(stream)
        await asyncio.to_thread(host.batch, [*flood, "addr add 198.51.100.1/32 dev eth1"])
        return await anext(stream)

    link = run(host, body).named("eth1")
    assert link is not None
    assert [a.address for a in link.addresses] == ["198.51.100.1"]


def test_a_kernel_too_busy_for_a_list_is_asked_again(host: Netns) -> None:
    """And without a change: it is our reading that is missing."""
    reads: list[float] = []
    busy = iter([InterruptedDumpError("cannot list links")])

    async def body() -> Snapshot:
        return await anext(live.stream(read=counting(reads, busy)))

    assert run(host, body).named("lo")
    assert len(reads) == 2


def test_a_reading_does_not_hold_up_the_event_loop(host: Netns) -> None:
    def slow(**options: object) -> Snapshot:
        time.sleep(0.3)
        return Snapshot()

    async def body() -> float:
        longest, last = 0.0, time.monotonic()
        task = asyncio.ensure_future(anext(live.stream(read=slow)))
        while not task.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        await task
        return longest

    assert run(host, body) < 0.2


def test_a_stream_that_is_cancelled_leaves_nothing_open(host: Netns) -> None:
    async def body() -> None:
        stream = live.stream()
        await anext(stream)
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(host, body)  # a socket that is left open is a ResourceWarning, and an error here
