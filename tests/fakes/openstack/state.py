"""What the cloud has, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import uuid

SERVER = "0785ee80-1eca-426b-b8c4-5b499fc7f614"
NETWORK = "11111111-1111-4111-8111-111111111111"
SUBNET = "22222222-2222-4222-8222-222222222222"
GROUP = "33333333-3333-4333-8333-333333333333"

Plain = dict[str, object]


@dataclasses.dataclass(slots=True)
class Faults:
    """Bad days; counts run down to none."""

    quota: int = 10  # ports that the project may have
    looks_until_up: int = 0  # a port is DOWN for so many looks at it
    looks_until_gone: int = 0  # an interface is still there for so many looks after its end
    attach_status: int = 0  # what Nova answers to an attach, having done nothing
    lose_attach: bool = False  # Nova attaches, and the connection breaks
    hang_attach: bool = False  # Nova does not answer at all
    lose_create: bool = False  # Neutron makes the port, and the connection breaks
    delete_status: int = 0  # what Neutron answers to a delete
    token_status: int = 0
    port_status: int = 0  # what Neutron answers to whatever is asked about ports


@dataclasses.dataclass(slots=True)
class State:
    """One project: a server, a network, a subnet, a security group, and ports."""

    ports: dict[str, Plain] = dataclasses.field(default_factory=dict)
    plugged: dict[str, int] = dataclasses.field(default_factory=dict)  # port: looks until gone
    faults: Faults = dataclasses.field(default_factory=Faults)
    calls: list[str] = dataclasses.field(default_factory=list)  # that change something
    made: int = 0

    def create(self, wanted: Plain) -> Plain:
        self.made += 1
        port = {
            "id": str(uuid.UUID(int=self.made)),
            "mac_address": f"FA:16:3E:00:00:{self.made:02X}",
            "device_id": "",
            "device_owner": "",
            "status": "DOWN",
            **wanted,
        }
        self.ports[str(port["id"])] = port
        return port

    def plug(self, port: Plain, server: str) -> None:
        port |= {"device_id": server, "device_owner": "compute:nova", "status": "BUILD"}
        port["looks"] = self.faults.looks_until_up
        self.plugged[str(port["id"])] = -1

    def unplug(self, port_id: str) -> None:
        self.plugged[port_id] = self.faults.looks_until_gone

    def look(self, port: Plain) -> Plain:
        """A look at a port, which may be the one at which it is up."""
        left = port.get("looks")
        if isinstance(left, int) and port["device_id"]:
            port["status"] = "DOWN" if left else "ACTIVE"
            port["looks"] = max(0, left - 1)
        return {key: value for key, value in port.items() if key != "looks"}

    def is_plugged(self, port_id: str) -> bool:
        left = self.plugged.get(port_id)
        if left is None:
            return False
        if left == 0:
            del self.plugged[port_id]
            if port := self.ports.get(port_id):
                port |= {"device_id": "", "device_owner": "", "status": "DOWN"}
            return False
        if left > 0:
            self.plugged[port_id] = left - 1
        return True
