"""What the kernel tells of, kept until somebody takes it. The event loop's edge.

Changes are told by netlink and, for what only sysfs shows (VFs that appear, a driver
that is bound, an RDMA device, a function that is pulled while a program has it), by
uevents. Both are read as soon as they come, whatever the rest of the program waits for,
so that the kernel need not drop any.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import rtnl, sieve

BUFFER = 8 * 2**20  # bytes that the kernel keeps for us: thousands of changes

_GROUPS = (1, 5, 7, 9, 11)  # RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE
_NEXTHOP_GROUP = 32  # since 5.3
_UEVENT = re.compile(rb"\0SUBSYSTEM=(?:pci|virtio|infiniband|vfio-dev)\0")
_READS = 256  # at one go, so that a flood does not keep the event loop
_PENDING = 10_000  # messages that we keep at most: some 15 MB


class Heard(NamedTuple):
    """What the kernel told."""

    messages: Sequence[bytes] = ()  # what one read of the netlink socket gave, each
    devices: bool = False  # something under the links was added, removed or bound
    lost: bool = False  # there was more, which did not fit


class Changes:
    """What happens in the network namespace of the thread that makes this.

    It hears nothing before it is made, so make it before the first snapshot; use it
    as a context manager, in a coroutine. Raises InventoryError if it cannot listen.
    """

    def __init__(self, receive_buffer: int = BUFFER) -> None:
        self._told: list[bytes] = []
        self._lost = False
        self._devices = False
        self._failure: InventoryError | None = None
        self._news = asyncio.Event()
        self._netlink = rtnl.subscribe(
            _GROUPS,
            optional=(_NEXTHOP_GROUP,),
            receive_buffer=receive_buffer,
            sieve=sieve.program(),
        )
        self._uevents = rtnl.uevents()

    def __enter__(self) -> Changes:
        loop = asyncio.get_running_loop()
        for sock in self._sockets():
            loop.add_reader(sock, self._hear, sock)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in self._sockets():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    async def wait(self, seconds: float | None = None) -> bool:
        """Return once something changed that a snapshot may show; False if nothing did in time."""
        if not self._news.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)
        return self._news.is_set()

    def take(self) -> Heard:
        """Hand out all that has been told up to now.

        Nothing is left that could be taken for news of what is read from now on.
        """
        for sock in self._sockets():
            while self._hear(sock):
                pass
        if self._failure:
            raise self._failure
        heard = Heard(self._told, self._devices, self._lost)
        self._told, self._devices, self._lost = [], False, False
        self._news.clear()
        return heard

    def _sockets(self) -> tuple[socket.socket, ...]:
        return (self._netlink, self._uevents) if self._uevents else (self._netlink,)

    def _hear(self, sock: socket.socket) -> bool:
        """Read some; False when there is no more."""
        try:
            for _ in range(_READS):
                self._keep(sock, sock.recv(rtnl.EVENT))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                asyncio.get_running_loop().remove_reader(sock)
                self._failure = InventoryError(f"cannot listen to the kernel: {error.strerror}")
                self._news.set()
                return False
            self._lose(sock)
        return True

    def _keep(self, sock: socket.socket, data: bytes) -> None:
        if sock is self._netlink:
            self._told.append(data)
            if len(self._told) > _PENDING:
                self._lose(sock)
        elif not uevent_matters(data):
            return
        else:
            self._devices = True
        self._news.set()

    def _lose(self, sock: socket.socket) -> None:
        """Remember that not all was heard; what was is worth nothing then."""
        if sock is self._netlink:
            self._lost = True
            self._told.clear()
        else:
            self._devices = True
        self._news.set()


def uevent_matters(data: bytes) -> bool:
    """Whether a uevent is about what stands under links; those about links come by netlink.

    Of a function whose program the kernel waits for nothing is told but that it is no
    vfio-dev any more (6.1).
    """
    return bool(_UEVENT.search(data))
