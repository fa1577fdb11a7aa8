"""The scene for claims: an API server that the agent reaches from its node, and pods that run."""

from __future__ import annotations

import ctypes
import os
import pathlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.agent import Agent, Agents
from tests.e2e.claimtruth import Truth, published
from tests.e2e.fetch import ROOT
from tests.e2e.node import Node
from tests.fakes import apiserver
from tests.fakes.apiserver import Manifest, service_account
from tests.fakes.apiserver.kubelet import ClusterApi
from tests.fakes.kubelet import Kubelet, Pod, one

DRIVER = "networking.k8s.io"
NODE = "node"  # tests.fakes.kubelet.Settings
POOL = "netdevice"
KUBECONFIG = "/etc/netdevice-plugin/kubeconfig"
OPTIONS = ("--node-name", NODE, "--kubeconfig", KUBECONFIG)
_DEPLOY = ROOT / "deploy/components/dra"
_ACCOUNT = service_account("netdevice-plugin", "netdevice-plugin", NODE)
_CLONE_NEWNET = 0x40000000


def _enter(netns: str) -> None:
    """Move this thread, for good; os.setns came with Python 3.12."""
    with pathlib.Path(netns).open() as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), netns)


class Server(apiserver.ApiServer):
    """The API server, on the node's loopback, with what `deploy` has for DRA."""

    def __init__(self, node: Node, settings: apiserver.Settings | None = None) -> None:
        super().__init__(settings)
        self.netns = f"/proc/{node.pid}/ns/net"
        for name in ("rbac", "policy", "deviceclass"):
            self.apply_file(_DEPLOY / f"{name}.yaml")

    async def _begin(self) -> None:
        _enter(self.netns)  # the loop's own thread
        await super()._begin()


class NodeApi(ClusterApi):
    """The kubelet's way to it: by HTTP from the node's network namespace."""

    def __init__(self, server: Server) -> None:
        super().__init__(server, NODE)
        self._threads = ThreadPoolExecutor(8, initializer=_enter, initargs=(server.netns,))

    def close(self) -> None:
        """End the threads that are in the node."""
        self._threads.shutdown()

    def _call(self, method: str, path: str) -> None:
        self._threads.submit(super()._call, method, path).result()


