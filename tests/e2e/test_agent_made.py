"""Pods that share a NIC: the pool's links are made in them, by either front end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.e2e.dra import Claims, NodeApi
from tests.e2e.node import Node
from tests.fakes.kubelet import Kubelet, Pod, one
from tests.fakes.kubelet.apiserver import ApiServer, NoApiServer

PARENT = "lan1"
SHARED = "networking.k8s.io/shared"
MACVLAN = f"""
  create:
    kind: macvlan
    parent: {PARENT}
    count: 2
"""
ADD = f"link add {PARENT} type veth peer name {PARENT}-b"
UP = f"link set {PARENT} up", f"link set {PARENT}-b up"
HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"


@pytest.fixture
def parent(node: Node) -> Iterator[Mapping[str, Any]]:
    """A NIC of the node, which is as it was in the end."""
    for line in (ADD, *UP):
        node.ip(*line.split())
    yield node.json("link", "show", PARENT)[0]
    node.ip("link", "delete", PARENT)


@pytest.fixture
def api(request: pytest.FixtureRequest) -> ApiServer:
    """That of the agent, where a test has claims."""
    if "claims" not in request.fixturenames:
        return NoApiServer()
    found: NodeApi = request.getfixturevalue("cluster_api")
    return found


def macvlans(node: Node) -> list[str]:
    """Those on the host, where none of ours has ever been."""
    return [link["ifname"] for link in node.json("link", "show", "type", "macvlan")]


def link(containerd: Containerd, pod: Pod, name: str) -> str:
    """What a pod sees of its link."""
    return containerd.cri.sh(pod.container(), f"ip address show dev {name}")


def test_as_many_pods_share_a_nic_as_the_pool_says(
    parent: Mapping[str, Any],
    agents: Agents,
    kubelet: Kubelet,
    containerd: Containerd,
    node: Node,
) -> None:
    agents.write(f"cdiDir: /run/cdi\npools:\n- name: shared{MACVLAN}")
    agents.serve(kind=SHARED)
    kubelet.await_resource(SHARED, 2, 2)
    pods = [kubelet.run_pod(one(name, {SHARED: 1})) for name in ("first", "second")]
    given = [next(iter(kubelet.given(pod, SHARED))) for pod in pods]
    assert sorted(given) == ["shared-0", "shared-1"]
    for pod, name in zip(pods, given, strict=True):
        assert "UP,LOWER_UP" in link(containerd, pod, name)
    assert macvlans(node) == []
    third = kubelet.create_pod(one("third", {SHARED: 1}))
    assert third.message == f"Insufficient {SHARED}"
    kubelet.delete_pod(pods[0])
    kubelet.await_running(third)
    assert kubelet.given(third, SHARED) == {given[0]}
    for pod in (pods[1], third):
        kubelet.delete_pod(pod)
    kubelet.await_devices(SHARED, dict.fromkeys(given, HEALTHY))
    assert node.json("link", "show", PARENT)[0] == parent


def test_the_loss_of_a_parent_is_that_of_its_pods(
    parent: Mapping[str, Any],
    agents: Agents,
    kubelet: Kubelet,
    containerd: Containerd,
    node: Node,
) -> None:
    agents.write(f"cdiDir: /run/cdi\npools:\n- name: shared{MACVLAN}")
    agent = agents.serve(kind=SHARED)
    pod = kubelet.run_pod(one("pod", {SHARED: 1}))
    (lent,) = kubelet.given(pod, SHARED)
    (free,) = {"shared-0", "shared-1"} - {lent}

    node.ip("link", "set", PARENT, "down")
    kubelet.await_devices(SHARED, {lent: UNHEALTHY, free: UNHEALTHY})
    agent.await_line("Device is unhealthy", device=free, reason=f"its parent {PARENT} is down")
    node.ip("link", "set", PARENT, "up")
    kubelet.await_devices(SHARED, {lent: HEALTHY, free: HEALTHY})

    node.ip("link", "delete", PARENT)
    kubelet.await_devices(SHARED, {lent: UNHEALTHY, free: UNHEALTHY})
    for line in (ADD, *UP):
        node.ip(*line.split())
    kubelet.await_devices(SHARED, {lent: UNHEALTHY, free: HEALTHY})
    assert lent not in containerd.cri.sh(pod.container(), "ls /sys/class/net")

    kubelet.delete_pod(pod)
    kubelet.await_devices(SHARED, {lent: HEALTHY, free: HEALTHY})
    again = kubelet.run_pod(one("again", {SHARED: 1}))
    (name,) = kubelet.given(again, SHARED)
    assert "UP,LOWER_UP" in link(containerd, again, name)
    kubelet.delete_pod(again)


def test_a_claim_says_how_a_link_is_made(
    parent: Mapping[str, Any], claims: Claims, agents: Agents, containerd: Containerd, node: Node
) -> None:
    agents.write(f"cdiDir: /run/cdi\npools:\n- name: netdevice\n  frontend: dra{MACVLAN}")
    claims.serve()
    claims.await_slices("netdevice-0", "netdevice-1")
    wanted = {
        "interfaceName": "net1",
        "mtu": 1300,
        "mac": "02:00:00:00:00:07",
        "addresses": ["192.0.2.77/24"],
    }
    pod = claims.run("pod", parameters=wanted)
    said = link(containerd, pod, "net1")
    assert all(text in said for text in ("inet 192.0.2.77/24", "02:00:00:00:00:07", "mtu 1300"))
    (entry,) = claims.await_ready("pod").values()
    assert entry["networkData"]["hardwareAddress"] == "02:00:00:00:00:07"
    assert macvlans(node) == []
    claims.delete(pod)
    claims.await_slices("netdevice-0", "netdevice-1")
    assert node.json("link", "show", PARENT)[0] == parent
