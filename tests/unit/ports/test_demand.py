"""Ports that claims ask for: one for each, found again by whoever asks again, and given back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import pytest

from netdevice_plugin.errors import PortError
from netdevice_plugin.model import VIA_DRA, Device, Frontend, Interface, Listed, Pool, Snapshot
from netdevice_plugin.offering import InUse, Listing
from netdevice_plugin.ports.errors import BusyError, QuotaError, RefusedError, UnansweredError
from netdevice_plugin.ports.keeping import ARRIVAL, SETTLE
from netdevice_plugin.ports.ports import Ports
from netdevice_plugin.ports.provider import Owner, Port, Provider
from netdevice_plugin.provisioning import PortProvider
from netdevice_plugin.provisioning import Ports as Settings
from netdevice_plugin.serving.bell import Bell

KIND = "networking.k8s.io/fast"
POOL = Pool(
    name="fast",
    frontend=Frontend.DRA,
    ports=Settings(provider=PortProvider(command=("/x",)), spare=0, max=2, on_demand=True),
)
ONE, TWO = "uid-1/fast-0", "uid-2/fast-0"


class Cloud:
    """A provider, for one owner. `forgetful` does not say what a port is for."""

    def __init__(self) -> None:
        self.ports: dict[str, Port] = {}
        self.calls: list[str] = []
        self.fails: PortError | None = None
        self.forgetful = False
        self.answers: asyncio.Event | None = None  # to attach
        self.bell = Bell()

    async def attach(self, parameters: Mapping[str, str], request: str = "") -> Port:
        self._called("attach", request, *parameters.values())
        if self.answers:
            await self.answers.wait()
        if self.fails:
            raise self.fails
        number = len(self.calls)
        port = Port(id=f"p{number}", mac=f"02:00:00:00:00:{number:02x}")
        request = "" if self.forgetful else request
        self.ports[port.id] = dataclasses.replace(port, request=request)
        return port

    async def detach(self, port: str) -> None:
        self._called("detach", port)
        if self.fails:
            raise self.fails
        self.ports.pop(port, None)
        self.bell.ring()

    async def list(self) -> tuple[Port, ...]:
        return tuple(self.ports.values())

    def has(self, port: Port) -> None:
        self.ports[port.id] = port

    def _called(self, *words: str) -> None:
        self.calls.append(" ".join(words))
        self.bell.ring()


class Node:
    """What the agent is to `Ports`. Claims ask for what is in `asked`."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.asked: dict[str, str] | None = {}
        self.now = 1000.0
        self.decisions = 0
        self.ports = self.agent()

    def agent(self) -> Ports:
        return Ports(
            "worker-1",
            changed=lambda: None,
            observer=self,
            asked=lambda: self.asked,
            connect=self._connect,
            clock=lambda: self.now,
            chance=lambda: 1.0,
        )

    def called(self, pool: str, call: str, outcome: str, seconds: float) -> None:
        """Count nothing."""

    def counted(self, pool: str, *, ports: int, coming: int, leaving: int) -> None:
        self.decisions += 1
        self.cloud.bell.ring()

    def publish(
        self, *, lent: Iterable[str] = (), gone: Iterable[str] = (), listed: Iterable[Device] = ()
    ) -> None:
        """Take a turn: all NICs but those `gone` are here, or in a pod; by the IDs of ports."""
        links = tuple(
            Interface(ifindex=1, name=one.id, mac=one.mac, lent=one.id in lent)
            for one in self.cloud.ports.values()
            if one.id not in gone and not one.leftover
        )
        devices = tuple(Listed(device=one) for one in listed)
        listings = {POOL.kind + VIA_DRA: Listing(pool=POOL, devices=devices)}
        snapshot = Snapshot(interfaces=links)
        self.ports.follow(listings, InUse(), snapshot, ())

    async def attach(self, request: str = ONE, mac: str = "", **parameters: str) -> Port:
        """Ask as a claim does, which first notes that it does."""
        assert self.asked is not None
        self.asked[request] = mac
        port = await self.ports.attach(KIND, request, parameters, mac)
        self.asked[request] = port.mac
        self.publish()
        return port

    async def settled(self, **published: Any) -> None:
        """Publish, and see a decision."""
        before = self.decisions
        self.publish(**published)
        await self.cloud.bell.until(lambda: self.decisions > before)

    async def calls(self, *calls: str) -> None:
        await self.cloud.bell.until(lambda: self.cloud.calls == list(calls))

    def _connect(self, settings: PortProvider, owner: Owner) -> Provider:
        return self.cloud


