"""Keepers at work: a provider that does as it is told, and a clock that is set by hand."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from netdevice_plugin.errors import PortError
from netdevice_plugin.model import Device, Interface, Listed, Pool, Snapshot
from netdevice_plugin.offering import InUse, Listing
from netdevice_plugin.ports.connecting import connect
from netdevice_plugin.ports.errors import QuotaError, UnansweredError
from netdevice_plugin.ports.keeping import DRAIN, IDLE
from netdevice_plugin.ports.observer import Observer
from netdevice_plugin.ports.ports import Ports
from netdevice_plugin.ports.provider import Owner, Port, Provider
from netdevice_plugin.ports.remote import Remote
from netdevice_plugin.provisioning import OpenStack, PortProvider
from netdevice_plugin.provisioning import Ports as Settings
from netdevice_plugin.serving.bell import Bell

KIND = "networking.k8s.io/fast"
COMMAND = PortProvider(command=("/bin/provide",))


class Cloud:
    """A provider, for one owner."""

    def __init__(self) -> None:
        self.ports: dict[str, Port] = {}
        self.calls: list[str] = []
        self.fails: PortError | None = None
        self.hangs = False
        self.bell = Bell()

    async def attach(self, parameters: Mapping[str, str], request: str = "") -> Port:
        await self._called("attach", *parameters.values())
        number = sum(call.startswith("attach") for call in self.calls)
        port = Port(id=f"p{number}", mac=f"02:00:00:00:00:{number:02x}")
        self.ports[port.id] = port
        return port

    async def detach(self, port: str) -> None:
        await self._called("detach", port)
        self.ports.pop(port, None)

    async def list(self) -> tuple[Port, ...]:
        await self._called("list")
        return tuple(self.ports.values())

    async def _called(self, *words: str) -> None:
        self.calls.append(" ".join(words))
        self.bell.ring()
        if self.hangs and words[0] != "list":
            await asyncio.Event().wait()
        if self.fails and words[0] != "list":
            raise self.fails

    def did(self, *calls: str) -> bool:
        return [call for call in self.calls if call != "list"] == list(calls)


class Heard:
    """An observer that writes down."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.called_: list[tuple[str, str]] = []
        self.counts: tuple[int, int, int] = (0, 0, 0)
        self.decisions = 0

    def called(self, pool: str, call: str, outcome: str, seconds: float) -> None:
        assert pool == KIND
        assert seconds >= 0
        self.called_.append((call, outcome))

    def counted(self, pool: str, *, ports: int, coming: int, leaving: int) -> None:
        assert pool == KIND
        self.counts = (ports, coming, leaving)
        self.decisions += 1
        self._bell.ring()


class Node:
    """What the agent is to `Ports`: it publishes what is there, and is told to look again."""

    def __init__(self, cloud: Cloud, *, spare: int = 1, most: int = 2) -> None:
        self.cloud = cloud
        self.settings = Settings(provider=COMMAND, spare=spare, max=most)
        self.owners: list[Owner] = []
        self.now = 1000.0
        self.held: frozenset[str] = frozenset()
        self.serial = 0
        self.stirs = 0
        self.heard = Heard(cloud.bell)
        observer: Observer = self.heard
        self.ports = Ports(
            "worker-1",
            changed=self._stirred,
            observer=observer,
            connect=self._connect,
            clock=lambda: self.now,
            chance=lambda: 1.0,
        )

    def _connect(self, settings: PortProvider, owner: Owner) -> Provider:
        self.owners.append(owner)
        return self.cloud

    def _stirred(self) -> None:
        self.stirs += 1
        self.cloud.bell.ring()

    def publish(self, *, pools: bool = True) -> None:
        """Take a turn: all ports have their NICs here."""
        kept = self.ports.retiring
        macs = {one.id: one.mac for one in self.cloud.ports.values()}
        links = [Interface(ifindex=1, name=port, mac=mac) for port, mac in macs.items()]
        devices = tuple(
            Listed(
                device=Device(name=link.name, pool="fast", interface=link),
                fault="its port is about to be detached" if link.mac in kept else "",
            )
            for link in links
        )
        listing = Listing(pool=Pool(name="fast", ports=self.settings), devices=devices)
        self.serial += 1
        in_use = InUse(devices={KIND: self.held}, serial=self.serial, known=True)
        listings = {KIND: listing} if pools else {}
        self.ports.follow(listings, in_use, Snapshot(interfaces=tuple(links)), kept)

    async def turn(self) -> None:
        """Publish, and let the keeper make of it what it will."""
        before = self.heard.decisions
        self.publish()
        await self.cloud.bell.until(lambda: self.heard.decisions > before)

    async def until(self, *calls: str) -> None:
        await self.cloud.bell.until(lambda: self.cloud.did(*calls))


