"""The kubelet's end of a DRA driver: finds sockets, asks who they are, calls and listens."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

from netdevice_plugin._pb.dra.v1 import dra_pb2 as v1
from netdevice_plugin._pb.dra.v1 import dra_pb2_grpc as v1_grpc
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2 as v1beta1
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2_grpc as v1beta1_grpc
from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2 as health
from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2_grpc as health_grpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2_grpc as watcher
from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.claims import Claims
from netdevice_plugin.dra.server import DraServer
from netdevice_plugin.serving.backoff import Backoff
from netdevice_plugin.serving.sockets import address

MODULES: dict[str, tuple[ModuleType, Any]] = {
    "v1": (v1, v1_grpc.DRAPluginStub),
    "v1beta1": (v1beta1, v1beta1_grpc.DRAPluginStub),
}


async def eventually(holds: Any, patience: float = 20.0) -> None:
    """Wait for what another thread or process brings about."""
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def channel(path: Path) -> AsyncIterator[grpc.aio.Channel]:
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address(path), options) as made:
        yield made


@dataclasses.dataclass
class Kubelet:
    """A directory in which plugins are looked for."""

    root: Path

    def __post_init__(self) -> None:
        self.registry.mkdir(exist_ok=True)

    @property
    def registry(self) -> Path:
        return self.root / "plugins_registry"

    def found(self) -> list[Path]:
        """The sockets that a plugin watcher sees: it passes over hidden names."""
        return sorted(one for one in self.registry.iterdir() if not one.name.startswith("."))

    async def appeared(self, count: int = 1) -> list[Path]:
        await eventually(lambda: len(self.found()) == count)
        return self.found()

    async def info(self, path: Path) -> registration.PluginInfo:
        async with channel(path) as to:
            request = registration.InfoRequest()
            told: registration.PluginInfo
            told = await watcher.RegistrationStub(to).GetInfo(request, timeout=1.0)
            return told

    async def notify(self, path: Path, refusal: str = "") -> None:
        status = registration.RegistrationStatus(plugin_registered=not refusal, error=refusal)
        async with channel(path) as to:
            await watcher.RegistrationStub(to).NotifyRegistrationStatus(status, timeout=5.0)

    async def take(self) -> Path:
        """Register the plugin that is there, and return where it serves."""
        [path] = await self.appeared()
        told = await self.info(path)
        await self.notify(path)
        return Path(told.endpoint)


@dataclasses.dataclass
class Client:
    """One version of the calls for claims, on an open channel."""

    to: grpc.aio.Channel
    version: str = "v1"

    def _claims(self, refs: tuple[ClaimRef, ...]) -> list[Any]:
        api, _ = MODULES[self.version]
        return [api.Claim(namespace=one.namespace, uid=one.uid, name=one.name) for one in refs]

    async def prepare(self, *refs: ClaimRef) -> dict[str, Any]:
        api, stub = MODULES[self.version]
        request = api.NodePrepareResourcesRequest(claims=self._claims(refs))
        answer = await stub(self.to).NodePrepareResources(request, timeout=45.0)
        return dict(answer.claims)

    async def unprepare(self, *refs: ClaimRef) -> dict[str, str]:
        api, stub = MODULES[self.version]
        request = api.NodeUnprepareResourcesRequest(claims=self._claims(refs))
        answer = await stub(self.to).NodeUnprepareResources(request, timeout=45.0)
        return {uid: one.error for uid, one in answer.claims.items()}

    def watch(self) -> Any:
        request = health.NodeWatchResourcesRequest()
        return health_grpc.DRAResourceHealthStub(self.to).NodeWatchResources(request)


def server(kubelet: Kubelet, claims: Claims, instance: str = "one", **more: Any) -> DraServer:
    return DraServer(kubelet.root, instance, claims, backoff=Backoff(chance=lambda: 0.0), **more)


@contextlib.asynccontextmanager
async def running(one: DraServer) -> AsyncIterator[DraServer]:
    """Run it for as long as this is entered; raise what it died of."""
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def served(kubelet: Kubelet, one: DraServer) -> AsyncIterator[grpc.aio.Channel]:
    """Run it, register it, and open a channel to its service."""
    async with running(one), channel(await kubelet.take()) as to:
        await eventually(lambda: one.registered)
        yield to