def run(node: Node, scenario: Coroutine[Any, Any, None]) -> None:
    async def both() -> None:
        node.publish()
        keeping = asyncio.create_task(node.ports.run())
        try:
            async with asyncio.timeout(20):
                await scenario
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        assert keeping.cancelled()

    asyncio.run(both())


def test_a_port_is_attached_for_a_claim_and_detached_when_that_is_over() -> None:
    async def scenario() -> None:
        port = await node.attach(network="blue")
        await node.settled()
        node.asked = {}
        node.publish()
        await node.calls(f"attach {ONE} blue", f"detach {port.id}")

    node = Node()
    run(node, scenario())
    assert node.cloud.ports == {}


def test_none_is_attached_that_nobody_asks_for() -> None:
    node = Node()
    run(node, node.settled())
    assert node.cloud.calls == []


def test_who_asks_again_is_given_the_same() -> None:
    async def scenario() -> None:
        first = await node.attach()
        assert (await node.attach(), await node.attach(mac=first.mac)) == (first, first)
        node.ports = node.agent()  # another process knows what the provider lists
        node.publish()
        assert (await node.attach(mac=first.mac)).id == first.id

    node = Node()
    run(node, scenario())
    assert node.cloud.calls == [f"attach {ONE}"]


def test_a_provider_that_forgets_what_for_is_reminded_by_the_mac() -> None:
    async def scenario() -> None:
        first = await node.attach()
        await node.settled()
        node.ports = node.agent()
        node.publish()
        assert (await node.attach(mac=first.mac)).id == first.id

    node = Node()
    node.cloud.forgetful = True
    run(node, scenario())
    assert node.cloud.calls == [f"attach {ONE}"]


def test_who_asks_and_goes_away_finds_it_done() -> None:
    async def scenario() -> None:
        node.cloud.answers = asyncio.Event()
        asking = asyncio.create_task(node.attach())
        await node.calls(f"attach {ONE}")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        again = asyncio.create_task(node.attach())
        await asyncio.sleep(0)
        node.cloud.answers.set()
        await again

    node = Node()
    run(node, scenario())
    assert node.cloud.calls == [f"attach {ONE}"]


def test_what_comes_too_late_for_its_claim_is_given_back() -> None:
    async def scenario() -> None:
        node.cloud.answers = asyncio.Event()
        asking = asyncio.create_task(node.ports.attach(KIND, ONE, {}, ""))
        await node.calls(f"attach {ONE}")
        node.cloud.answers.set()  # and no claim has it: it is not in `asked`
        port = await asking
        node.publish()
        await node.calls(f"attach {ONE}", f"detach {port.id}")

    node = Node()
    run(node, scenario())


def test_the_next_claim_of_the_device_has_a_port_of_its_own() -> None:
    async def scenario() -> None:
        first = await node.attach()
        node.asked = {}
        second = await node.attach(TWO)
        assert second.mac != first.mac
        await node.cloud.bell.until(lambda: first.id not in node.cloud.ports)

    node = Node()
    run(node, scenario())
    assert [one.request for one in node.cloud.ports.values()] == [TWO]


@pytest.mark.parametrize("where", ["in a pod", "a claim's device", "listed by others"])
def test_a_nic_that_somebody_may_have_stays(where: str) -> None:
    async def scenario() -> None:
        port = await node.attach()
        node.asked = {}
        link = Interface(ifindex=1, name=port.id, mac=port.mac)
        device = Device(name="fast-0", pool="fast", interface=link)
        devices: dict[str, dict[str, Any]] = {
            "in a pod": {"lent": [port.id]},
            "a claim's device": {"listed": [dataclasses.replace(device, on_demand=True)]},
            "listed by others": {"listed": [device]},
        }
        await node.settled(**devices[where])
        assert node.cloud.calls == [f"attach {ONE}"]
        assert bool(node.ports.problems) == (where == "listed by others")
        node.publish()
        await node.calls(f"attach {ONE}", f"detach {port.id}")

    node = Node()
    run(node, scenario())


