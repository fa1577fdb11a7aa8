"""ipvlan and VLANs that are born in a pod; tests/kernel/mover/test_born.py has the rest."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.mover.dump import Dump, assert_same, glance, settled
from tests.kernel.mover.harness import Container, Containers, identity
from tests.kernel.scratch import Netns, netns
from tests.vm.nics import HOST
from tests.vm.node import Node

PARENT = "parent0"
STRIDE = 5  # a round takes long here
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "macvlan": ("macvlan mode bridge", {"mode": "bridge"}),
    "l2": ("ipvlan mode l2", {"mode": "l2", "bridge": True}),
    "l3": ("ipvlan mode l3 flag private", {"mode": "l3", "private": True}),
    "l3s": ("ipvlan mode l3s flag vepa", {"mode": "l3s", "vepa": True}),
    "vlan": ("vlan id 100", {"protocol": "802.1Q", "id": 100}),
    "service vlan": ("vlan id 4094 protocol 802.1ad", {"protocol": "802.1ad", "id": 4094}),
}
ALL = (
    *("--address", "10.7.0.5/24", "--address", "2001:db8:7::5/64", "--vrf", "blue table 10"),
    *("--route", "default via 10.7.0.1", "--rule", "iif self table 7 priority 9"),
    *("--neighbour", "10.7.0.1 lladdr 02:00:00:00:00:99", "--sysctl", "ipv4/conf/rp_filter=2"),
)


def create(what: str) -> tuple[str, ...]:
    return (*identity(HOST, PARENT), "--create", what, "--as", "net1")


def info(space: Netns, name: str = "net1") -> dict[str, Any]:
    (found,) = space.json("addr", "show", "dev", name)
    return found


@pytest.fixture(scope="module")
def pod() -> Iterator[Netns]:
    """A pod that had a VRF before, so that the kernel's rule for these is there."""
    HOST.sysctl("ipv6/conf/default/accept_dad", "0")
    HOST.batch([f"link add {PARENT} type dummy", f"link set {PARENT} up"])
    HOST.ip("addr", "add", "10.50.0.1/24", "dev", PARENT)
    with netns("pod") as space:
        space.sysctl("ipv6/conf/default/accept_dad", "0")
        space.batch(["link add red type vrf table 20", "link set red up"])
        before = settled(HOST), settled(space)
        yield space
        assert_same(HOST, before[0])
        assert_same(space, before[1])
    HOST.ip("link", "del", PARENT)


@pytest.fixture
def lent(pod: Netns, node: Node, containers: Containers) -> Iterator[Container]:
    """A container; afterwards there is nothing of the link."""
    before = glance(HOST), glance(pod)
    container = containers.of(pod)
    yield container
    node.mover.detach(container).ok()
    unchanged(pod, before)
    assert node.mover.leftovers() == []


def unchanged(pod: Netns, before: tuple[Dump, Dump]) -> None:
    assert_same(HOST, before[0], glance)
    assert_same(pod, before[1], glance)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_of_its_kind_and_has_all_that_is_asked_for(
    kind: str, pod: Netns, node: Node, lent: Container
) -> None:
    what, data = KINDS[kind]
    node.mover.attach(lent, *create(what), *ALL).ok()
    link = info(pod)
    assert link["linkinfo"]["info_kind"] == what.split()[0]
    found = link["linkinfo"]["info_data"]
    assert {key: found[key] for key in data} == data
    assert {"UP", "LOWER_UP"} <= set(link["flags"])
    assert link["master"] == "blue"
    addresses = {one["local"] for one in link["addr_info"] if one["scope"] == "global"}
    assert addresses == {"10.7.0.5", "2001:db8:7::5"}
    assert pod.json("route", "show", "default", "table", "10")[0]["dev"] == "net1"
    assert node.mover.record().one("born") == what.split()[0]
    assert node.mover.record().one("pod.mac") == link["address"]


