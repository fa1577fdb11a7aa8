"""A VLAN on the link in the pod, and a VRF around it: made, used and removed again."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netdevice_plugin.dra.parameters import mover_options
from tests.kernel.mover.dump import Dump, assert_same, difference, settled
from tests.kernel.mover.harness import DEVICE, Containers, Result, identity
from tests.kernel.scratch import Netns, netns
from tests.unit.dra.parameters import decoded
from tests.vm.nics import HOST, dress
from tests.vm.node import Node

STRIDE = 9  # tests/kernel/mover/test_killed.py has each step; here a round takes a second
VLAN = ("--as", "below", "--vlan", "5 name net1 protocol 802.1ad")
VRF = ("--vrf", "blue table 10")
ADDRESSES = ("--address", "10.7.0.5/24", "--address", "2001:db8:7::5/64")
ROUTES = (
    *("--route", "default via 10.7.0.1", "--route", "default via 2001:db8:7::1"),
    *("--route", "10.99.0.0/16 via 10.7.0.1 table 7", "--rule", "iif self table 7 priority 9"),
    *("--neighbour", "10.7.0.1 lladdr 02:00:00:00:00:99"),
)
ALL = (*VLAN, *VRF, *ADDRESSES, *ROUTES, "--mtu", "1300")


@pytest.fixture
def pod() -> Iterator[Netns]:
    """A pod that had a VRF before, so that the kernel's rule for VRFs is there."""
    with netns("pod") as space:
        space.sysctl("ipv6/conf/default/accept_dad", "0")
        space.batch(
            [
                "link add red type vrf table 20",
                "link set red up",
                "link add eth0 type dummy",
                "link set eth0 up",
                "addr add 10.244.0.7/24 dev eth0",
                "route add default via 10.244.0.1",
            ]
        )
        yield space


@pytest.fixture
def before(node: Node) -> Dump:
    """The host, with a link that has a bit of everything; `node` takes it away."""
    HOST.sysctl("ipv6/conf/default/accept_dad", "0")
    HOST.batch([f"link add {DEVICE} type dummy"])
    dress()
    return settled(HOST)


def info(space: Netns, link: str) -> dict[str, Any]:
    """What there is to know of a link."""
    (found,) = space.json("link", "show", "dev", link)
    return found


def addresses(space: Netns, link: str) -> set[str]:
    """Those of the link but for the link-local ones."""
    (found,) = space.json("addr", "show", "dev", link)
    return {entry["local"] for entry in found["addr_info"] if entry["scope"] == "global"}


def routes(space: Netns, table: str, family: str = "-4") -> set[tuple[str, str]]:
    """What a table has beyond what addresses bring."""
    found = space.json(family, "route", "show", "table", table, "proto", "static")
    return {(route["dst"], route["dev"]) for route in found}


