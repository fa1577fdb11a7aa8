from __future__ import annotations

from netdevice_plugin import inventory
from netdevice_plugin.model import Protection
from tests.kernel.inventory import scene
from tests.kernel.scratch import Netns


def veth(host: Netns, *names: str) -> None:
    """Links that could be uplinks; the peers of all are in one place that is not looked at."""
    for name in names:
        host.batch([f"link add {name} type veth peer name peer-{name}", f"link set {name} up"])
        host.ip("link", "set", f"peer-{name}", "up")


def protection(host: Netns, name: str, *node_addresses: str) -> Protection | None:
    snapshot = host.call(lambda: inventory.snapshot(node_addresses=node_addresses))
    return snapshot.protection(scene.link(snapshot, name).ifindex)


def reason(host: Netns, name: str, *node_addresses: str) -> str:
    found = protection(host, name, *node_addresses)
    assert found is None or found.hard
    return found.reason if found else ""


def test_loopback(host: Netns) -> None:
    assert reason(host, "lo") == "is the loopback device"


def test_a_link_with_nothing_is_free(host: Netns) -> None:
    veth(host, "eth1")
    host.ip("addr", "add", "192.0.2.1/24", "dev", "eth1")
    host.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.2")
    assert reason(host, "eth1") == ""


def test_ipv4_default_route(host: Netns) -> None:
    veth(host, "eth1")
    host.batch(["addr add 192.0.2.1/24 dev eth1", "route add default via 192.0.2.2"])
    assert reason(host, "eth1") == "carries the IPv4 default route"


def test_ipv6_default_route(host: Netns) -> None:
    veth(host, "eth1")
    host.ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth1")
    assert reason(host, "eth1") == "carries the IPv6 default route"


def test_default_route_of_a_policy_table(host: Netns) -> None:
    veth(host, "eth1")
    host.ip("route", "add", "default", "dev", "eth1", "table", "1000")
    assert reason(host, "eth1") == "carries the IPv4 default route of table 1000"


def test_every_link_of_a_multipath_default_route(host: Netns) -> None:
    veth(host, "eth1", "eth2")
    host.ip("route", "add", "default", "nexthop", "dev", "eth1", "nexthop", "dev", "eth2")
    assert reason(host, "eth1") == reason(host, "eth2") == "carries the IPv4 default route"


def test_default_route_by_a_nexthop_group(host: Netns) -> None:
    veth(host, "eth1", "eth2")
    host.sysctl("ipv4/nexthop_compat_mode", "0")
    host.batch([f"nexthop add id {n} dev eth{n}" for n in (1, 2)])
    host.batch(["nexthop add id 3 group 1/2", "route add default nhid 3"])
    assert reason(host, "eth1") == reason(host, "eth2") == "carries the IPv4 default route"


def test_default_route_of_a_routing_daemon(host: Netns) -> None:
    veth(host, "eth1")
    host.ip("route", "add", "default", "dev", "eth1", "proto", "bgp")
    assert reason(host, "eth1") == "carries the IPv4 default route"


def test_a_default_route_that_rejects_protects_nothing(host: Netns) -> None:
    veth(host, "eth1")
    host.batch(["route add unreachable default", "route add blackhole default table 9"])
    host.ip("-6", "route", "add", "prohibit", "default", "dev", "eth1")
    assert reason(host, "eth1") == ""


def test_the_nodes_address_in_whatever_notation(host: Netns) -> None:
    veth(host, "eth1")
    host.ip("addr", "add", "2001:db8::1/64", "dev", "eth1", "nodad")
    assert reason(host, "eth1") == ""
    assert reason(host, "eth1", "2001:DB8:0::1") == "has the node's address 2001:db8::1"


def test_what_is_stacked_on_an_uplink(host: Netns) -> None:
    veth(host, "eth1")
    host.batch(
        [
            "link add mac1 link eth1 type macvlan",
            "link add vx1 type vxlan id 5 dstport 4789 dev eth1",
            "route add default dev eth1",
        ]
    )
    for name in ("mac1", "vx1"):
        assert reason(host, name) == "is stacked on eth1, which carries the IPv4 default route"


def test_what_is_below_an_uplink(host: Netns) -> None:
    veth(host, "eth1")
    host.batch(["link add mac1 link eth1 type macvlan", "link set mac1 up"])
    host.ip("route", "add", "default", "dev", "mac1")
    assert reason(host, "eth1") == "is below mac1, which carries the IPv4 default route"


def test_the_ports_of_a_bridge_that_is_an_uplink_and_what_is_stacked_on_them(host: Netns) -> None:
    veth(host, "eth1")
    host.batch(
        [
            "link add br0 type bridge",
            "link set eth1 master br0",
            "link set br0 up",
            "route add default dev br0",
        ]
    )
    assert reason(host, "eth1") == "is a port of br0, which carries the IPv4 default route"
    assert reason(host, "peer-eth1") == (
        "is the peer of eth1, which is a port of br0, which carries the IPv4 default route"
    )


def test_a_port_of_any_bridge_and_the_bridge_itself(host: Netns) -> None:
    veth(host, "eth1")
    host.batch(["link add br0 type bridge", "link set eth1 master br0"])
    assert reason(host, "eth1") == "is a port of br0"
    assert reason(host, "br0") == "is a bridge, which cannot leave its network namespace"
    assert reason(host, "peer-eth1") == ""


def test_a_veth_whose_peer_is_elsewhere_yields_to_a_pool_that_names_it(
    host: Netns, pod: Netns
) -> None:
    host.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", pod.name)
    found = protection(host, "eth1")
    assert found is not None
    assert not found.hard
    assert "another network namespace" in found.reason
