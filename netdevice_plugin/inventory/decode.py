"""Messages of rtnetlink to the model. Pure; never raises anything but InventoryError.

Numbers are those of linux/if_link.h, if_addr.h, rtnetlink.h and nexthop.h.
Attributes of a size that makes no sense count as absent; messages that are not
whole are errors.
"""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import wire
from netdevice_plugin.model import Address, Interface, Route

RTN_UNICAST = 1

# Routes of these origins belong to a routing daemon, which takes them away itself when
# a link leaves. A node may have a million: only their default routes say anything of a
# link. gated, mrt, zebra, bird, dnrouted, xorp, ntk, mrouted, babel, openr, bgp, isis,
# ospf, rip, eigrp: linux/rtnetlink.h.
ROUTING_DAEMONS = frozenset((8, 10, 11, 12, 13, 14, 15, 17, 42, 99, 186, 187, 188, 189, 192))

_IFINFO = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_NEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, index
_NHMSG_SIZE = 8
_GROUP_ENTRY = struct.Struct("=IBBH")  # id, weight, weight's high byte, reserved
_CACHEINFO = struct.Struct("=II")  # preferred, valid; two timestamps follow
_U16 = struct.Struct("=H")
_FOREVER = 0xFFFFFFFF
_RTM_F_CLONED = 0x200
_NH_ID = struct.pack("=HH", 8, 30)  # the header of RTA_NH_ID

_FAMILIES: Mapping[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 6}
_MAC_LENGTHS = (6, 8, 20)  # Ethernet, EUI-64, InfiniBand; a tunnel's "address" is an IP address
_OPERSTATES = (
    "unknown",
    "notpresent",
    "down",
    "lowerlayerdown",
    "testing",
    "dormant",
    "up",
)
_LINK_TYPES: Mapping[int, str] = {
    1: "ether",
    32: "infiniband",
    280: "can",
    512: "ppp",
    519: "rawip",
    768: "ipip",
    769: "tunnel6",
    772: "loopback",
    776: "sit",
    778: "gre",
    801: "ieee802.11",
    823: "gre6",
    824: "netlink",
    0xFFFE: "none",
}
_ENCAPS = ("", "mpls", "ip", "ila", "ip6", "seg6", "bpf", "seg6local", "rpl", "ioam6", "xfrm")


class Link(NamedTuple):
    """A link as netlink tells it, and where the bus has the device under it."""

    interface: Interface
    bus: str = ""  # IFLA_PARENT_DEV_BUS_NAME (5.14): pci, virtio, usb; empty for virtual links
    device: str = ""  # IFLA_PARENT_DEV_NAME: 0000:03:00.0


class Nexthop(NamedTuple):
    """A nexthop object: a way out, or a group of others."""

    ifindex: int = 0
    gateway: str = ""
    group: tuple[int, ...] = ()
    encap: str = ""


def link(
    body: bytes,
    addresses: Mapping[int, tuple[Address, ...]],
    routes: Mapping[int, tuple[Route, ...]],
) -> Link:
    """Decode an RTM_NEWLINK; addresses and routes are those of all links, by ifindex."""
    _, hardware, ifindex, flags, _ = _header(_IFINFO, body, "link")
    found = wire.attributes(body, _IFINFO.size)
    get = found.get
    info = wire.attributes(get(18, b""))  # IFLA_LINKINFO
    kind = wire.text(info.get(1, b""))
    elsewhere = wire.u32(found, 37)  # IFLA_LINK_NETNSID
    lower = wire.u32(found, 5) or _vxlan_lower(kind, info)
    interface = Interface(
        ifindex=ifindex,
        name=wire.text(get(3, b"")),
        altnames=_altnames(get(52, b"")),
        kind=kind,
        link_type=link_type(hardware),
        mac=mac(get(1, b"")),
        permanent_mac=mac(get(54, b"")),
        mtu=wire.u32(found, 4) or 0,
        flags=flags,
        immovable=get(67, b"") == b"\1",  # IFLA_NETNS_IMMUTABLE, 6.15
        operstate=_operstate(get(16, b"")),
        carrier=get(33, b"") == b"\1",
        alias=wire.text(get(20, b"")),
        port=wire.text(get(38, b"")),
        addresses=addresses.get(ifindex, ()),
        routes=routes.get(ifindex, ()),
        master=wire.u32(found, 10) or None,
        lower=lower if elsewhere is None else None,
        peer_netnsid=_signed(elsewhere),
    )
    return Link(interface, wire.text(get(57, b"")), wire.text(get(56, b"")))


def link_type(number: int) -> str:
    """Name an ARPHRD_* number as ip(8) does; one that has no name stays a number."""
    return _LINK_TYPES.get(number, str(number))


def mac(value: bytes) -> str:
    """Format a hardware address; all zeros mean that there is none."""
    return value.hex(":") if len(value) in _MAC_LENGTHS and any(value) else ""


def address(body: bytes) -> tuple[int, Address] | None:
    """Decode an RTM_NEWADDR to the ifindex and the address; None for other families."""
    number, prefix, flags, scope, ifindex = _header(_IFADDR, body, "address")
    family = _FAMILIES.get(number)
    found = wire.attributes(body, _IFADDR.size)
    far = _ip(number, found.get(1, b""))
    own = _ip(number, found.get(2, b"")) or far
    if family is None or not own:
        return None
    preferred, valid = _lifetimes(found.get(6, b""))
    return ifindex, Address(
        family=family,
        address=own,
        prefix=prefix,
        peer=far if far != own else "",
        broadcast=_ip(number, found.get(4, b"")),
        label=wire.text(found.get(3, b"")),
        scope=scope,
        flags=_or(wire.u32(found, 8), flags),
        valid=valid,
        preferred=preferred,
        metric=wire.u32(found, 9) or 0,
    )


