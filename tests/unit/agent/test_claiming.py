from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from netdevice_plugin.agent.claiming import BREATH, CONDITION, Claiming
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.agent.shelf import Shelf
from netdevice_plugin.agent.standing import Standing
from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.config import Config
from netdevice_plugin.dra import allocation, holdings
from netdevice_plugin.dra.claim import Allocation
from netdevice_plugin.look import View
from netdevice_plugin.model import Device, Frontend, Injection, Interface, Listed, Pool, Snapshot
from netdevice_plugin.offering import Listing
from netdevice_plugin.operations.claims import ClaimMetrics
from netdevice_plugin.operations.health import Readiness
from netdevice_plugin.operations.metrics import Metrics
from tests.unit.cli.running import prepare
from tests.unit.dra.claimed import DRIVER, NODE, POOL, asynchronous, claim, config, ref, result
from tests.unit.operations.test_metrics import scraped

FAST = Pool(name=POOL, frontend=Frontend.DRA)
MAC = "02:00:00:00:00:07"


def listing(*names: str, pool: Pool = FAST) -> dict[str, Listing]:
    """A pool's devices, as they are offered."""
    devices = (
        Device(name=name, pool=pool.name, interface=Interface(ifindex=7, name=name))
        for name in names
    )
    return {pool.key: Listing(pool=pool, devices=tuple(Listed(device=one) for one in devices))}


def given(number: int, *results: Mapping[str, object], **parameters: object) -> Allocation:
    configs = [config(parameters)] if parameters else []
    found = claim(ref(number), [dict(one) for one in results], configs)
    return allocation.decode(found, ref(number), driver=DRIVER, node=NODE)


