"""What the kernel lists of this thread's network namespace, from netlink and sysfs.

Lists are asked for one after the other, so that a link may be newer than the
addresses beside it. Whoever needs to know what came of it listens (`live`).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from netdevice_plugin.inventory import decode, devlink, routes, rtnl, wire
from netdevice_plugin.inventory.mirror import Found, Hardware, Listing, Mirror, Wants
from netdevice_plugin.inventory.rtnl import Query
from netdevice_plugin.inventory.sysfs import Sysfs
from netdevice_plugin.model import Interface, Snapshot

SYSFS = Path("/sys")

RTM_GETLINK = 18
RTM_GETADDR = 22
RTM_GETROUTE = 26
RTM_GETNEXTHOP = 106

_IFLA_EXT_MASK = 29
_RTEXT_FILTER_SKIP_STATS = 8  # counters are a third of a link's message
_MASK = wire.attribute(_IFLA_EXT_MASK, struct.pack("=I", _RTEXT_FILTER_SKIP_STATS))
_FEW = 100  # links that are asked for one by one; a list of thousands takes as long


def snapshot(*, sysfs: Path = SYSFS, node_addresses: Sequence[str] = ()) -> Snapshot:
    """Read every link with all that belongs to it, and decide which are never offered.

    Needs no capability. Lent links are not in it: see `lent.merge`. Raises
    InventoryError if the kernel cannot be read, ConfigError for a node address
    that is none.
    """
    reader = Reader(sysfs, node_addresses)
    mirror = reader.mirror()
    while any(wants := mirror.wants()):
        mirror.accept(wants, reader.find(wants))
    return mirror.snapshot()


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """Asks the kernel; that may take as long as others keep it busy."""

    sysfs: Path = SYSFS
    node_addresses: Sequence[str] = ()

    def mirror(self) -> Mirror:
        """List all. It still wants what is under the links."""
        links = rtnl.dump(Query("links", RTM_GETLINK, _which(0)))
        return Mirror(Listing(links, _addresses(), *_routes()), self.node_addresses)

    def find(self, wants: Wants) -> Found:
        """Read what a mirror wants."""
        reading = Sysfs(self.sysfs)
        devices = [reading.describe(link) for link in wants.devices]
        hardware = _hardware(reading, devices) if wants.hardware else None
        links = _some(wants.links)
        if not wants.routes:
            return Found(links, devices, None, hardware)
        # Routes vanish with a link after that has been told, but before this is answered: it
        # takes the lock that is held meanwhile.
        rtnl.ask([Query("loopback", RTM_GETLINK, _which(1))])
        return Found(links, devices, _routes(), hardware)


def _hardware(reading: Sysfs, devices: Sequence[Interface]) -> Hardware:
    """Read what is of no link; of the links that are wanted too are all that have a device."""
    pfs = {one.pci.address for one in devices if one.pf and one.pci}
    return Hardware(reading.functions(), devlink.eswitch_modes(sorted(pfs)))


def _which(ifindex: int) -> bytes:
    """Ask for that link, or for all."""
    return struct.pack("=4xi8x", ifindex) + _MASK  # struct ifinfomsg


def _some(ifindexes: Sequence[int]) -> list[bytes]:
    """Read those links that are there."""
    if len(ifindexes) <= _FEW:
        return rtnl.ask([Query(f"link {i}", RTM_GETLINK, _which(i)) for i in ifindexes])
    wanted = frozenset(ifindexes)
    query = Query("links", RTM_GETLINK, _which(0))
    return rtnl.dump(query, keep=lambda body: decode.subject(body)[1] in wanted)


def _addresses() -> list[bytes]:
    """Read all addresses, each family by itself: a change in one interrupts no other's list."""
    return [
        body
        for family in wire.FAMILIES
        for body in dump_family(Query("addresses", RTM_GETADDR, struct.pack("=B7x", family)))
    ]


def _routes() -> tuple[list[bytes], list[bytes]]:
    """Read the routes of every table that matter, and nexthop objects if one goes by them."""
    bodies = [body for family in wire.FAMILIES for body in _family_routes(family)]
    indirect = any(routes.by_nexthop_id(body) for body in bodies)
    return bodies, _nexthops() if indirect else []


def _family_routes(family: int) -> list[bytes]:
    header = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, routes.RTN_UNICAST, 0)
    return dump_family(Query("routes", RTM_GETROUTE, header), routes.matters)


def dump_family(query: Query, keep: Callable[[bytes], bool] = bool) -> list[bytes]:
    """List what one family has; it is the first byte of the query.

    A kernel without IPv6 answers for that with all that it has, so that the family
    of what comes is looked at again.
    """
    family = query.body[0]
    return rtnl.dump(query, keep=lambda body: keep(body) and body[0] == family)


def _nexthops() -> list[bytes]:
    return rtnl.dump(Query("nexthops", RTM_GETNEXTHOP, bytes(8)))  # struct nhmsg
