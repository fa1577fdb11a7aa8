"""What a provider of ports is: three calls, each bounded in time and none of them ever repeated.

docs/reference/port-provider.md is for those who write one.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Protocol


class Call(enum.Enum):
    """What can be asked of a provider; the value is its name in the contract."""

    ATTACH = "attach"
    DETACH = "detach"
    LIST = "list"


# Seconds that a provider has for its answer. Nova answers once the hypervisor has plugged the
# NIC, which takes seconds, or a minute on a host that is busy.
LIMITS = {Call.ATTACH: 120.0, Call.DETACH: 90.0, Call.LIST: 30.0}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose ports: those of a pool on this node. Nothing else is kept about them anywhere."""

    node: str
    pool: str  # its kind: networking.k8s.io/fast, whichever front end hands it out


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of ours."""

    id: str  # the provider's word for it
    mac: str  # lower case; of the NIC that it is on this machine
    leftover: bool = False  # it was made, and is not attached: somebody died in between
    request: str = ""  # what it was attached for; empty is the pool's stock


class Provider(Protocol):
    """Attaches ports to this machine for one owner. All raise PortError.

    `UnansweredError` says that it may have been done or not, or may yet be: `list`
    will tell. Each call ends within its limit, and soon when it is cancelled.
    """

    async def attach(self, parameters: Mapping[str, str], request: str = "") -> Port:
        """Make a port for a request and attach it, or leave nothing behind."""

    async def detach(self, port: str) -> None:
        """Detach and delete the port with that ID; one that is not there is done."""

    async def list(self) -> tuple[Port, ...]:
        """List all ports that are the owner's, attached or not."""
