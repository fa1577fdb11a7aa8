"""Messages as the kernel would send them, for tests that need no kernel."""

from __future__ import annotations

import socket
import struct

from netdevice_plugin.inventory import wire

Attributes = tuple[tuple[int, bytes], ...]


def attributes(*several: tuple[int, bytes]) -> bytes:
    return b"".join(wire.attribute(kind, value) for kind, value in several)


def u16(value: int) -> bytes:
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def ip(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def link(ifindex: int, *several: tuple[int, bytes], kind: int = 1, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, kind, ifindex, flags, 0) + attributes(*several)


def address(
    ifindex: int, *several: tuple[int, bytes], family: int = 2, prefix: int = 24, flags: int = 0
) -> bytes:
    return struct.pack("=BBBBI", family, prefix, flags, 0, ifindex) + attributes(*several)


def route(  # one argument for each field of struct rtmsg that matters
    *several: tuple[int, bytes],
    family: int = 2,
    length: int = 0,
    table: int = 254,
    protocol: int = 3,
    kind: int = 1,
    flags: int = 0,
    tos: int = 0,
    scope: int = 0,
) -> bytes:
    header = struct.pack("=BBBBBBBBI", family, length, 0, tos, table, protocol, scope, kind, flags)
    return header + attributes(*several)


def nexthop(number: int, *several: tuple[int, bytes], family: int = 2) -> bytes:
    return struct.pack("=BBBBI", family, 0, 0, 0, 0) + attributes((1, u32(number)), *several)


def hop(ifindex: int, *several: tuple[int, bytes]) -> bytes:
    """One struct rtnexthop of a multipath route."""
    inner = attributes(*several)
    return struct.pack("=HBBi", 8 + len(inner), 0, 0, ifindex) + inner


def framed(kind: int, body: bytes = b"", *, flags: int = 2) -> bytes:
    message = struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
    return message + bytes(-len(message) % 4)


def done(flags: int = 2) -> bytes:
    return framed(3, struct.pack("=i", 0), flags=flags)
