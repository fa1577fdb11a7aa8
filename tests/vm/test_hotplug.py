"""NICs that are plugged while we run, as a cloud attaches ports, and pulled while in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from netdevice_plugin.inventory import live
from netdevice_plugin.model import Interface, Snapshot
from tests.kernel.mover.dump import eventually
from tests.kernel.mover.harness import Containers
from tests.vm.node import Node
from tests.vm.plugs import MACS, Plugs

PATIENCE = 20.0  # seconds
SOON = 1.0  # seconds after the kernel has told of it; under emulation, on a busy machine
HUB = 7  # nobody else is there
MAC = MACS["slot0"]


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
