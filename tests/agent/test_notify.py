"""What systemd hears, on a real socket."""

from __future__ import annotations

import os
import pathlib
import socket
import time
import uuid
from collections.abc import Iterator

import pytest

from netdevice_plugin.operations.notify import Notifier


@pytest.fixture(params=["a path", "an abstract name"])
def name(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """NOTIFY_SOCKET, in both of its forms."""
    return str(tmp_path / "notify") if request.param == "a path" else f"@ndp-{uuid.uuid4()}"


@pytest.fixture
def manager(name: str) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening


@pytest.fixture
def notifier(name: str, manager: socket.socket) -> Iterator[Notifier]:
    """Ours, with a watchdog of three seconds."""
    ours = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})
    yield ours
    ours.close()


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_the_manager_hears_how_the_service_is(notifier: Notifier, manager: socket.socket) -> None:
    notifier.ready("3 devices")
    assert heard(manager) == ["READY=1", "STATUS=3 devices"]
    notifier.status("4 devices")
    assert heard(manager) == ["STATUS=4 devices"]
    notifier.watchdog()
    assert heard(manager) == ["WATCHDOG=1"]
    notifier.stopping()
    assert heard(manager) == ["STOPPING=1"]


def test_a_reload_says_since_when(notifier: Notifier, manager: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    first, second = heard(manager)
    assert first == "RELOADING=1"
    key, _, value = second.partition("=")
    assert key == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.ready()
    assert heard(manager) == ["READY=1"]


def test_a_status_is_one_assignment(notifier: Notifier, manager: socket.socket) -> None:
    notifier.status("eth1\nREADY=1\x1b\0\udc80" + "x" * 10_000_000)
    (line,) = heard(manager)
    assert line.startswith("STATUS=eth1 READY=1")
    assert len(line) < 600


def test_the_watchdog_is_fed_at_twice_its_rate(notifier: Notifier) -> None:
    assert notifier.watchdog_seconds == 1.5


def test_a_manager_that_is_gone_or_busy_is_no_reason_to_wait(
    notifier: Notifier, manager: socket.socket
) -> None:
    for _ in range(10_000):  # nobody reads
        notifier.status("x" * 400)
    manager.close()
    notifier.ready()


def test_after_close_nothing_is_said(notifier: Notifier, manager: socket.socket) -> None:
    notifier.close()
    notifier.ready()
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_without_a_manager_nothing_is_said_and_nothing_opened() -> None:
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    ours = Notifier({"WATCHDOG_USEC": "3000000"})
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before
    assert ours.watchdog_seconds is None
    ours.ready()
    ours.watchdog()
    ours.close()


@pytest.mark.parametrize("name", ["vsock:2:1234", "relative", "/" + "x" * 200, "/a\0b"])
def test_a_name_that_is_no_socket_is_no_failure(name: str) -> None:
    ours = Notifier({"NOTIFY_SOCKET": name})
    ours.ready()
    ours.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_who_it_names(environ: dict[str, str], seconds: float | None) -> None:
    ours = Notifier({"NOTIFY_SOCKET": "/nowhere", **environ})
    assert ours.watchdog_seconds == seconds
    ours.watchdog()
    ours.close()
