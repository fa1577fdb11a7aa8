from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from types import TracebackType

import pytest

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import rtnl, wire
from netdevice_plugin.inventory.rtnl import InterruptedDumpError, Query
from tests.unit.inventory.messages import done, framed, link

QUERY = Query("links", 18, bytes(16))
INTERRUPTED = 0x12  # NLM_F_MULTI and NLM_F_DUMP_INTR
Answer = bytes | OSError


class Scripted:
    """A socket that answers as told, and remembers what was asked."""

    def __init__(self, answers: list[Answer], *, flags: int = 0) -> None:
        self.answers = answers
        self.flags = flags
        self.asked: list[bytes] = []
        self.closed = False

    def send(self, data: bytes, /) -> int:
        self.asked.append(data)
        return len(data)

    def recvmsg(self, size: int, /) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer, [], self.flags, (0, 0)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.closed = True


def connector(*sockets: Scripted) -> Callable[[], Scripted]:
    several: Iterator[Scripted] = iter(sockets)
    return lambda: next(several)


def body(ifindex: int) -> bytes:
    return link(ifindex, (3, f"eth{ifindex}\0".encode()))


def listed(ifindex: int, flags: int = 2) -> bytes:
    return framed(16, body(ifindex), flags=flags)


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_a_dump_is_read_to_its_end_over_several_reads() -> None:
    sock = Scripted([listed(1) + listed(2), listed(3), done()])
    assert rtnl.dump(QUERY, connect=connector(sock)) == [body(1), body(2), body(3)]
    assert sock.closed
    assert sock.asked == [wire.request(18, 0x300, bytes(16))]


def test_what_is_not_wanted_is_not_kept() -> None:
    sock = Scripted([listed(1) + listed(2) + done()])
    found = rtnl.dump(QUERY, keep=lambda message: message == body(2), connect=connector(sock))
    assert found == [body(2)]


@pytest.mark.parametrize(
    "inconsistent",
    [
        [listed(1), listed(2, INTERRUPTED)],
        [listed(1), done(INTERRUPTED)],
        [listed(1), framed(wire.NLMSG_OVERRUN)],
        [listed(1), os_error(errno.ENOBUFS)],
    ],
)
def test_an_inconsistent_dump_is_asked_for_again_on_a_new_socket(
    inconsistent: list[Answer],
) -> None:
    first, second = Scripted(inconsistent), Scripted([listed(7) + done()])
    assert rtnl.dump(QUERY, connect=connector(first, second)) == [body(7)]
    assert first.closed


def test_a_kernel_that_is_always_too_busy_is_an_error_of_its_own() -> None:
    sockets = [Scripted([listed(1, INTERRUPTED)]) for _ in range(3)]
    with pytest.raises(InterruptedDumpError, match=r"cannot list links: .* 3 attempts") as caught:
        rtnl.dump(QUERY, connect=connector(*sockets), pauses=(0.0, 0.0, 0.001))
    assert caught.value.hint
    assert all(sock.closed for sock in sockets)


def test_a_refusal_names_the_list_the_errno_and_the_kernels_words() -> None:
    words = wire.attribute(1, b"not today\0")
    refused = framed(2, struct.pack("=i", -1) + bytes(16) + words, flags=0x300)
    sock = Scripted([refused])
    with pytest.raises(
        InventoryError, match="cannot list links: Operation not permitted: not today"
    ):
        rtnl.dump(QUERY, connect=connector(sock))
    assert sock.closed


def test_a_dump_that_ends_with_an_error_is_one() -> None:
    sock = Scripted([listed(1), framed(3, struct.pack("=i", -errno.EMSGSIZE))])
    with pytest.raises(InventoryError, match="cannot list links: Message too long"):
        rtnl.dump(QUERY, connect=connector(sock))


def test_a_message_that_did_not_fit_is_an_error_and_not_a_shorter_list() -> None:
    sock = Scripted([listed(1)], flags=socket.MSG_TRUNC)
    with pytest.raises(InventoryError, match="more than"):
        rtnl.dump(QUERY, connect=connector(sock))


def test_a_socket_that_fails_is_our_error() -> None:
    sock = Scripted([os_error(errno.EBADF)])
    with pytest.raises(InventoryError, match="cannot list links: Bad file descriptor"):
        rtnl.dump(QUERY, connect=connector(sock))
