"""DRA's side of the agent against an API server: what it publishes, and what /readyz says."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from netdevice_plugin.agent.claiming import Claiming
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Frontend, Interface, Listed, Pool
from netdevice_plugin.offering import Listing
from netdevice_plugin.operations.claims import ClaimMetrics
from netdevice_plugin.operations.health import Readiness
from netdevice_plugin.operations.metrics import Metrics
from tests.agent.dra.conftest import NODE
from tests.agent.scripted import eventually
from tests.fakes.apiserver import ApiServer, Manifest
from tests.unit.cli.running import prepare
from tests.unit.dra.claimed import DRIVER, POOL, asynchronous, ref

FAST = Pool(name=POOL, frontend=Frontend.DRA)


class Agent:
    """The part of an agent that is tested."""

    def __init__(self, root: Path, server: ApiServer) -> None:
        self.root = root
        self.server = server
        self.config = Config(kubelet_dir=root, cdi_dir=root / "cdi", pools=(FAST,))
        self.readiness = Readiness(())
        self.claiming = Claiming(
            Settings(node_name=NODE, kubeconfig=server.kubeconfig(root / "kubeconfig")),
            self.config,
            metrics=ClaimMetrics(Metrics(root / "run"), DRIVER),
            readiness=self.readiness,
            stirred=lambda: None,
        )

    def offer(self, *listed: Listed) -> None:
        """Offer these devices, and no other."""
        self.claiming.publish({FAST.key: Listing(pool=FAST, devices=listed)}, self.config)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let it run."""
        await self.claiming.load()
        task = asyncio.create_task(self.claiming.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def published(self) -> dict[str, Manifest]:
        """What is in slices, by name."""
        slices = self.server.cluster.slices(NODE, DRIVER)
        return {device["name"]: device for one in slices for device in one["spec"]["devices"]}


def listed(name: str, fault: str = "", *, lent: bool = False) -> Listed:
    link = Interface(ifindex=7, name=name, mac="02:00:00:00:00:07", lent=lent)
    return Listed(device=Device(name=name, pool=POOL, interface=link, lent=lent), fault=fault)


@pytest.fixture
def agent(server: ApiServer) -> Iterator[Agent]:
    root = Path(tempfile.mkdtemp(prefix="ndp"))  # short enough for sockets
    yield Agent(root, server)
    shutil.rmtree(root)


@asynchronous
async def test_what_a_dead_pod_keeps_is_tainted_and_what_a_claim_has_is_not(agent: Agent) -> None:
    prepare(agent.root, ref(1), "eth1")
    fault = "held by container 0123, a pod that the kubelet does not know"
    async with agent.running():
        agent.offer(listed("eth1", fault, lent=True), listed("eth2", fault, lent=True))
        await eventually(lambda: len(agent.published()) == 2, "both are published")
        assert "taints" not in agent.published()["eth1"]
        (taint,) = agent.published()["eth2"]["taints"]
        assert taint["effect"] == "NoSchedule"


@asynchronous
async def test_readyz_says_which_checkpoint_is_broken(agent: Agent) -> None:
    broken = prepare(agent.root, ref(1), "eth1")
    broken.write_text("{")

    def said() -> str:
        return " ".join(agent.readiness.check().lines)

    async with agent.running():
        agent.offer(listed("eth1"))
        await eventually(lambda: f"{broken}: is not JSON; remove the file" in said(), "it is said")


@asynchronous
async def test_claims_files_are_made_anew_for_another_configuration(agent: Agent) -> None:
    prepare(agent.root, ref(1), "eth1")

    def timeouts() -> list[str]:
        return [path.read_text() for path in (agent.root / "cdi").glob("*-claim_*.json")]

    async with agent.running():
        agent.offer(listed("eth1"))
        await eventually(lambda: any('"timeout": 30' in text for text in timeouts()), "as it was")
        agent.config = Config(
            kubelet_dir=agent.root, cdi_dir=agent.root / "cdi", pools=(FAST,), hook_timeout=77
        )
        agent.offer(listed("eth1"))
        await eventually(lambda: any('"timeout": 77' in text for text in timeouts()), "as it is")
