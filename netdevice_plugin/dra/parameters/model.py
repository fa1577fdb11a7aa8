"""What a claim asks of its link, decoded and checked: frozen, in the mover's own words.

`None` everywhere stands for "not asked": the link stays as the host has it.
Addresses and networks are in their usual form, MACs in lower case.
"""

from __future__ import annotations

import dataclasses

from netdevice_plugin.dra.parameters.words import family_of
from netdevice_plugin.provisioning import VfSettings

MAIN_TABLE = 254
AS_IT_IS = VfSettings()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way out through the link; `table` is None for main, or for the VRF's if there is one."""

    destination: str  # "default" or a network
    gateway: str = ""
    source: str = ""
    table: int | None = None
    scope: str = ""  # global, link or host; empty is the kernel's choice
    metric: int | None = None
    onlink: bool = False

    @property
    def family(self) -> int:
        """4 or 6; a `default` is of its gateway's family, else its source's, else IPv4."""
        texts = (self.destination, self.gateway, self.source)
        return next((family_of(text) for text in texts if text not in ("", "default")), 4)

    @property
    def is_default(self) -> bool:
        """Whether it is for everything of its family."""
        return self.destination in ("default", "0.0.0.0/0", "::/0")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which packets of the pod go by which table; one condition at least.

    It is of the family of its networks, and for both where it has none.
    """

    table: int
    source: str = ""  # networks
    destination: str = ""
    fwmark: tuple[int, int | None] | None = None  # mark, mask
    incoming: bool = False  # those that came in through this link
    outgoing: bool = False  # those of sockets bound to this link
    priority: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A permanent entry, or, without a MAC, an address to answer for (proxy)."""

    address: str
    mac: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vrf:
    """The VRF of the pod that the link becomes a port of."""

    name: str
    table: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vlan:
    """The VLAN on top of the link, which then has all that belongs to IP."""

    id: int
    protocol: str = "802.1q"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ethtool:
    """Settings of the hardware, by the kernel's names of them, sorted."""

    features: tuple[tuple[str, bool], ...] = ()
    rings: tuple[tuple[str, int], ...] = ()
    channels: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """All that a claim may ask of one link."""

    interface_name: str | None = None
    mtu: int | None = None
    mac: str | None = None
    addresses: tuple[str, ...] = ()  # with prefix length; none: the host's
    keep_host_addresses: bool | None = None
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    vrf: Vrf | None = None
    vlan: Vlan | None = None
    sysctls: tuple[tuple[str, int], ...] = ()  # ("ipv4/conf/rp_filter", 2), sorted
    ethtool: Ethtool = Ethtool()
    gateway: bool = False
    vf: VfSettings = AS_IT_IS
    port: tuple[tuple[str, str], ...] = ()  # for the provider of the NIC, sorted

    @property
    def without_addresses(self) -> bool:
        """Whether the link is to have no address: the host's would mean nothing on a VLAN."""
        dropped = self.keep_host_addresses is False or self.vlan is not None
        return dropped and not self.addresses

    @property
    def main_table(self) -> int:
        """The table of routes that name none."""
        return self.vrf.table if self.vrf else MAIN_TABLE

    def table_of(self, route: Route) -> int:
        """The table that a route goes into."""
        return self.main_table if route.table is None else route.table
