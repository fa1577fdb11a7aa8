"""The number of virtual functions, kept by the agent, on a NIC that is the node's uplink too."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.e2e.waiting import until
from tests.fakes.kubelet import Kubelet, one
from tests.kernel.mover.dump import eventually
from tests.vm.nics import HOST, PCI, Nic, Nics

KIND = "networking.k8s.io/vf"
OTHERS = "networking.k8s.io/others"
CONFIGURATION = """\
cdiDir: /run/cdi
sriov:
- pf: wan
  numVfs: {number}
pools:
- name: vf
  selectors:
  - pfNames: ["wan#0-3"]
- name: others
  selectors:
  - ifNames: ["pf?", pf1]
"""
ALONE = """\
cdiDir: /run/cdi
sriov:
- pf: wan
  numVfs: 2
pools:
- name: dpdk
  driver: vfio-pci
  bindAt: start
  selectors:
  - pfNames: [wan]
"""
FILE = pathlib.Path("/run/cdi/networking.k8s.io-dpdk.json")


@pytest.fixture
def uplink(all_nics: Nics) -> Iterator[Nic]:
    """A NIC by which the node goes out, without VFs, and with an altname."""
    pf = all_nics.pf0
    pf.up(pf.name)
    HOST.ip("link", "property", "add", "dev", pf.name, "altname", "wan")
    HOST.ip("address", "add", "198.51.100.2/24", "dev", pf.name)
    HOST.ip("route", "add", "default", "via", "198.51.100.1", "dev", pf.name)
    yield pf
    set_number(pf, 0)
    pf.reset()


def number(pf: Nic) -> int:
    """How many VFs it has."""
    return int((PCI / pf.pci / "sriov_numvfs").read_text())


def set_number(pf: Nic, count: int) -> None:
    """As a reboot does, or an administrator."""
    (PCI / pf.pci / "sriov_numvfs").write_text(str(count))


def places(pf: Nic) -> list[str]:
    """The PCI addresses of its VFs."""
    return [(PCI / pf.pci / f"virtfn{i}").readlink().name for i in range(number(pf))]


def name_vfs(pf: Nic) -> list[str]:
    """Call the links of its VFs other than the kernel does: pods have an eth0 of CNI's."""
    nics = [Nic(f"wan{i}", place) for i, place in enumerate(places(pf))]
    for nic in nics:
        nic.rename()
    return [nic.name for nic in nics]


def test_vfs_of_an_uplink_are_made_kept_while_lent_and_made_again(
    uplink: Nic, all_nics: Nics, agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    agents.write(CONFIGURATION.format(number=2))
    agent = agents.serve(kind=KIND)
    kubelet.await_resource(KIND, 2, 2)
    kubelet.await_devices(KIND, dict.fromkeys(name_vfs(uplink), "Healthy"))
    pod = kubelet.run_pod(one("pod", {KIND: 1}))
    (name,) = kubelet.given(pod, KIND)
    assert name in containerd.cri.sh(pod.container(), "ls /sys/class/net")

    agents.write(CONFIGURATION.format(number=3))
    said = agent.await_line("Virtual functions are not as configured", pf="wan")
    assert "it has 2 virtual functions, not 3, and keeps them" in said["reason"]
    assert "is in a pod" in said["reason"]
    assert number(uplink) == 2
    kubelet.delete_pod(pod)
    kubelet.await_resource(KIND, 3, 3)

    agent.terminate()
    set_number(uplink, 0)
    agents.serve(kind=KIND)
    kubelet.await_resource(KIND, 3, 3)
    kubelet.await_devices(OTHERS, {all_nics.pf1.name: "Healthy"})


def nodes() -> list[str]:
    """The groups that containers get with the VFs, as the CDI file has them."""
    try:
        devices = json.loads(FILE.read_text())["devices"]
    except FileNotFoundError:
        return []
    given = [one["containerEdits"].get("deviceNodes", []) for one in devices]
    paths = {node["path"] for several in given for node in several}
    return sorted(paths - {"/dev/vfio/vfio"})


def test_without_a_kubelet_vfs_are_made_and_bound_from_the_start(
    uplink: Nic, agents: Agents
) -> None:
    agents.write(ALONE)
    agent = agents.start("--no-kubelet")
    until(FILE.parent, lambda: len(nodes()) == 2, "both VFs have their nodes")
    groups = [(PCI / place / "iommu_group").readlink().name for place in places(uplink)]
    assert nodes() == sorted(f"/dev/vfio/{group}" for group in groups)
    agents.write("cdiDir: /run/cdi\npools: []\n")
    links = [PCI / place / "net" for place in places(uplink)]
    assert eventually(HOST, lambda: all(link.is_dir() for link in links), 60)
    assert number(uplink) == 2
    agent.terminate()
