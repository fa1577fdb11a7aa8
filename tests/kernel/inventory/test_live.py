from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from netdevice_plugin import inventory
from netdevice_plugin.errors import ConfigError, InventoryError
from netdevice_plugin.inventory import live, rtnl, source
from netdevice_plugin.inventory.mirror import Found, Mirror, Wants
from netdevice_plugin.inventory.rtnl import InterruptedDumpError
from netdevice_plugin.model import Snapshot
from tests.kernel.scratch import Netns

Result = TypeVar("Result")
Stream = AsyncIterator[Snapshot]

UNAIDED = live.Timing(revisit=None)  # what is missed stays so


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


@pytest.mark.parametrize(
    ("before", "command"),
    [
        pytest.param(
            ("addr add 192.0.2.1/24 dev eth1", "route add 10.0.0.0/8 via 192.0.2.2"),
            "addr del 192.0.2.1/24 dev eth1",
            id="routes-go-with-the-last-address",
        ),
        pytest.param(
            ("route add 10.0.0.0/8 dev eth1", "route add default dev eth2"),
            "link set eth1 down",
            id="routes-go-with-a-link-that-is-set-down",
        ),
        pytest.param(
            ("route add 10.0.0.0/8 nexthop dev eth1 nexthop dev eth2",),
            "link del eth1",
            id="multipath-routes-go-with-one-of-their-links",
        ),
        pytest.param(
            (
                "nexthop add id 1 dev eth1",
                "nexthop add id 2 dev eth2",
                "nexthop add id 3 group 1/2",
                "route add 10.0.0.0/8 nhid 3",
            ),
            "link set eth1 down",
            id="nexthop-objects-go-with-their-link",
        ),
        pytest.param(
            ("route add 10.0.0.0/8 dev eth1",),
            "route replace 10.0.0.0/8 dev eth2 proto bgp",
            id="a-routing-daemon-takes-a-route-over",
        ),
        pytest.param(
            ("link add eth3 type veth peer name eth4",),
            "link set eth4 netns {pod}",
            id="a-peer-moves-away",
        ),
        pytest.param(
            ("link add eth3 link eth1 type macvlan",),
            "link set eth1 netns {pod}",
            id="what-a-link-stands-on-moves-away",
        ),
        pytest.param(
            ("link add eth3 link eth1 type macvlan", "link set eth1 netns {pod}"),
            "-n {pod} link set eth1 netns {host}",
            id="what-a-link-stands-on-comes-back",
        ),
        pytest.param(
            ("link add br0 type bridge", "link set eth1 master br0"),
            "link del br0",
            id="a-bridge-leaves-its-port",
        ),
    ],
)
def test_what_the_kernel_does_not_say_follows_from_what_it_says(
    quiet: Netns, pod: Netns, before: Sequence[str], command: str
) -> None:
    def words(text: str) -> str:
        return text.format(pod=pod.name, host=quiet.name)

    quiet.batch([words(line) for line in before])

    async def body() -> None:
        stream = live.stream(timing=UNAIDED)
        first = await anext(stream)
        await asyncio.to_thread(quiet.ip, *words(command).split())
        after = await asyncio.to_thread(inventory.snapshot)
        assert after != first
        await until(stream, lambda snapshot: snapshot == after)

    run(quiet, body)


class Watched(Mirror):
    """A mirror that says how often it has been looked into."""

    def __init__(self, kernel: Kernel, listed: Mirror) -> None:
        vars(self).update(vars(listed))
        self._kernel = kernel

    def snapshot(self) -> Snapshot:
        self._kernel.looked()
        return super().snapshot()


class Kernel:
    """Asks, counts how often, and may take its time or fail at first."""

    def __init__(self, *failures: Exception, seconds: float = 0, work: float = 0) -> None:
        self.lists = 0
        self.looks = 0
        self._reader = source.Reader()
        self._failures = list(failures)
        self._seconds = seconds
        self._work = work
        self._more = threading.Condition()

    def mirror(self) -> Mirror:
        self.lists += 1
        time.sleep(self._seconds)
        if self._failures:
            raise self._failures.pop()
        return Watched(self, self._reader.mirror())

    def find(self, wants: Wants, /) -> Found:
        return self._reader.find(wants)

    def looked(self) -> None:
        end = time.thread_time() + self._work
        while time.thread_time() < end:
            pass
        with self._more:
            self.looks += 1
            self._more.notify_all()

    def wait(self, looks: int) -> None:
        """Return when it has been looked at so often."""
        with self._more:
            assert self._more.wait_for(lambda: self.looks >= looks, 10)


def test_all_is_read_once_and_from_then_on_what_changed(quiet: Netns) -> None:
    kernel = Kernel()

    async def body() -> None:
        stream = live.stream(kernel=kernel, timing=UNAIDED)
        await anext(stream)
        for command, wanted in (
            ("link add eth3 type veth peer name eth4", has("eth3")),
            ("addr add 192.0.2.1/24 dev eth1", addressed("eth1", "192.0.2.1")),
            ("route add default dev eth1", lambda s: reason(s, "eth1") != ""),
            ("link del eth3", lacks("eth4")),
        ):
            await asyncio.to_thread(quiet.ip, *command.split())
            await until(stream, wanted)

    run(quiet, body)
    assert kernel.lists == 1


def test_a_burst_is_one_snapshot(quiet: Netns) -> None:
    kernel = Kernel()

    async def body() -> list[Snapshot]:
        stream = live.stream(kernel=kernel, timing=live.Timing(coalesce=0.3, revisit=None))
        await anext(stream)
        waiting = asyncio.ensure_future(until(stream, has_mtu("eth1", 1309)))
        burst = [f"link set eth1 mtu {mtu}" for mtu in range(1300, 1310)]
        await asyncio.to_thread(quiet.batch, burst)
        return await waiting

    assert len(run(quiet, body)) == 1
    assert kernel.looks == 2


