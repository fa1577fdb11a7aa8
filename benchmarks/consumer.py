"""Who DRA is for: a kubelet with claims, and a scheduler that follows slices.

`python -m benchmarks.consumer DIR KUBECONFIG DRIVER NODE`, DIR as in benchmarks/kubelet.py,
and so is what it prints. It reads from stdin a line of JSON, `{"do": ..., "claims":
[[namespace, name, uid]...], "rounds": N}`: see `Claims`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import grpc
import yaml

from benchmarks.kubelet import say, serve
from netdevice_plugin._pb.dra.v1 import dra_pb2 as dra
from netdevice_plugin._pb.dra.v1 import dra_pb2_grpc as dra_rpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as plugins
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2_grpc as plugins_rpc
from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.cluster import finding
from netdevice_plugin.dra.cluster.api import Api

_CHECKPOINT = 300  # bytes
_LOOK = 0.01  # seconds between looks for a plugin
_SLICES = "/apis/resource.k8s.io/v1/resourceslices"
_LINE = 8 * 2**20  # bytes of a watch event at most

Shown = dict[str, Any]  # attributes by device


class Slices:
    """A pool as a scheduler sees it: as of the last time that all slices of it were there."""

    def __init__(self) -> None:
        self._slices: dict[str, dict[str, Any]] = {}
        self._devices: dict[str, Shown] = {}  # by slice
        self._shown: Shown = {}

    def hear(self, kind: str, one: dict[str, Any]) -> None:
        """Take in an event, and say what of it is news."""
        now = time.monotonic_ns()
        name = one["metadata"]["name"]
        if kind == "DELETED":
            self._slices.pop(name, None)
        elif kind in ("ADDED", "MODIFIED"):
            self._slices[name] = one["spec"]["pool"]
            devices = one["spec"].get("devices") or ()
            self._devices[name] = {each["name"]: each["attributes"] for each in devices}
        self._tell(now)

    def _tell(self, now: int) -> None:
        newest = max((pool["generation"] for pool in self._slices.values()), default=0)
        current = {n: pool for n, pool in self._slices.items() if pool["generation"] == newest}
        if any(pool["resourceSliceCount"] != len(current) for pool in current.values()):
            return
        shown = {name: it for one in current for name, it in self._devices[one].items()}
        before, self._shown = self._shown, shown
        added, removed = sorted(shown.keys() - before.keys()), sorted(before.keys() - shown.keys())
        fields = {
            name: {"mtu": it["mtu"]["int"], "ipv4": it.get("ipv4", {}).get("string", "")}
            for name, it in shown.items()
            if it != before.get(name)
        }
        say("pool", now, added=added, removed=removed, fields=fields, slices=len(current))


async def follow(kubeconfig: Path, driver: str, node: str) -> None:
    """Watch the slices of a driver on a node, for ever."""
    config = yaml.safe_load(kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    selector = f"spec.nodeName={node},spec.driver={driver}"
    query = urlencode({"watch": "true", "fieldSelector": selector, "timeoutSeconds": "3600"})
    timeout = aiohttp.ClientTimeout(total=None)
    slices = Slices()
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=_LINE) as session,
        session.get(f"{server}{_SLICES}?{query}") as response,
    ):
        async for line in response.content:
            event = json.loads(line)
            slices.hear(event["type"], event["object"])


class Claims:
    """Calls of the agent's DRA socket."""

    def __init__(self, api: Api, directory: Path) -> None:
        self._api = api
        self._directory = directory  # for bare files
        self._plugin = dra_rpc.DRAPluginStub(grpc.aio.insecure_channel("unix:/nobody"))
        self._chance = random.Random(0)  # noqa: S311 - the same each time

    async def find(self, registry: Path) -> None:
        """Do what a kubelet does with the socket of a plugin."""
        while not (found := sorted(registry.glob("*-reg.sock"))):
            await asyncio.sleep(_LOOK)
        async with _channel(found[0]) as channel:
            stub = plugins_rpc.RegistrationStub(channel)
            info = await stub.GetInfo(plugins.InfoRequest())
            self._plugin = dra_rpc.DRAPluginStub(_channel(Path(info.endpoint)))
            await stub.NotifyRegistrationStatus(plugins.RegistrationStatus(plugin_registered=True))
        say("registered", time.monotonic_ns())

    async def singly(self, claims: Sequence[ClaimRef], rounds: int) -> None:
        """Time all that a claim takes, one after the other, in step with no timer."""
        times: dict[str, list[float]] = {}
        for number in range(rounds):
            one = claims[number % len(claims)]
            steps: dict[str, Callable[[], Awaitable[object]]] = {
                "get": partial(self._api.claim, one),
                "file": partial(asyncio.to_thread, _bare_file, self._directory),
                "prepare": partial(self._prepare, [one]),
                "unprepare": partial(self._unprepare, [one]),
            }
            for name, step in steps.items():
                await asyncio.sleep(self._chance.uniform(0.005, 0.03))
                times.setdefault(name, []).append(await _timed(step))
        say("claimed", time.monotonic_ns(), **times)

    async def at_once(self, claims: Sequence[ClaimRef], rounds: int) -> None:
        """Time all claims in one call, and in a call for each at the same time."""
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, parts in (("together", [claims]), ("apart", [[one] for one in claims])):
                for what, call in (("prepare", self._prepare), ("unprepare", self._unprepare)):
                    await asyncio.sleep(self._chance.uniform(0.05, 0.1))
                    took = await _timed(partial(_all, call, parts))
                    times.setdefault(f"{what} {name}", []).append(took)
        say("claimed", time.monotonic_ns(), **times)

    async def _prepare(self, claims: Iterable[ClaimRef]) -> None:
        request = dra.NodePrepareResourcesRequest(claims=map(_message, claims))
        answer = await self._plugin.NodePrepareResources(request)
        for one in answer.claims.values():
            assert one.devices, one.error

    async def _unprepare(self, claims: Iterable[ClaimRef]) -> None:
        request = dra.NodeUnprepareResourcesRequest(claims=map(_message, claims))
        answer = await self._plugin.NodeUnprepareResources(request)
        assert not any(one.error for one in answer.claims.values()), answer


