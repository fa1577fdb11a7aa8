"""A VLAN on the link in the pod, and a VRF around it: made, used and removed again."""

from __future__ import annotations

import dataclasses
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from netdevice_plugin.dra.parameters import mover_options
from tests.kernel.mover.dump import Dump, assert_same, difference, glance, settled
from tests.kernel.mover.harness import DEVICE, Containers, identity
from tests.kernel.scratch import Netns, netns
from tests.unit.dra.parameters import decoded
from tests.vm.nics import HOST, dress
from tests.vm.node import Node

VLAN = ("--as", "below", "--vlan", "5 name net1 protocol 802.1ad")
VRF = ("--vrf", "blue table 10")
ADDRESSES = ("--address", "10.7.0.5/24", "--address", "2001:db8:7::5/64")
ROUTES = (
    *("--route", "default via 10.7.0.1", "--route", "default via 2001:db8:7::1"),
    *("--route", "10.99.0.0/16 via 10.7.0.1 table 7", "--rule", "iif self table 7 priority 9"),
    *("--neighbour", "10.7.0.1 lladdr 02:00:00:00:00:99"),
)
Link = tuple[str, ...]
ALL = (*VLAN, *VRF, *ADDRESSES, *ROUTES, "--mtu", "1300")


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """One link and one pod for all tests: to make them, and to look at them, takes long here."""

    pod: Netns
    link: Link
    glanced: tuple[Dump, Dump]  # links and addresses of the host and of the pod

    def assert_unchanged(self) -> None:
        """They are as they were."""
        assert_same(HOST, self.glanced[0], glance)
        assert_same(self.pod, self.glanced[1], glance)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """What is left behind after a test stays, so that all of it is compared at the end."""
    HOST.sysctl("ipv6/conf/default/accept_dad", "0")
    HOST.batch([f"link add {DEVICE} type dummy"])
    dress()
    with netns("pod") as pod:
        pod.sysctl("ipv6/conf/default/accept_dad", "0")
        pod.batch(
            [
                "link add red type vrf table 20",  # so that the kernel's rule for VRFs is there
                "link set red up",
                "link add eth0 type dummy",
                "link set eth0 up",
                "addr add 10.244.0.7/24 dev eth0",
                "route add default via 10.244.0.1",
            ]
        )
        before = settled(HOST), settled(pod)
        yield Scene(pod, identity(HOST), (glance(HOST), glance(pod)))
        assert_same(HOST, before[0])
        assert_same(pod, before[1])
    HOST.ip("link", "del", DEVICE)


@pytest.fixture(autouse=True)
def unchanged(scene: Scene) -> Iterator[None]:
    """After each test, once links are gone that it made beside."""
    yield
    scene.assert_unchanged()


@pytest.fixture
def pod(scene: Scene) -> Netns:
    """A pod that had a VRF before."""
    return scene.pod


@pytest.fixture
def link(scene: Scene) -> Link:
    """What names the link to the mover."""
    return scene.link


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
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    args = (*VLAN, *ADDRESSES, "--mtu", "1300", "--mac", "02:00:00:00:be:ef")
    node.mover.attach(container, *link, *args).ok()
    vlan, below = info(pod, "net1"), info(pod, "below")
    assert vlan["link"] == "below"
    assert vlan["linkinfo"]["info_kind"] == "vlan"
    data = vlan["linkinfo"]["info_data"]
    assert (data["id"], data["protocol"]) == (5, "802.1ad")
    assert (vlan["mtu"], below["mtu"]) == (1300, HOST_MTU)
    assert vlan["address"] == below["address"] == "02:00:00:00:be:ef"
    assert "UP" in vlan["flags"]
    assert addresses(pod, "net1") == {"10.7.0.5", "2001:db8:7::5"}
    (shown,) = pod.json("addr", "show", "dev", "below")
    assert shown["addr_info"] == []  # not even a link-local one
    record = node.mover.record()
    assert (record.one("pod.name"), record.one("pod.vlan")) == ("below", "net1")
    node.mover.detach(container).ok()


HOST_MTU = 1400  # as dress() has it


