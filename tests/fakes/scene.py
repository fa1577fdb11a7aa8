"""A kubelet, a runtime without containers and room for plugins, for tests of the protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator

from tests.fakes.claims import MemoryApi
from tests.fakes.dradriver import DraDriver
from tests.fakes.kubelet import Kubelet, Settings
from tests.fakes.kubelet.settings import Interfere, nothing
from tests.fakes.plugin import Plugin
from tests.fakes.runtime import MemoryRuntime

KIND = "networking.k8s.io/netdevice"
DRIVER = "networking.k8s.io"


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A kubelet that runs, and what is around it."""

    kubelet: Kubelet
    runtime: MemoryRuntime
    api: MemoryApi
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

    def driver(self, name: str = DRIVER, instance: str = "") -> DraDriver:
        """An instance of a DRA driver, which the kubelet is connected to."""
        before = len(self.kubelet.life.drivers.connected(name))
        driver = self.plugins.enter_context(DraDriver(self.kubelet.place, name, instance))
        self.kubelet.await_driver(name, before + 1)
        return driver


@contextlib.contextmanager
def scene(settings: Settings | None = None, interfere: Interfere = nothing) -> Iterator[Scene]:
    """A directory of few letters, as sockets' paths have to be short, and a kubelet in it."""
    with tempfile.TemporaryDirectory(prefix="ndp-") as name, contextlib.ExitStack() as plugins:
        runtime, api = MemoryRuntime(), MemoryApi()
        root = pathlib.Path(name)
        with Kubelet(root, runtime.connect, settings, interfere=interfere, api=api) as kubelet:
            yield Scene(kubelet, runtime, api, plugins)
