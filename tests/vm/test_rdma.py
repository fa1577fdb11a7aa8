"""RDMA devices: left alone where every namespace has them all, else moved with their link.

rxe is the one driver here. Its device vanishes when the link moves, and it cannot move one: so
what is seen of a move is that the kernel understood it, and that all is undone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.kernel.mover.dump import assert_same, eventually, settled
from tests.kernel.mover.harness import DEVICE, Containers
from tests.vm.nics import HOST
from tests.vm.node import Node


def rdma(*words: str) -> str:
    """Run rdma(8)."""
    return HOST.run("rdma", *words).stdout


def devices() -> set[str]:
    """The RDMA devices of the host."""
    return {device["ifname"] for device in json.loads(rdma("-j", "dev", "show"))}


@pytest.fixture
def rxe(node: Node) -> str:
    """An RDMA device on a dummy link, and another link beside it."""
    HOST.batch([f"link add {DEVICE} type dummy", "link add other0 type dummy"])
    rdma("link", "add", "rxe0", "type", "rxe", "netdev", DEVICE)
    return "rxe0"


@pytest.fixture
def exclusive(containers: Containers) -> Iterator[None]:
    """RDMA devices of one namespace each, which the kernel allows while there is but one."""

    def switch(mode: str) -> bool:
        return HOST.run("rdma", "system", "set", "netns", mode, check=False).returncode == 0

    assert eventually(HOST, lambda: switch("exclusive"))
    yield
    containers.end()
    assert eventually(HOST, lambda: switch("shared"))


def test_a_device_that_all_namespaces_have_is_not_moved(
    rxe: str, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    container = containers.alone()
    node.offer().attach(container, "--rdma", rxe).ok()
    assert "link.rdma" not in node.mover.record().values
    assert devices() == set()  # rxe's way
    node.mover.detach(container).ok()
    assert_same(HOST, before)


def test_a_device_that_cannot_be_moved_fails_the_attach(
    rxe: str, exclusive: None, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    container = containers.alone()
    wrong = {
        (DEVICE, rxe): f"move the RDMA device to the pod: {rxe}: Not supported",
        (DEVICE, "rxe9"): "look at the RDMA device: rxe9: No such device",
        ("other0", rxe): "look at the RDMA device: it is not the link's",
    }
    for (link, device), reason in wrong.items():
        result = node.offer(link).attach(container, "--rdma", device)
        assert result.code == 1
        assert reason in result.reason
        (node.run_dir / "errors" / link).unlink()
    assert devices() == {rxe}
    assert_same(HOST, before)
    assert node.mover.leftovers() == []