@pytest.mark.parametrize("kind", ["macvlan", "vlan"])
def test_a_vlan_stands_on_it(kind: str, pod: Netns, node: Node, lent: Container) -> None:
    node.mover.attach(lent, *create(KINDS[kind][0]), "--vlan", "7", *ALL).ok()
    vlan = info(pod, "net1.7")
    assert (vlan["link"], vlan["master"]) == ("net1", "blue")
    assert info(pod)["addr_info"] == []


def test_a_vlan_has_the_mac_that_is_asked_for(pod: Netns, node: Node, lent: Container) -> None:
    node.mover.attach(lent, *create("vlan id 100"), "--mac", "02:00:00:00:be:ef").ok()
    assert info(pod)["address"] == "02:00:00:00:be:ef"


@pytest.mark.parametrize(
    ("before", "what", "reason"),
    [
        (
            f"link add link {PARENT} name theirs type vlan id 100",
            "vlan id 100",
            f"create the link in the pod: vlan on {PARENT}, which has that VLAN already, on the "
            "host or in a pod",
        ),
        (
            f"link add link {PARENT} name theirs type ipvlan mode l2",
            "macvlan mode bridge",
            f"create the link in the pod: macvlan on {PARENT}, which has links of another kind",
        ),
        (f"link set {PARENT} down", "vlan id 100", "check the parent: it is down; set it up first"),
    ],
    ids=["vlan", "kind", "down"],
)
def test_what_the_parent_cannot_bear_is_explained(
    before: str, what: str, reason: str, node: Node, lent: Container
) -> None:
    HOST.ip(*before.split())
    result = node.mover.attach(lent, *create(what))
    HOST.ip("link", *(("del", "theirs") if "theirs" in before else ("set", PARENT, "up")))
    assert (result.code, reason in result.reason) == (1, True), result
    (node.run_dir / "errors" / "ndp0").unlink()


def test_a_vlan_that_is_in_one_pod_is_explained_to_the_next(
    pod: Netns, node: Node, containers: Containers, lent: Container
) -> None:
    node.mover.attach(lent, *create("vlan id 100")).ok()
    with netns("next") as other:
        result = node.mover.attach(containers.of(other), *create("vlan id 100"), device="ndp1")
        assert "has that VLAN already, on the host or in a pod" in result.reason
        assert "net1" not in other.links()
    (node.run_dir / "errors" / "ndp1").unlink()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--mac", "02:00:00:00:be:ef"), "set MTU and MAC in the pod: "),
        (("--vlan", "7"), "create the VLAN in the pod: "),
    ],
    ids=["mac", "vlan"],
)
def test_an_ipvlan_has_no_mac_of_its_own_and_bears_no_vlan(
    args: tuple[str, ...], reason: str, pod: Netns, node: Node, lent: Container
) -> None:
    result = node.mover.attach(lent, *create("ipvlan mode l2"), *args)
    assert reason in result.reason
    assert "net1" not in pod.links()
    (node.run_dir / "errors" / "ndp0").unlink()


def test_a_parent_that_is_pulled_takes_it_along(pod: Netns, node: Node, lent: Container) -> None:
    HOST.batch(["link add pulled0 type dummy", "link set pulled0 up"])
    args = (*identity(HOST, "pulled0"), "--create", "vlan id 7", "--as", "net1")
    node.mover.attach(lent, *args, *ALL).ok()
    HOST.ip("link", "del", "pulled0")
    assert "net1" not in pod.links()


@pytest.mark.parametrize(("kind", "more"), [("vlan", ("--vlan", "7")), ("l3s", ())])
def test_a_mover_that_is_killed_leaves_nothing_behind(
    kind: str, more: tuple[str, ...], pod: Netns, node: Node, containers: Containers
) -> None:
    before = glance(HOST), glance(pod)
    args = (*create(KINDS[kind][0]), *more, *ALL)
    for step in itertools.count(1, STRIDE):
        container = containers.of(pod)
        result = node.stepped.attach(container, *args, env={"NDM_STEP_KILL": str(step)})
        container.end()
        node.mover.reclaim().ok()
        assert node.mover.leftovers() == []
        if result.code != -signal.SIGKILL:
            break
    assert step > 10
    unchanged(pod, before)
