"""The rules on links that few kernels can make; tests/kernel has the others."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import ConfigError
from netdevice_plugin.inventory.uplinks import Guard, protect
from netdevice_plugin.model import Address, Interface, PhysicalFunction, Protection, Route


def link(ifindex: int, name: str, **fields: object) -> Interface:
    return dataclasses.replace(Interface(ifindex=ifindex, name=name), **fields)  # type: ignore[arg-type]


def default(ifindex: int, *, family: int = 4, table: int = 254, kind: int = 1) -> tuple[Route, ...]:
    route = Route(family=family, destination="default", ifindex=ifindex, table=table, type=kind)
    return (route,)


def hard(*interfaces: Interface, nodes: tuple[str, ...] = ()) -> dict[str, str]:
    return _reasons(True, interfaces, nodes)


def soft(*interfaces: Interface) -> dict[str, str]:
    return _reasons(False, interfaces, ())


def _reasons(
    strict: bool, interfaces: tuple[Interface, ...], nodes: tuple[str, ...]
) -> dict[str, str]:
    names = {interface.ifindex: interface.name for interface in interfaces}
    found = protect(interfaces, nodes)
    return {names[one.ifindex]: one.reason for one in found if one.hard is strict}


def test_a_vlan_that_carries_the_default_route_protects_the_link_below() -> None:
    assert hard(
        link(2, "eth0"),
        link(3, "eth0.5", kind="vlan", lower=2, routes=default(3)),
        link(4, "eth1"),
    ) == {
        "eth0": "is below eth0.5, which carries the IPv4 default route",
        "eth0.5": "carries the IPv4 default route",
    }


def test_the_ports_of_a_bond_under_a_vlan_with_the_default_route() -> None:
    found = hard(
        link(2, "eth0", master=4),
        link(3, "eth1", master=4),
        link(4, "bond0", kind="bond"),
        link(5, "bond0.7", kind="vlan", lower=4, routes=default(5)),
    )
    chain = "is below bond0.7, which carries the IPv4 default route"
    assert found["bond0"] == chain
    assert found["eth0"] == found["eth1"] == f"is a port of bond0, which {chain}"


def test_a_default_route_in_a_vrfs_table_protects_the_link_and_its_vrf() -> None:
    assert hard(
        link(2, "blue", kind="vrf"),
        link(3, "eth1", master=2, routes=default(3, table=10)),
    ) == {
        "blue": "is the master of eth1, which carries the IPv4 default route of table 10",
        "eth1": "carries the IPv4 default route of table 10",
    }


def test_siblings_over_the_link_below_an_uplink() -> None:
    found = hard(
        link(2, "eth0"),
        link(3, "eth0.5", kind="vlan", lower=2, routes=default(3)),
        link(4, "eth0.6", kind="vlan", lower=2),
    )
    assert found["eth0.6"].startswith("is stacked on eth0, which is below eth0.5, which carries")


@pytest.mark.parametrize("kind", [2, 6, 7, 8, 9])
def test_a_default_route_that_leaves_through_no_link_protects_nothing(kind: int) -> None:
    assert hard(link(2, "eth0", routes=default(2, kind=kind))) == {}


def test_a_route_that_is_not_a_default_protects_nothing() -> None:
    route = Route(family=4, destination="192.0.2.0/24", ifindex=2)
    assert hard(link(2, "eth0", routes=(route,))) == {}


def test_the_nodes_address() -> None:
    one = link(2, "eth0", addresses=(Address(family=4, address="192.0.2.1", prefix=24),))
    assert hard(one) == {}
    assert hard(one, nodes=("192.0.2.2",)) == {}
    assert hard(one, nodes=("2001:db8::1", "192.0.2.1")) == {
        "eth0": "has the node's address 192.0.2.1"
    }


def test_loopback_and_what_is_bound_to_it() -> None:
    own = (Address(family=4, address="192.0.2.1", prefix=32),)
    assert hard(
        link(1, "lo", flags=8, addresses=own),
        link(2, "vx0", kind="vxlan", lower=1),
        link(3, "eth0"),
        nodes=("192.0.2.1",),
    ) == {
        "lo": "is the loopback device",
        "vx0": "is stacked on lo, which is the loopback device",
    }


@pytest.mark.parametrize("text", ["", "eth0", "192.0.2", "192.0.2.1/24", "fe80::1%eth0", "1\0"])
def test_a_node_address_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="is no IP address"):
        protect((), (text,))


def test_a_port_whose_master_is_not_in_sight_is_still_one() -> None:
    assert hard(link(2, "eth0", master=99)) == {"eth0": "is a port of link 99"}


def test_a_link_that_others_stand_on_and_not_those() -> None:
    assert hard(
        link(2, "eth0"),
        link(3, "eth0.100", kind="vlan", lower=2),
        link(4, "mac0", kind="macvlan", lower=2),
        link(5, "pair0", kind="veth", lower=6),
        link(6, "pair1", kind="veth", lower=5),
    ) == {"eth0": "is used by eth0.100, which stands on it and would be cut off"}


@pytest.mark.parametrize("kind", ["bridge", "bond", "team", "vrf"])
def test_kinds_that_cannot_move_on_kernels_that_do_not_say_so(kind: str) -> None:
    assert hard(link(2, "x0", kind=kind)) == {
        "x0": f"is a {kind}, which cannot leave its network namespace"
    }


def test_hardware_that_the_kernel_says_cannot_move() -> None:
    assert "cannot leave" in hard(link(2, "wlan0", immovable=True))["wlan0"]


OTHERS = """
cni0 cni-podman0 docker0 docker_gwbridge br-0123456789ab podman1 cilium_host cilium_net lxc_health
lxc1a2b3c cali1a2b3c4d5e6 tunl0 vxlan.calico vxlan-v6.calico wireguard.cali flannel.1
flannel-v6.1 kube-ipvs0 kube-bridge nodelocaldns veth1a2b3c4d vetha1b2c3d weave vethwe-bridge
vxlan-6784 antrea-gw0 antrea-tun0 ovn-k8s-mp0 genev_sys_6081 vxlan_sys_4789 ovs-system br-int
eni0123456789a gke52a1b2c3d4e virbr0 cbr0
"""
FREE = """
eth0 eth1 ens3f0 enp3s0f0np0 demo0 veth-demo vethdemo0 dummy0 vxlan0 vxlan-67840 br0 net1 cn0 tap0
"""


@pytest.mark.parametrize("name", OTHERS.split())
def test_names_that_are_other_programs_yield_to_a_pool_that_names_them(name: str) -> None:
    assert soft(link(2, name)) == {name: "has the name of a container network's own link"}
    assert hard(link(2, name)) == {}


@pytest.mark.parametrize("name", FREE.split())
def test_names_that_are_nobodys_are_free(name: str) -> None:
    assert protect((link(2, name),)) == ()


@pytest.mark.parametrize("kind", ["veth", "netkit"])
def test_a_peer_in_another_namespace_is_soft(kind: str) -> None:
    assert list(soft(link(2, "x0", kind=kind, peer_netnsid=0))) == ["x0"]
    assert soft(link(2, "x0", kind=kind, lower=3)) == {}


def test_a_physical_function_yields_to_a_pool_that_names_it_while_it_has_virtual_ones() -> None:
    nic = link(2, "ens1")
    for number, reasons in (0, {}), (2, {"ens1": "has virtual functions, which it rules"}):
        pf = PhysicalFunction(total_vfs=7, num_vfs=number)
        assert soft(dataclasses.replace(nic, pf=pf)) == reasons


def test_a_macvlan_whose_lower_link_is_elsewhere_is_free() -> None:
    assert protect((link(2, "x0", kind="macvlan", peer_netnsid=0),)) == ()


def test_a_hard_reason_counts_more_than_a_soft_one() -> None:
    one = link(2, "cni0", kind="veth", peer_netnsid=0, routes=default(2))
    assert protect((one,)) == (
        Protection(ifindex=2, reason="carries the IPv4 default route", hard=True, uplink=True),
    )


links = st.builds(
    Interface,
    ifindex=st.integers(1, 8),
    name=st.sampled_from(["eth0", "cni0", "veth1a2b3c4d", "x"]),
    kind=st.sampled_from(["", "veth", "macvlan", "bridge"]),
    flags=st.sampled_from([0, 8]),
    master=st.none() | st.integers(1, 9),
    lower=st.none() | st.integers(1, 9),
    routes=st.just(()) | st.integers(1, 8).map(default),
)


@given(st.lists(links, max_size=8, unique_by=lambda one: one.ifindex))
def test_whatever_is_stacked_however_there_is_one_reason_by_ifindex(
    several: list[Interface],
) -> None:
    found = protect(several)
    assert [one.ifindex for one in found] == sorted({one.ifindex for one in found})
    uplinks = {i.ifindex for i in several if i.routes and not i.loopback}
    assert uplinks <= {one.ifindex for one in found if one.hard}


some_links = st.lists(links, min_size=1, max_size=12).flatmap(
    lambda known: st.lists(
        st.lists(st.sampled_from(known), max_size=8, unique_by=lambda one: one.ifindex), max_size=5
    )
)


@given(some_links)
def test_an_answer_does_not_depend_on_what_was_asked_before(
    several: list[list[Interface]],
) -> None:
    guard = Guard()
    for interfaces in several:
        assert guard.protect(interfaces) == protect(interfaces)


def test_a_link_that_changes_in_what_no_rule_is_about_changes_no_answer() -> None:
    guard = Guard()
    before = guard.protect((link(2, "eth0", routes=default(2)), link(3, "eth1")))
    assert guard.protect((link(2, "eth0", routes=default(2), mtu=9), link(3, "eth1"))) is before
