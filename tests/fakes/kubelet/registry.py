"""One client for each resource name, with the kubelet's own race.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager/plugin/v1beta1/handler.go. A plugin has to
live with what is odd here, so it is played and not put right:
- a later client silently takes the place of an earlier one, whose list is still read;
- when any list ends, whichever client is current for the name is disconnected;
- a client that cannot be connected takes its predecessor's place all the same, so that the
  end of that one's list is not noticed.
"""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Sequence
from typing import Protocol

from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.names import is_extended_resource
from tests.fakes.kubelet.plugin import Client, Device, PluginError

VERSION = "v1beta1"


class Handler(Protocol):
    """Who keeps the devices."""

    def connected(self, client: Client) -> None:
        """Take a client that is connected; raises PluginError if it does not answer."""

    def received(self, resource: str, devices: tuple[Device, ...]) -> None:
        """Take a whole list."""

    def disconnected(self, resource: str) -> None:
        """Hear that the name's client is gone."""


class Registry:
    """The current clients by resource name."""

    def __init__(self, changes: Changes, handler: Handler) -> None:
        self._changes = changes
        self._handler = handler
        self._current: dict[str, Client] = {}
        self._opened: set[Client] = set()
        self._alive = True

    def connect(self, resource: str, socket: pathlib.Path) -> None:
        """Dial a plugin and begin to read its list; raises DialError, PluginError."""
        client = Client(resource, socket)
        with self._changes.lock:
            if not self._alive:
                raise PluginError("the kubelet ends")
            self._current[resource] = client
            self._opened.add(client)
        try:
            client.dial()
            self._handler.connected(client)
        except Exception:
            self._forget(resource)
            client.close()
            raise
        threading.Thread(
            target=self._run, args=(client,), name=f"list {resource}", daemon=True
        ).start()

    def disconnect(self, resource: str) -> None:
        """Disconnect whichever client has the name now."""
        client = self._forget(resource)
        if client is not None:
            client.close()
            self._handler.disconnected(resource)

    def close(self) -> None:
        """End every connection, those too that nobody remembers any more."""
        with self._changes.lock:
            self._alive = False
            self._current.clear()
            opened = tuple(self._opened)
        for client in opened:
            client.close()

    def _forget(self, resource: str) -> Client | None:
        with self._changes.lock:
            return self._current.pop(resource, None)

    def _run(self, client: Client) -> None:
        for devices in client.lists():
            self._handler.received(client.resource, devices)
        with self._changes.lock:
            self._opened.discard(client)
        self.disconnect(client.resource)


class Watched:
    """The registry as the plugin watcher has it, which finds plugins by itself."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def problem(self, name: str, versions: Sequence[str]) -> str:
        """Why a plugin cannot be a device plugin; empty when it can."""
        if VERSION not in versions:
            return f"version {VERSION} is not among {list(versions)}"
        if not is_extended_resource(name):
            return f"the resource name {name!r} is invalid"
        return ""

    def connect(self, name: str, endpoint: pathlib.Path, versions: Sequence[str]) -> None:
        """Dial a plugin; raises DialError, PluginError."""
        self._registry.connect(name, endpoint)

    def disconnect(self, name: str, endpoint: pathlib.Path) -> None:
        """Disconnect whichever client has the name."""
        self._registry.disconnect(name)