def run(node: Node, scenario: Coroutine[Any, Any, None]) -> None:
    async def both() -> None:
        keeping = asyncio.create_task(node.ports.run())
        try:
            async with asyncio.timeout(20):
                await scenario
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        assert keeping.cancelled()

    asyncio.run(both())


def test_a_pool_that_runs_low_has_a_port_attached_and_a_pod_that_takes_it_another() -> None:
    async def scenario() -> None:
        node.publish()
        await node.until("attach")
        node.publish()
        assert node.ports.problems == ()
        node.held = frozenset({"p1"})
        node.now += 6
        node.publish()
        await node.until("attach", "attach")

    node = Node(Cloud())
    run(node, scenario())
    assert node.owners == [Owner(node="worker-1", pool=KIND)]
    assert ("attach", "done") in node.heard.called_


def test_what_was_there_before_is_found_by_the_providers_list() -> None:
    async def scenario() -> None:
        node.publish()
        await node.cloud.bell.until(lambda: node.heard.counts == (1, 0, 0))

    node = Node(Cloud())
    node.cloud.ports["p7"] = Port(id="p7", mac="02:00:00:00:00:07")
    run(node, scenario())
    assert node.cloud.calls == ["list"]


def test_an_idle_port_is_kept_from_pods_and_only_then_detached() -> None:
    async def scenario() -> None:
        node.publish()
        await node.cloud.bell.until(lambda: node.heard.counts[0] == 2)
        node.now += IDLE
        node.publish()
        await node.cloud.bell.until(lambda: bool(node.ports.retiring))
        (mac,) = node.ports.retiring
        assert node.cloud.did()
        await node.turn()
        node.now += DRAIN
        await node.turn()
        assert node.cloud.did()
        node.publish()
        leaving = next(one.id for one in node.cloud.ports.values() if one.mac == mac)
        await node.until(f"detach {leaving}")
        await node.cloud.bell.until(lambda: not node.ports.retiring)

    node = Node(Cloud())
    for name in ("p8", "p9"):
        node.cloud.ports[name] = Port(id=name, mac=f"02:00:00:00:00:0{name[1]}")
    run(node, scenario())
    assert len(node.cloud.ports) == 1


def test_a_failure_is_told_once_and_the_next_attempt_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        node.publish()
        await node.until("attach")
        node.publish()
        node.now += 299
        await node.turn()
        assert node.cloud.did("attach")
        assert node.ports.problems == (f"{KIND}: no more",)
        node.now += 2
        node.publish()
        await node.until("attach", "attach")

    node = Node(Cloud())
    node.cloud.fails = QuotaError("no more", hint="raise it")
    caplog.set_level(logging.WARNING)
    run(node, scenario())
    assert [record.message for record in caplog.records] == ["A port provider failed"]
    assert ("attach", "quota") in node.heard.called_


def test_a_pool_that_goes_has_its_call_ended() -> None:
    async def scenario() -> None:
        node.cloud.hangs = True
        node.publish()
        await node.until("attach")
        node.publish(pools=False)
        assert node.ports.problems == ()
        node.cloud.hangs = False
        node.publish()
        await node.until("attach", "attach")

    node = Node(Cloud())
    run(node, scenario())
    assert len(node.owners) == 2


def test_another_number_is_the_same_keeper_and_another_provider_is_not() -> None:
    async def scenario() -> None:
        node.publish()
        node.settings = dataclasses.replace(node.settings, spare=2)
        node.publish()
        assert len(node.owners) == 1
        other = PortProvider(command=("/bin/other",))
        node.settings = dataclasses.replace(node.settings, provider=other)
        node.publish()
        assert len(node.owners) == 2

    node = Node(Cloud())
    run(node, scenario())


def test_a_bug_ends_whoever_waits() -> None:
    class Broken(Cloud):
        async def list(self) -> tuple[Port, ...]:
            raise KeyError("bug")

    async def scenario() -> None:
        node.publish()
        with pytest.raises(KeyError):
            await node.ports.run()

    node = Node(Broken())
    asyncio.run(scenario())


def test_an_answer_that_did_not_come_is_told_as_that() -> None:
    async def scenario() -> None:
        node.publish()
        await node.until("attach")

    node = Node(Cloud())
    node.cloud.fails = UnansweredError("?")
    run(node, scenario())
    assert ("attach", "unanswered") in node.heard.called_


def test_each_kind_of_provider_is_reached_in_its_way() -> None:
    owner = Owner(node="n", pool=KIND)
    assert isinstance(connect(PortProvider(grpc=Path("/run/x.sock")), owner), Remote)
    for settings in (COMMAND, PortProvider(openstack=OpenStack(network="a"))):
        assert not isinstance(connect(settings, owner), Remote)
