"""Messages about routes to the model. Pure; never raises anything but InventoryError.

Numbers are those of linux/rtnetlink.h, nexthop.h and lwtunnel.h. What `decode` says of
odd attributes holds here as well.
"""

from __future__ import annotations

import operator
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import wire
from netdevice_plugin.inventory.wire import FAMILIES
from netdevice_plugin.model import Route

RTN_UNICAST = 1

# Routes of these origins belong to a routing daemon, which takes them away itself when
# a link leaves. A node may have a million: only their default routes say anything of a
# link. gated, mrt, zebra, bird, dnrouted, xorp, ntk, mrouted, babel, openr, bgp, isis,
# ospf, rip, eigrp: linux/rtnetlink.h.
ROUTING_DAEMONS = frozenset((8, 10, 11, 12, 13, 14, 15, 17, 42, 99, 186, 187, 188, 189, 192))

_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_NEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, index
_NHMSG_SIZE = 8
_GROUP_ENTRY = struct.Struct("=IBBH")  # id, weight, weight's high byte, reserved
_U16 = struct.Struct("=H")
_RTM_F_CLONED = 0x200
_MAIN = 254
_NH_ID = struct.pack("=HH", 8, 30)  # the header of RTA_NH_ID
_ENCAPS = ("", "mpls", "ip", "ila", "ip6", "seg6", "bpf", "seg6local", "rpl", "ioam6", "xfrm")

# Family, table, destination, source prefix, TOS, metric.
Key = tuple[int, int, bytes, int, bytes, int, int, int]


class Nexthop(NamedTuple):
    """A nexthop object: a way out, or a group of others."""

    ifindex: int = 0
    gateway: str = ""
    group: tuple[int, ...] = ()
    encap: str = ""


class Entry(NamedTuple):
    """What one RTM_NEWROUTE says: a route for every way out that it has."""

    key: Key  # what the kernel finds it by; several may have the same
    ways: tuple[Route, ...]
    simple: bool  # it has one way, of its own: no multipath, no nexthop object


def matters(body: bytes) -> bool:
    """Whether an RTM_NEWROUTE or RTM_DELROUTE says anything of a link; cheap.

    Unicast routes do: one that rejects leaves through no link, and local,
    broadcast and multicast ones are the kernel's own. Of a routing daemon's, only
    the default routes do.
    """
    if len(body) < _RTMSG.size:
        raise InventoryError(f"netlink: a route of {len(body)} bytes is cut short")
    return (
        body[7] == RTN_UNICAST
        and (body[1] == 0 or body[5] not in ROUTING_DAEMONS)
        and body[0] in FAMILIES
        and not _RTMSG.unpack_from(body)[8] & _RTM_F_CLONED
    )


def by_nexthop_id(body: bytes) -> bool:
    """Whether a route goes by a nexthop object.

    With sysctl net.ipv4.nexthop_compat_mode off it tells nothing else; on, the
    kernel tells the links as well.
    """
    # Hardly any route does: look at once before decoding all of them.
    return _NH_ID in body and 30 in wire.attributes(body, _RTMSG.size)


def entry(body: bytes, nexthops: Mapping[int, Nexthop]) -> Entry:
    """Decode an RTM_NEWROUTE or RTM_DELROUTE; of other families it has no ways."""
    number, length, far, tos, table, protocol, scope, kind, _ = wire.unpack(_RTMSG, body, "route")
    found = wire.attributes(body, _RTMSG.size)
    family = FAMILIES.get(number, 0)
    to, nexthop_id = found.get(1, b""), wire.u32(found, 30) or 0
    table = _or(wire.u32(found, 15), table)
    metric = wire.u32(found, 6) or 0
    destination = f"{wire.ip(number, to)}/{length}" if length else "default"
    source = wire.ip(number, found.get(7, b""))
    ways = tuple(
        Route(
            family=family,
            destination=destination,
            ifindex=way.ifindex,
            gateway=way.gateway,
            source=source,
            table=table,
            metric=metric,
            protocol=protocol,
            scope=scope,
            type=kind,
            nexthop_id=nexthop_id,
            encap=way.encap,
        )
        for way in _ways(number, found) or _resolve(nexthop_id, nexthops)
        if family
    )
    key = (family, table, to, length, found.get(2, b""), far, tos, metric)
    return Entry(key, ways, simple=not nexthop_id and 9 not in found)


