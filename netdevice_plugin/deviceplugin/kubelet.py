"""Where a kubelet is met: its directory of sockets, and word of every change there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import Registration
from netdevice_plugin.serving.lookout import Lookout
from netdevice_plugin.serving.sockets import PATH_LIMIT, Mark, fits, socket_mark

DIRECTORIES = {Registration.SOCKET: "device-plugins", Registration.WATCHER: "plugins_registry"}
SOCKET = "kubelet.sock"

_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]*")


class Kubelet(Lookout):
    """A kubelet's directory, watched while this is entered; every pool's server has the same one.

    `root` is the kubelet's --root-dir. Raises ConfigError if no socket's path fits there.
    """

    def __init__(
        self,
        root: Path,
        route: Registration = Registration.SOCKET,
        watch: Callable[[Path, Callable[[], object]], Watch] = Watch,
    ) -> None:
        super().__init__(root / DIRECTORIES[route], watch)
        self.route = route
        self.socket = self.directory / SOCKET
        self.path_of("")

    def path_of(self, kind: str) -> Path:
        """Name a resource's socket: networking.k8s.io-netdevice.sock, a hash if that cannot be."""
        plain = kind.replace("/", "-")
        path = self.directory / f"{plain}.sock"
        if _PLAIN.fullmatch(plain) and fits(path):
            return path
        digest = hashlib.sha256(kind.encode("utf-8", "backslashreplace")).hexdigest()
        path = self.directory / f"netdevice-{digest[:16]}.sock"
        if not fits(path):
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
