from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from netdevice_plugin import inventory
from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import live, rtnl
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


def reason(snapshot: Snapshot, name: str) -> str:
    link = snapshot.named(name)
    assert link is not None
    return snapshot.reason(link.ifindex)


def has_mtu(name: str, mtu: int) -> Callable[[Snapshot], bool]:
    return lambda snapshot: any((i.name, i.mtu) == (name, mtu) for i in snapshot.interfaces)


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
            ("link set eth9 mtu 1300", has_mtu("eth9", 1300)),
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


@pytest.fixture
def quiet(host: Netns) -> Netns:
    """Two links that are up, in a namespace where nothing happens by itself."""
    host.sysctl("ipv6/conf/default/accept_dad", "0")
    host.sysctl("ipv6/conf/default/addr_gen_mode", "1")
    host.batch(
        [
            "link add eth1 type ifb",
            "link add eth2 type ifb",
            "link set eth1 addrgenmode none up",
            "link set eth2 addrgenmode none up",
        ]
    )
    return host


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("addr add 192.0.2.1/32 dev eth1", addressed("eth1", "192.0.2.1")),
        (
            "addr add 2001:db8::1/128 dev eth1 nodad noprefixroute",
            addressed("eth1", "2001:db8::1"),
        ),
        ("route add default dev eth1 table 9", lambda s: reason(s, "eth1") != ""),
        ("-6 route add default dev eth1 table 9", lambda s: reason(s, "eth1") != ""),
        ("link set eth1 mtu 1300", has_mtu("eth1", 1300)),
    ],
)
def test_an_event_that_comes_alone_is_enough(
    quiet: Netns, command: str, wanted: Callable[[Snapshot], bool]
) -> None:
    """These addresses bring no route along that would be told as well."""

    async def body() -> Snapshot:
        stream = inventory.stream()
        assert not wanted(await anext(stream))
        await asyncio.to_thread(quiet.ip, *command.split())
        return await anext(stream)

    assert wanted(run(quiet, body))


def test_a_nexthop_that_changes_is_published(quiet: Netns) -> None:
    """With the compatibility off the kernel tells of the nexthop, and not of its routes."""
    quiet.sysctl("ipv4/nexthop_compat_mode", "0")
    quiet.batch(["nexthop add id 1 dev eth1", "route add default nhid 1"])

    async def body() -> list[str]:
        stream = inventory.stream()
        before = await anext(stream)
        await asyncio.to_thread(quiet.ip, "nexthop", "replace", "id", "1", "dev", "eth2")
        return [reason(s, link) for s in (before, await anext(stream)) for link in ("eth1", "eth2")]

    carries = "carries the IPv4 default route"
    assert run(quiet, body) == [carries, "", "", carries]


def test_the_last_removal_is_published(host: Netns) -> None:
    host.ip("link", "add", "eth1", "type", "ifb")

    async def body() -> Snapshot:
        stream = inventory.stream()
        await anext(stream)
        await asyncio.to_thread(host.ip, "link", "del", "eth1")
        return (await until(stream, lacks("eth1")))[-1]

    assert [i.name for i in run(host, body).interfaces] == ["lo"]


class Reader:
    """Reads, counts how often, and may take its time or fail at first."""

    def __init__(self, *failures: Exception, seconds: float = 0) -> None:
        self.reads = 0
        self._failures = list(failures)
        self._seconds = seconds
        self._done = threading.Condition()

    def __call__(self, **options: object) -> Snapshot:
        time.sleep(self._seconds)
        try:
            if self._failures:
                raise self._failures.pop()
            return inventory.snapshot()
        finally:
            with self._done:
                self.reads += 1
                self._done.notify_all()

    def wait(self, reads: int) -> None:
        """Return when it has read so often."""
        with self._done:
            assert self._done.wait_for(lambda: self.reads >= reads, 10)


def test_a_burst_is_read_once(quiet: Netns) -> None:
    reader = Reader()

    async def body() -> list[Snapshot]:
        stream = live.stream(coalesce=0.3, read=reader)
        await anext(stream)
        waiting = asyncio.ensure_future(until(stream, has_mtu("eth1", 1309)))
        for mtu in range(1300, 1310):
            await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", str(mtu))
        seen = await waiting
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.5)  # time enough to read once more what has been read
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1400")
        return [*seen, await following]

    assert len(run(quiet, body)) == 2
    assert reader.reads == 3


def test_what_changes_nothing_is_not_published(quiet: Netns) -> None:
    reader = Reader()

    async def body() -> Snapshot:
        stream = live.stream(read=reader)
        await anext(stream)
        following = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "txqueuelen", "77")
        await asyncio.to_thread(reader.wait, 2)
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1300")
        return await following

    found = run(quiet, body).named("eth1")
    assert found is not None
    assert found.mtu == 1300


def test_a_routing_daemons_routes_cause_no_reading(quiet: Netns) -> None:
    reader = Reader()
    routes = [f"route add 10.{n}.0.0/16 dev eth1 proto bgp" for n in range(200)]

    async def body() -> None:
        stream = live.stream(read=reader)
        await anext(stream)
        following = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(quiet.batch, routes)
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1300")
        await following

    run(quiet, body)
    assert reader.reads == 2


def test_reading_takes_a_share_of_the_time_while_changes_do_not_end(quiet: Netns) -> None:
    reader = Reader(seconds=0.1)

    async def body() -> None:
        stream = live.stream(coalesce=0, read=reader)
        await anext(stream)
        following = asyncio.ensure_future(until(stream, has_mtu("eth1", 1400)))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "txqueuelen", "77")
            await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "txqueuelen", "78")
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1400")
        await following

    run(quiet, body)
    assert reader.reads <= 6


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
    reader = Reader(InterruptedDumpError("cannot list links"))

    async def body() -> Snapshot:
        return await anext(live.stream(read=reader))

    assert run(host, body).named("lo")
    assert reader.reads == 2


def test_a_kernel_that_cannot_be_read_ends_the_stream(host: Netns) -> None:
    reader = Reader(InventoryError("cannot list links: Operation not permitted"))

    async def body() -> Snapshot:
        return await anext(live.stream(read=reader))

    with pytest.raises(InventoryError, match="not permitted"):
        run(host, body)


def test_a_reading_does_not_hold_up_the_event_loop(host: Netns) -> None:
    async def body() -> float:
        longest, last = 0.0, time.monotonic()
        task = asyncio.ensure_future(anext(live.stream(read=Reader(seconds=0.5))))
        while not task.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        await task
        return longest

    assert run(host, body) < 0.4


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


def test_uevents_are_heard_in_any_namespace(host: Netns) -> None:
    """Those of the bus below need hardware that comes and goes; a link makes some too."""

    def listen() -> bytes:
        sock = rtnl.uevents()
        assert sock is not None
        with sock:
            host.ip("link", "add", "eth1", "type", "ifb")
            return sock.recv(rtnl.EVENT)

    assert b"\0SUBSYSTEM=net\0" in host.call(listen)
