"""What the project began with: dummy0 with 192.168.8.8/32, into a pod and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.fakes.kubelet import Kubelet, one
from tests.kernel.mover.dump import assert_same, settled
from tests.vm.nics import HOST

KIND = "networking.k8s.io/netdevice"
ADDRESS = "192.168.8.8/32"


@pytest.fixture
def dummy0() -> Iterator[None]:
    """The kernel makes it when it has the module; it has the address, and is up."""
    HOST.batch([f"addr add {ADDRESS} dev dummy0", "link set dummy0 up"])
    yield
    HOST.batch(["link set dummy0 down", "addr flush dev dummy0"])


@pytest.mark.usefixtures("dummy0")
def test_dummy0_is_in_a_pod_that_asks_for_it_and_then_on_the_host_as_it_was(
    agents: Agents, kubelet: Kubelet, containerd: Containerd
) -> None:
    agents.configure(netdevice="dummy0")
    agents.serve(kind=KIND)
    kubelet.await_devices(KIND, {"dummy0": "Healthy"})
    before = settled(HOST)
    pod = kubelet.run_pod(one("pod", {KIND: 1}))
    assert "dummy0" not in HOST.links()
    assert ADDRESS in containerd.cri.sh(pod.container(), "ip address show dev dummy0")
    kubelet.delete_pod(pod)
    assert_same(HOST, before)
