"""Links in pods, by agent and containerd: a VF that is set up, a port that is pulled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.fakes.kubelet import Kubelet, one
from tests.kernel.mover.dump import Dump, assert_same, dump, eventually, settled
from tests.kernel.scratch import Netns
from tests.vm.nics import HOST, Nic, Nics
from tests.vm.plugs import Plugs

KIND = "networking.k8s.io/fast"
HUB = 9  # nobody else is there
POOL = """\
cdiDir: /run/cdi
pools:
- name: fast
  selectors:
  - pciAddresses: [{addresses}]
"""
VF = "  vf: {vlan: 100, qos: 3, spoofChk: false, trust: true, maxTxRate: 100}\n"


def pool(*nics: Nic) -> str:
    """Offer these."""
    return POOL.format(addresses=", ".join(f'"{nic.pci}"' for nic in nics))


def look(host: Netns) -> Dump:
    """All, but what igbvf calls a permanent MAC: that is the one it has when it is reset."""
    return {key: value for key, value in dump(host).items() if not key.endswith("/permaddr")}


def told(nics: Nics) -> dict[str, Any]:
    """What the PF has been told of its first VF."""
    (pf,) = HOST.json("link", "show", "dev", nics.pf1.link)
    found: dict[str, Any] = pf["vfinfo_list"][0]
    return found


@pytest.fixture
def vf(all_nics: Nics) -> Iterator[Nic]:
    """A VF that is up: its PF has heard its MAC then, and says so ever after."""
    all_nics.vf0.up(all_nics.vf0.name)
    yield all_nics.vf0
    all_nics.vf0.reset()


def test_a_vf_is_in_a_pod_as_the_pool_wants_it_and_then_at_home_as_it_was(
    vf: Nic, all_nics: Nics, agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    before, known = settled(HOST, look), told(all_nics)
    agents.write(pool(vf) + VF)
    agents.serve(kind=KIND)
    pod = kubelet.run_pod(one("pod", {KIND: 1}))
    set_up = told(all_nics)
    assert set_up["vlan_list"] == [{"vlan": 100, "qos": 3}]
    assert (set_up["spoofchk"], set_up["trust"]) == (False, True)
    assert set_up["rate"]["max_tx"] == 100
    assert vf.mac in containerd.cri.sh(pod.container(), f"ip link show dev {vf.name}")
    kubelet.delete_pod(pod)
    assert told(all_nics) == known
    assert_same(HOST, before, look)


def test_a_port_is_offered_when_it_is_plugged_and_unhealthy_when_it_is_pulled_out_of_a_pod(
    vf: Nic, plugs: Plugs, agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    port = plugs.plug(HUB).nic  # to learn where it is
    plugs.pull()
    agents.write(pool(port, vf))
    agents.serve(kind=KIND)
    kubelet.await_devices(KIND, {vf.name: "Healthy"})
    plugs.plug(HUB)
    name_it(port)
    kubelet.await_devices(KIND, {vf.name: "Healthy", "port0": "Healthy"})
    pod = kubelet.run_pod(one("pod", {KIND: 2}))
    assert not port.link
    assert port.mac in containerd.cri.sh(pod.container(), "ip link show dev port0")
    plugs.pull()
    kubelet.await_devices(KIND, {vf.name: "Healthy", "port0": "Unhealthy"})
    kubelet.delete_pod(pod)
    assert eventually(HOST, lambda: vf.link == vf.name)
    plugs.plug(HUB)
    name_it(port)
    kubelet.await_devices(KIND, {vf.name: "Healthy", "port0": "Healthy"})


def name_it(port: Nic) -> None:
    """The kernel calls it eth0, as the pod's own link is called."""
    HOST.ip("link", "set", port.link, "name", "port0")
