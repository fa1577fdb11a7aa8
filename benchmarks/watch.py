"""Runs a program and sees each netlink request at the moment when it is sent.

A seccomp filter hands every sendto(2) to us before the kernel does it (seccomp
user notification, Linux 5.5), and only those: until its first request the program
runs as fast as ever, which a tracer could not say of itself. What we see is late
by the time that it takes to wake us, some 50 us: an upper bound. Root only.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import os
import pathlib
import platform
import select
import struct
import time
from collections.abc import Sequence

from benchmarks.spawn import spawn

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSCALLS = {"x86_64": (44, 317), "aarch64": (206, 277)}  # sendto, seccomp
_PIDFD_GETFD = 438

_SET_MODE_FILTER = 1
_NEW_LISTENER = 8
_NOTIFY_RECV = 0xC0502100
_NOTIFY_SEND = 0xC0182101
_LET_IT_GO_ON = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # seccomp_notif, with seccomp_data in it
_ANSWER = struct.Struct("=QqiI")
_SIOCGSKNS = 0x894C

_IFINFOMSG = 16 + 16  # nlmsghdr and ifinfomsg
_RTM_SETLINK = 19
_IFLA_NET_NS_FD = 28


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A netlink request; namespaces are inode numbers."""

    after: float  # seconds since before the program was started
    netns: int  # of its socket
    data: bytes
    target_at: int = 0  # where in it a namespace's descriptor stands, if one does
    target: int = 0  # which namespace that is


class NotFilteredError(Exception):
    """The kernel, or what this runs in, allows no seccomp listener."""


def watch(argv: Sequence[str], stdin: bytes) -> tuple[tuple[Request, ...], int]:
    """Run a program, in a thread that ends soon: it stays filtered.

    Returns its netlink requests and its exit code.
    """
    listener = _listen()
    try:
        start = time.perf_counter()
        pid = spawn(argv, stdin)
        return tuple(_requests(listener, pid, start)), _exit_code(pid)
    finally:
        os.close(listener)


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _listen() -> int:
    """Filter this thread and what it starts; what sends is our program alone."""
    sendto, seccomp = _SYSCALLS[platform.machine()]
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the system call's number
            (0x15, 0, 1, sendto),  # skip one if it is not that
            (0x06, 0, 0, 0x7FC00000),  # SECCOMP_RET_USER_NOTIF
            (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    listener = int(_LIBC.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER, header))
    if listener < 0:
        raise NotFilteredError(os.strerror(ctypes.get_errno()))
    return listener


def _requests(listener: int, pid: int, start: float) -> list[Request]:
    """Let each request go on, until the program has ended."""
    found: list[Request] = []
    with contextlib.ExitStack() as stack:
        process = os.pidfd_open(pid)
        stack.callback(os.close, process)
        poll = select.poll()
        for descriptor in (listener, process):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            after = time.perf_counter() - start
            if listener not in ready:
                return found
            notification = bytearray(_NOTIFICATION.size)
            fcntl.ioctl(listener, _NOTIFY_RECV, notification)
            identity, *_, descriptor, at, size, _, _, _ = _NOTIFICATION.unpack(notification)
            found.append(_request(process, pid, after, (descriptor, at, size)))
            fcntl.ioctl(listener, _NOTIFY_SEND, _ANSWER.pack(identity, 0, 0, _LET_IT_GO_ON))


def _request(process: int, pid: int, after: float, arguments: tuple[int, int, int]) -> Request:
    descriptor, at, size = arguments
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(memory, size, at)
    finally:
        os.close(memory)
    netns = _netns_of_socket(process, descriptor)
    where = _namespace_attribute(data)
    if not where:
        return Request(after, netns, data)
    number = struct.unpack_from("=I", data, where)[0]
    target = pathlib.Path(f"/proc/{pid}/fd/{number}")
    return Request(after, netns, data, where, target.stat().st_ino)


def _netns_of_socket(process: int, descriptor: int) -> int:
    sock = int(_LIBC.syscall(_PIDFD_GETFD, process, descriptor, 0))
    if sock < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        netns = fcntl.ioctl(sock, _SIOCGSKNS)
    finally:
        os.close(sock)
    try:
        return os.fstat(netns).st_ino
    finally:
        os.close(netns)


def _namespace_attribute(data: bytes) -> int:
    """Where the value of IFLA_NET_NS_FD stands in a request that moves a link."""
    if struct.unpack_from("=H", data, 4)[0] != _RTM_SETLINK:
        return 0
    at = _IFINFOMSG
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if kind == _IFLA_NET_NS_FD:
            return at + 4
        at += (max(size, 4) + 3) & ~3
    return 0
