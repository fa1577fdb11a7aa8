"""Telling systemd how the service is, as sd_notify(3) has it. Without systemd, nothing.

A datagram of `NAME=value` lines to the socket in NOTIFY_SOCKET. It never blocks and
never raises: a service manager that does not listen is no reason to stop.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class Notifier:
    """Sends to the manager that the environment names; sends nothing where it names none."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._socket: socket.socket | None = None
        self.watchdog_seconds = _watchdog(environ) if name else None
        if name[:1] in ("/", "@"):
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_UNIX, kind)
        elif name:
            _log.warning("NOTIFY_SOCKET is no path", extra={"value": name})

    def ready(self, status: str = "") -> None:
        """The service has started, or has reloaded."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """It reads its configuration; `ready` ends that (Type=notify-reload)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def status(self, status: str) -> None:
        """One line that `systemctl status` shows."""
        self._send(*_status(status))

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """It lives. To be called every `watchdog_seconds`; does nothing where that is None."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; all else does nothing afterwards."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None or not lines:
            return
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except (OSError, ValueError) as error:
            _log.debug("Cannot tell the service manager", extra={"err": error})


def _status(text: str) -> tuple[str, ...]:
    """On one line: another one would be an assignment of its own."""
    line = "".join(char if char.isprintable() else " " for char in text[:500])
    return (f"STATUS={line}",) if line else ()


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Half of WATCHDOG_USEC in seconds, if it is meant for this process."""
    if environ.get("WATCHDOG_PID", "") not in ("", str(os.getpid())):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 else None
