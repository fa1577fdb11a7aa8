"""A node for agents: a namespace with links, a kubelet without containers, the shipped mover."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from netdevice_plugin import mover as program
from tests.fakes.kubelet import Kubelet
from tests.fakes.runtime import MemoryRuntime
from tests.kernel.agent.process import Node
from tests.kernel.mover.harness import Containers, Mover, unmount
from tests.kernel.scratch import Netns


@pytest.fixture
def node(host: Netns) -> Iterator[Node]:
    """A node with the links eth1 and eth2; the kubelet does not run yet. Paths are short."""
    host.batch(
        [
            "link add eth1 address 02:00:00:00:00:01 type veth peer name peer1",
            "link add eth2 address 02:00:00:00:00:02 type veth peer name peer2",
        ]
    )
    with tempfile.TemporaryDirectory(prefix="ndp-") as name, contextlib.ExitStack() as cleanup:
        root = pathlib.Path(name)
        cleanup.callback(unmount, root)
        kubelet = Kubelet(root / "k", MemoryRuntime().connect)
        kubelet.place.root.mkdir()
        node = Node(host, root, Mover(program.binary(), host, root / "run"), kubelet, cleanup)
        node.configure("eth*")
        yield node


@pytest.fixture
def cluster(node: Node) -> Iterator[Node]:
    """The same with a kubelet that runs."""
    with node.kubelet:
        yield node


@pytest.fixture
def containers(node: Node) -> Iterator[Containers]:
    """Starts processes that play containers, and ends them before the node goes."""
    started = Containers()
    yield started
    started.end()