def _channel(path: Path) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"unix:{quote(str(path))}")


def _message(ref: ClaimRef) -> dra.Claim:
    return dra.Claim(namespace=ref.namespace, name=ref.name, uid=ref.uid)


async def _all(
    call: Callable[[Iterable[ClaimRef]], Awaitable[None]], parts: Iterable[Sequence[ClaimRef]]
) -> None:
    await asyncio.gather(*map(call, parts))


def _bare_file(directory: Path) -> None:
    """Write as much as a checkpoint is, so that it stays: the file system's own cost."""
    temporary = directory / "temporary"
    with temporary.open("wb", buffering=0) as file:
        file.write(bytes(_CHECKPOINT))
        os.fsync(file.fileno())
    temporary.rename(directory / "file")
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


async def _timed(step: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await step()
    return time.perf_counter() - start


async def main(root: Path, kubeconfig: Path, driver: str, node: str) -> None:
    """Serve until stdin ends."""
    server, _ = await serve(root)
    registry, bare = root / "plugins_registry", root / "bare"
    registry.mkdir()
    bare.mkdir()
    async with Api(finding.find(kubeconfig, {})) as api:
        claims = Claims(api, bare)
        tasks = [
            asyncio.create_task(follow(kubeconfig, driver, node)),
            asyncio.create_task(claims.find(registry)),
        ]
        say("serving", time.monotonic_ns())
        while line := await asyncio.to_thread(sys.stdin.readline):
            wish = json.loads(line)
            refs = [ClaimRef(namespace=a, name=b, uid=c) for a, b, c in wish["claims"]]
            await {"singly": claims.singly, "at once": claims.at_once}[wish["do"]](
                refs, wish["rounds"]
            )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await server.stop(None)


if __name__ == "__main__":
    gc.disable()  # a pause of this process would count as the agent's
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
