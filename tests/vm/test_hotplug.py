"""NICs that are plugged while we run, as a cloud attaches ports, and pulled while in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from netdevice_plugin.inventory import live
from netdevice_plugin.model import Interface, Snapshot
from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.fakes.kubelet import ContainerSpec, Kubelet, PodSpec
from tests.kernel.mover.dump import assert_same, eventually, settled
from tests.kernel.mover.harness import Container, Containers
from tests.vm.nics import HOST
from tests.vm.node import Node
from tests.vm.plugs import MACS, Plugs, link

PATIENCE = 20.0  # seconds
SOON = 5.0  # seconds after the kernel has told of it: nobody polls so often, and emulation is slow
HUB = 7  # nobody else is there
KIND = "networking.k8s.io/ports"
MAC = MACS["slot0"]
OTHER = "52:54:00:00:09:99"  # of another NIC there


def of(snapshot: Snapshot, mac: str = MAC) -> Interface | None:
    """The link with that MAC."""
    return next((link for link in snapshot.interfaces if link.mac == mac), None)


async def until(stream: AsyncIterator[Snapshot], holds: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot of which it holds."""
    async with asyncio.timeout(PATIENCE):
        async for snapshot in stream:
            if holds(snapshot):
                return snapshot
    raise AssertionError("the stream has ended")


def test_a_nic_is_in_the_inventory_soon_after_it_was_plugged_and_gone_when_it_was_pulled(
    plugs: Plugs,
) -> None:
    async def body() -> None:
        stream = live.stream()
        assert of(await anext(stream)) is None
        plugged = await asyncio.to_thread(plugs.plug, HUB)
        seen = time.monotonic()
        found = of(await until(stream, lambda snapshot: of(snapshot) is not None))
        assert time.monotonic() - seen < SOON
        assert found is not None
        assert found.pci is not None
        assert (found.pci.address, found.pci.driver) == (plugged.nic.pci, "virtio-pci")
        assert (found.name, found.driver) == (plugged.nic.link, "virtio_net")
        await asyncio.to_thread(plugs.pull)
        seen = time.monotonic()
        await until(stream, lambda snapshot: of(snapshot) is None)
        assert time.monotonic() - seen < SOON

    asyncio.run(body())


def test_a_nic_that_is_pulled_while_a_container_has_it_is_lost_until_another_is_plugged(
    plugs: Plugs, node: Node, containers: Containers
) -> None:
    device = plugs.plug(HUB).nic.link
    container = containers.alone()
    node.offer(device).attach(container, "--as", "net1").ok()
    assert container.netns.links()["net1"]["address"] == MAC
    plugs.pull()  # does not wait for the container
    assert eventually(container.netns, lambda: "net1" not in container.netns.links())
    container.end()
    node.mover.detach(container, device)
    assert node.mover.record(device).one("phase") == "lost"
    again = plugs.plug(HUB).nic.link
    successor = containers.alone()
    node.offer(again).attach(successor, "--as", "net1").ok()
    successor.end()
    node.mover.detach(successor, again).ok()
    assert node.mover.leftovers() == []


@pytest.mark.parametrize("early", [True, False], ids=["while it is held", "when it is lost"])
def test_a_nic_in_the_slot_of_one_that_was_pulled_while_lent_is_none_of_its_loan(
    early: bool, plugs: Plugs, node: Node, containers: Containers
) -> None:
    container, device = lend_and_pull(plugs, node, containers)
    if not early:
        container.end()
        node.mover.detach(container, device)
        assert node.mover.record(device).one("phase") == "lost"
    assert plugs.plug(HUB, mac=OTHER).nic.link == device
    before = settled(HOST)
    if early:
        container.end()
        result = node.mover.detach(container, device)
        assert result.code == 0
    else:
        assert [one["lent"] for one in offered(node, device)] == [False]
        result = node.mover.reclaim(device=device)
        assert result.code == 4
    assert "bring the link home: it is gone, and another NIC, which is left alone" in result.reason
    assert_same(HOST, before)
    assert node.mover.leftovers() == [f"errors/{device}"]
    assert lent_and_home(node, containers, device) == OTHER
    assert_same(HOST, before)