def test_what_changes_nothing_is_not_published(quiet: Netns) -> None:
    kernel = Kernel()

    async def body() -> Snapshot:
        stream = live.stream(kernel=kernel, timing=UNAIDED)
        await anext(stream)
        following = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "txqueuelen", "77")
        await asyncio.to_thread(kernel.wait, 2)
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1300")
        return await following

    found = run(quiet, body).named("eth1")
    assert found is not None
    assert found.mtu == 1300


def test_a_routing_daemons_routes_wake_nobody_up(quiet: Netns) -> None:
    kernel = Kernel()
    routes = [f"route add 10.{n >> 8}.{n & 255}.0/24 dev eth1 proto bgp" for n in range(20_000)]
    overruns: list[None] = []

    async def body() -> None:
        stream = live.stream(
            kernel=kernel, timing=UNAIDED, on_overrun=lambda: overruns.append(None)
        )
        await anext(stream)
        following = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(quiet.batch, routes)
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1300")
        await following

    run(quiet, body)
    assert (kernel.looks, kernel.lists, overruns) == (2, 1, [])


def test_looking_takes_a_share_of_the_time_while_changes_do_not_end(quiet: Netns) -> None:
    """Each look takes 20 ms; without a pause there would be more than twice as many."""
    kernel = Kernel(work=0.02)

    async def body() -> float:
        stream = live.stream(kernel=kernel, timing=live.Timing(coalesce=0, revisit=None))
        await anext(stream)
        start = time.monotonic()
        following = asyncio.ensure_future(until(stream, has_mtu("eth1", 1400)))
        while time.monotonic() < start + 1:
            await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "txqueuelen", "77")
            await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "txqueuelen", "78")
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1400")
        await following
        return time.monotonic() - start

    seconds = run(quiet, body)
    assert kernel.looks * 0.02 <= live.SHARE * seconds + 0.06


def test_what_is_not_told_is_found_once_links_have_come_to_rest(quiet: Netns) -> None:
    """As of 6.18 that is so of the altnames of a link that is down: udev adds some."""
    quiet.ip("link", "set", "eth1", "down")

    async def body() -> None:
        stream = live.stream(timing=live.Timing(revisit=0.2))
        await anext(stream)
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1300")
        silent = ("link", "property", "add", "dev", "eth1", "altname", "other")
        await asyncio.to_thread(quiet.ip, *silent)
        await until(stream, has("other"))

    run(quiet, body)


def test_where_nothing_happens_nothing_is_read(quiet: Netns) -> None:
    kernel = Kernel()

    async def body() -> None:
        stream = live.stream(kernel=kernel, timing=live.Timing(revisit=0.01))
        await anext(stream)
        await asyncio.wait({asyncio.ensure_future(anext(stream))}, timeout=0.5)

    run(quiet, body)
    assert (kernel.lists, kernel.looks) == (1, 1)


def test_a_socket_that_overran_is_followed_by_a_new_reading(quiet: Netns) -> None:
    """Far more happens than the socket can hold, and the event loop does not get to read it."""
    flood = [f"addr {verb} 192.0.2.{n}/32 dev eth1" for n in range(200) for verb in ("add", "del")]
    kernel = Kernel()
    overruns: list[None] = []

    async def body() -> Snapshot:
        stream = live.stream(
            kernel=kernel,
            timing=UNAIDED,
            receive_buffer=1,  # the kernel makes it some 2 KiB
            on_overrun=lambda: overruns.append(None),
        )
        await anext(stream)
        quiet.batch([*flood, "addr add 198.51.100.1/32 dev eth1"])
        return await anext(stream)

    link = run(quiet, body).named("eth1")
    assert link is not None
    assert [a.address for a in link.addresses] == ["198.51.100.1"]
    assert (len(overruns), kernel.lists) == (1, 2)


def test_what_happens_while_all_is_read_is_not_lost(quiet: Netns) -> None:
    kernel = Kernel(seconds=0.3)

    async def body() -> None:
        stream = live.stream(kernel=kernel, timing=UNAIDED)
        reading = asyncio.ensure_future(until(stream, has_mtu("eth1", 1300)))
        while not kernel.lists:
            await asyncio.sleep(0)
        await asyncio.to_thread(quiet.ip, "link", "set", "eth1", "mtu", "1300")
        await reading

    run(quiet, body)
    assert kernel.lists == 1


def test_a_kernel_too_busy_for_a_list_is_asked_again(host: Netns) -> None:
    """And without a change: it is our reading that is missing."""
    kernel = Kernel(InterruptedDumpError("cannot list links"))

    async def body() -> Snapshot:
        return await anext(live.stream(kernel=kernel))

    assert run(host, body).named("lo")
    assert kernel.lists == 2


def test_a_kernel_that_cannot_be_read_ends_the_stream(host: Netns) -> None:
    kernel = Kernel(InventoryError("cannot list links: Operation not permitted"))

    async def body() -> Snapshot:
        return await anext(live.stream(kernel=kernel))

    with pytest.raises(InventoryError, match="not permitted"):
        run(host, body)


def test_a_node_address_that_is_none_ends_the_stream(host: Netns) -> None:
    async def body() -> Snapshot:
        return await anext(inventory.stream(node_addresses=("eth0",)))

    with pytest.raises(ConfigError, match="no IP address"):
        run(host, body)


def test_a_reading_does_not_hold_up_the_event_loop(host: Netns) -> None:
    async def body() -> float:
        longest, last = 0.0, time.monotonic()
        task = asyncio.ensure_future(anext(live.stream(kernel=Kernel(seconds=0.5))))
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
