"""Claims on a node, with all that is real but the kubelet and the API server, which are strict.

At every change that these two see `tests.e2e.claimtruth` looks whether what must never be is so.
"""

from __future__ import annotations

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.dra import Claims, NodeApi
from tests.e2e.lender import Lender, assert_inside, look
from tests.e2e.links import Link
from tests.fakes.kubelet import Pod


@pytest.fixture
def api(cluster_api: NodeApi) -> NodeApi:
    """The kubelet's API server is the one that the agent has."""
    return cluster_api


def assert_in(containerd: Containerd, pod: Pod, link: Link) -> None:
    """Fail unless the pod has the link as the host had it."""
    assert_inside(link, containerd.cri.sh(pod.container(), look(link)))


def test_a_pod_with_a_claim_has_a_link_until_it_is_deleted(
    claims: Claims, lender: Lender, containerd: Containerd
) -> None:
    links = {link.name: link for link in (lender.make("veth"), lender.make("ifb"))}
    claims.serve()
    claims.await_slices("lan1", "lan2")
    pod = claims.run("pod")
    (name,) = claims.got("pod")
    assert_in(containerd, pod, links[name])
    claims.await_slices("lan1", "lan2")
    (entry,) = claims.await_ready("pod").values()
    assert entry["networkData"]["interfaceName"] == name
    claims.delete(pod)
    lender.returned(*links.values())
    assert claims.truth.looks
