"""Waiting for the kernel to say that something changed. The event loop's edge.

Changes are told by netlink and, for what only sysfs shows (VFs that appear, a driver
that is bound, an RDMA device), by uevents. They are hardly decoded: each only means
that it is worth looking again, and so does a socket that overran, so that nothing
can be missed for good.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from types import TracebackType

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import decode, rtnl, wire

_RTM_NEWROUTE = 24
_RTM_DELROUTE = 25
_GROUPS = (1, 5, 7, 9, 11)  # RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE
_NEXTHOP_GROUP = 32  # since 5.3
_UEVENT = re.compile(rb"\0SUBSYSTEM=(?:pci|virtio|infiniband)\0")
_READS = 256  # at one go, so that a flood does not keep the event loop


class Changes:
    """What happens in the network namespace of the thread that makes this.

    Raises InventoryError if it cannot listen. A context manager; it hears nothing
    before it is made, so make it before the first snapshot.
    """

    def __init__(self, receive_buffer: int | None = None) -> None:
        self._netlink = rtnl.subscribe(
            _GROUPS, optional=(_NEXTHOP_GROUP,), receive_buffer=receive_buffer
        )
        self._uevents = rtnl.uevents()
        self._sockets = [self._netlink, *([self._uevents] if self._uevents else [])]

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in self._sockets:
            sock.close()

    async def wait(self) -> None:
        """Return once something has changed that a snapshot may show."""
        while not self._heard():
            await self._readable()

    def forget(self) -> None:
        """Discard what has been told so far: a snapshot taken from now on shows it."""
        for sock in self._sockets:
            for _ in range(_READS):
                if _receive(sock) is None:
                    break

    def _heard(self) -> bool:
        for sock in self._sockets:
            for _ in range(_READS):
                data = _receive(sock)
                if data is None:
                    break
                if uevent_matters(data) if sock is self._uevents else matters(data):
                    return True
        return False

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        for sock in self._sockets:
            loop.add_reader(sock, _finish, ready)
        try:
            await ready
        finally:
            for sock in self._sockets:
                loop.remove_reader(sock)


def matters(data: bytes) -> bool:
    """Whether any of these netlink messages may change a snapshot; a broken one may.

    A routing daemon tells thousands a second that do not.
    """
    try:
        return not data or any(
            message.type not in (_RTM_NEWROUTE, _RTM_DELROUTE) or decode.matters(message.body)
            for message in wire.messages(data)
        )
    except InventoryError:
        return True


def uevent_matters(data: bytes) -> bool:
    """Whether a uevent is about what stands under links; those about links come by netlink."""
    return not data or bool(_UEVENT.search(data))


def _receive(sock: socket.socket) -> bytes | None:
    """Read one message; None when there is none, empty when the kernel dropped some."""
    try:
        return sock.recv(rtnl.EVENT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            return b""
        raise InventoryError(f"cannot listen to the kernel: {error.strerror}") from error


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
