"""The kubelet's protocols: where the generated code is, and how each side is reached.

What a client of grpc-go's does and grpcio would do otherwise is set here.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import grpc

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as deviceplugin
from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2_grpc as deviceplugin_grpc
from netdevice_plugin._pb.dra.v1 import dra_pb2 as dra
from netdevice_plugin._pb.dra.v1 import dra_pb2_grpc as dra_grpc
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2 as dra_beta
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2_grpc as dra_beta_grpc
from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2 as health
from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2_grpc as health_grpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.pluginregistration.v1 import (
    pluginregistration_pb2_grpc as registration_grpc,
)
from netdevice_plugin._pb.podresources.v1 import podresources_pb2 as podresources
from netdevice_plugin._pb.podresources.v1 import podresources_pb2_grpc as podresources_grpc

__all__ = [
    "deviceplugin",
    "deviceplugin_grpc",
    "dra",
    "dra_beta",
    "dra_beta_grpc",
    "dra_grpc",
    "health",
    "health_grpc",
    "podresources",
    "podresources_grpc",
    "registration",
    "registration_grpc",
]

_NUMBERS = itertools.count()
_directories: dict[tuple[int, int], int] = {}  # open, by device and inode, to the end of all tests
DIAL = 10.0  # seconds
_PATH = 107  # bytes of a socket's path
_LIMIT = 4 << 20  # bytes: grpc-go's default for what is received


class DialError(Exception):
    """Nobody serves at a socket."""


def channel(socket: pathlib.Path, authority: str = "") -> grpc.Channel:
    """A way to a socket; without an authority it is the path, as grpc-go has it."""
    options = (
        ("grpc.use_local_subchannel_pool", 1),  # nothing is known of an earlier connection
        ("grpc.default_authority", authority or quote(str(socket), safe="")),
        ("grpc.max_receive_message_length", _LIMIT),
    )
    return grpc.insecure_channel(f"unix:{_reachable(socket)}", options)


def _reachable(socket: pathlib.Path) -> pathlib.Path:
    """A way to a socket whose path is too long as seen from here, where it is not for the node."""
    if len(os.fsencode(socket)) <= _PATH:
        return socket
    status = socket.parent.stat()
    key = status.st_dev, status.st_ino
    if key not in _directories:
        _directories[key] = os.open(socket.parent, os.O_PATH | os.O_CLOEXEC)
    return pathlib.Path(f"/proc/self/fd/{_directories[key]}", socket.name)


def await_ready(way: grpc.Channel, settled: threading.Event) -> None:
    """Return when it is connected, which is tried again and again for 10 s, or raise.

    Somebody else may give up by setting the event. The channel must then be left alone, not
    closed: grpcio has a thread that looks at it for a moment longer.
    """
    ready = grpc.channel_ready_future(way)
    ready.add_done_callback(lambda _ready: settled.set())
    settled.wait(DIAL)
    if not ready.done():
        ready.cancel()
        raise DialError("cannot dial the plugin: context deadline exceeded")


def dial(socket: pathlib.Path, authority: str = "") -> grpc.Channel:
    """A connection to a socket, or DialError."""
    way = channel(socket, authority)
    await_ready(way, threading.Event())
    return way


def said(error: Exception) -> str:
    """An error of a call as Go prints it, which is what ends up in a pod's status."""
    if not isinstance(error, grpc.Call):  # of a channel that was closed meanwhile
        return f"rpc error: code = Canceled desc = {error}"
    words = error.code().name.title().replace("_", "").replace("Cancelled", "Canceled")
    return f"rpc error: code = {words} desc = {error.details()}"


class Server:
    """A gRPC server whose socket can stay behind when it ends, as after SIGKILL.

    grpcio unlinks the path that it has bound. So it binds one in `aside` that nobody looks
    at, and what clients see is a hard link to it, which only goes when we say so.
    """

    def __init__(
        self, path: pathlib.Path, aside: pathlib.Path, add: Callable[[grpc.Server], None]
    ) -> None:
        self._path = path
        hidden = aside / f".{next(_NUMBERS)}"  # short, as such paths may not be long
        self._threads = ThreadPoolExecutor(64, thread_name_prefix=path.name)
        self._server = grpc.server(self._threads)
        add(self._server)
        self._server.add_insecure_port(f"unix:{hidden}")
        self._server.start()
        os.link(hidden, path)
        hidden.unlink()

    def close(self, *, leave_socket: bool) -> None:
        """End all calls and connections."""
        self._server.stop(0).wait()
        self._threads.shutdown(wait=False)
        if not leave_socket:
            self._path.unlink(missing_ok=True)