def test_a_vlan_has_all_that_is_asked_for_and_the_link_nothing(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    container = containers.of(pod)
    args = (*VLAN, *ADDRESSES, "--mtu", "1300", "--mac", "02:00:00:00:be:ef")
    node.offer().attach(container, *args).ok()
    vlan, below = info(pod, "net1"), info(pod, "below")
    assert vlan["link"] == "below"
    assert vlan["linkinfo"]["info_kind"] == "vlan"
    data = vlan["linkinfo"]["info_data"]
    assert (data["id"], data["protocol"]) == (5, "802.1ad")
    assert (vlan["mtu"], below["mtu"]) == (1300, HOST_MTU)
    assert vlan["address"] == below["address"] == "02:00:00:00:be:ef"
    assert "UP" in vlan["flags"]
    assert addresses(pod, "net1") == {"10.7.0.5", "2001:db8:7::5"}
    assert addresses(pod, "below") == set()
    record = node.mover.record()
    assert (record.one("pod.name"), record.one("pod.vlan")) == ("below", "net1")
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


HOST_MTU = 1400  # as dress() has it


def test_a_vlan_has_a_name_by_itself_and_inherits_what_the_host_had(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    container = containers.of(pod)
    node.offer().attach(container, "--vlan", "4094", "--mtu", "9000").ok()
    assert "10.1.0.5" in addresses(pod, f"{DEVICE}.4094")
    assert info(pod, f"{DEVICE}.4094")["mtu"] == info(pod, DEVICE)["mtu"] == 9000
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


def test_a_claim_puts_a_vlan_into_a_vrf(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    asked = decoded(
        interfaceName="net1",
        vlan={"id": 100},
        vrf={"name": "blue", "table": 100},
        addresses=["192.0.2.10/24"],
        routes=[{"destination": "default", "gateway": "192.0.2.1"}],
    )
    container = containers.of(pod)
    node.offer().attach(container, *mover_options(asked)).ok()
    vlan = info(pod, "net1")
    assert vlan["linkinfo"]["info_data"]["id"] == 100
    assert vlan["master"] == "blue"
    assert addresses(pod, "net1") == {"192.0.2.10"}
    assert routes(pod, "100") == {("default", "net1")}
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


def test_a_vrf_has_the_link_its_addresses_and_its_routes(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    container = containers.of(pod)
    node.offer().attach(container, "--as", "net1", *VRF, *ADDRESSES, *ROUTES).ok()
    vrf = info(pod, "blue")
    assert vrf["linkinfo"]["info_data"]["table"] == 10
    assert vrf["ifalias"] == "netdevice-plugin"
    assert "UP" in vrf["flags"]
    assert info(pod, "net1")["master"] == "blue"
    assert addresses(pod, "net1") == {"10.7.0.5", "2001:db8:7::5"}
    assert routes(pod, "10") == {("default", "net1")}
    assert routes(pod, "10", "-6") == {("default", "net1")}
    assert routes(pod, "7") == {("10.99.0.0/16", "net1")}
    connected = pod.json("-4", "route", "show", "table", "10", "10.7.0.0/24")
    assert [route["dev"] for route in connected] == ["net1"]
    assert node.mover.record().one("pod.vrf") == "blue"
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


def test_inherited_routes_go_to_the_vrfs_table(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.offer().attach(container, *VRF).ok()
    found = {route["dst"] for route in pod.json("-4", "route", "show", "table", "10")}
    assert "10.9.0.0/16" in found
    assert not pod.json("-4", "route", "show", "table", "main", "dev", DEVICE)
    node.mover.detach(container).ok()
    assert_same(HOST, before)


def test_a_vrf_of_two_devices_goes_with_the_last_of_them(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    HOST.batch(["link add ndp1 type dummy"])
    container, second = containers.of(pod), containers.of(pod)
    node.offer().attach(container, *VRF).ok()
    node.offer("ndp1").attach(second, *VRF, "--vlan", "7").ok()
    assert info(pod, DEVICE)["master"] == info(pod, "ndp1.7")["master"] == "blue"
    node.mover.detach(container).ok()
    assert info(pod, "ndp1.7")["master"] == "blue"
    node.mover.detach(second, device="ndp1").ok()
    assert_same(pod, was)


def test_a_vrf_that_the_pod_had_stays(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    container = containers.of(pod)
    node.offer().attach(container, "--vrf", "red table 20", *ADDRESSES, *ROUTES).ok()
    assert info(pod, DEVICE)["master"] == "red"
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


def test_a_vrf_of_ours_with_a_port_of_the_pods_stays(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.offer().attach(container, *VRF).ok()
    pod.ip("link", "set", "eth0", "master", "blue")
    node.mover.detach(container).ok()
    assert info(pod, "eth0")["master"] == "blue"
    assert_same(HOST, before)


def test_the_first_vrf_of_a_pod_leaves_the_rule_of_the_kernels_alone(
    before: Dump, node: Node, containers: Containers
) -> None:
    with netns("pod") as bare:
        was = settled(bare)
        container = containers.of(bare)
        for _ in range(2):  # it is made once, and the second VRF needs it too
            node.offer().attach(container, *ALL).ok()
            assert [rule["priority"] for rule in bare.json("rule", "show")][:3] == [0, 9, 1000]
            node.mover.detach(container).ok()
        after = settled(bare)
        left = {line.split("/")[0] for line in difference(was, after) if "l3mdev" not in line}
        assert left <= {"+rule4", "+rule6", "-rule4", "-rule6"}
        assert [rule["priority"] for rule in bare.json("rule", "show")] == [0, 1000, 32766, 32767]


def test_a_vlan_that_the_pod_renamed_and_one_of_its_own_go_before_the_link(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    container = containers.of(pod)
    node.offer().attach(container, *ALL).ok()
    pod.batch(
        [
            "link set net1 down",
            "link set net1 name other",
            "link add theirs link below type vlan id 6",
        ]
    )
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


def test_a_second_container_of_the_pod_finds_all_of_it(
    pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    first, second = containers.of(pod), containers.of(pod)
    offer = node.offer()
    offer.attach(first, *ALL).ok()
    seen = settled(pod)
    offer.attach(second, *ALL).ok()
    node.mover.detach(first).ok()
    assert_same(pod, seen)
    node.mover.detach(second).ok()
    assert_same(HOST, before)
    assert_same(pod, was)


def test_a_pod_that_is_gone_gives_the_link_back(
    before: Dump, node: Node, containers: Containers
) -> None:
    container = containers.alone()
    node.offer().attach(container, *ALL).ok()
    container.end()
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert node.mover.leftovers() == []


@pytest.mark.parametrize(
    "args",
    [
        ("--route", "10.98.0.0/16 via 172.31.0.1"),
        ("--neighbour", "10.7.0.2 lladdr 02:00"),
        ("--vlan", "7 name red"),
        ("--vlan", "7 name blue0", "--vrf", "eth0 table 10"),
        ("--vlan", "7 name blue0", "--vrf", "red table 10"),
    ],
    ids=["route", "neighbour", "VLAN's name", "VRF's name", "VRF's table"],
)
def test_a_step_that_fails_leaves_host_and_pod_as_they_were(
    args: tuple[str, ...], pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    base = (*ADDRESSES, *ROUTES, *(() if "--vlan" in args else (*VLAN, *VRF)))
    result = node.offer().attach(containers.of(pod), *base, *args)
    assert result.code == 1
    assert result.reason == f"netdevice-mover: {DEVICE}: {node.mover.error()}"
    assert_same(HOST, before)
    assert_same(pod, was)
    assert node.mover.leftovers() == [f"errors/{DEVICE}"]


def each_step(run: Callable[[dict[str, str]], Result]) -> int:
    """Run with a kill at the first step, a later one, ..., until a run gets to its end."""
    for step in itertools.count(1, STRIDE):
        if run({"NDM_STEP_KILL": str(step)}).code != -signal.SIGKILL:
            return step
    raise AssertionError("unreachable")


@pytest.mark.parametrize("killed", ["attach", "detach"])
def test_a_kill_at_any_step_leaves_nothing_behind(
    killed: str, pod: Netns, before: Dump, node: Node, containers: Containers
) -> None:
    was = settled(pod)
    container = containers.of(pod)
    args = identity(HOST)

    def run(env: dict[str, str]) -> Result:
        mover = node.stepped
        result = mover.attach(container, *args, *ALL, env=env if killed == "attach" else None)
        if killed == "detach":
            result = mover.detach(container, env=env)
        mover.reclaim("--force").ok()
        assert_same(HOST, before)
        assert_same(pod, was)
        return result

    assert each_step(run) > 20
    assert node.mover.leftovers() == []