class Claims:
    """Claims, the slices that they are of, the pods that they are for; and that all is right."""

    def __init__(
        self, server: Server, api: NodeApi, kubelet: Kubelet, agents: Agents, node: Node
    ) -> None:
        self.server = server
        self.cluster = server.cluster
        self.kubelet = kubelet
        self._agents = agents
        self._node = node
        self.truth = Truth(server, kubelet, node.path("/run/cdi"), NODE)
        self._unfollow = api.follow(kubelet.cluster.tell)
        self.configure(netdevice='"lan?"')
        self.renew_token()

    def close(self) -> None:
        """Fail if anything was wrong at any time."""
        self._unfollow()
        self.truth.close()
        assert not self.truth.wrongs, "\n".join(self.truth.wrongs)

    # The agent.

    def configure(
        self, settings: str = "", *, plugin: Mapping[str, str] | None = None, **pools: str
    ) -> None:
        """Write the configuration: for each pool the links that it selects, by commas.

        Those of `plugin` are the device plugin's.
        """
        entries = [
            f"- name: {name}\n  frontend: {frontend}\n  selectors:\n  - ifNames: [{links}]\n"
            for frontend, named in (("dra", pools), ("device-plugin", plugin or {}))
            for name, links in named.items()
        ]
        listed = "".join(("\n", *entries)) if entries else " []\n"
        self._agents.write(f"cdiDir: /run/cdi\n{settings}pools:{listed}")

    def renew_token(self, seconds: float = 86400) -> None:
        """Write the agent's kubeconfig, with a token of its pod's."""
        path = self._node.path(KUBECONFIG)
        self.server.kubeconfig(path, self.server.token(_ACCOUNT, seconds))

    def start(self, *options: str) -> Agent:
        """Start an agent and do not wait."""
        return self._agents.start(*OPTIONS, *options)

    def serve(self, *options: str) -> Agent:
        """Start an agent and return when the kubelet is connected to one more instance."""
        before = len(self.kubelet.life.drivers.connected(DRIVER))
        agent = self.start(*options)
        self.kubelet.await_driver(DRIVER, before + 1)
        return agent

    # Slices.

    def devices(self, pool: str = POOL) -> Mapping[str, Manifest]:
        """The devices of a pool by name, as a scheduler sees them: none before all slices are."""
        slices = self.cluster.slices(NODE, DRIVER)
        return published(slices).get(f"{NODE}/{pool}", {})

    def await_slices(self, *names: str, pool: str = POOL) -> None:
        """Return when exactly these devices are published."""
        self.cluster.wait(
            lambda: self.devices(pool).keys() == set(names) and self._has(pool),
            f"slices of {pool} with {sorted(names)}",
        )

    def await_no_slices(self, pool: str = POOL) -> None:
        """Return when there is not even an empty one."""
        self.cluster.wait(lambda: not self._has(pool), f"no slice of {pool}")

    def _has(self, pool: str) -> bool:
        return f"{NODE}/{pool}" in published(self.cluster.slices(NODE, DRIVER))

    # Claims.

    def claim(
        self,
        name: str,
        *links: str,
        count: int = 1,
        parameters: Mapping[str, Any] | None = None,
        admin: bool = False,
    ) -> None:
        """Make a claim of so many devices of the pool; of exactly these links, if any are named."""
        requests = [_request(f"link{i}", link, 1, admin) for i, link in enumerate(links)]
        config = [] if parameters is None else [_config(parameters)]
        devices = {"requests": requests or [_request("links", "", count, admin)], "config": config}
        self.cluster.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"devices": devices},
            }
        )

    def run(self, name: str, *links: str, **options: Any) -> Pod:
        """Run a pod with a claim of its name; see `claim`."""
        self.claim(name, *links, **options)
        return self.kubelet.run_pod(one(name, claims=(name,)))

    def delete(self, pod: Pod) -> None:
        """Delete a pod and its claims, whose devices are anybody's then."""
        self.kubelet.delete_pod(pod)
        for name in pod.spec.claims.values():
            self.cluster.delete("resourceclaims", name, "default")

    def got(self, name: str) -> list[str]:
        """The devices that a claim was given."""
        claim = self.cluster.get("resourceclaims", name, "default")
        allocation = (claim.get("status") or {}).get("allocation") or {"devices": {"results": []}}
        return [result["device"] for result in allocation["devices"]["results"]]

    def status(self, name: str) -> Mapping[str, Manifest]:
        """What a claim's status says of its devices, by name."""
        status = self.cluster.get("resourceclaims", name, "default").get("status") or {}
        return {entry["device"]: entry for entry in status.get("devices") or ()}

    def await_status(self, name: str, holds: Callable[[Mapping[str, Manifest]], object]) -> None:
        """Return when something is so of what a claim's status says."""
        self.cluster.wait(lambda: holds(self.status(name)), f"status of {name}")

    def await_ready(self, name: str) -> Mapping[str, Manifest]:
        """Return what the status says once all devices are in the pod."""

        def ready() -> bool:
            entries = self.status(name)
            return entries.keys() == set(self.got(name)) and all(map(is_ready, entries.values()))

        self.cluster.wait(ready, f"{name} is ready")
        return self.status(name)


def is_ready(entry: Manifest) -> bool:
    """Whether a device's entry says that the link is in the pod."""
    conditions = entry.get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _request(name: str, link: str, count: int, admin: bool) -> Manifest:
    exactly: Manifest = {"deviceClassName": POOL, "allocationMode": "ExactCount", "count": count}
    if link:
        expression = f'device.attributes["{DRIVER}"].ifName == "{link}"'
        exactly["selectors"] = [{"cel": {"expression": expression}}]
    if admin:
        exactly["adminAccess"] = True
    return {"name": name, "exactly": exactly}


def _config(parameters: Mapping[str, Any]) -> Manifest:
    said = {
        "apiVersion": "netdevice.networking.k8s.io/v1alpha1",
        "kind": "NetDeviceParameters",
        **parameters,
    }
    return {"opaque": {"driver": DRIVER, "parameters": said}}
