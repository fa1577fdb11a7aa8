"""Ports made, attached, waited for and taken back, with the SDK's calls; nothing is left halfway.

A port is ours by its name, which is given in the request that makes it: a tag would
be set by a second one, and whoever dies in between leaves a port that nobody knows.
The name has the server's ID, so that nodes of two clusters may be called alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from openstack import exceptions

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.errors import RefusedError
from netdevice_plugin.ports.provider import Owner, Port
from netdevice_plugin.provisioning import OpenStack

if TYPE_CHECKING:
    from openstack.connection import Connection
    from openstack.network.v2.port import Port as NeutronPort

INTERVAL = 1.0  # seconds between two looks at what Nova and Neutron are at
RESERVE = 0.3  # of the time that there is, for taking back what does not get ready
MAX_NAME = 255  # characters that Neutron has room for
PARAMETERS = ("network", "securityGroups", "subnet")  # that a claim may ask for

_DESCRIPTION = "of netdevice-plugin"
_REQUEST = re.compile(rf"{_DESCRIPTION}, for ([^\s:]{{1,200}}): .*")  # our description's

_DOWN = "is it cabled: does the port's binding say binding_failed?"


class Cloud:
    """The ports of one owner on one server; `until` is a time of the clock's.

    Raises PortError, and what the SDK does: see `failing`.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        connection: Connection,
        *,
        settings: OpenStack,
        server: str,
        owner: Owner,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        interval: float = INTERVAL,
    ) -> None:
        self._network = connection.network
        self._compute = connection.compute
        self._settings = settings
        self._server = server
        self._owner = owner
        self._name = name(server, owner)
        self._clock = clock
        self._sleep = sleep
        self._interval = interval

    def list(self) -> tuple[Port, ...]:
        """List the ports with our name that are this server's, or nobody's."""
        found = (one for one in self._network.ports(name=self._name) if one.name == self._name)
        return tuple(
            Port(
                id=one.id,
                mac=one.mac_address.lower(),
                leftover=not one.device_id,
                request=_request(one.description),
            )
            for one in found
            if one.device_id in (self._server, "", None)
        )

    def attach(self, parameters: Mapping[str, str], seconds: float, request: str = "") -> Port:
        """Make a port, attach it, and wait until it carries traffic, or delete it again."""
        end = self._clock() + seconds
        port = self._network.create_port(**self._wanted(parameters, request))
        try:
            self._compute.create_server_interface(self._server, port_id=port.id)
            self._wait_until_up(port.id, end - RESERVE * seconds)
        except BaseException:  # a signal to end is no reason to leave it
            self._undo(port.id, end)
            raise
        return Port(id=port.id, mac=port.mac_address.lower(), request=request)

    def detach(self, port: str, seconds: float) -> None:
        """Detach a port, wait until the NIC is gone, and delete it; again does no harm."""
        found = self._find(port)
        if found is None:
            return
        if found.name != self._name:
            raise RefusedError(f"port {port} is {found.name!r}, which is not ours")
        self._remove(found.id, self._clock() + seconds)

    def _wanted(self, parameters: Mapping[str, str], request: str) -> dict[str, object]:
        if unknown := sorted(parameters.keys() - set(PARAMETERS)):
            known = ", ".join(PARAMETERS)
            raise RefusedError(f"parameter {unknown[0]!r} is not known, only {known} are")
        settings = self._settings
        name = parameters.get("network", settings.network)
        network = self._network.find_network(name)
        if network is None:
            raise RefusedError(f"there is no network {name!r} in this project")
        # The settings' subnet is of the settings' network.
        ours = settings.subnet if name == settings.network else ""
        wanted: dict[str, object] = {
            "network_id": network.id,
            "name": self._name,
            "description": description(self._owner, request),
        }
        if subnet := parameters.get("subnet", ours):
            found = self._network.find_subnet(subnet, network_id=network.id)
            if found is None:
                raise RefusedError(f"there is no subnet {subnet!r} in that network")
            wanted["fixed_ips"] = [{"subnet_id": found.id}]
        if groups := _listed(parameters.get("securityGroups")) or settings.security_groups:
            wanted["security_groups"] = [self._group(one) for one in groups]
        return wanted

    def _group(self, name: str) -> str:
        found = self._network.find_security_group(name)
        if found is None:
            raise RefusedError(f"there is no security group {name!r} in this project")
        return str(found.id)

    def _find(self, port: str) -> NeutronPort | None:
        try:
            return self._network.get_port(port)
        except exceptions.NotFoundException:
            return None

    def _wait_until_up(self, port: str, end: float) -> None:
        while True:
            found = self._find(port)
            if found is None:
                raise PortError(f"port {port} was deleted while it was attached")
            if found.status == "ACTIVE" and found.device_id == self._server:
                return
            if self._clock() >= end:
                raise PortError(f"port {port} did not come up, it is {found.status}", hint=_DOWN)
            self._sleep(self._interval)

    def _undo(self, port: str, end: float) -> None:
        """Take back as much as can be; what is left is found by its name."""
        with contextlib.suppress(Exception):
            self._remove(port, end)

    def _remove(self, port: str, end: float) -> None:
        """Detach, and delete only once Nova is done: it would trip over a port that is gone."""
        self._compute.delete_server_interface(port, server=self._server)
        while self._is_plugged(port):
            if self._clock() >= end:
                raise PortError(f"port {port} is still attached to {self._server}")
            self._sleep(self._interval)
        self._network.delete_port(port)

    def _is_plugged(self, port: str) -> bool:
        try:
            self._compute.get_server_interface(port, server=self._server)
        except exceptions.NotFoundException:
            return False
        return True


def name(server: str, owner: Owner) -> str:
    """Name the ports of an owner; a pool whose name leaves no room for it is hashed."""
    made = f"netdevice-plugin {server} {owner.pool}"
    if len(made) <= MAX_NAME:
        return made
    return f"netdevice-plugin {server} {hashlib.sha256(owner.pool.encode()).hexdigest()}"


def description(owner: Owner, request: str) -> str:
    """Describe a port of an owner, so that it can be told again what it is for."""
    purpose = f", for {request}" if request else ""
    return f"{_DESCRIPTION}{purpose}: node {owner.node}"[:MAX_NAME]


def _request(description: str | None) -> str:
    found = _REQUEST.fullmatch(description or "")
    return found[1] if found else ""


def _listed(text: str | None) -> tuple[str, ...]:
    """Read the names in a list with commas."""
    names = (name.strip() for name in (text or "").split(","))
    return tuple(name for name in names if name)
