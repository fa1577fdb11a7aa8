"""deploy/examples/dra as shipped, on a node: what their comments promise is so.

That of two NICs beside a GPU needs NICs: tests/agent/dra/test_examples.py.
"""

from __future__ import annotations

import re

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.dra import Claims, NodeApi
from tests.e2e.lender import Lender
from tests.e2e.links import Link
from tests.fakes.apiserver import Manifest
from tests.fakes.kubelet import ContainerSpec, Kubelet, Pod, PodSpec
from tests.manifests import ROOT, parse

EXAMPLES = ROOT / "deploy/examples/dra"


@pytest.fixture
def api(cluster_api: NodeApi) -> NodeApi:
    """The kubelet's API server is the one that the agent has."""
    return cluster_api


class Shipped:
    """Creates what is in a file, and runs its pod."""

    def __init__(self, claims: Claims, lender: Lender, containerd: Containerd) -> None:
        self.claims = claims
        self.kubelet: Kubelet = claims.kubelet
        self.cri = containerd.cri
        self.links: dict[str, Link] = {}
        for _ in range(3):
            link = lender.make("veth")
            self.links[link.name] = link
        claims.serve()
        claims.await_slices(*self.links)

    def create(self, file: str) -> Pod:
        """Create all of a file; return its pod."""
        *objects, pod = parse((EXAMPLES / file).read_text())
        for one in objects:
            namespaced = {} if one["kind"] == "Namespace" else {"namespace": "default"}
            self.claims.cluster.create({**one, "metadata": {**namespaced, **one["metadata"]}})
        return self.kubelet.create_pod(self._spec(pod))

    def _spec(self, pod: Manifest) -> PodSpec:
        namespace = pod["metadata"].get("namespace", "default")
        (container,) = pod["spec"]["containers"]
        resources = container["resources"]
        shell = ContainerSpec(
            name=container["name"],
            command=tuple(container["command"]),
            claims=tuple(one["name"] for one in resources.get("claims", ())),
            limits=resources.get("limits", {}),
        )
        return PodSpec(
            name=pod["metadata"]["name"],
            namespace=namespace,
            containers=(shell,),
            claims={
                one["name"]: one.get("resourceClaimName") or self._of_template(one, namespace)
                for one in pod["spec"].get("resourceClaims", ())
            },
        )

    def _of_template(self, wanted: Manifest, namespace: str) -> str:
        """Do what the controller of claims does when a pod names a template."""
        name: str = wanted["resourceClaimTemplateName"]
        template = self.claims.cluster.get("resourceclaimtemplates", name, namespace)
        self.claims.cluster.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": template["spec"]["spec"],
            }
        )
        return name

    def run(self, file: str) -> Pod:
        """Create all of a file, and return its pod once it runs."""
        pod = self.create(file)
        self.kubelet.await_running(pod)
        return pod

    def sh(self, pod: Pod, script: str) -> str:
        """What a script prints in the pod's container."""
        return self.cri.sh(pod.container("shell"), script)

    def refused(self, pod: Pod) -> str:
        """Why the pod's container does not start, once it has been tried."""

        def said() -> str:
            status = pod.containers.get("shell")
            return status.message if status else ""

        self.kubelet.await_pod(pod, lambda: bool(said()))
        return said()

    def held(self, pod: Pod) -> set[str]:
        """The host's names of the devices that the pod's claims have."""
        return {device for _, _, device in self.kubelet.prepared(pod)}


@pytest.fixture
def shipped(claims: Claims, lender: Lender, containerd: Containerd) -> Shipped:
    """Three links, in slices."""
    return Shipped(claims, lender, containerd)


def test_the_pods_of_the_examples_have_what_is_promised(shipped: Shipped, lender: Lender) -> None:
    template = shipped.run("claim-template.yaml")
    assert (
        shipped.sh(template, "cat /sys/class/net/net1/mtu; echo $NETDEVICE_NIC") == "1400\nnet1\n"
    )

    database = shipped.run("static-address.yaml")
    told = shipped.sh(database, "ip -o -4 address show dev storage0; ip route")
    assert "inet 192.0.2.10/24" in told
    assert re.search(r"^198\.51\.100\.0/24 via 192\.0\.2\.1 dev storage0", told, re.MULTILINE)
    assert all(link.ipv4 not in told for link in shipped.links.values())
    (entry,) = shipped.claims.await_ready("database-nic").values()
    assert entry["networkData"]["ips"] == ["192.0.2.10/24"]

    limits = shipped.run("extended-resource.yaml")
    (free,) = shipped.links.keys() - shipped.held(template) - shipped.held(database)
    link = shipped.links[free]
    assert f"inet {link.ipv4}" in shipped.sh(limits, f"ip -o address show dev {free}")

    look = shipped.run("admin-access.yaml")
    names = shipped.sh(look, "echo $NETDEVICE_ALL").strip().split(",")
    assert sorted(names) == sorted(shipped.links)
    inside = shipped.sh(look, "ls /sys/class/net").split()
    assert not {*shipped.links, "net1", "storage0"} & set(inside)
    assert "net1" in shipped.sh(template, "ls /sys/class/net")

    # The address goes with the claim, to whatever pod has it.
    spec = database.spec
    shipped.kubelet.delete_pod(database)
    again = shipped.kubelet.run_pod(
        PodSpec(name="database-1", containers=spec.containers, claims=spec.claims)
    )
    assert "inet 192.0.2.10/24" in shipped.sh(again, "ip -o -4 address show dev storage0")
    for pod in (look, limits, template, again):
        shipped.kubelet.delete_pod(pod)
    lender.returned(*shipped.links.values())


def test_a_tagged_network_in_a_vrf_is_there_or_nothing_is(shipped: Shipped, lender: Lender) -> None:
    """This kernel may have no VLANs; then the container says so, and the link stays home."""
    pod = shipped.create("vlan-and-vrf.yaml")
    if has_vlans(lender):
        shipped.kubelet.await_running(pod)
        assert shipped.sh(pod, "readlink /sys/class/net/tenant0/master").endswith("/tenant\n")
        assert "192.0.2.10/24" in shipped.sh(pod, "ip -o -4 address show dev tenant0")
        assert "tenant0" not in shipped.sh(pod, "ip route | grep ^default; true")
    else:
        assert "create the VLAN" in shipped.refused(pod)
        lender.untouched()
    shipped.kubelet.delete_pod(pod)
    lender.returned(*shipped.links.values())


def has_vlans(lender: Lender) -> bool:
    """Ask the kernel."""
    made = "ip link add name ndpvlan link lan1-b type vlan id 7 && ip link delete ndpvlan"
    return lender.node.run("sh", "-c", made, check=False).returncode == 0
