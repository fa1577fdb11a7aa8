"""Where a kubelet is met: its directory of sockets, and word of every change there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from netdevice_plugin.deviceplugin.bell import Bell
from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import ConfigError, WatchError
from netdevice_plugin.model import Registration

DIRECTORIES = {Registration.SOCKET: "device-plugins", Registration.WATCHER: "plugins_registry"}
SOCKET = "kubelet.sock"
PATH_LIMIT = 107  # bytes; sockaddr_un has 108 with the final NUL

HEARTBEAT = 10.0  # seconds between looks though nothing was heard
BLIND = 1.0  # the same, while the directory cannot be watched

_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]*")

Mark = tuple[int, int, int]  # device, inode, time of its making

_log = logging.getLogger(__name__)


class Kubelet:
    """A kubelet's directory, watched while this is entered; every pool's server has the same one.

    `root` is the kubelet's --root-dir. Raises ConfigError if no socket's path fits there.
    """

    def __init__(
        self,
        root: Path,
        route: Registration = Registration.SOCKET,
        watch: Callable[[Path, Callable[[], object]], Watch] = Watch,
    ) -> None:
        self.route = route
        self._make_watch = watch
        self.directory = root / DIRECTORIES[route]
        self.socket = self.directory / SOCKET
        self._bell = Bell()
        self._blind = False
        self.path_of("")

    def path_of(self, kind: str) -> Path:
        """Name a resource's socket: networking.k8s.io-netdevice.sock, a hash if that cannot be.

        There must be room for a dot before the name: see `endpoint`.
        """
        plain = kind.replace("/", "-")
        path = self.directory / f"{plain}.sock"
        if _PLAIN.fullmatch(plain) and _fits(path):
            return path
        digest = hashlib.sha256(kind.encode("utf-8", "backslashreplace")).hexdigest()
        path = self.directory / f"netdevice-{digest[:16]}.sock"
        if not _fits(path):
            text = f"{self.directory}: a socket's path there has more than {PATH_LIMIT} bytes"
            raise ConfigError(text, hint="kubeletDir has to be shorter")
        return path

    def presence(self) -> Mark | None:
        """Tell one kubelet from the next; None while there is none to meet.

        The watcher of plugins_registry looks there when it starts: the directory is
        all that it takes.
        """
        if self.route is Registration.SOCKET:
            return socket_mark(self.socket)
        try:
            found = self.directory.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, 0

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds that depends on what is in the directory."""
        while not holds():
            if not await self._bell.heard(BLIND if self._blind else HEARTBEAT):
                self._look()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._watch = self._make_watch(
            self.directory, lambda: loop.call_soon_threadsafe(self._look)
        )
        self._watch.__enter__()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.__exit__(kind, error, trace)

    def _look(self) -> None:
        """Watch what is there now, and have everybody look at it."""
        try:
            self._watch.arm()
            self._blind = False
        except WatchError as error:
            if not self._blind:
                why = {"reason": str(error), "remedy": error.hint}
                _log.warning("Looking at the kubelet's directory every second", extra=why)
            self._blind = True
        self._bell.ring()


def socket_mark(path: Path) -> Mark | None:
    """Tell a socket from a later one of the same name; None if there is no socket.

    The inode's number alone may be used again at once. The time of the last change
    is that of its creation: nothing is ever written to a socket's inode, while
    chmod and rename count for the other time.
    """
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns) if stat.S_ISSOCK(found.st_mode) else None


def _fits(path: Path) -> bool:
    return len(os.fsencode(path.with_name(f".{path.name}"))) <= PATH_LIMIT
