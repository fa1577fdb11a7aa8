"""The socket edge of rtnetlink: ask the kernel for a list, and listen for changes.

Sockets belong to the network namespace of the thread that opens them. Reading
needs no capability.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import wire

# Seconds before each attempt at a dump that the kernel keeps interrupting, 5 in all. Duplicate
# address detection on a thousand new links keeps it busy for two.
PAUSES = (0.0,) * 5 + (0.01, 0.02, 0.05) + (0.1,) * 50
BUFFER = 256 * 1024  # the kernel fills at most 32 KiB at once, but for a single large message
EVENT = 64 * 1024  # the same for a change that it tells

_NETLINK_KOBJECT_UEVENT = 15
_UEVENT_GROUP = 1  # the kernel's; 2 is udev's
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_EXT_ACK = 11
_GET_STRICT_CHK = 12


class Socket(Protocol):
    """What we need of a socket, so that tests can script one."""

    def send(self, data: bytes, /) -> int:
        """As of socket.socket; OSError likewise."""

    def recvmsg(self, size: int, /) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        """As of socket.socket; OSError likewise."""

    def __enter__(self) -> Socket: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


class Query(NamedTuple):
    """A list to ask for; `what` it is of is for errors."""

    what: str
    message: int  # RTM_GET*
    body: bytes


class InterruptedDumpError(InventoryError):
    """What is listed kept changing while it was listed; later may be better."""


def connect() -> socket.socket:
    """Open a socket for one dump in this thread's network namespace."""
    sock = _open()
    for option in (_EXT_ACK, _GET_STRICT_CHK):  # 4.12 and 4.20; without, we filter ourselves
        _try_option(sock, option)
    return sock


def _open() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as error:
        raise InventoryError(f"cannot open a netlink socket: {error.strerror}") from error


def _try_option(sock: socket.socket, option: int) -> None:
    try:
        sock.setsockopt(_SOL_NETLINK, option, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            sock.close()
            raise InventoryError(f"cannot set up a netlink socket: {error.strerror}") from error


def subscribe(
    groups: Collection[int],
    *,
    optional: Collection[int] = (),
    receive_buffer: int | None = None,
    sieve: bytes = b"",
) -> socket.socket:
    """Open a non-blocking socket that hears of changes, in this thread's network namespace.

    `optional` groups are those that an older kernel may lack. `receive_buffer` is
    in bytes; without CAP_NET_ADMIN the kernel caps it at net.core.rmem_max. `sieve`
    is a classic BPF program, which keeps out what is not worth waking up for.
    """
    sock = _open()
    try:
        if receive_buffer is not None:
            _enlarge(sock, receive_buffer)
        if sieve:
            _attach(sock, sieve)
        sock.bind((0, 0))  # at address 0 the kernel takes us for itself, and does not tell us
        for group in groups:
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        for group in optional:
            _join(sock, group)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise InventoryError(f"cannot listen to the kernel: {error.strerror}") from error
    return sock


def _enlarge(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _attach(sock: socket.socket, program: bytes) -> None:
    code = array.array("B", program)
    address, length = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", length // 8, address))


def _join(sock: socket.socket, group: int) -> None:
    try:
        sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def uevents() -> socket.socket | None:
    """Open a non-blocking socket that hears the kernel's uevents; None where that is not allowed.

    They are told in every network namespace of the initial user namespace.
    """
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_KOBJECT_UEVENT)
    except OSError:
        return None
    try:
        sock.bind((0, _UEVENT_GROUP))
    except OSError:
        sock.close()
        return None
    sock.setblocking(False)
    return sock


def dump(
    query: Query,
    *,
    keep: Callable[[bytes], bool] | None = None,
    connect: Callable[[], Socket] = connect,
    pauses: Sequence[float] = PAUSES,
) -> list[bytes]:
    """Ask for a list until the kernel gives one that is consistent.

    Returns the bodies of the messages that `keep` wants. Raises InventoryError when
    the kernel refuses, InterruptedDumpError when it was inconsistent each time.
    Every attempt has a socket of its own, so that nothing of an earlier one is left
    in it.
    """
    for pause in pauses:
        time.sleep(pause)
        try:
            with connect() as sock:
                sock.send(wire.request(query.message, wire.NLM_F_DUMP, query.body))
                found = _collect(sock, query.what, keep)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise InventoryError(f"cannot list {query.what}: {error.strerror}") from error
            continue
        if found is not None:
            return found
    raise InterruptedDumpError(
        f"cannot list {query.what}: they changed during each of {len(pauses)} attempts",
        hint="something makes and removes links without a pause; `ip monitor` shows what",
    )


def ask(queries: Sequence[Query], *, connect: Callable[[], Socket] = connect) -> list[bytes]:
    """Ask for one thing after the other; those that the kernel does not have are left out.

    Raises InventoryError when it refuses.
    """
    if not queries:
        return []
    with connect() as sock:
        found = (_answer(sock, query) for query in queries)
        return [body for body in found if body is not None]


def _answer(sock: Socket, query: Query) -> bytes | None:
    try:
        sock.send(wire.request(query.message, 0, query.body))
        data, _, _, _ = sock.recvmsg(BUFFER)
    except OSError as error:
        raise InventoryError(f"cannot list {query.what}: {error.strerror}") from error
    for message in wire.messages(data):
        if message.type != wire.NLMSG_ERROR:
            return message.body
        if wire.error(message)[0] != errno.ENODEV:
            _check(message, query.what)
    return None


def _collect(sock: Socket, what: str, keep: Callable[[bytes], bool] | None) -> list[bytes] | None:
    """Read one dump to its end; None if the kernel says that it is inconsistent."""
    found: list[bytes] = []
    while True:
        data, _, flags, _ = sock.recvmsg(BUFFER)
        if flags & socket.MSG_TRUNC:
            raise InventoryError(f"cannot list {what}: a message has more than {BUFFER} bytes")
        for message in wire.messages(data):
            if message.flags & wire.NLM_F_DUMP_INTR or message.type == wire.NLMSG_OVERRUN:
                return None
            if message.type in (wire.NLMSG_DONE, wire.NLMSG_ERROR):
                _check(message, what)
                return found
            if keep is None or keep(message.body):
                found.append(message.body)


def _check(message: wire.Message, what: str) -> None:
    number, words = wire.error(message)
    if number:
        reason = ": ".join(filter(None, (os.strerror(number), words)))
        raise InventoryError(f"cannot list {what}: {reason}")
