"""Netlink framing: bytes to messages and attributes, and back. Pure.

A decoder of our own, because the one that Python has takes longer to import than
the whole of a snapshot may take. Layout: linux/netlink.h; all is host byte order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netdevice_plugin.errors import InventoryError

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4
NLM_F_REQUEST = 0x1
NLM_F_DUMP_INTR = 0x10
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLM_F_DUMP = 0x300

# Address families as the kernel numbers them, and their IP versions.
FAMILIES: Mapping[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 6}

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
_U32 = struct.Struct("=I")
_NLMSGERR_ATTR_MSG = 1
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


class Message(NamedTuple):
    """One netlink message; `body` starts after the header."""

    type: int
    flags: int
    body: bytes


def request(message: int, flags: int, body: bytes, *, sequence: int = 1) -> bytes:
    """Frame one message to the kernel."""
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, message, NLM_F_REQUEST | flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def messages(buffer: bytes) -> Iterator[Message]:
    """Split what one read gave; raises InventoryError for what is no netlink message."""
    at, end = 0, len(buffer)
    while at < end:
        if end - at < _HEADER.size:
            raise InventoryError("netlink: a message header is cut short")
        length, kind, flags, _, _ = _HEADER.unpack_from(buffer, at)
        if length < _HEADER.size or length > end - at:
            raise InventoryError(f"netlink: a message claims {length} bytes of {end - at}")
        yield Message(kind, flags, buffer[at + _HEADER.size : at + length])
        at += (length + 3) & ~3


def attributes(body: bytes, at: int = 0) -> dict[int, bytes]:
    """Read the attributes from an offset to the end; of one kind the last counts.

    Raises InventoryError for an attribute that is not whole.
    """
    return dict(each_attribute(body, at))


def each_attribute(body: bytes, at: int = 0) -> list[tuple[int, bytes]]:
    """Read the attributes in order, for nests where one kind repeats."""
    found = []
    end = len(body)
    unpack = _ATTRIBUTE.unpack_from
    while at + 4 <= end:
        length, kind = unpack(body, at)
        if length < 4 or at + length > end:
            raise InventoryError(f"netlink: an attribute claims {length} bytes of {end - at}")
        found.append((kind & _TYPE_MASK, body[at + 4 : at + length]))
        at += (length + 3) & ~3
    return found


def u32(found: Mapping[int, bytes], kind: int) -> int | None:
    """Read an attribute of four bytes; None where it is absent or has another size."""
    value = found.get(kind, b"")
    return int(_U32.unpack(value)[0]) if len(value) == _U32.size else None


def unpack(layout: struct.Struct, body: bytes, what: str) -> tuple[int, ...]:
    """Read the fixed part that a message starts with; `what` it is about is for the error."""
    if len(body) < layout.size:
        raise InventoryError(f"netlink: a message about a {what} is cut short ({len(body)} bytes)")
    return layout.unpack_from(body)


def ip(family: int, value: bytes) -> str:
    """Format an IP address of that family; empty for one that has another size."""
    if (family, len(value)) in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        return socket.inet_ntop(family, value)
    return ""


def text(value: bytes) -> str:
    """Read a C string; bytes that are not UTF-8 survive as surrogates, as in file names."""
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def error(message: Message) -> tuple[int, str]:
    """Read an errno and the kernel's own words from an NLMSG_ERROR or NLMSG_DONE.

    The errno is positive, 0 for success; the words are there with NETLINK_EXT_ACK
    only. In an error they follow the request that it quotes, unless that is capped.
    """
    if len(message.body) < _ERRNO.size:
        return 0, ""
    errno = -int(_ERRNO.unpack_from(message.body)[0])
    if not message.flags & NLM_F_ACK_TLVS:
        return errno, ""
    at = _ERRNO.size
    if message.type == NLMSG_ERROR:
        capped = bool(message.flags & NLM_F_CAPPED)
        quoted = _U32.unpack_from(message.body, at)[0] if len(message.body) >= at + 4 else 0
        at += _HEADER.size if capped else (max(quoted, _HEADER.size) + 3) & ~3
    return errno, text(attributes(message.body, at).get(_NLMSGERR_ATTR_MSG, b""))
