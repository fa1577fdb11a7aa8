"""Claims for NICs that are attached for them: an agent, its API server, and the kubelet's calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from netdevice_plugin.dra.claim import ClaimRef
from tests.agent.dra.dialled import Client, channel
from tests.agent.dra.dialled import Kubelet as Registry
from tests.fakes.apiserver import ApiServer
from tests.kernel.agent.process import Agent, Node
from tests.kernel.scratch import Netns

NODE, POOL, DRIVER = "worker-1", "fast", "networking.k8s.io"
CLASS = "fast"

_T = TypeVar("_T")


class Server(ApiServer):
    """An API server on the loopback of the node's namespace."""

    def __init__(self, netns: Netns) -> None:
        super().__init__()
        self._netns = netns
        self.cluster.add_node(NODE)

    async def _begin(self) -> None:
        self._netns.enter()  # the loop's own thread
        await super()._begin()


class Claiming:
    """A node with a pool of ports on demand, its agent, and claims."""

    def __init__(self, node: Node, server: ApiServer) -> None:
        self.node = node
        self.server = server
        self.kubeconfig = server.kubeconfig(node.root / "kubeconfig")
        self.registry = Registry(node.kubelet.place.root)

    def configure(self, provider: Mapping[str, object], **selector: object) -> None:
        on_demand = {"onDemand": True, "claimParameters": ["network"], "max": 2}
        pool = {
            "name": POOL,
            "frontend": "dra",
            "selectors": [selector],
            "ports": {"provider": provider, **on_demand},
        }
        self.node.write({"pools": [pool]})

    def start(self, *options: str) -> Agent:
        where = ("--node-name", NODE, "--kubeconfig", self.kubeconfig)
        return self.node.start(*where, *options)

    def published(self) -> dict[str, Any]:
        """The devices in slices, and what is said of them."""
        return {
            device["name"]: device["attributes"]
            for one in self.server.cluster.slices(NODE, DRIVER)
            for device in one["spec"].get("devices") or ()
        }

    def allocate(self, name: str, device: str, network: str = "blue") -> ClaimRef:
        """Make a claim that was given a device, as a scheduler does."""
        parameters = {
            "apiVersion": "netdevice.networking.k8s.io/v1alpha1",
            "kind": "NetDeviceParameters",
            "interfaceName": "net1",
            "port": {"network": network},
        }
        config = [{"opaque": {"driver": DRIVER, "parameters": parameters}}]
        exactly = {"deviceClassName": CLASS, "allocationMode": "ExactCount", "count": 1}
        spec = {"devices": {"requests": [{"name": "nic", "exactly": exactly}], "config": config}}
        made = self.server.cluster.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": "default"},
                "spec": spec,
            }
        )
        result = {"request": "nic", "driver": DRIVER, "pool": f"{NODE}/{POOL}", "device": device}
        given = [{"source": "FromClaim", "requests": ["nic"], **one} for one in config]
        made["status"] = {"allocation": {"devices": {"results": [result], "config": given}}}
        self.server.cluster.update(made, status=True)
        return ClaimRef(namespace="default", name=name, uid=made["metadata"]["uid"])

    def forget(self, claim: ClaimRef) -> None:
        """Have it that there is no such claim."""
        self.server.cluster.delete("resourceclaims", claim.name, claim.namespace)

    async def dialled(self, call: Callable[[Client], Coroutine[Any, Any, _T]]) -> _T:
        path = await self.registry.take()
        async with channel(path) as to:
            return await call(Client(to))

    def prepare(self, claim: ClaimRef) -> str:
        """Have a claim prepared; returns the error."""

        async def both() -> str:
            answer = await self.dialled(lambda client: client.prepare(claim))
            return str(answer[claim.uid].error)

        return asyncio.run(both())

    def unprepare(self, claim: ClaimRef) -> None:
        answer = asyncio.run(self.dialled(lambda client: client.unprepare(claim)))
        assert answer == {claim.uid: ""}

    def hook(self, claim: ClaimRef, name: str) -> list[str]:
        """The mover's arguments for the claim's only device."""
        [path] = self.node.cdi_dir.glob(f"*claim_{claim.uid}.json")
        [device] = json.loads(path.read_text())["devices"]
        hooks = device["containerEdits"]["hooks"]
        return list(next(one["args"] for one in hooks if one["hookName"] == name)[1:])

    def until(self, holds: Callable[[], bool], what: str) -> None:
        asyncio.run(eventually(holds, what))

    def kill(self, agent: Agent) -> None:
        """Kill it, and take from the kubelet's directory what it has left."""
        agent.kill()
        for path in self.registry.found():
            path.unlink()


async def eventually(holds: Callable[[], bool], what: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.02)
            return
    raise AssertionError(f"never: {what}")
