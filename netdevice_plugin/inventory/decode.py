"""Messages about links and addresses to the model. Pure; raises nothing but InventoryError.

Numbers are those of linux/if_link.h and if_addr.h; routes have `routes`.
Attributes of a size that makes no sense count as absent; messages that are not
whole are errors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netdevice_plugin.inventory import wire
from netdevice_plugin.inventory.wire import FAMILIES
from netdevice_plugin.model import Address, Interface, Route

_IFINFO = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_IFF_LOWER_UP = 0x10000
_IFA_F_SECONDARY = 1
_CACHEINFO = struct.Struct("=II")  # preferred, valid; two timestamps follow
_FOREVER = 0xFFFFFFFF
_U16 = struct.Struct("=H")
_VLAN_PROTOCOLS = {b"\x81\x00": "802.1q", b"\x88\xa8": "802.1ad"}
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

# What tells an address of a link from its others.
AddressKey = tuple[int, str, int, str]


class Link(NamedTuple):
    """A link as netlink tells it, and where the bus has the device under it."""

    interface: Interface
    bus: str = ""  # IFLA_PARENT_DEV_BUS_NAME (5.14): pci, virtio, usb; empty for virtual links
    device: str = ""  # IFLA_PARENT_DEV_NAME: 0000:03:00.0


def subject(body: bytes) -> tuple[int, int, int]:
    """Read what an RTM_NEWLINK or RTM_DELLINK is about: address family, ifindex, IFF_* flags.

    Of another family than AF_UNSPEC it tells what a bridge or a protocol has to say of a
    link, and nothing of the link itself.
    """
    family, _, ifindex, flags, _ = wire.unpack(_IFINFO, body, "link")
    return family, ifindex, flags


def link(body: bytes, addresses: tuple[Address, ...] = (), routes: tuple[Route, ...] = ()) -> Link:
    """Decode an RTM_NEWLINK; addresses and routes are those of this link."""
    _, hardware, ifindex, flags, _ = wire.unpack(_IFINFO, body, "link")
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
        carrier=bool(flags & _IFF_LOWER_UP),
        alias=wire.text(get(20, b"")),
        port=wire.text(get(38, b"")),
        addresses=addresses,
        routes=routes,
        vlan=_vlan(info) if kind == "vlan" else None,
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
    number, prefix, flags, scope, ifindex = wire.unpack(_IFADDR, body, "address")
    family = FAMILIES.get(number)
    found = wire.attributes(body, _IFADDR.size)
    far = wire.ip(number, found.get(1, b""))
    own = wire.ip(number, found.get(2, b"")) or far
    if family is None or not own:
        return None
    preferred, valid = _lifetimes(found.get(6, b""))
    return ifindex, Address(
        family=family,
        address=own,
        prefix=prefix,
        peer=far if far != own else "",
        broadcast=wire.ip(number, found.get(4, b"")),
        label=wire.text(found.get(3, b"")),
        scope=scope,
        flags=_or(wire.u32(found, 8), flags),
        valid=valid,
        preferred=preferred,
        metric=wire.u32(found, 9) or 0,
    )


def address_key(address: Address) -> AddressKey:
    """Tell an address from the others of its link, as the kernel does.

    IPv4 addresses may differ in prefix and peer alone; an IPv6 address is there once.
    """
    if address.family == 6:
        return (6, address.address, 0, "")
    return (4, address.address, address.prefix, address.peer)


def ordered(several: Iterable[Address]) -> tuple[Address, ...]:
    """Put addresses in an order of their own: the kernel's depends on how they came about.

    IPv4 comes first, and in each family what is secondary or temporary comes last.
    """
    return tuple(sorted(several, key=_rank))


def _rank(address: Address) -> tuple[object, ...]:
    secondary = bool(address.flags & _IFA_F_SECONDARY)  # IFA_F_TEMPORARY is the same bit
    return address.family, secondary, address.address, address.prefix, address.peer


def _signed(value: int | None) -> int | None:
    """A namespace id is -1 where none has been assigned."""
    return -1 if value == 0xFFFFFFFF else value


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _altnames(nest: bytes) -> tuple[str, ...]:
    if not nest:
        return ()
    return tuple(wire.text(value) for kind, value in wire.each_attribute(nest) if kind == 53)


def _vxlan_lower(kind: str, info: Mapping[int, bytes]) -> int | None:
    """The link that a tunnel was bound to. All kinds say so in IFLA_LINK but this one."""
    if kind != "vxlan":
        return None
    return wire.u32(wire.attributes(info.get(2, b"")), 3) or None  # IFLA_VXLAN_LINK


def _vlan(info: Mapping[int, bytes]) -> tuple[str, int] | None:
    """Protocol and number, of IFLA_VLAN_PROTOCOL (in network order) and IFLA_VLAN_ID."""
    data = wire.attributes(info.get(2, b""))  # IFLA_INFO_DATA
    protocol = _VLAN_PROTOCOLS.get(data.get(5, b""))
    number = data.get(1, b"")
    if protocol is None or len(number) != _U16.size:
        return None
    return protocol, int(_U16.unpack(number)[0])


def _operstate(value: bytes) -> str:
    known = len(value) == 1 and value[0] < len(_OPERSTATES)
    return _OPERSTATES[value[0]] if known else "unknown"


def _lifetimes(value: bytes) -> tuple[int | None, int | None]:
    """Seconds preferred and valid from an ifa_cacheinfo; None is for ever."""
    if len(value) < _CACHEINFO.size:
        return None, None
    preferred, valid = _CACHEINFO.unpack_from(value)
    return _finite(preferred), _finite(valid)


def _finite(seconds: int) -> int | None:
    return None if seconds == _FOREVER else seconds
