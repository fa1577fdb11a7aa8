"""What devlink says of a NIC: the mode of the switch in it. The socket edge, read only.

Most NICs, and kernels without devlink, have no answer, and the kernel gives it only to
CAP_NET_ADMIN: it is not known then. Layout: linux/genetlink.h and linux/devlink.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import wire
from netdevice_plugin.inventory.rtnl import Socket

SECONDS = 1.0  # until an answer is given up: a firmware that hangs must not keep the links waiting

_NETLINK_GENERIC = 16
_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 3, 1, 2
_DEVLINK_CMD_ESWITCH_GET = 29
_BUS_NAME, _DEV_NAME, _ESWITCH_MODE = 1, 2, 25
_HEADER = struct.Struct("=BBxx")  # struct genlmsghdr: command, version
_U16 = struct.Struct("=H")
_BUFFER = 64 * 1024

MODES = {0: "legacy", 1: "switchdev"}


def connect() -> socket.socket:
    """Open a socket for generic netlink in this thread's network namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
    sock.settimeout(SECONDS)
    return sock


def eswitch_modes(
    addresses: Iterable[str], *, connect: Callable[[], Socket] = connect
) -> dict[str, str]:
    """Ask for the modes of these PCI functions; those that have none, or do not say, are left out.

    Never raises: nothing depends on it.
    """
    wanted = tuple(addresses)
    found: dict[str, str] = {}
    if not wanted:
        return found
    try:
        with connect() as sock:
            family = decode_family(_ask(sock, family_request()))
            for address in wanted if family else ():
                if mode := decode_mode(_ask(sock, mode_request(family, address))):
                    found[address] = mode
    except (OSError, InventoryError):
        pass
    return found


def family_request() -> bytes:
    """Ask which number devlink has."""
    name = wire.attribute(_CTRL_ATTR_FAMILY_NAME, b"devlink\0")
    return wire.request(_GENL_ID_CTRL, 0, _HEADER.pack(_CTRL_CMD_GETFAMILY, 1) + name)


def mode_request(family: int, address: str) -> bytes:
    """Ask for the mode of one PCI function."""
    place = wire.attribute(_BUS_NAME, b"pci\0")
    place += wire.attribute(_DEV_NAME, address.encode() + b"\0")
    return wire.request(family, 0, _HEADER.pack(_DEVLINK_CMD_ESWITCH_GET, 1) + place)


def decode_family(answer: bytes) -> int:
    """Read the number of the family; 0 if there is none."""
    return _number(answer, _CTRL_ATTR_FAMILY_ID) or 0


def decode_mode(answer: bytes) -> str:
    """Read the mode; empty for one that is not known, and for an error."""
    mode = _number(answer, _ESWITCH_MODE)
    return "" if mode is None else MODES.get(mode, "")


def _ask(sock: Socket, request: bytes) -> bytes:
    sock.send(request)
    return sock.recvmsg(_BUFFER)[0]


def _number(answer: bytes, kind: int) -> int | None:
    for message in wire.messages(answer):
        if message.type in (wire.NLMSG_ERROR, wire.NLMSG_DONE):
            return None
        value = wire.attributes(message.body, _HEADER.size).get(kind, b"")
        return int(_U16.unpack(value)[0]) if len(value) == _U16.size else None
    return None
