"""NICs that come and go while the guest runs, as Nova's and an operator's do."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Literal

from tests.kernel.mover.dump import eventually
from tests.vm.hardware import SLOTS
from tests.vm.nics import HOST, Nic
from tests.vm.qmp import Qmp

MACS = {slot: f"52:54:00:00:09:{number:02x}" for number, slot in enumerate(SLOTS)}
_SEEN = 20.0  # seconds until the guest's kernel has one that was plugged; 0.03 are usual


@dataclasses.dataclass(frozen=True, slots=True)
class Plugged:
    """A virtio NIC in a slot."""

    slot: str
    nic: Nic

    @property
    def mac(self) -> str:
        """By which whoever plugged it finds it."""
        return self.nic.mac


class Plugs:
    """Plugs NICs for a test, and pulls those that are left at its end."""

    def __init__(self, qmp: Qmp) -> None:
        self._qmp = qmp
        self._taken: dict[str, Literal["in", "asked back"]] = {}

    def plug(self, hub: int, slot: str = SLOTS[0], mac: str = "") -> Plugged:
        """A NIC on that hub, which may be given to a userspace driver; its link is there."""
        mac = mac or MACS[slot]
        self.begin(hub, slot, mac)
        assert eventually(HOST, lambda: bool(link(mac)), _SEEN), f"no NIC in {slot}"
        name = link(mac)
        function = pathlib.Path("/sys/class/net", name, "device").resolve().parent
        return Plugged(slot, Nic(name, function.name, mac))

    def begin(self, hub: int, slot: str = SLOTS[0], mac: str = "") -> None:
        """Plug, and do not wait for the guest to have seen it."""
        self._qmp.plug(slot + "-nic", slot, mac or MACS[slot], hub, iommu_platform=True)
        self._taken[slot] = "in"

    def ask_back(self, slot: str = SLOTS[0]) -> None:
        """Begin to pull; it ends when the guest's driver has let go of the NIC."""
        self._qmp.ask_back(slot + "-nic")
        self._taken[slot] = "asked back"

    def await_gone(self, slot: str = SLOTS[0]) -> None:
        """Return when what was asked back is gone from the machine."""
        self._qmp.await_gone(slot + "-nic")
        del self._taken[slot]

    def pull(self, slot: str = SLOTS[0]) -> None:
        """Take it out, and return when it is gone."""
        self.ask_back(slot)
        self.await_gone(slot)

    def close(self) -> None:
        """Leave no slot taken."""
        for slot, state in list(self._taken.items()):
            if state == "in":
                self.ask_back(slot)
            self.await_gone(slot)


def link(mac: str) -> str:
    """The name of the host's link with that MAC; empty if there is none."""
    names = (name for name, found in HOST.links().items() if found.get("address") == mac)
    return next(names, "")