def test_a_vlan_has_a_name_by_itself_and_inherits_what_the_host_had(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.mover.attach(container, *link, "--vlan", "4094", "--mtu", "9000").ok()
    assert "10.1.0.5" in addresses(pod, f"{DEVICE}.4094")
    assert info(pod, f"{DEVICE}.4094")["mtu"] == info(pod, DEVICE)["mtu"] == 9000
    node.mover.detach(container).ok()


def test_a_claim_puts_a_vlan_into_a_vrf(pod: Netns, node: Node, containers: Containers) -> None:
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


def test_a_vrf_has_the_link_its_addresses_and_its_routes(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.mover.attach(container, *link, "--as", "net1", *VRF, *ADDRESSES, *ROUTES).ok()
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


def test_inherited_routes_go_to_the_vrfs_table(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.mover.attach(container, *link, *VRF).ok()
    found = {route["dst"] for route in pod.json("-4", "route", "show", "table", "10")}
    assert "10.9.0.0/16" in found
    assert not pod.json("-4", "route", "show", "table", "main", "dev", DEVICE)
    node.mover.detach(container).ok()


def test_a_vrf_of_two_devices_goes_with_the_last_of_them(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    HOST.batch(["link add ndp1 type dummy"])
    container, second = containers.of(pod), containers.of(pod)
    node.mover.attach(container, *link, *VRF).ok()
    args = (*identity(HOST, "ndp1"), *VRF, "--vlan", "7")
    node.mover.attach(second, *args, device="ndp1").ok()
    assert info(pod, DEVICE)["master"] == info(pod, "ndp1.7")["master"] == "blue"
    node.mover.detach(container).ok()
    assert info(pod, "ndp1.7")["master"] == "blue"
    node.mover.detach(second, device="ndp1").ok()


def test_a_vrf_that_the_pod_had_stays(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.mover.attach(container, *link, "--vrf", "red table 20", *ADDRESSES, *ROUTES).ok()
    assert info(pod, DEVICE)["master"] == "red"
    node.mover.detach(container).ok()


def test_a_vrf_of_ours_with_a_port_of_the_pods_stays(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.mover.attach(container, *link, *VRF).ok()
    pod.batch(["link add theirs type dummy", "link set theirs master blue"])
    node.mover.detach(container).ok()
    assert info(pod, "theirs")["master"] == "blue"
    pod.batch(["link del theirs", "link del blue"])


def test_the_first_vrf_of_a_pod_leaves_the_rule_of_the_kernels_alone(
    link: Link, node: Node, containers: Containers
) -> None:
    with netns("pod") as bare:
        was = settled(bare)
        container = containers.of(bare)
        for _ in range(2):  # it is made once, and the second VRF needs it too
            node.mover.attach(container, *link, *ALL).ok()
            assert [rule["priority"] for rule in bare.json("rule", "show")][:3] == [0, 9, 1000]
            node.mover.detach(container).ok()
        after = settled(bare)
        left = {line.split("/")[0] for line in difference(was, after) if "l3mdev" not in line}
        assert left <= {"+rule4", "+rule6", "-rule4", "-rule6"}
        assert [rule["priority"] for rule in bare.json("rule", "show")] == [0, 1000, 32766, 32767]


def test_a_vlan_that_the_pod_renamed_and_one_of_its_own_go_before_the_link(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(pod)
    node.mover.attach(container, *link, *ALL).ok()
    pod.batch(
        [
            "link set net1 down",
            "link set net1 name other",
            "link add theirs link below type vlan id 6",
        ]
    )
    node.mover.detach(container).ok()


def test_a_second_container_of_the_pod_finds_all_of_it(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    first, second = containers.of(pod), containers.of(pod)
    node.mover.attach(first, *link, *ALL).ok()
    seen = settled(pod)
    node.mover.attach(second, *link, *ALL).ok()
    node.mover.detach(first).ok()
    assert_same(pod, seen)
    node.mover.detach(second).ok()


def test_a_pod_that_is_gone_gives_the_link_back(
    link: Link, node: Node, containers: Containers
) -> None:
    container = containers.alone()
    node.mover.attach(container, *link, *ALL).ok()
    container.end()
    node.mover.detach(container).ok()
    assert node.mover.leftovers() == []


def test_a_vrf_that_a_killed_mover_left_half_made_is_set_up(
    pod: Netns, link: Link, node: Node, containers: Containers
) -> None:
    pod.ip("link", "add", "blue", "group", str(0x6E647076), "type", "vrf", "table", "10")
    container = containers.of(pod)
    node.mover.attach(container, *link, *VRF).ok()
    assert "UP" in info(pod, "blue")["flags"]
    assert info(pod, "blue")["ifalias"] == "netdevice-plugin"
    node.mover.detach(container).ok()


REFUSED = (
    ("--route", "10.98.0.0/16 via 172.31.0.1"),
    ("--neighbour", "10.7.0.2 lladdr 02:00"),
    ("--vlan", "7 name red"),
    ("--vlan", "7 name blue0", "--vrf", "eth0 table 10"),
    ("--vlan", "7 name blue0", "--vrf", "red table 10"),
)


def test_a_step_that_fails_leaves_host_and_pod_as_they_were(
    scene: Scene, link: Link, node: Node, containers: Containers
) -> None:
    container = containers.of(scene.pod)
    for args in REFUSED:
        base = (*ADDRESSES, *ROUTES, *(() if "--vlan" in args else (*VLAN, *VRF)))
        result = node.mover.attach(container, *link, *base, *args)
        assert result.code == 1, args
        assert result.reason == f"netdevice-mover: {DEVICE}: {node.mover.error()}"
        assert node.mover.leftovers() == [f"errors/{DEVICE}"]
        scene.assert_unchanged()


def requests(log: pathlib.Path) -> list[int]:
    """The steps at which the kernel is asked for something, once the pod has its pin."""
    steps = [line.partition(" ")[::2] for line in log.read_text().splitlines()]
    names = [name for _, name in steps]
    start = names.index("pin mounted") if "pin mounted" in names else 0
    return [int(number) for number, name in steps[start:] if name == "netlink request"]


@pytest.mark.parametrize("killed", ["attach", "detach"])
def test_a_kill_leaves_nothing_behind(
    killed: str, scene: Scene, node: Node, containers: Containers, tmp_path: pathlib.Path
) -> None:
    """Before each request about VLAN and VRF; test_killed_in_pod.py has each step of the rest."""
    container = containers.of(scene.pod)
    mover, log = node.stepped, tmp_path / "steps"

    def run(env: dict[str, str]) -> int:
        args = (*scene.link, *ALL)
        result = mover.attach(container, *args, env=env if killed == "attach" else None)
        if killed == "detach":
            result = mover.detach(container, env=env)
        mover.reclaim("--force").ok()
        assert_same(scene.pod, scene.glanced[1], glance)
        return result.code

    assert run({"NDM_STEP_LOG": str(log)}) == 0
    steps = requests(log)
    for step in (*steps[:8], steps[12]):
        assert run({"NDM_STEP_KILL": str(step)}) == -signal.SIGKILL
    assert node.mover.leftovers() == []
