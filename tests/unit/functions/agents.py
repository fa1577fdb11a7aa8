"""Agents with a fake kernel: started, killed at a step, started again."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from netdevice_plugin.functions.lending import Functions
from netdevice_plugin.model import Device, Interface, PciDevice, Pool, pci_device_name
from netdevice_plugin.provisioning import BindAt, Userspace, VfSettings
from tests.unit.functions.kernel import VF, Kernel, Killed

T = TypeVar("T")

VFIO = Pool(name="fast", reset=True, userspace=Userspace(driver="vfio-pci"))
IDLE = dataclasses.replace(VFIO, userspace=Userspace(driver="vfio-pci", bind_at=BindAt.START))
NOTHING = VfSettings()
SETTINGS = VfSettings(mac="02:00:00:00:00:99", vlan=100, qos=3, trust=True, max_tx_rate=100)
NAME = pci_device_name(VF)


def device(kernel: Kernel, address: str = VF, pool: Pool = VFIO) -> Device:
    """A function as a pool offers it, with the link that it has now, if any."""
    ifindex = kernel.bus.ifindex(address)
    link = kernel.netdevs[ifindex] if ifindex else Interface(ifindex=0, name="")
    interface = dataclasses.replace(link, pci=PciDevice(address=address))
    return Device(name=pci_device_name(address), pool=pool.name, interface=interface)


class Agent:
    """What an agent does until it ends, or is killed at the step of that number."""

    def __init__(
        self, kernel: Kernel, path: pathlib.Path, *, kill_at: int = -1, patience: float = 30.0
    ) -> None:
        self.kernel = kernel
        self.path = path
        self.steps: list[str] = []
        self.now = 1000.0
        self.changes = 0
        self._kill_at = kill_at
        self._patience = patience  # a busy machine must not pass for a stuck driver

    def _step(self, name: str) -> None:
        if len(self.steps) == self._kill_at:
            raise Killed
        self.steps.append(name)

    def _changed(self) -> None:
        self.changes += 1

    def run(self, work: Callable[[Functions], Awaitable[T]], *, protected: str = "") -> T | None:
        """Start it, have it do that, and end it; None if it was killed."""

        async def main() -> T | None:
            functions = Functions(
                self.path / "run",
                bus=self.kernel.bus,
                links=self.kernel,
                proc=self.kernel.proc,
                dev=self.kernel.dev,
                patience=self._patience,
                step=self._step,
                changed=self._changed,
                protected=lambda _address: protected,
                clock=lambda: self.now,
            )
            try:
                await functions.load()
                return await work(functions)
            except Killed:
                return None
            finally:
                await functions.close()

        return asyncio.run(main())
