"""NICs for programs in pods: DPDK's testpmd drives them in containers, and then they are home.

One agent, which has a pool for each way to give a function away, goes through all of it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e import criruntime
from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.e2e.dra import Claims, NodeApi, Server
from tests.e2e.fetch import Parts
from tests.e2e.node import Node as Machine
from tests.fakes.kubelet import Kubelet, Pod
from tests.kernel.mover.dump import eventually
from tests.kernel.scratch import Netns, netns
from tests.vm import pods
from tests.vm.nics import HOST, Nic, Nics
from tests.vm.plugs import MACS, Plugs, link
from tests.vm.pods import DPDK, RAW, Scene
from tests.vm.test_functions import outline, vf_info
from tests.vm.testpmd import testpmd

ECHO = "10.1.0.1"
HUB = 8  # nobody else is there
CDI = pathlib.Path("/run/cdi")
VF = {"mac": "02:00:00:00:00:99", "vlan": 100, "trust": True}


@pytest.fixture(scope="module")
def scene(
    all_nics: Nics,
    machine: Machine,
    parts: Parts,
    running_containerd: Containerd,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """All that is to be given away is there, but for the ports, which are plugged later."""
    root = pathlib.Path("/var/lib/kubelet")
    shutil.rmtree(root, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        server = Server(machine)
        stack.enter_context(server)
        api = stack.enter_context(contextlib.closing(NodeApi(server)))
        connect = criruntime.connector(machine, parts, running_containerd)
        kubelet = stack.enter_context(Kubelet(root, connect, api=api))
        logs = tmp_path_factory.mktemp("logs")
        agents = stack.enter_context(contextlib.closing(Agents(machine, kubelet, logs)))
        made = Claims(server, api, kubelet, agents, machine)
        claims = stack.enter_context(contextlib.closing(made))
        stack.callback(running_containerd.clear)
        ports = f"macAddresses: ['{MACS['slot0']}', '{MACS['slot1']}']"
        agents.write(
            pods.configuration(
                dpdk=ports,
                raw=f"pciAddresses: ['{all_nics.virtio.pci}']",
                claims=f"pciAddresses: ['{all_nics.vf0.pci}']",
            )
        )
        agent = claims.start()
        agent.await_line("Registered with the kubelet", resource=RAW)
        kubelet.await_devices(RAW, {pods.device(all_nics.virtio): "Healthy"})
        claims.await_slices(pods.device(all_nics.vf0))
        yield Scene(kubelet, running_containerd, agent, claims)
    for path in CDI.iterdir():
        path.unlink()


@pytest.fixture
def peer(all_nics: Nics) -> Iterator[Netns]:
    """A namespace with the other VF, on the VLAN of the first, to which the NIC connects it."""
    vlan = ("link", "set", all_nics.pf1.link, "vf", "1", "vlan")
    with netns("peer") as space:
        HOST.ip(*vlan, str(VF["vlan"]))
        HOST.ip("link", "set", all_nics.vf1.link, "netns", space.name, "name", "p0")
        space.batch(["addr add 10.1.0.2/24 dev p0", "link set p0 up"])
        yield space
        space.ip("link", "set", "p0", "netns", str(os.getpid()), "name", all_nics.vf1.name)
        HOST.ip(*vlan, "0")
    all_nics.vf1.reset()


def refused(scene: Scene, pod: Pod, path: str) -> bool:
    """Whether the container without devices has no such node, and cannot open one of its own."""
    number = pathlib.Path(path).stat().st_rdev
    make = f"mknod /tmp/own c {os.major(number)} {os.minor(number)}"
    said = scene.sh(pod, f"ls -d {path} 2>&1; {make} && ! cat /tmp/own 2>&1", "other")
    return "No such file" in said and "Operation not permitted" in said


def assert_given(scene: Scene, pod: Pod, variable: str, *nics: Nic) -> None:
    """The container is told of these, has the nodes for them, and the other one has none."""
    told = scene.told(pod, variable)
    assert sorted(told.addresses) == sorted(nic.pci for nic in nics)
    assert told.info.keys() == set(told.addresses)
    assert sorted(told.nodes) == sorted({node for nic in nics for node in pods.nodes(nic)})
    assert refused(scene, pod, pods.nodes(nics[0])[-1])


def test_testpmd_has_a_vf_as_its_claim_wants_it_and_the_vf_is_a_link_again_afterwards(
    scene: Scene, all_nics: Nics, peer: Netns
) -> None:
    vf, pf = all_nics.vf0, all_nics.pf1
    settings, own = vf_info(pf, 0), outline(vf)
    scene.claims.claim("pod", parameters={"vf": VF})
    with scene.running(pods.claiming("pod")) as pod:
        assert pods.driver(vf) == "vfio-pci"
        assert_given(scene, pod, "PCIDEVICE_LINKS", vf)
        shown = vf_info(pf, 0)
        assert (shown["vlan_list"], shown["trust"]) == ([{"vlan": VF["vlan"]}], True)
        with testpmd(*pods.inside(pod), devices=[vf.pci]) as program:
            assert f"MAC address: {VF['mac']}" in program.tell("show port info 0")
            program.tell("set fwd icmpecho")
            program.tell("start")
            assert eventually(peer, lambda: "LOWER_UP" in peer.links()["p0"]["flags"])
            assert "3 packets received" in peer.run("busybox", "ping", "-c3", "-W5", ECHO).stdout
            assert program.counts(0)["TX"] >= 3
    assert eventually(HOST, lambda: vf.link == vf.name)
    scene.claims.await_slices(pods.device(vf))
    assert not scene.agent.lines("Device is gone")  # not even for a moment
    assert outline(vf) == own
    assert {**vf_info(pf, 0), "address": ""} == {**settings, "address": ""}  # which the VF tells
    assert not list(CDI.glob("*-claim_*"))
    assert pods.records() == []


def test_a_port_that_is_pulled_is_testpmds_until_it_ends_and_keeps_nobody_else_waiting(
    scene: Scene, plugs: Plugs, all_nics: Nics
) -> None:
    ports = [plugs.plug(HUB, slot).nic for slot in ("slot0", "slot1")]
    left, gone = map(pods.device, ports)
    scene.kubelet.await_devices(DPDK, {left: "Healthy", gone: "Healthy"})
    with scene.running(pods.given("ports", dpdk=2)) as pod:
        assert_given(scene, pod, "PCIDEVICE_NETWORKING_K8S_IO_DPDK", *ports)
        with testpmd(*pods.inside(pod), devices=[nic.pci for nic in ports]) as program:
            program.tell("start tx_first")  # what one sends comes in at the other, and goes back
            program.await_traffic(0, 1)
            plugs.ask_back("slot1")
            scene.kubelet.await_devices(DPDK, {left: "Healthy", gone: "Unhealthy"})
            reason = "it is not bound to vfio-pci any more"
            assert scene.agent.lines("Device is unhealthy", device=gone, reason=reason)
            plugs.begin(HUB, "slot2")
            lend_by_uio(scene, all_nics.virtio)
            assert not link(MACS["slot2"])  # the kernel pulls and plugs one after the other
            assert (pods.driver(ports[1]), pods.records()) == ("", sorted([left, gone]))
            program.await_traffic(0, 1)
        plugs.await_gone("slot1")
        assert eventually(HOST, lambda: bool(link(MACS["slot2"])))
    scene.kubelet.await_devices(DPDK, {left: "Healthy"})
    assert eventually(HOST, lambda: bool(ports[0].link))
    scene.agent.await_line("Function was pulled", device=gone)
    assert eventually(HOST, lambda: pods.records() == [])


def lend_by_uio(scene: Scene, nic: Nic) -> None:
    """A pod gets a NIC by uio, of which it has the node and no more; then it is a link again."""
    own = outline(nic)
    with scene.running(pods.given("raw", raw=1)) as pod:
        assert pods.driver(nic) == "uio_pci_generic"
        assert_given(scene, pod, "PCIDEVICE_NETWORKING_K8S_IO_RAW", nic)
        (node,) = pods.nodes(nic)
        registers = f"/sys/bus/pci/devices/{nic.pci}/resource0"
        said = scene.sh(pod, f"(: <>{node}) && echo opened; (: <>{registers}) 2>&1 || true")
        assert said.startswith("opened\n")
        assert "Read-only file system" in said
    assert eventually(HOST, lambda: nic.link == nic.name)
    assert outline(nic) == own
