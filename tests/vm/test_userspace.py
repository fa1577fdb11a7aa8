"""NICs for programs in pods: DPDK's testpmd drives one in a container, and then it is home."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.fakes.kubelet import Kubelet, Pod
from tests.kernel.mover.dump import eventually
from tests.kernel.scratch import Netns, netns
from tests.vm import pods
from tests.vm.nics import HOST, Nics
from tests.vm.plugs import Plugs
from tests.vm.testpmd import testpmd

ECHO = "10.1.0.1"
HUB = 8  # nobody else is there


@pytest.fixture
def peer(all_nics: Nics) -> Iterator[Netns]:
    """A namespace with the other VF, which the NIC itself connects with the first."""
    with netns("peer") as space:
        HOST.ip("link", "set", all_nics.vf1.link, "netns", space.name, "name", "p0")
        space.batch(["addr add 10.1.0.2/24 dev p0", "link set p0 up"])
        yield space
        space.ip("link", "set", "p0", "netns", str(os.getpid()), "name", all_nics.vf1.name)
    all_nics.vf1.reset()


def refused(containerd: Containerd, pod: Pod, node: pathlib.Path) -> bool:
    """Whether the container without devices has no such node, and cannot open one of its own."""
    number = node.stat().st_rdev
    make = f"mknod /tmp/own c {os.major(number)} {os.minor(number)}"
    said = containerd.cri.sh(pod.container("other"), f"ls /dev; {make} && ! cat /tmp/own 2>&1")
    return "vfio" not in said and "Operation not permitted" in said


def test_testpmd_in_a_pod_has_a_vf_and_the_vf_is_a_link_again_when_the_pod_is_gone(
    all_nics: Nics, peer: Netns, agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    vf = all_nics.vf0
    before = HOST.links()[vf.link]
    pods.offer(agents, kubelet, vf)
    assert pods.driver(vf) == "igbvf"
    pod = kubelet.run_pod(pods.pod("pod", 1))
    assert pods.driver(vf) == "vfio-pci"
    assert pods.addresses(containerd, pod) == [vf.pci]
    nodes = containerd.cri.sh(pod.container(), "ls /dev/vfio").split()
    assert sorted(nodes) == sorted(["vfio", pods.group(vf).name])
    assert refused(containerd, pod, pods.group(vf))
    with testpmd(*pods.inside(pod), devices=[vf.pci]) as program:
        program.tell("set fwd icmpecho")
        program.tell("start")
        assert eventually(peer, lambda: "LOWER_UP" in peer.links()["p0"]["flags"])
        assert "3 packets received" in peer.run("busybox", "ping", "-c3", "-W5", ECHO).stdout
        assert program.counts(0)["TX"] >= 3
    kubelet.delete_pod(pod)
    eventually(HOST, lambda: vf.link == vf.name)
    assert vf.link == vf.name
    after = HOST.links()[vf.link]
    assert pods.driver(vf) == "igbvf"
    assert (after["address"], after["mtu"]) == (before["address"], before["mtu"])
    kubelet.await_devices(pods.KIND, {pods.device(vf): "Healthy"})


def test_testpmd_in_a_pod_forwards_between_ports_that_were_plugged(
    plugs: Plugs, agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    ports = [plugs.plug(HUB, slot).nic for slot in ("slot0", "slot1")]
    pods.offer(agents, kubelet, *ports)
    pod = kubelet.run_pod(pods.pod("pod", 2))
    assert sorted(pods.addresses(containerd, pod)) == sorted(nic.pci for nic in ports)
    with testpmd(*pods.inside(pod), devices=[nic.pci for nic in ports]) as program:
        program.tell("start tx_first")  # what one sends comes in at the other, and goes out again
        first = [program.counts(port)["RX"] for port in range(2)]
        second = [program.counts(port)["RX"] for port in range(2)]
        assert all(later > earlier for earlier, later in zip(first, second, strict=True))
        program.tell("stop")
    plugs.pull("slot1")  # nobody holds it open
    gone, left = pods.device(ports[1]), pods.device(ports[0])
    kubelet.await_devices(pods.KIND, {left: "Healthy", gone: "Unhealthy"})
    kubelet.delete_pod(pod)
    kubelet.await_devices(pods.KIND, {left: "Healthy"})
    assert eventually(HOST, lambda: bool(ports[0].link))