def ordered(several: Iterable[Route]) -> tuple[Route, ...]:
    """Put routes in an order of their own: the kernel's depends on how they came about.

    The main table comes first in it, and in each table the default route.
    """
    return tuple(sorted(several, key=_rank))


def _rank(route: Route) -> tuple[object, ...]:
    return (
        route.family,
        route.table != _MAIN,
        route.table,
        route.destination != "default",
        _rest(route),
    )


_rest = operator.attrgetter(
    *("destination", "metric", "gateway", "ifindex", "source", "protocol"),
    *("scope", "type", "nexthop_id", "encap"),
)


def by_link(bodies: Iterable[bytes], nexthops: Mapping[int, Nexthop]) -> dict[int, list[Route]]:
    """Decode those of some RTM_NEWROUTE messages that matter, by the link they leave through."""
    found: defaultdict[int, list[Route]] = defaultdict(list)
    for body in bodies:
        if matters(body):
            for way in entry(body, nexthops).ways:
                found[way.ifindex].append(way)
    return found


def nexthops(bodies: Iterable[bytes]) -> dict[int, Nexthop]:
    """Decode RTM_NEWNEXTHOP messages by their id."""
    return dict(nexthop(body) for body in bodies)


def nexthop(body: bytes) -> tuple[int, Nexthop]:
    """Decode an RTM_NEWNEXTHOP or RTM_DELNEXTHOP to its id and what it is."""
    if len(body) < _NHMSG_SIZE:
        raise InventoryError(f"netlink: a nexthop of {len(body)} bytes is cut short")
    found = wire.attributes(body, _NHMSG_SIZE)
    group = found.get(2, b"")
    whole = len(group) - len(group) % _GROUP_ENTRY.size
    return wire.u32(found, 1) or 0, Nexthop(
        ifindex=wire.u32(found, 5) or 0,
        gateway=wire.ip(body[0], found.get(6, b"")),
        group=tuple(entry[0] for entry in _GROUP_ENTRY.iter_unpack(group[:whole])),
        encap=_encap(found.get(7, b"")),
    )


def _resolve(nexthop_id: int, nexthops: Mapping[int, Nexthop]) -> list[Nexthop]:
    """The ways out of a nexthop object; groups hold no groups."""
    top = nexthops.get(nexthop_id, Nexthop())
    ways = [nexthops.get(member, Nexthop()) for member in top.group] or [top]
    return [way for way in ways if way.ifindex]


def _ways(number: int, found: Mapping[int, bytes]) -> list[Nexthop]:
    """The links and gateways that a route itself tells."""
    ifindex = wire.u32(found, 4)
    if ifindex:
        return [_way(number, ifindex, found)]
    multipath = found.get(9, b"")
    ways = []
    at = 0
    while at + _NEXTHOP.size <= len(multipath):
        length, _, _, ifindex = _NEXTHOP.unpack_from(multipath, at)
        if length < _NEXTHOP.size or at + length > len(multipath):
            raise InventoryError(f"netlink: a nexthop claims {length} bytes")
        if ifindex:
            inner = wire.attributes(multipath[at : at + length], _NEXTHOP.size)
            ways.append(_way(number, ifindex, inner))
        at += (length + 3) & ~3
    return ways


def _way(number: int, ifindex: int, found: Mapping[int, bytes]) -> Nexthop:
    gateway = wire.ip(number, found.get(5, b""))
    via = found.get(18, b"")  # RTA_VIA: a gateway of the other family, which comes first in it
    if len(via) > _U16.size:
        gateway = wire.ip(_U16.unpack_from(via)[0], via[_U16.size :])
    return Nexthop(ifindex, gateway, (), _encap(found.get(21, b"")))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _encap(value: bytes) -> str:
    if len(value) != _U16.size:
        return ""
    number = int(_U16.unpack(value)[0])
    return _ENCAPS[number] if number < len(_ENCAPS) else str(number)
