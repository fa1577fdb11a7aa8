"""Ports that are attached when a claim asks: the agent as a process, a program as the provider.

The NICs are links of the node's namespace, made and removed by the program. Whenever the agent
is killed, each claim has one NIC in the end, and there is no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.agent.dra.dialled import Client, channel
from tests.fakes.apiserver import ApiServer
from tests.fakes.hypervisor import Hypervisor
from tests.kernel.agent.demand import Claiming, Server, eventually
from tests.kernel.agent.process import Node
from tests.kernel.mover.harness import Containers

pytestmark = pytest.mark.timeout(90)


class Scene(Claiming):
    """The same with a program that makes and removes NICs."""

    def __init__(self, node: Node, server: ApiServer) -> None:
        super().__init__(node, server)
        self.hypervisor = Hypervisor(node.root / "cloud", links=True)
        self.configure({"command": list(self.hypervisor.command)}, ifNames=["nic*"])

    def nics(self) -> list[str]:
        """The MACs of the links that the provider has made and that are on the node."""
        links = self.node.netns.links().items()
        return sorted(str(one["address"]) for name, one in links if name.startswith("nic"))

    def networks(self) -> list[str]:
        """Those of all ports that are attached."""
        return [str(one["parameters"]["network"]) for one in self.hypervisor.ports]

    def await_networks(self, *networks: str) -> None:
        """Return when just these are attached."""
        self.until(lambda: self.networks() == list(networks), f"just {networks}")

    def await_ports(self, *networks: str) -> None:
        """Return when just these are attached, and no NIC is on the node but theirs."""

        def holds() -> bool:
            ports = self.hypervisor.ports
            here = sorted(one["mac"] for one in ports)
            return here == self.nics() and sorted(self.networks()) == sorted(networks)

        self.until(holds, f"{networks}: {self.hypervisor.ports}, {self.nics()}")


@pytest.fixture
def scene(node: Node) -> Iterator[Scene]:
    with Server(node.netns) as server:
        yield Scene(node, server)


def test_a_claims_nic_is_attached_lent_and_given_back(scene: Scene, containers: Containers) -> None:
    agent = scene.start()
    scene.until(lambda: scene.published().keys() == {"fast-0", "fast-1"}, "they are published")
    assert scene.published()["fast-0"]["onDemand"] == {"bool": True}
    assert scene.hypervisor.ports == []
    claim = scene.allocate("one", "fast-0")
    assert scene.prepare(claim) == ""
    [port] = scene.hypervisor.ports
    assert (port["parameters"], port["request"]) == ({"network": "blue"}, f"{claim.uid}/fast-0")
    assert scene.published().keys() == {"fast-0", "fast-1"}
    words, home = scene.hook(claim, "createRuntime"), scene.hook(claim, "poststop")
    assert words[words.index("--link-mac") + 1] == port["mac"]
    mover, container = scene.node.mover, containers.start()
    mover.run(*words, stdin=container.state()).ok()
    assert container.netns.links()["net1"]["address"] == port["mac"]
    assert scene.nics() == []
    scene.unprepare(claim)  # too early: the port stays for as long as its NIC is in a pod
    container.end()
    assert [one["id"] for one in scene.hypervisor.ports] == [port["id"]]
    mover.run(*home, stdin=container.stopped()).ok()
    scene.await_ports()
    agent.stop()


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_the_provider_is_at_work(scene: Scene, when: str) -> None:
    agent = scene.start()
    claim, other = scene.allocate("one", "fast-0"), scene.allocate("two", "fast-1", "red")
    scene.until(lambda: bool(scene.published()), "they are published")
    scene.hypervisor.hold(when)

    async def asked() -> None:
        path = await scene.registry.take()
        async with channel(path) as to:
            asking = asyncio.ensure_future(Client(to).prepare(claim))
            await eventually(lambda: scene.hypervisor.held, "the provider is asked")
            agent.kill()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(asked())
    scene.kill(agent)
    scene.hypervisor.go()
    agent = scene.start()
    assert scene.prepare(claim) == ""
    assert scene.prepare(other) == ""
    words = scene.hook(claim, "createRuntime"), scene.hook(other, "createRuntime")
    given = [one[one.index("--link-mac") + 1] for one in words]
    scene.await_ports("blue", "red")
    assert sorted(given) == sorted(one["mac"] for one in scene.hypervisor.ports)
    scene.unprepare(claim)
    scene.await_ports("red")
    scene.unprepare(other)
    scene.await_ports()
    agent.stop()


def test_killed_after_a_claim_is_over(scene: Scene) -> None:
    agent = scene.start()
    claim = scene.allocate("one", "fast-0")
    assert scene.prepare(claim) == ""
    scene.kill(agent)
    agent = scene.start()
    scene.until(lambda: bool(scene.registry.found()), "it is there")
    scene.await_ports("blue")
    scene.unprepare(claim)
    scene.kill(agent)
    agent = scene.start()
    scene.await_ports()
    agent.stop()


def test_nics_that_are_called_alike_are_two(scene: Scene, containers: Containers) -> None:
    """Without udev a new NIC has the name that one in a pod has left free."""
    agent, mover = scene.start(), scene.node.mover
    claims = [scene.allocate("one", "fast-0"), scene.allocate("two", "fast-1", "red")]
    started = []
    for claim in claims:
        assert scene.prepare(claim) == ""
        words, home = scene.hook(claim, "createRuntime"), scene.hook(claim, "poststop")
        assert words[words.index("--link") + 1] == "nic0"
        container = containers.alone()
        mover.run(*words, stdin=container.state()).ok()
        started.append((container, home))
    macs = [container.netns.links()["net1"]["address"] for container, _ in started]
    assert macs == [one["mac"] for one in scene.hypervisor.ports]
    for (container, home), claim in zip(started, claims, strict=True):
        before = scene.networks()
        container.end()
        mover.run(*home, stdin=container.stopped()).ok()
        scene.unprepare(claim)
        scene.await_networks(*before[1:])
    agent.stop()


def test_the_agent_is_killed_while_a_pod_has_the_nic(scene: Scene, containers: Containers) -> None:
    agent, mover = scene.start(), scene.node.mover
    claim = scene.allocate("one", "fast-0")
    assert scene.prepare(claim) == ""
    words, home = scene.hook(claim, "createRuntime"), scene.hook(claim, "poststop")
    container = containers.alone()
    mover.run(*words, stdin=container.state()).ok()
    scene.kill(agent)
    agent = scene.start()
    assert scene.prepare(claim) == ""  # as a kubelet does that was started again
    assert scene.hook(claim, "createRuntime") == words
    scene.kill(agent)
    scene.forget(claim)  # and nobody ever unprepares it
    agent = scene.start()
    scene.until(lambda: bool(scene.registry.found()), "it is there")
    assert scene.networks() == ["blue"]
    container.end()
    mover.run(*home, stdin=container.stopped()).ok()
    other = scene.allocate("two", "fast-0", "red")
    assert scene.prepare(other) == ""
    scene.await_ports("red")
    scene.unprepare(other)
    scene.await_ports()
    agent.stop()
