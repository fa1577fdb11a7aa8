"""deploy/examples/dra where the links are NICs: what the scheduler makes of them."""

from __future__ import annotations

import dataclasses

import pytest

from netdevice_plugin.dra import planning, slices
from netdevice_plugin.dra.planning import Node
from netdevice_plugin.model import Interface
from tests.agent.apiclient import slice_of
from tests.agent.dra.conftest import NODE
from tests.fakes.apiserver import ApiServer, Manifest
from tests.fakes.apiserver.manifest import items
from tests.fakes.apiserver.scheduler import Scheduler, UnschedulableError
from tests.manifests import ROOT, parse
from tests.unit.dra.listed import DRIVER, NIC, listed, listing

GPU = "gpu.example.com"
DEPLOY = ROOT / "deploy"


def nic(name: str, root: str, *, rdma: bool = True) -> Interface:
    """A NIC on that PCI root."""
    assert NIC.pci
    pci = dataclasses.replace(NIC.pci, root=root)
    return dataclasses.replace(NIC, name=name, pci=pci, rdma=NIC.rdma if rdma else "")


def gpus(*roots: str) -> Manifest:
    """The slice of another driver, which says no more of its GPUs than where they are."""
    devices = [
        {
            "name": f"gpu-{number}",
            "attributes": {"resource.kubernetes.io/pcieRoot": {"string": root}},
        }
        for number, root in enumerate(roots)
    ]
    pool = {"name": f"{NODE}/gpus", "generation": 1, "resourceSliceCount": 1}
    return slice_of(NODE, *devices, driver=GPU, pool=pool)


def publish(server: ApiServer, *links: Interface) -> None:
    """Create our own slices for a node with these links."""
    wanted = slices.wanted(
        [listing(*(listed(link) for link in links))], node=NODE, allocated=(), taints=True
    )
    node = server.cluster.get("nodes", NODE)["metadata"]
    made = planning.plan([], wanted, driver=DRIVER, node=Node(name=NODE, uid=node["uid"]))
    for one in made.creates:
        server.cluster.create(dict(one))


@pytest.fixture
def pod(server: ApiServer) -> Manifest:
    """The example's, whose claim template is there, and the classes."""
    server.apply_file(DEPLOY / "components/dra/deviceclass.yaml")
    selectors = [{"cel": {"expression": f'device.driver == "{GPU}"'}}]
    server.cluster.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": GPU},
            "spec": {"selectors": selectors},
        }
    )
    template, pod = parse((DEPLOY / "examples/dra/nics-beside-a-gpu.yaml").read_text())
    template["metadata"]["namespace"] = "default"
    server.cluster.create(template)
    metadata = {**pod["metadata"], "namespace": "default", "uid": "1d"}
    return {**pod, "metadata": metadata}


def test_two_nics_are_those_beside_the_gpu(server: ApiServer, pod: Manifest) -> None:
    server.cluster.create(gpus("pci0000:10", "pci0000:3a"))
    publish(
        server,
        nic("ens1", "pci0000:10"),
        nic("ens2", "pci0000:3a"),
        nic("ens3", "pci0000:3a", rdma=False),
        nic("ens4", "pci0000:3a"),
    )
    Scheduler(server.registry).schedule(pod, NODE)
    (claim,) = server.cluster.objects("resourceclaims", "default")
    results = items(claim, "status", "allocation", "devices", "results")
    assert [(one["request"], one["driver"], one["device"]) for one in results] == [
        ("gpu", GPU, "gpu-1"),
        ("nics", DRIVER, "ens2"),
        ("nics", DRIVER, "ens4"),
    ]


def test_nics_of_two_roots_are_none_beside_a_gpu(server: ApiServer, pod: Manifest) -> None:
    server.cluster.create(gpus("pci0000:10", "pci0000:3a"))
    publish(server, nic("ens1", "pci0000:10"), nic("ens2", "pci0000:3a"))
    with pytest.raises(UnschedulableError, match="cannot allocate all claims"):
        Scheduler(server.registry).schedule(pod, NODE)