def addresses(bodies: Iterable[bytes]) -> dict[int, tuple[Address, ...]]:
    """Decode RTM_NEWADDR messages, by ifindex, in the kernel's order."""
    found: defaultdict[int, list[Address]] = defaultdict(list)
    for body in bodies:
        decoded = address(body)
        if decoded:
            found[decoded[0]].append(decoded[1])
    return {ifindex: tuple(several) for ifindex, several in found.items()}


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
        and body[0] in _FAMILIES
        and not _RTMSG.unpack_from(body)[8] & _RTM_F_CLONED
    )


def by_nexthop_id(body: bytes) -> bool:
    """Whether a route names a nexthop object and nothing else.

    So it is with sysctl net.ipv4.nexthop_compat_mode off; on, the kernel tells the
    links as well.
    """
    if _NH_ID not in body:  # hardly any route does: look at once before decoding all of them
        return False
    found = wire.attributes(body, _RTMSG.size)
    return 30 in found and 4 not in found and 9 not in found


def routes(
    bodies: Iterable[bytes], nexthops: Mapping[int, Nexthop]
) -> dict[int, tuple[Route, ...]]:
    """Decode RTM_NEWROUTE messages, by the link that they leave through."""
    found: defaultdict[int, list[Route]] = defaultdict(list)
    for body in bodies:
        if matters(body):
            for one in route(body, nexthops):
                found[one.ifindex].append(one)
    return {ifindex: tuple(several) for ifindex, several in found.items()}


def route(body: bytes, nexthops: Mapping[int, Nexthop]) -> list[Route]:
    """Decode an RTM_NEWROUTE into one route for every way out that it has."""
    number, length, _, _, table, protocol, scope, kind, _ = _header(_RTMSG, body, "route")
    found = wire.attributes(body, _RTMSG.size)
    nexthop_id = wire.u32(found, 30) or 0
    family = _FAMILIES.get(number)
    if family is None:
        return []
    destination = f"{_ip(number, found.get(1, b''))}/{length}" if length else "default"
    return [
        Route(
            family=family,
            destination=destination,
            ifindex=way.ifindex,
            gateway=way.gateway,
            source=_ip(number, found.get(7, b"")),
            table=_or(wire.u32(found, 15), table),
            metric=wire.u32(found, 6) or 0,
            protocol=protocol,
            scope=scope,
            type=kind,
            nexthop_id=nexthop_id,
            encap=way.encap,
        )
        for way in _ways(number, found) or _resolve(nexthop_id, nexthops)
    ]


def nexthops(bodies: Iterable[bytes]) -> dict[int, Nexthop]:
    """Decode RTM_NEWNEXTHOP messages by their id."""
    found = {}
    for body in bodies:
        if len(body) < _NHMSG_SIZE:
            raise InventoryError(f"netlink: a nexthop of {len(body)} bytes is cut short")
        attributes = wire.attributes(body, _NHMSG_SIZE)
        group = attributes.get(2, b"")
        whole = len(group) - len(group) % _GROUP_ENTRY.size
        found[wire.u32(attributes, 1) or 0] = Nexthop(
            ifindex=wire.u32(attributes, 5) or 0,
            gateway=_ip(body[0], attributes.get(6, b"")),
            group=tuple(entry[0] for entry in _GROUP_ENTRY.iter_unpack(group[:whole])),
            encap=_encap(attributes.get(7, b"")),
        )
    return found


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
    gateway = _ip(number, found.get(5, b""))
    via = found.get(18, b"")  # RTA_VIA: a gateway of the other family, which comes first in it
    if len(via) > _U16.size:
        gateway = _ip(_U16.unpack_from(via)[0], via[_U16.size :])
    return Nexthop(ifindex, gateway, (), _encap(found.get(21, b"")))


def _header(layout: struct.Struct, body: bytes, what: str) -> tuple[int, ...]:
    if len(body) < layout.size:
        raise InventoryError(f"netlink: a message about a {what} is cut short ({len(body)} bytes)")
    return layout.unpack_from(body)


def _signed(value: int | None) -> int | None:
    """A namespace id is -1 where none has been assigned."""
    return -1 if value == 0xFFFFFFFF else value


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _ip(number: int, value: bytes) -> str:
    if (number, len(value)) in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        return socket.inet_ntop(number, value)
    return ""


def _altnames(nest: bytes) -> tuple[str, ...]:
    if not nest:
        return ()
    return tuple(wire.text(value) for kind, value in wire.each_attribute(nest) if kind == 53)


def _vxlan_lower(kind: str, info: Mapping[int, bytes]) -> int | None:
    """The link that a tunnel was bound to. All kinds say so in IFLA_LINK but this one."""
    if kind != "vxlan":
        return None
    return wire.u32(wire.attributes(info.get(2, b"")), 3) or None  # IFLA_VXLAN_LINK


def _operstate(value: bytes) -> str:
    known = len(value) == 1 and value[0] < len(_OPERSTATES)
    return _OPERSTATES[value[0]] if known else "unknown"


def _encap(value: bytes) -> str:
    if len(value) != _U16.size:
        return ""
    number = int(_U16.unpack(value)[0])
    return _ENCAPS[number] if number < len(_ENCAPS) else str(number)


def _lifetimes(value: bytes) -> tuple[int | None, int | None]:
    """Seconds preferred and valid from an ifa_cacheinfo; None is for ever."""
    if len(value) < _CACHEINFO.size:
        return None, None
    preferred, valid = _CACHEINFO.unpack_from(value)
    return _finite(preferred), _finite(valid)


def _finite(seconds: int) -> int | None:
    return None if seconds == _FOREVER else seconds
