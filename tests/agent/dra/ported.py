"""A node whose NICs are attached for claims by a program, and an instance that can be killed.

python -m tests.agent.dra.ported DIRECTORY STEP
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from netdevice_plugin.dra import holdings
from netdevice_plugin.dra.claims import Claims
from netdevice_plugin.model import VIA_DRA, Frontend, Interface, Pool, Snapshot
from netdevice_plugin.offering import InUse, Listing
from netdevice_plugin.ports.ports import Ports
from netdevice_plugin.provisioning import PortProvider
from netdevice_plugin.provisioning import Ports as Settings
from tests.agent.dra.dialled import Kubelet, server
from tests.fakes.hypervisor import Hypervisor
from tests.unit.dra.claimed import NODE, POOL, Node

DEVICES = ("fast-0", "fast-1")
LOOK = 0.02  # seconds between two looks at what the program has attached


class Scene:
    """The same node for whoever is on it: two devices, and two claims that want the first."""

    def __init__(self, root: Path, at: str = "") -> None:
        self.node = Node(root)
        self.hypervisor = Hypervisor(root / "cloud")
        provider = PortProvider(command=self.hypervisor.command)
        settings = Settings(provider=provider, spare=0, max=2, on_demand=True)
        self._pool = Pool(name=POOL, frontend=Frontend.DRA, ports=settings)
        self._ports = Ports(NODE, changed=lambda: None, asked=self._asked)
        self.node.attach = self._attach
        self.node.step = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == at else None
        self.node.give(1, *DEVICES)
        self.node.give(2, DEVICES[0])
        self.publish()
        self.claims: Claims = self.node.instance()

    def publish(self) -> None:
        """Take a turn: what is attached is here."""
        links = {
            one["mac"]: Interface(ifindex=20, name=one["id"], mac=one["mac"])
            for one in self.hypervisor.ports
        }
        nics = holdings.nics(self.claims.allocations) if hasattr(self, "claims") else {}
        names = {device: links.get(mac) for mac, device in nics.items()}
        for device in DEVICES:
            self.node.offer_on_demand(device, names.get(device))
        listed = tuple(one for one in self.node.links.values() if not isinstance(one, str))
        listing = Listing(pool=self._pool, devices=listed)
        snapshot = Snapshot(interfaces=tuple(links.values()))
        self._ports.follow({self._pool.kind + VIA_DRA: listing}, InUse(), snapshot, ())

    async def run(self) -> None:
        """Be the agent's part in it, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ports.run())
            while True:
                self.publish()
                await asyncio.sleep(LOOK)

    def _asked(self) -> Mapping[str, str] | None:
        return holdings.asked(self.claims.allocations) if self.claims.loaded else None

    async def _attach(
        self, pool: str, request: str, parameters: Mapping[str, str], mac: str
    ) -> str:
        return (await self._ports.attach(self._pool.kind, request, parameters, mac)).mac


async def main(root: Path, at: str) -> None:
    scene = Scene(root, at)
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.run())
        group.create_task(server(Kubelet(root), scene.claims, "victim").run())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
