"""Links made and removed with bare netlink requests, and when the kernel tells of that."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

NEW, DEL = 16, 17  # RTM_NEWLINK, RTM_DELLINK
_NEW_ADDRESS = 20  # RTM_NEWADDR

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_IFINFOMSG = 16
_REQUEST, _CREATE = 0x5, 0x600  # NLM_F_REQUEST | NLM_F_ACK; NLM_F_CREATE | NLM_F_EXCL
_IFNAME, _MTU, _LINKINFO, _GROUP, _KIND = 3, 4, 18, 27, 1
_LINK, _NET_NS_FD, _DATA, _MACVLAN_MODE = 5, 28, 2, 1
_GROUP_LINK = 1  # RTMGRP_LINK
_IFADDRMSG = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_BUFFER = 32 * 2**20


class Links:
    """Changes links of this thread's network namespace, and waits for each answer."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))

    def create(self, name: str, group: int = 0) -> None:
        """Make an ifb."""
        kind = _attribute(_LINKINFO, _attribute(_KIND, b"ifb"))
        group_ = _attribute(_GROUP, struct.pack("=I", group))
        self._ask(NEW, _CREATE, bytes(_IFINFOMSG) + _name(name) + group_ + kind)

    def create_macvlan(self, name: str, parent: int, netns: int) -> None:
        """Make one of mode bridge in another namespace, of which that is a descriptor."""
        mode = _attribute(_MACVLAN_MODE, struct.pack("=I", 4))
        info = _attribute(_KIND, b"macvlan") + _attribute(_DATA, mode)
        where = (_LINK, parent), (_NET_NS_FD, netns)
        numbers = b"".join(_attribute(key, struct.pack("=I", value)) for key, value in where)
        body = bytes(_IFINFOMSG) + _name(name) + numbers + _attribute(_LINKINFO, info)
        self._ask(NEW, _CREATE, body)

    def set_up(self, name: str) -> None:
        """Set IFF_UP."""
        self._ask(NEW, 0, struct.pack("=BxHiII", 0, 0, 0, 1, 1) + _name(name))

    def remove(self, name: str) -> None:
        """Remove a link, which takes the kernel some 20 ms."""
        self._ask(DEL, 0, bytes(_IFINFOMSG) + _name(name))

    def remove_group(self, group: int) -> None:
        """Remove all links of a group, which takes it no longer."""
        self._ask(DEL, 0, bytes(_IFINFOMSG) + _attribute(_GROUP, struct.pack("=I", group)))

    def set_mtu(self, name: str, mtu: int) -> None:
        """Change something of a link that no list shows."""
        change = _name(name) + _attribute(_MTU, struct.pack("=I", mtu))
        self._ask(NEW, 0, bytes(_IFINFOMSG) + change)

    def add_address(self, name: str, address: str) -> None:
        """Give a link an IPv4 address, of a network of its own."""
        packed = socket.inet_aton(address)
        head = _IFADDRMSG.pack(socket.AF_INET, 32, 0, 0, socket.if_nametoindex(name))
        both = _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._ask(_NEW_ADDRESS, _CREATE, head + both)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        header = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        if error := -struct.unpack_from("=i", answer, _HEADER.size)[0]:
            raise OSError(error, os.strerror(error))


class Events:
    """When the kernel told of each link, as a bare socket hears it, while this is entered."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)  # SO_RCVBUFFORCE
        self._socket.settimeout(0.2)
        self._socket.bind((0, _GROUP_LINK))
        self._heard: dict[tuple[int, str], int] = {}
        self._news = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._thread.join()
        self._socket.close()

    def first(self, kind: int, name: str) -> int:
        """When that was first told of a link of that name: CLOCK_MONOTONIC, ns."""
        with self._news:
            self._news.wait_for(lambda: (kind, name) in self._heard, 5)
            return self._heard[kind, name]

    def _listen(self) -> None:
        while not self._over:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            now = time.monotonic_ns()
            with self._news:
                self._heard.setdefault(_subject(data), now)
                self._news.notify_all()


def _subject(data: bytes) -> tuple[int, str]:
    """What a message says has happened, and to whom; the name is an early attribute."""
    kind = _HEADER.unpack_from(data)[1]
    at = _HEADER.size + _IFINFOMSG
    while at + 4 <= len(data):
        size, attribute = struct.unpack_from("=HH", data, at)
        if attribute == _IFNAME:
            return kind, data[at + 4 : at + size - 1].decode()
        at += (max(size, 4) + 3) & ~3
    return kind, ""


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _name(name: str) -> bytes:
    return _attribute(_IFNAME, name.encode() + b"\0")
