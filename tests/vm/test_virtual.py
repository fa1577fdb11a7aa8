"""Virtual links that not every kernel has, and what refuses to be lent with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, identity
from tests.vm.nics import HOST, Nic, Nics, dress
from tests.vm.node import Node

MAKE = {
    "dummy": f"link add {DEVICE} type dummy",
    "vlan": f"link add {DEVICE} link below0 type vlan id 7",
    "ipvlan": f"link add {DEVICE} link below0 type ipvlan mode l2",
}


@pytest.fixture
def below(all_nics: Nics) -> Iterator[Nic]:
    """A NIC, up, that is called `below0`."""
    all_nics.virtio.up("below0")
    yield all_nics.virtio
    all_nics.virtio.reset()


@pytest.fixture
def nic(all_nics: Nics) -> Iterator[Nic]:
    """A NIC, down, that is called `ndp0`."""
    HOST.ip("link", "set", all_nics.vf0.link, "name", DEVICE)
    yield all_nics.vf0
    HOST.ip("link", "set", DEVICE, "nomaster")
    all_nics.vf0.reset()


@pytest.mark.parametrize("kind", MAKE)
def test_a_virtual_link_is_lent_and_returned_as_it_was(
    kind: str, below: Nic, node: Node, containers: Containers
) -> None:
    HOST.batch([MAKE[kind]])
    dress()
    before = settled(HOST)
    container = containers.alone()
    node.offer().attach(container, "--as", "net1").ok()
    assert DEVICE not in HOST.links()
    assert "10.1.0.5/24" in container.netns.ip("-brief", "address", "show", "dev", "net1")
    container.end()
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert node.mover.leftovers() == []


@pytest.mark.parametrize("kind", MAKE)
def test_a_virtual_link_that_died_with_its_pod_is_lost(
    kind: str, below: Nic, node: Node, containers: Containers
) -> None:
    HOST.batch([MAKE[kind]])
    container = containers.alone()
    node.offer().attach(container).ok()
    HOST.run("umount", node.mover.pin())  # or its namespace would outlive it
    container.end()
    node.mover.detach(container)
    assert node.mover.record().one("phase") == "lost"
    assert DEVICE not in HOST.links()


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (["link add above0 type bond", f"link set {DEVICE} master above0"], "above0"),
        (["link add above0 type vrf table 99", f"link set {DEVICE} master above0"], "above0"),
        ([f"link add above0 link {DEVICE} type vlan id 7"], "above0"),
        ([f"link add above0 link {DEVICE} type ipvlan"], "above0"),
        (
            [
                f"link set {DEVICE} up",
                f"addr add 10.1.0.5/24 dev {DEVICE}",
                f"route add default via 10.1.0.1 dev {DEVICE} table 99",
            ],
            "default route",
        ),
    ],
    ids=["a bond's port", "a VRF's port", "under a VLAN", "under an ipvlan", "a table's default"],
)
def test_a_nic_that_came_into_use_after_it_was_offered_is_not_lent(
    commands: list[str], why: str, nic: Nic, node: Node, containers: Containers
) -> None:
    offer = node.offer()
    HOST.batch(commands)
    before = settled(HOST)
    result = offer.attach(containers.alone())
    assert result.code == 1
    assert why in result.reason
    assert_same(HOST, before)


@pytest.mark.parametrize("kind", ["bond", "vrf table 99"])
def test_a_link_that_the_kernel_does_not_let_go_stays_as_it_was(
    kind: str, node: Node, containers: Containers
) -> None:
    HOST.batch(
        [
            f"link add {DEVICE} type {kind}",
            f"link set {DEVICE} mtu 1400 up",
            f"addr add 10.1.0.5/24 dev {DEVICE}",
            f"route add 10.9.0.0/16 via 10.1.0.1 dev {DEVICE}",
        ]
    )
    before = settled(HOST)
    result = node.mover.attach(containers.alone(), *identity(HOST))
    assert result.code == 1
    assert DEVICE in result.reason
    assert_same(HOST, before)
    assert node.mover.leftovers() == [f"errors/{DEVICE}"]