def test_a_nic_in_the_slot_of_one_that_is_lost_can_be_lent_at_once(
    plugs: Plugs, node: Node, containers: Containers
) -> None:
    container, device = lend_and_pull(plugs, node, containers)
    container.end()
    node.mover.detach(container, device)
    plugs.plug(HUB, mac=OTHER)
    assert lent_and_home(node, containers, device) == OTHER


def test_a_nic_in_the_slot_of_one_that_nobody_returned_can_be_lent_once_that_is_known(
    plugs: Plugs, node: Node, containers: Containers
) -> None:
    container, device = lend_and_pull(plugs, node, containers)
    plugs.plug(HUB, mac=OTHER)
    before = settled(HOST)
    assert [one["lent"] for one in offered(node, device)] == [True, False]
    successor = containers.alone()
    held = node.offer(device).attach(successor, "--wait", "0")
    assert held.code == 3
    container.end()  # and its runtime has died with it
    refused = node.offer(device).attach(successor)
    assert refused.code == 1
    assert "no link has the MAC, PCI address and kind of" in refused.reason
    assert_same(HOST, before)
    successor.end()
    assert lent_and_home(node, containers, device) == OTHER
    assert_same(HOST, before)


def lend_and_pull(plugs: Plugs, node: Node, containers: Containers) -> tuple[Container, str]:
    """A container that had a NIC with an address, which was pulled, and the device's name."""
    device = plugs.plug(HUB).nic.link
    HOST.batch([f"addr add 10.1.0.5/24 dev {device}", f"link set {device} up"])
    container = containers.alone()
    node.offer(device).attach(container, "--as", "net1").ok()
    plugs.pull()
    return container, device


def lent_and_home(node: Node, containers: Containers, device: str) -> str:
    """The MAC of what a container gets that asks for a device, and gives back."""
    container = containers.alone()
    node.offer(device).attach(container, "--as", "net1").ok()
    mac: str = container.netns.links()["net1"]["address"]
    container.end()
    node.mover.detach(container, device).ok()
    assert node.mover.leftovers() == []
    return mac


def offered(node: Node, device: str) -> list[dict[str, Any]]:
    """What `devices` says of links of that name, the lent one first."""
    links = node.command("devices", "--output", "json", "--interfaces", device)["links"]
    return sorted((one for one in links if one["name"] == device), key=lambda one: not one["lent"])


def test_a_pod_gets_the_nic_in_the_slot_of_one_that_was_lost(
    plugs: Plugs, agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    plug_as_port0(plugs, MAC)
    agents.configure(ports="port0")
    agent = agents.serve(kind=KIND)  # which may not run the mover itself
    kubelet.await_devices(KIND, {"port0": "Healthy"})
    pod = kubelet.run_pod(wanting("first"))
    plugs.pull()
    kubelet.delete_pod(pod)
    assert agent.await_line("Device is lost", device="port0")
    kubelet.await_devices(KIND, {"port0": "Unhealthy"})
    plug_as_port0(plugs, OTHER)
    kubelet.await_devices(KIND, {"port0": "Healthy"})
    pod = kubelet.run_pod(wanting("second"))
    said = containerd.cri.sh(pod.container(), "cat /sys/class/net/port0/address")
    assert said.strip() == OTHER
    kubelet.delete_pod(pod)
    assert eventually(HOST, lambda: link(OTHER) == "port0")
    kubelet.await_devices(KIND, {"port0": "Healthy"})


def plug_as_port0(plugs: Plugs, mac: str) -> None:
    """As udev names the NIC of a slot, whichever it is."""
    HOST.ip("link", "set", plugs.plug(HUB, mac=mac).nic.link, "name", "port0")


def wanting(name: str) -> PodSpec:
    """A pod whose container has one of the pool's."""
    return PodSpec(name=name, containers=(ContainerSpec(limits={KIND: 1}),))