def test_nothing_is_given_back_while_nobody_knows_what_claims_have() -> None:
    async def scenario() -> None:
        port = await node.attach()
        node.asked = None
        node.publish()
        for _ in range(10):
            await asyncio.sleep(0)
        assert port.id in node.cloud.ports
        node.asked = {}
        node.publish()
        await node.calls(f"attach {ONE}", f"detach {port.id}")

    node = Node()
    run(node, scenario())


def test_of_two_for_one_claim_that_goes_which_it_did_not_take() -> None:
    async def scenario() -> None:
        await node.settled()
        assert node.cloud.calls == []  # which of them is not known yet
        assert (await node.attach()).id == "a"
        await node.calls("detach b")

    node = Node()
    node.asked = {ONE: ""}
    for number, port in enumerate("ab"):
        node.cloud.has(Port(id=port, mac=f"02:00:00:00:01:0{number}", request=ONE))
    run(node, scenario())


def test_a_port_that_was_never_attached_is_made_again_when_nobody_can_be_at_it() -> None:
    async def scenario() -> None:
        with pytest.raises(BusyError, match="is being attached"):
            await node.attach()
        node.now += ARRIVAL
        await node.attach()

    node = Node()
    node.cloud.has(Port(id="a", mac="02:00:00:00:01:00", request=ONE, leftover=True))
    run(node, scenario())
    assert node.cloud.calls == ["detach a", f"attach {ONE}"]


def test_a_port_whose_nic_did_not_come_is_made_again() -> None:
    async def scenario() -> None:
        first = await node.attach()
        node.publish(gone=[first.id])
        node.now += ARRIVAL - 1
        assert (await node.attach(mac=first.mac)).id == first.id
        node.publish(gone=[first.id])
        node.now += ARRIVAL
        assert (await node.attach(mac=first.mac)).id != first.id

    node = Node()
    run(node, scenario())


def test_what_was_not_answered_may_yet_come_and_is_waited_for() -> None:
    async def scenario() -> None:
        node.cloud.fails = UnansweredError("?")
        with pytest.raises(UnansweredError):
            await node.attach()
        node.cloud.fails = None
        with pytest.raises(BusyError, match="may yet come"):
            await node.attach()
        node.now += SETTLE
        await node.attach()

    node = Node()
    run(node, scenario())
    assert node.cloud.calls == [f"attach {ONE}"] * 2


def test_there_are_no_more_than_the_most() -> None:
    async def scenario() -> None:
        await node.attach(ONE)
        await node.attach(TWO)
        with pytest.raises(BusyError, match="has 2 ports, and may have no more"):
            await node.attach("uid-3/fast-1")

    node = Node()
    run(node, scenario())


def test_what_is_over_makes_room() -> None:
    async def scenario() -> None:
        first, _ = await node.attach(ONE), await node.attach(TWO)
        node.asked = {TWO: node.cloud.ports["p2"].mac}
        third = await node.attach("uid-3/fast-1")
        assert node.cloud.ports.keys() == {"p2", third.id}
        assert first.id not in node.cloud.ports

    node = Node()
    run(node, scenario())


def test_a_refusal_is_the_claims_and_the_next_attempt_is_free() -> None:
    async def scenario() -> None:
        node.cloud.fails = QuotaError("no more")
        with pytest.raises(QuotaError):
            await node.attach()
        node.cloud.fails = None
        await node.attach()

    node = Node()
    run(node, scenario())


def test_a_detach_that_fails_is_tried_again_later() -> None:
    async def scenario() -> None:
        port = await node.attach()
        node.asked = {}
        node.cloud.fails = BusyError("not now")
        node.publish()
        await node.calls(f"attach {ONE}", f"detach {port.id}")
        node.cloud.fails = None
        await node.settled()
        assert node.cloud.calls == [f"attach {ONE}", f"detach {port.id}"]
        node.now += 2
        node.publish()
        await node.calls(f"attach {ONE}", *[f"detach {port.id}"] * 2)

    node = Node()
    run(node, scenario())


def test_at_the_agents_end_who_asks_is_told_so() -> None:
    async def scenario() -> None:
        node.cloud.answers = asyncio.Event()
        asking = asyncio.create_task(node.attach())
        await node.calls(f"attach {ONE}")
        node.ports.follow({}, InUse(), Snapshot(), ())  # its pool is gone
        with pytest.raises(UnansweredError, match="nobody attaches"):
            await asking
        with pytest.raises(RefusedError, match="attaches no ports on demand"):
            await node.attach()

    node = Node()
    run(node, scenario())
