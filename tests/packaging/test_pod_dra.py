"""The image run as deploy/overlays/dra has it: slices, claims and their files, out of that pod."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.dra import DRIVER, NODE, NodeApi, Server
from tests.e2e.lender import Lender
from tests.fakes.apiserver import Settings, service_account
from tests.fakes.kubelet import Kubelet, one
from tests.fakes.runtime import MemoryRuntime
from tests.manifests import ROOT, Object, configuration, pod_spec
from tests.packaging import image, kustomize
from tests.packaging.image import Builder
from tests.packaging.test_pod import Agents

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 -- a directory
ACCOUNT = service_account("netdevice-plugin", "netdevice-plugin", NODE)
CLAIMS = f"/var/lib/kubelet/plugins/{DRIVER}/claims"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture
def server(built: Builder) -> Iterator[Server]:
    """The cluster's, on the node's loopback, with what the component has."""
    running = Server(built.node, Settings(tls=True))
    with running:
        yield running


@pytest.fixture
def kubelet(built: Builder, server: Server) -> Iterator[Kubelet]:
    """The node's kubelet, which has nothing of an earlier one."""
    root = built.node.path("/var/lib/kubelet")
    shutil.rmtree(root, ignore_errors=True)
    way = NodeApi(server)
    runtime = MemoryRuntime().connect
    with Kubelet(root, runtime, seen_from=built.node.path("/"), api=way) as running:
        unfollow = way.follow(running.cluster.tell)
        yield running
        unfollow()
    way.close()


@pytest.fixture
def pod(built: Builder, server: Server, kubelet: Kubelet) -> Object:
    """The agent's pod as a kubelet runs it: with a token, and told where the API server is."""
    del kubelet  # its directories are there
    objects = kustomize.build(ROOT / "deploy" / "overlays" / "dra")
    found = copy.deepcopy(pod_spec(objects))
    assert found["automountServiceAccountToken"]
    (agent,) = found["containers"]
    agent["volumeMounts"].append({"name": "token", "mountPath": TOKEN, "readOnly": True})
    agent["env"] += [
        {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
        {"name": "KUBERNETES_SERVICE_PORT", "value": str(server.port)},
    ]
    found["volumes"].append({"name": "token"})
    image.make_host_directories(built.node, found)
    config = configuration(objects).replace("netdev*", "lan*")
    assert server.authority
    for path, text in (
        ("config/config.yaml", config),
        ("token/token", server.token(ACCOUNT)),
        ("token/namespace", "netdevice-plugin"),
        ("token/ca.crt", server.authority.read_text()),
    ):
        built.node.path(f"/run/test-{path}").write_text(text)
    return found


def files(built: Builder, directory: str, pattern: str) -> set[str]:
    """The names of files on the node."""
    return {path.name for path in built.node.path(directory).glob(pattern)}


def test_a_claim_is_prepared_by_an_agent_without_a_privilege(
    built: Builder, server: Server, kubelet: Kubelet, pod: Object
) -> None:
    lender = Lender(built.node)
    agents = Agents(built, pod)
    try:
        link = lender.make()
        agents.start("first")
        kubelet.await_driver(DRIVER)
        server.cluster.wait(lambda: len(server.cluster.slices(NODE, DRIVER)) == 1, "a slice")
        (published,) = server.cluster.slices(NODE, DRIVER)
        assert [device["name"] for device in published["spec"]["devices"]] == [link.name]
        agents.await_ready()
        exactly = {"deviceClassName": "netdevice", "allocationMode": "ExactCount", "count": 1}
        claim = server.cluster.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": "net", "namespace": "default"},
                "spec": {"devices": {"requests": [{"name": "nic", "exactly": exactly}]}},
            }
        )
        uid = claim["metadata"]["uid"]
        wants = kubelet.run_pod(one("wants", claims=("net",)))
        assert kubelet.prepared(wants) == {(DRIVER, f"{NODE}/netdevice", link.name)}
        assert files(built, "/run/cdi", "*claim_*") == {f"{DRIVER}-claim_{uid}.json"}
        assert files(built, CLAIMS, "*") == {f"{uid}.json"}
        kubelet.delete_pod(wants)
        assert not files(built, "/run/cdi", "*claim_*")
        assert not files(built, CLAIMS, "*")
        assert agents.stop("first") < 5
        assert not files(built, "/var/lib/kubelet/plugins_registry", f"{DRIVER}*")
        assert "Traceback" not in agents.said("first")
    finally:
        built.remove_all()
        lender.close()
    refused = [asked for asked in server.book.find() if asked.code in (401, 403, 422)]
    assert refused == []
