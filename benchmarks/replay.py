"""The bare kernel work: a warm process that sends what the mover sends, and nothing else.

Its sockets are open in both namespaces and its requests are ready bytes; all that
it does with an answer is to see where it ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from benchmarks.watch import Request
from tests.kernel.scratch import Netns

_HEADER = struct.Struct("=IHHII")
_ERROR, _DONE = 2, 3
_ACK, _DUMP = 0x4, 0x300
_SOL_NETLINK = 270
_OPTIONS = (11, 12)  # NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK: as the mover's


class Side:
    """A namespace that this process has a socket in and a descriptor of."""

    def __init__(self, space: Netns) -> None:
        self.netns = os.open(space.path, os.O_RDONLY | os.O_CLOEXEC)
        self.socket = space.call(_connect)

    @property
    def inode(self) -> int:
        """What names the namespace."""
        return os.fstat(self.netns).st_ino

    def close(self) -> None:
        """Close both."""
        self.socket.close()
        os.close(self.netns)


def _connect() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    for option in _OPTIONS:
        sock.setsockopt(_SOL_NETLINK, option, 1)
    sock.bind((0, 0))
    return sock


@contextlib.contextmanager
def sides(*spaces: Netns) -> Iterator[dict[int, Side]]:
    """Both namespaces, by inode."""
    opened = [Side(space) for space in spaces]
    try:
        yield {side.inode: side for side in opened}
    finally:
        for side in opened:
            side.close()


class Replay:
    """One run of the mover, as its netlink requests alone."""

    def __init__(self, requests: Sequence[Request], by_inode: dict[int, Side]) -> None:
        self._buffer = bytearray(65536)
        self._steps = []
        for request in requests:
            data = bytearray(request.data)
            if request.target_at:
                number = by_inode[request.target].netns
                struct.pack_into("=I", data, request.target_at, number)
            self._steps.append((by_inode[request.netns].socket, bytes(data), _ends(data)))

    def run(self) -> list[int]:
        """Send all, each after the answer to the one before; returns what was refused (errno)."""
        return [self._one(sock, data, ends) for sock, data, ends in self._steps]

    def _one(self, sock: socket.socket, data: bytes, ends: int) -> int:
        sock.send(data)
        while True:
            size = sock.recv_into(self._buffer)
            at = 0
            while at < size:
                length, kind, _, _, _ = _HEADER.unpack_from(self._buffer, at)
                if kind == _ERROR:
                    return -int(struct.unpack_from("=i", self._buffer, at + 16)[0])
                if kind == _DONE or not ends:
                    return 0
                at += (length + 3) & ~3


def _ends(data: bytearray) -> int:
    """Whether an acknowledgement, or the end of a list, ends the answer; else any object does."""
    _, _, flags, _, _ = _HEADER.unpack_from(data)
    return int(flags & (_ACK | _DUMP))
