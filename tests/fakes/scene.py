"""A kubelet, a runtime without containers and room for plugins, for tests of the protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator

from tests.fakes.kubelet import Kubelet, Settings
from tests.fakes.kubelet.settings import Interfere, nothing
from tests.fakes.plugin import Plugin
from tests.fakes.runtime import MemoryRuntime

KIND = "networking.k8s.io/netdevice"


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A kubelet that runs, and what is around it."""

    kubelet: Kubelet
    runtime: MemoryRuntime
    plugins: contextlib.ExitStack

    def plugin(self, *devices: str, name: str = "one.sock", resource: str = KIND) -> Plugin:
        """A plugin that serves and is not registered yet."""
        plugin = Plugin(self.kubelet.place.plugins / name, resource, *devices)
        return self.plugins.enter_context(plugin)

    def registered(self, *devices: str, name: str = "one.sock", resource: str = KIND) -> Plugin:
        """A plugin that serves, with its list at the kubelet."""
        plugin = self.plugin(*devices, name=name, resource=resource)
        self.register(plugin)
        return plugin

    def register(self, plugin: Plugin) -> None:
        """Register, and return when the kubelet has the list."""
        plugin.register(self.kubelet.place)
        self.kubelet.await_registered(plugin.resource)
        listed = {device.ID: device.health for device in plugin.devices}
        self.kubelet.await_devices(plugin.resource, listed)


@contextlib.contextmanager
def scene(settings: Settings | None = None, interfere: Interfere = nothing) -> Iterator[Scene]:
    """A directory of few letters, as sockets' paths have to be short, and a kubelet in it."""
    with tempfile.TemporaryDirectory(prefix="ndp-") as name, contextlib.ExitStack() as plugins:
        runtime = MemoryRuntime()
        kubelet = Kubelet(pathlib.Path(name), runtime.connect, settings, interfere=interfere)
        with kubelet:
            yield Scene(kubelet, runtime, plugins)
