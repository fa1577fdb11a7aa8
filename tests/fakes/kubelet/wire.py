"""The kubelet's three protocols: where the generated code is, and how each side is reached.

What a client of grpc-go's does and grpcio would do otherwise is set here.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import grpc

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as deviceplugin
from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2_grpc as deviceplugin_grpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.pluginregistration.v1 import (
    pluginregistration_pb2_grpc as registration_grpc,
)
from netdevice_plugin._pb.podresources.v1 import podresources_pb2 as podresources
from netdevice_plugin._pb.podresources.v1 import podresources_pb2_grpc as podresources_grpc

__all__ = [
    "deviceplugin",
    "deviceplugin_grpc",
    "podresources",
    "podresources_grpc",
    "registration",
    "registration_grpc",
]

DIAL = 10.0  # seconds
_LIMIT = 4 << 20  # bytes: grpc-go's default for what is received


class DialError(Exception):
    """Nobody serves at a socket."""


def dial(socket: pathlib.Path, authority: str = "") -> grpc.Channel:
    """Connect, trying again for 10 s; without an authority it is the path, as grpc-go has it."""
    options = (
        ("grpc.use_local_subchannel_pool", 1),  # nothing is known of an earlier connection
        ("grpc.default_authority", authority or quote(str(socket), safe="")),
        ("grpc.max_receive_message_length", _LIMIT),
    )
    channel = grpc.insecure_channel(f"unix:{socket}", options)
    try:
        grpc.channel_ready_future(channel).result(DIAL)
    except grpc.FutureTimeoutError:
        channel.close()
        raise DialError(f"cannot dial {socket}: context deadline exceeded") from None
    return channel


def said(error: Exception) -> str:
    """An error of a call as Go prints it, which is what ends up in a pod's status."""
    if not isinstance(error, grpc.Call):  # of a channel that was closed meanwhile
        return f"rpc error: code = Canceled desc = {error}"
    words = error.code().name.title().replace("_", "").replace("Cancelled", "Canceled")
    return f"rpc error: code = {words} desc = {error.details()}"


class Server:
    """A gRPC server whose socket can stay behind when it ends, as after SIGKILL.

    grpcio unlinks the path that it has bound. So it binds another one, and what clients
    see is a hard link to it, which appears at once and only goes when we say so.
    """

    def __init__(
        self, path: pathlib.Path, hidden: pathlib.Path, add: Callable[[grpc.Server], None]
    ) -> None:
        self._path = path
        self._hidden = hidden
        self._server = grpc.server(ThreadPoolExecutor(64, thread_name_prefix=path.name))
        add(self._server)
        self._server.add_insecure_port(f"unix:{hidden}")
        self._server.start()
        os.link(hidden, path)

    def close(self, *, leave_socket: bool) -> None:
        """End all calls and connections."""
        self._server.stop(0).wait()
        self._hidden.unlink(missing_ok=True)
        if not leave_socket:
            self._path.unlink(missing_ok=True)
