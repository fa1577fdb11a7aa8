"""One snapshot of this thread's network namespace, from netlink and sysfs.

Lists are asked for one after the other, so that a link may be newer than the
addresses beside it. Whoever needs to know what came of it listens (`live`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from netdevice_plugin.inventory import decode, rtnl, uplinks, wire
from netdevice_plugin.inventory.decode import Nexthop
from netdevice_plugin.inventory.rtnl import Query
from netdevice_plugin.inventory.sysfs import Sysfs, name_pfs
from netdevice_plugin.model import Address, Interface, Route, Snapshot

SYSFS = Path("/sys")

RTM_GETLINK = 18
RTM_GETADDR = 22
RTM_GETROUTE = 26
RTM_GETNEXTHOP = 106

_IFLA_EXT_MASK = 29
_RTEXT_FILTER_SKIP_STATS = 8  # counters are a third of a link's message


def snapshot(*, sysfs: Path = SYSFS, node_addresses: Sequence[str] = ()) -> Snapshot:
    """Read every link with all that belongs to it, and decide which are never offered.

    Needs no capability. Lent links are not in it: see `lent.merge`. Raises
    InventoryError if the kernel cannot be read, ConfigError for a node address
    that is none.
    """
    interfaces = _interfaces(Sysfs(sysfs))
    protected = uplinks.protect(interfaces, node_addresses)
    return Snapshot(interfaces=interfaces, protected=protected)


def _interfaces(sysfs: Sysfs) -> tuple[Interface, ...]:
    bodies = _links()
    addresses, routes = _addresses(), _routes()
    links = (decode.link(body, addresses, routes) for body in bodies)
    found = sorted((sysfs.describe(link) for link in links), key=lambda one: one.ifindex)
    return name_pfs(tuple(found))


def _links() -> list[bytes]:
    mask = struct.pack("=I", _RTEXT_FILTER_SKIP_STATS)
    body = bytes(16) + wire.attribute(_IFLA_EXT_MASK, mask)  # struct ifinfomsg: all of them
    return rtnl.dump(Query("links", RTM_GETLINK, body))


def _addresses() -> dict[int, tuple[Address, ...]]:
    """Read all addresses, each family by itself: a change in one interrupts no other's list."""
    return decode.addresses(
        body
        for family in (socket.AF_INET, socket.AF_INET6)
        for body in dump_family(Query("addresses", RTM_GETADDR, struct.pack("=B7x", family)))
    )


def _routes() -> dict[int, tuple[Route, ...]]:
    """Read the routes of every table that matter; nexthop objects only where one needs them."""
    bodies = [*_family_routes(socket.AF_INET), *_family_routes(socket.AF_INET6)]
    indirect = any(decode.by_nexthop_id(body) for body in bodies)
    return decode.routes(bodies, _nexthops() if indirect else {})


def _family_routes(family: int) -> list[bytes]:
    header = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, decode.RTN_UNICAST, 0)
    return dump_family(Query("routes", RTM_GETROUTE, header), decode.matters)


def dump_family(query: Query, keep: Callable[[bytes], bool] = bool) -> list[bytes]:
    """List what one family has; it is the first byte of the query.

    A kernel without IPv6 answers for that with all that it has, so that the family
    of what comes is looked at again.
    """
    family = query.body[0]
    return rtnl.dump(query, keep=lambda body: keep(body) and body[0] == family)


def _nexthops() -> dict[int, Nexthop]:
    query = Query("nexthops", RTM_GETNEXTHOP, bytes(8))  # struct nhmsg
    return decode.nexthops(rtnl.dump(query))
