"""The words that parameters are made of: text in, checked value in its usual form out.

Each function raises ValueError with a reason that follows the text in a message.
`parameters.schema.json` says the same as patterns; a test keeps the two in step.
"""

from __future__ import annotations

import ipaddress
import re

_NAME = re.compile(r"(?!-)[!-$&-+\-.0-9;-~]{1,15}")  # graphic ASCII but % , / :
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_LONG_MAC = re.compile(r"([0-9a-fA-F]{2}:){19}[0-9a-fA-F]{2}")  # InfiniBand's
_MARK = re.compile(r"(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})(/(0x[0-9a-fA-F]{1,8}|[0-9]{1,10}))?")
_FEATURE = re.compile(r"[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?")  # ETH_GSTRING_LEN, with its NUL
_PREFIX = re.compile(r"[^/%]+/[0-9]{1,3}")

_RESERVED = {"lo", "all", "default", ".", ".."}

# What `ethtool -k` shows for several of the kernel's features, or under another name.
_GROUPS = {
    "rx-checksumming": "rx-checksum",
    "tx-checksumming": "tx-checksum-ip-generic, tx-checksum-ipv4, tx-checksum-ipv6",
    "scatter-gather": "tx-scatter-gather",
    "tcp-segmentation-offload": "tx-tcp-segmentation, tx-tcp6-segmentation",
    "generic-segmentation-offload": "tx-generic-segmentation",
    "generic-receive-offload": "rx-gro",
    "large-receive-offload": "rx-lro",
    "rx-vlan-offload": "rx-vlan-hw-parse",
    "tx-vlan-offload": "tx-vlan-hw-insert",
    "ntuple-filters": "rx-ntuple-filter",
    "receive-hashing": "rx-hashing",
}


def family_of(text: str) -> int:
    """4 or 6, of an address or a network that was checked."""
    return 6 if ":" in text else 4


def link_name(text: str) -> str:
    """Check the name of a link: what the kernel takes (dev_valid_name), tools and lists too."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            "must be 1 to 15 plain characters, without white space, '/', ':', '%' and ',', "
            "and not begin with '-'"
        )
    if text in _RESERVED:
        raise ValueError("is taken: by the loopback device, or by the kernel's settings")
    return text


def mac(text: str) -> str:
    """Check a MAC that a link can have: of Ethernet, and of one station."""
    if not _MAC.fullmatch(text):
        raise ValueError("must be a MAC address like 02:00:00:00:00:01")
    if int(text[1], 16) & 1 or not text.strip("0:"):
        raise ValueError("must be the address of one station, not multicast or zero")
    return text.lower()


def any_mac(text: str) -> str:
    """Check the MAC of a neighbour, on Ethernet or on InfiniBand."""
    return text.lower() if _LONG_MAC.fullmatch(text) else mac(text)


def host(text: str) -> str:
    """Check the address of one host: a gateway, a source, a neighbour."""
    try:
        found = None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None:
        raise ValueError("must be an IPv4 or IPv6 address, without a prefix length")
    if not _is_one_host(found):
        raise ValueError("must be the address of one host")
    return str(found)


def address(text: str) -> str:
    """Check an address of a link, with its prefix length."""
    try:
        found = ipaddress.ip_interface(text) if _PREFIX.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("must be an address with its prefix length, like 192.0.2.10/24")
    if not _is_one_host(found.ip) or found.network.prefixlen == 0:
        raise ValueError("must be an address that a link can have")
    return str(found)


def network(text: str) -> str:
    """Check a network: an address without bits beyond its prefix length."""
    try:
        found = ipaddress.ip_interface(text) if _PREFIX.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("must be a network with its prefix length, like 198.51.100.0/24")
    if found.ip != found.network.network_address:
        raise ValueError(f"has bits beyond its prefix length; {found.network} is the network")
    return str(found.network)


def destination(text: str) -> str:
    """Check where a route leads."""
    try:
        return text if text == "default" else network(text)
    except ValueError as error:
        raise ValueError(f"{error} (or default)") from None


def scope(text: str) -> str:
    """Check a route's scope by the names of iproute2."""
    if text not in ("global", "link", "host"):
        raise ValueError("must be global, link or host")
    return text


def protocol(text: str) -> str:
    """Check what VLAN tags are made by."""
    if text not in ("802.1q", "802.1ad"):
        raise ValueError("must be 802.1q or 802.1ad")
    return text


def mark(text: str) -> tuple[int, int | None]:
    """Read a mark and its mask: 16, 0x10 or 0x10/0xff."""
    found = _MARK.fullmatch(text)
    words = text.split("/") if found else []
    numbers = [int(word, 16 if word.startswith("0x") else 10) for word in words]
    if not found or max(numbers) >= 2**32:
        raise ValueError("must be a mark of 32 bits, or mark/mask, like 0x10/0xff")
    value, given = numbers[0], numbers[1] if len(numbers) == 2 else None
    if given is not None and (given == 0 or value & ~given):
        raise ValueError("has a mask that does not cover the mark: no packet has that")
    return value, given


def feature(text: str) -> str:
    """Check what the kernel calls an offload; whether the link has it, only the mover knows."""
    if text in _GROUPS:
        raise ValueError(f"is ethtool's word; the kernel's is {_GROUPS[text]}")
    if not _FEATURE.fullmatch(text):
        raise ValueError("must be the kernel's name of a feature, like rx-gro")
    return text


def port_value(text: str) -> str:
    """Check what a provider of ports is told: a name, an ID, a list of such."""
    if not 0 < len(text) <= 255 or not text.isprintable():
        raise ValueError("must have 1 to 255 printable characters")
    return text


def _is_one_host(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    broadcast = ipaddress.IPv4Address("255.255.255.255")
    return not (found.is_multicast or found.is_unspecified or found.is_loopback) and (
        found != broadcast
    )
