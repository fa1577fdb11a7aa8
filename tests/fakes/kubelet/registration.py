"""v1beta1.Registration on device-plugins/kubelet.sock, and the state of that directory.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager/plugin/v1beta1/server.go.
"""

from __future__ import annotations

import os
import pathlib

import grpc

from tests.fakes.kubelet.names import is_extended_resource
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.registry import VERSION, Registry
from tests.fakes.kubelet.settings import Interfere, RefusedError
from tests.fakes.kubelet.wire import DialError, Server, deviceplugin_grpc
from tests.fakes.kubelet.wire import deviceplugin as api

SOCKET = "kubelet.sock"


class Registration(deviceplugin_grpc.RegistrationServicer):
    """Calls a plugin back while the plugin waits for the answer."""

    def __init__(self, directory: pathlib.Path, registry: Registry, interfere: Interfere) -> None:
        self._directory = directory
        self._registry = registry
        self._interfere = interfere

    def Register(  # noqa: N802 -- the protocol's name
        self, request: api.RegisterRequest, context: grpc.ServicerContext
    ) -> api.Empty:
        """Connect to the plugin. The options in the request are not read."""
        name = request.resource_name
        try:
            self._interfere("Register", name)
            self._connect(request, context)
            self._interfere("Registered", name)
        except (DialError, PluginError, RefusedError) as error:
            _refuse(context, str(error))
        return api.Empty()

    def _connect(self, request: api.RegisterRequest, context: grpc.ServicerContext) -> None:
        name = request.resource_name
        if request.version != VERSION:
            _refuse(context, f"version {request.version!r} is not supported, only {VERSION!r} is")
        if not is_extended_resource(name):
            _refuse(context, f"the resource name {name!r} is invalid")
        # filepath.Join, unlike Python's, stays in the directory whatever the name begins with.
        endpoint = os.path.normpath(f"{self._directory}/{request.endpoint}")
        self._registry.connect(name, pathlib.Path(endpoint))


def _refuse(context: grpc.ServicerContext, text: str) -> None:
    """End the call as a plain Go error does."""
    context.abort(grpc.StatusCode.UNKNOWN, text)


def clean(directory: pathlib.Path) -> None:
    """Make the directory, and remove every socket in it: whoever had one has to register."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    for entry in directory.iterdir():
        if entry.is_socket():
            entry.unlink()
    (directory / "DEPRECATION").write_text("")


def serve(directory: pathlib.Path, aside: pathlib.Path, servicer: Registration) -> Server:
    """Create kubelet.sock."""
    return Server(
        directory / SOCKET,
        aside,
        lambda server: deviceplugin_grpc.add_RegistrationServicer_to_server(servicer, server),
    )
