"""An API server in a process of its own: `python -m benchmarks.cluster KUBECONFIG NODE`.

It is the one of the tests. It prints JSON objects as benchmarks/kubelet.py does, and reads
from stdin `claims DRIVER POOL DEVICE...`, which makes a claim for each device, and
`asked`, which has it tell of all requests since it was last asked that.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.kubelet import say
from tests.fakes.apiserver import ApiServer, Cluster

_NAMESPACE = "default"


def _claims(cluster: Cluster, driver: str, pool: str, devices: Iterable[str]) -> None:
    refs = [_claim(cluster, driver, pool, device) for device in devices]
    say("claims", time.monotonic_ns(), refs=refs)


def _claim(cluster: Cluster, driver: str, pool: str, device: str) -> tuple[str, str, str]:
    """Make a claim that has the device; its namespace, name and uid."""
    exactly = {"deviceClassName": "any", "allocationMode": "ExactCount", "count": 1}
    made = cluster.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"namespace": _NAMESPACE, "name": f"of-{device}"},
            "spec": {"devices": {"requests": [{"name": "nic", "exactly": exactly}]}},
        }
    )
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    result = {"driver": driver, "pool": pool, "request": "nic", "device": device}
    with cluster.edit("resourceclaims", name, _NAMESPACE, status=True) as edited:
        edited["status"] = {"allocation": {"devices": {"results": [result]}}}
    return _NAMESPACE, name, uid


def _asked(server: ApiServer) -> None:
    requests = [(one.at, one.verb, one.resource) for one in server.book.find()]
    server.book.clear()
    say("asked", time.monotonic_ns(), requests=requests)


def main(kubeconfig: Path, node: str) -> None:
    """Serve until stdin ends."""
    with ApiServer() as server:
        server.cluster.add_node(node)
        server.kubeconfig(kubeconfig)
        say("serving", time.monotonic_ns())
        for line in sys.stdin:
            _obey(server, line.split())


def _obey(server: ApiServer, words: Sequence[str]) -> None:
    if words[0] == "claims":
        _claims(server.cluster, words[1], words[2], words[3:])
    else:
        _asked(server)


if __name__ == "__main__":
    gc.disable()  # a pause of this process would count as the agent's
    main(Path(sys.argv[1]), sys.argv[2])
