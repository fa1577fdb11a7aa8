"""End-to-end tests need root, real runtimes and a mover; where root is missing they skip.

CI sets NDP_REQUIRE_KERNEL=1, and then nothing skips.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.debian import FetchError
from tests.e2e import containerd as containerds
from tests.e2e import criruntime, image
from tests.e2e import node as nodes
from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.dra import Claims, NodeApi, Server
from tests.e2e.fetch import ROOT, Parts
from tests.e2e.fetch import parts as fetch_parts
from tests.e2e.lender import CDI, Lender
from tests.e2e.node import Node
from tests.e2e.podman import Podman
from tests.fakes.kubelet import Kubelet
from tests.fakes.kubelet.apiserver import ApiServer, NoApiServer

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all below this directory, and skip it without root unless it is required."""
    allowed = os.geteuid() == 0 or os.environ.get("NDP_REQUIRE_KERNEL") == "1"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(180))  # each wait has its own, shorter
            if not allowed:
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def parts() -> Parts:
    """The runtimes that are unpacked rather than installed."""
    try:
        return fetch_parts()
    except FetchError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def archive(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The image, as a file."""
    path = tmp_path_factory.mktemp("image") / "busybox.tar"
    image.write(path)
    return path


@pytest.fixture(scope="session")
def node(parts: Parts) -> Iterator[Node]:
    """The host of all these tests, with the mover of the sources as they are."""
    subprocess.run([sys.executable, "-m", "hack.build_mover"], cwd=ROOT, check=True)
    with nodes.node() as running:
        install = ("mover", "install", "/opt/netdevice-plugin/bin")
        running.run(sys.executable, "-m", "netdevice_plugin", *install)
        yield running


@pytest.fixture
def lender(node: Node) -> Iterator[Lender]:
    """Makes the test's links and gets rid of them."""
    lending = Lender(node)
    yield lending
    lending.close()


@pytest.fixture(scope="session", params=["runc", "crun"])
def loaded_podman(request: pytest.FixtureRequest, node: Node, archive: pathlib.Path) -> Podman:
    """Podman on each runtime, with the image."""
    podman = Podman(node, request.param)
    podman.load(archive)
    return podman


@pytest.fixture
def podman(loaded_podman: Podman, lender: Lender) -> Iterator[Podman]:
    """The same, without a container at the end."""
    yield loaded_podman
    loaded_podman.remove_all()


@pytest.fixture(scope="session")
def running_containerd(node: Node, parts: Parts, archive: pathlib.Path) -> Iterator[Containerd]:
    """One daemon for all tests."""
    with containerds.containerd(node, parts, archive) as daemon:
        yield daemon


@pytest.fixture
def containerd(running_containerd: Containerd, lender: Lender) -> Iterator[Containerd]:
    """The same, without a pod at the end."""
    yield running_containerd
    running_containerd.show()
    running_containerd.clear()


@pytest.fixture
def api() -> ApiServer:
    """What the kubelet has of an API server: nothing, where a test has none of its own."""
    return NoApiServer()


@pytest.fixture
def kubelet(node: Node, parts: Parts, containerd: Containerd, api: ApiServer) -> Iterator[Kubelet]:
    """A kubelet on that node, with nothing of an earlier one; it runs pods in containerd."""
    root = node.path("/var/lib/kubelet")
    shutil.rmtree(root, ignore_errors=True)
    connect = criruntime.connector(node, parts, containerd)
    with Kubelet(root, connect, seen_from=node.path("/"), api=api) as running:
        yield running


@pytest.fixture
def agents(node: Node, kubelet: Kubelet, tmp_path: pathlib.Path) -> Iterator[Agents]:
    """Starts agents, offering lan1, lan2, … as `netdevice`; whatever they did must be right."""
    running = Agents(node, kubelet, tmp_path)
    for path in node.path(CDI).iterdir():
        path.unlink()
    running.configure(netdevice='"lan?"')
    yield running
    running.close()


@pytest.fixture
def server(node: Node) -> Iterator[Server]:
    """An API server on the node's loopback."""
    running = Server(node)
    with running:
        yield running


@pytest.fixture
def cluster_api(server: Server) -> Iterator[NodeApi]:
    """What a test's `api` is that wants claims: the kubelet's way to that server."""
    way = NodeApi(server)
    yield way
    way.close()


@pytest.fixture
def claims(
    server: Server, cluster_api: NodeApi, kubelet: Kubelet, agents: Agents, node: Node
) -> Iterator[Claims]:
    """Claims and pods with them; the agents offer lan1, lan2, … as `netdevice` by DRA."""
    made = Claims(server, cluster_api, kubelet, agents, node)
    yield made
    made.close()


@pytest.fixture
def cri(containerd: Containerd) -> Cri:
    """The connection to it, for a test that does not end it."""
    return containerd.cri
