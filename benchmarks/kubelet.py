"""A kubelet that does what the agent needs, and notes when: `python -m benchmarks.kubelet DIR`.

DIR is its --root-dir. It runs in a process of its own, so that what it takes is not
what is measured. It prints a JSON object for each thing that happens, with its time
(CLOCK_MONOTONIC, ns), and reads `allocate CALLERS CALLS` and `options CALLERS CALLS`
from stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2_grpc as rpc
from netdevice_plugin._pb.podresources.v1 import podresources_pb2 as pods
from netdevice_plugin._pb.podresources.v1 import podresources_pb2_grpc as pods_rpc

_WARM = 50  # calls of each caller that are not counted


class NoPods(pods_rpc.PodResourcesListerServicer):
    """A node on which no pod has anything."""

    async def List(  # noqa: N802 - as the call is named
        self,
        request: pods.ListPodResourcesRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pods.ListPodResourcesResponse:
        """Say so."""
        return pods.ListPodResourcesResponse()


class Kubelet(rpc.RegistrationServicer):
    """Takes every registration, and follows the list of who came last."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names: frozenset[str] = frozenset()
        self._plugin = rpc.DevicePluginStub(grpc.aio.insecure_channel("unix:/nobody"))
        self._following: asyncio.Task[None] | None = None

    async def Register(  # noqa: N802 - likewise
        self, request: api.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> api.Empty:
        """Dial back before the answer, as a kubelet does."""
        address = f"unix:{quote(str(self._directory / request.endpoint))}"
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._plugin = rpc.DevicePluginStub(grpc.aio.insecure_channel(address, options))
        await self._plugin.GetDevicePluginOptions(api.Empty())
        self._names = frozenset()
        self._following = asyncio.create_task(self._follow(self._plugin))
        say("registered", time.monotonic_ns())
        return api.Empty()

    async def _follow(self, plugin: rpc.DevicePluginStub) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for answer in plugin.ListAndWatch(api.Empty()):
                now = time.monotonic_ns()
                names = frozenset(one.ID for one in answer.devices if one.health == "Healthy")
                added, removed = sorted(names - self._names), sorted(self._names - names)
                self._names = names
                say("list", now, added=added, removed=removed)

    async def call(self, what: str, callers: int, calls: int) -> None:
        """Have that many callers make that many calls each, one after the other."""
        devices = itertools.cycle(sorted(self._names))
        several = [self._caller(_call(self._plugin, what, devices), calls) for _ in range(callers)]
        times = await asyncio.gather(*several)
        say("called", time.monotonic_ns(), seconds=list(itertools.chain(*times)))

    async def _caller(self, call: Callable[[], Awaitable[object]], calls: int) -> list[float]:
        times = []
        for _ in range(_WARM + calls):
            start = time.perf_counter()
            await call()
            times.append(time.perf_counter() - start)
        return times[_WARM:]


def _call(
    plugin: rpc.DevicePluginStub, what: str, devices: Iterator[str]
) -> Callable[[], Awaitable[object]]:
    if what == "options":
        return lambda: plugin.GetDevicePluginOptions(api.Empty())

    async def allocate() -> object:
        one = api.ContainerAllocateRequest(devices_ids=[next(devices)])
        return await plugin.Allocate(api.AllocateRequest(container_requests=[one]))

    return allocate


def say(event: str, at: int, **more: object) -> None:
    """Tell who measures."""
    print(json.dumps({"event": event, "at": at, **more}), flush=True)


async def serve(root: Path) -> tuple[grpc.aio.Server, Kubelet]:
    """Be there for an agent: registration of device plugins, and what pods have."""
    kubelet = Kubelet(root / "device-plugins")
    server = grpc.aio.server()
    rpc.add_RegistrationServicer_to_server(kubelet, server)
    pods_rpc.add_PodResourcesListerServicer_to_server(NoPods(), server)
    for name in ("device-plugins", "pod-resources"):
        (root / name).mkdir(parents=True)
        server.add_insecure_port(f"unix:{quote(str(root / name / 'kubelet.sock'))}")
    await server.start()
    return server, kubelet


async def main(root: Path) -> None:
    """Serve until stdin ends."""
    server, kubelet = await serve(root)
    say("serving", time.monotonic_ns())
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, callers, calls = line.split()
        await kubelet.call(what, int(callers), int(calls))
    await server.stop(None)


if __name__ == "__main__":
    gc.disable()  # a pause of this process would count as the agent's
    asyncio.run(main(Path(sys.argv[1])))