class Agent:
    """The part of an agent that is tested, and what it tells the others."""

    def __init__(self, root: Path) -> None:
        self.config = Config(kubelet_dir=root, cdi_dir=root / "cdi", pools=(FAST,))
        self.metrics = Metrics(root / "run")
        self.readiness = Readiness(())
        self.stirs = 0
        self.claiming = Claiming(
            Settings(node_name=NODE, kubeconfig=root / "none"),
            self.config,
            metrics=ClaimMetrics(self.metrics, DRIVER),
            readiness=self.readiness,
            stirred=self._stirred,
        )

    def _stirred(self) -> None:
        self.stirs += 1

    async def turns(self, seconds: float = 0.05) -> None:
        """Let it run for a while."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.claiming.run(), seconds)


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


@asynchronous
async def test_what_claims_ask_for_is_known_once_all_of_them_are(
    agent: Agent, tmp_path: Path
) -> None:
    assert (agent.claiming.asked, agent.claiming.nics) == ({}, {})
    prepare(tmp_path, ref(1), "fast-0", "fast-1", nics={"fast-0": MAC, "fast-1": ""})
    prepare(tmp_path, ref(2), "eth1")
    await agent.claiming.load()
    assert agent.claiming.asked == {
        f"{ref(1).uid}/fast-0": MAC,
        f"{ref(1).uid}/fast-1": "",
        f"{ref(2).uid}/eth1": "",
    }
    assert agent.claiming.nics == {MAC: "fast-0"}


@asynchronous
async def test_what_claims_ask_for_is_not_known_while_one_is_broken(
    agent: Agent, tmp_path: Path
) -> None:
    prepare(tmp_path, ref(1), "fast-0", nics={"fast-0": MAC})
    prepare(tmp_path, ref(2), "eth1").write_text("{")
    await agent.claiming.load()
    assert agent.claiming.asked is None
    assert agent.claiming.nics == {MAC: "fast-0"}


@asynchronous
async def test_without_a_pool_of_dra_nothing_begins(agent: Agent, tmp_path: Path) -> None:
    await agent.claiming.load()
    agent.claiming.publish({}, agent.config)
    agent.claiming.follow(View(snapshot=Snapshot()))
    await agent.turns()
    assert agent.claiming.held == {}
    assert list(tmp_path.iterdir()) == []
    assert agent.readiness.check().lines == ()
    assert scraped(agent.metrics, "dra_registered") == {}


@asynchronous
async def test_another_prefix_is_not_this_driver_and_begins_nothing(
    agent: Agent, tmp_path: Path
) -> None:
    foreign = dataclasses.replace(FAST, prefix="example.com")
    agent.claiming.publish(listing("eth1", pool=foreign), agent.config)
    await agent.turns()
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_what_an_earlier_agent_prepared_is_held_by_key_of_its_pool(
    agent: Agent, tmp_path: Path
) -> None:
    prepare(tmp_path, ref(1), "eth1", "eth2")
    prepare(tmp_path, ref(2), "eth3", admin=True)
    await agent.claiming.load()
    assert agent.claiming.held == {FAST.key: {"eth1", "eth2"}}
    assert scraped(agent.metrics, "claimed_devices") == {(DRIVER,): 2}
    await asyncio.sleep(2 * BREATH)
    assert agent.stirs == 1


@asynchronous
async def test_a_directory_that_cannot_even_be_looked_for_ends_nothing(tmp_path: Path) -> None:
    agent = Agent(tmp_path / ("x" * 300))  # as one that may not be looked into, for root
    await agent.claiming.load()
    assert agent.claiming.held == {}


@asynchronous
async def test_claims_of_another_driver_are_told_of(
    agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = tmp_path / "plugins"
    prepare(tmp_path, ref(1), "eth1")
    old = (plugins / DRIVER).rename(plugins / "old.example")
    for path in (old / "claims").iterdir():
        path.write_text(path.read_text().replace(DRIVER, "old.example"))
    foreign = plugins / "gpu.example" / "claims"
    foreign.mkdir(parents=True)
    (foreign / "00000000-0000-0000-0000-000000000000.json").write_text("{}")
    await agent.claiming.load()
    assert agent.claiming.held == {}
    (said,) = caplog.records
    assert said.message == "Claims of another driver are left behind"
    assert said.__dict__["driver"] == "old.example"
    assert said.__dict__["remedy"] == "set prefix to old.example until their pods have ended"


@asynchronous
async def test_a_directory_that_cannot_be_used_is_told_once_and_ends_nothing(
    agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plugins").write_text("no directory")
    agent.claiming.publish(listing("eth1"), agent.config)
    with caplog.at_level(logging.ERROR):
        await agent.turns()
    assert [record.message for record in caplog.records] == [
        "Claims that are prepared cannot be read"
    ]
    (line,) = agent.readiness.check().lines
    assert line.startswith(f"[-]{CONDITION}: cannot lock {tmp_path}/plugins/")


def test_a_device_that_claims_only_look_at_is_in_nobodys_use() -> None:
    both = given(1, result("eth1"), result("eth2", adminAccess=True))
    other = given(2, {**result("eth3"), "pool": f"{NODE}/slow"})
    slow = dataclasses.replace(FAST, name="slow")
    assert holdings.in_use((both, other), DRIVER) == {FAST.key: {"eth1"}, slow.key: {"eth3"}}


def test_what_is_listed_is_found_and_what_is_not_has_a_reason() -> None:
    shelf = Shelf(DRIVER, Config())
    assert shelf.find(POOL, "eth1") == f"no pool {POOL} is offered through DRA on this node"
    shelf.put(listing("eth1"), Config(pools=(FAST,)))
    found = shelf.find(POOL, "eth1")
    assert isinstance(found, Listed)
    assert found.device.name == "eth1"
    assert shelf.find(POOL, "eth2") == f"the pool {POOL} does not have it, or not any more"
    shelf.put({}, Config())
    assert shelf.find(POOL, "eth1") == f"no pool {POOL} is offered through DRA on this node"


def test_only_what_is_in_files_makes_them_stale() -> None:
    one = given(1, result("eth1"), result("eth9", adminAccess=True))
    shelf = Shelf(DRIVER, Config(pools=(FAST,)))
    shelf.put(listing("eth1", "eth2"), Config(pools=(FAST,)))
    first = shelf.contents([one])
    assert first.keys() == {(POOL, "eth1"), (POOL, "eth9")}
    ((kind, all_),) = listing("eth1").items()
    (eth1,) = all_.devices
    lent = dataclasses.replace(eth1.device.interface, flags=1, mtu=9000, lent=True)
    away = dataclasses.replace(eth1, device=dataclasses.replace(eth1.device, interface=lent))
    shelf.put({kind: dataclasses.replace(all_, devices=(away,))}, Config(pools=(FAST,)))
    assert shelf.contents([one]) == first
    shelf.put(listing("eth1", "eth9"), Config(pools=(FAST,)))
    assert shelf.contents([one])[POOL, "eth9"] != first[POOL, "eth9"]
    assert shelf.contents([one])[POOL, "eth1"] == first[POOL, "eth1"]
    shelf.put(listing("eth1"), Config(pools=(FAST,), hook_timeout=77))
    assert shelf.contents([one])[POOL, "eth1"] != first[POOL, "eth1"]


def test_a_pool_of_the_same_name_under_another_prefix_is_not_found() -> None:
    shelf = Shelf(DRIVER, Config())
    shelf.put(listing("eth1", pool=dataclasses.replace(FAST, prefix="example.com")), Config())
    assert isinstance(shelf.find(POOL, "eth1"), str)
    assert shelf.listings == ()


def test_devices_are_delivered_as_their_pool_says_as_long_as_there_is_one() -> None:
    native = dataclasses.replace(FAST, injection=Injection.NATIVE)
    shelf = Shelf(DRIVER, Config())
    shelf.put({}, Config(pools=(native,), mover_path=Path("/x/netdevice-mover")))
    assert shelf.delivery(POOL).injection is Injection.NATIVE
    gone = shelf.delivery("gone")
    assert (gone.injection, gone.mover) == (Injection.HOOK, Path("/x/netdevice-mover"))


def attached(device: str, pod_name: str = "") -> dict[str, Attachment]:
    link = HostLink(name=device, ifindex=7, mac="02:00:00:00:00:07")
    record = Attachment(device=device, phase=Phase.ATTACHED, link=link, pod_name=pod_name)
    return {device: record}


def test_a_claims_status_says_what_is_in_the_pod() -> None:
    standing = Standing()
    one = given(1, result("eth1"), result("eth2"), interfaceName="net1")
    two = given(2, result("eth3"))
    found = standing.of((one, two), attached("eth1", "net1"))
    assert [(it.device, it.interface) for it in found[ref(1)]] == [("eth1", "net1")]
    assert found[ref(2)] == ()
    assert standing.of((two,), {}) == {ref(2): ()}


def test_a_device_that_a_claim_has_and_looks_at_is_said_once() -> None:
    one = given(1, result("eth1", "nic"), result("eth1", "look", adminAccess=True))
    found = Standing().of((one,), attached("eth1", "eth1"))
    assert [it.device for it in found[ref(1)]] == ["eth1"]


def test_parameters_that_are_wrong_leave_a_device_out_and_no_other() -> None:
    right, wrong = given(1, result("eth1")), given(2, result("eth2"), nonsense=1)
    found = Standing().of((right, wrong), attached("eth1") | attached("eth2"))
    assert (len(found[ref(1)]), found[ref(2)]) == (1, ())
