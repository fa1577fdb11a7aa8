from __future__ import annotations

import pathlib
import socket
import struct
from collections.abc import Iterator

import pytest

from netdevice_plugin import inventory
from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import rtnl, source
from netdevice_plugin.inventory.rtnl import Query
from netdevice_plugin.model import Address, Route, Snapshot
from tests.kernel.inventory import scene
from tests.kernel.scratch import Netns, netns


@pytest.fixture(scope="module")
def built() -> Iterator[Netns]:
    with netns("host") as space:
        scene.build(space)
        yield space


@pytest.fixture(scope="module")
def seen(built: Netns) -> Snapshot:
    return scene.look(built)


def test_every_link_is_there_once_and_by_ifindex(built: Netns, seen: Snapshot) -> None:
    expected = sorted(built.call(socket.if_nameindex))
    assert [(i.ifindex, i.name) for i in seen.interfaces] == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lo", ""),
        ("up0", "veth"),
        ("mac0", "macvlan"),
        ("tunnel0", "vxlan"),
        ("br0", "bridge"),
        ("ifb7", "ifb"),
        ("tap0", "tun"),
        ("tun0", "tun"),
    ],
)
def test_kind_is_the_kernels_word(seen: Snapshot, name: str, kind: str) -> None:
    assert scene.link(seen, name).kind == kind


@pytest.mark.parametrize("name", ["a.b", "UPPER", scene.LONGEST, scene.NOT_UTF8])
def test_odd_names_come_through(seen: Snapshot, name: str) -> None:
    assert scene.link(seen, name).name == name


def test_altnames_alias_mac_and_mtu(seen: Snapshot) -> None:
    link = scene.link(seen, "ns:1")
    assert link.name == "ifb7"
    assert link.altnames == ("ns:1", "enp0s31f6-with-a-long-name")
    assert (link.alias, link.mac, link.mtu) == ("Uplink\xe9", "02:00:00:00:00:07", 1400)


def test_types_and_links_without_a_mac(seen: Snapshot) -> None:
    assert scene.link(seen, "lo").link_type == "loopback"
    assert scene.link(seen, "lo").mac == ""
    assert scene.link(seen, "tun0").link_type == "none"
    assert scene.link(seen, "tun0").mac == ""
    assert scene.link(seen, "tap0").link_type == "ether"


def test_state_is_told(seen: Snapshot) -> None:
    up, down = scene.link(seen, "up0"), scene.link(seen, "tap0")
    assert (up.up, up.operstate, up.carrier) == (True, "up", True)
    assert (down.up, down.operstate, down.carrier) == (False, "down", False)


def test_stacked_links_know_what_is_below_and_above(seen: Snapshot) -> None:
    up, bridge = scene.link(seen, "up0"), scene.link(seen, "br0")
    assert scene.link(seen, "mac0").lower == up.ifindex
    assert scene.link(seen, "tunnel0").lower == up.ifindex
    assert scene.link(seen, "over0").lower == scene.link(seen, "tunnel0").ifindex
    assert scene.link(seen, "port0").master == bridge.ifindex
    assert up.master is None
    assert up.lower == scene.link(seen, "up1").ifindex


def test_a_peer_elsewhere_is_no_link_of_this_namespace(host: Netns, pod: Netns) -> None:
    host.ip("link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", pod.name)
    near = scene.link(scene.look(host), "near0")
    assert near.lower is None
    assert near.peer_netnsid is not None


def test_bridges_are_immovable_and_veths_are_not(seen: Snapshot) -> None:
    if not scene.link(seen, "lo").immovable:
        pytest.skip("kernel: older than 6.15, does not tell what is immovable")
    assert scene.link(seen, "br0").immovable
    assert not scene.link(seen, "up0").immovable


def address(seen: Snapshot, link: str, text: str) -> Address:
    return next(a for a in scene.link(seen, link).addresses if a.address == text)


def test_an_address_has_label_broadcast_and_metric(seen: Snapshot) -> None:
    assert address(seen, "up0", "192.0.2.1") == Address(
        family=4,
        address="192.0.2.1",
        prefix=24,
        broadcast="192.0.2.255",
        label="up0:one",
        flags=0x80,
        metric=50,
    )


def test_an_address_has_lifetimes(seen: Snapshot) -> None:
    limited = address(seen, "up0", "192.0.2.9")
    assert limited.valid is not None
    assert limited.preferred is not None
    assert 3500 < limited.valid <= 3600
    assert 1700 < limited.preferred <= 1800
    assert address(seen, "up0", "192.0.2.1").valid is None
    deprecated = address(seen, "up0", "2001:db8:1::1")
    assert deprecated.preferred == 0
    assert deprecated.flags & 0x20


def test_an_address_has_a_peer(seen: Snapshot) -> None:
    four, six = address(seen, "up0", "198.51.100.1"), address(seen, "up0", "2001:db8:2::1")
    assert (four.peer, four.prefix) == ("198.51.100.2", 32)
    assert (six.peer, six.prefix, six.metric) == ("2001:db8:2::2", 128, 77)


def test_an_address_has_flags_and_scope(seen: Snapshot) -> None:
    assert address(seen, "up0", "198.51.100.1").flags == 0x280  # noprefixroute, permanent
    assert address(seen, "up0", "2001:db8::1").flags == 0x282  # and nodad
    assert address(seen, "mac0", "192.0.2.129").scope == 253


def route(seen: Snapshot, link: str, destination: str, table: int = 254) -> list[Route]:
    found = scene.link(seen, link).routes
    return [r for r in found if (r.destination, r.table) == (destination, table)]


def test_a_route_has_gateway_source_metric_and_protocol(seen: Snapshot) -> None:
    up = scene.link(seen, "up0").ifindex
    assert route(seen, "up0", "203.0.113.0/26") == [
        Route(
            family=4,
            destination="203.0.113.0/26",
            ifindex=up,
            gateway="192.0.2.3",
            source="192.0.2.9",
            metric=7,
            protocol=4,
        )
    ]


def test_a_route_of_another_table(seen: Snapshot) -> None:
    assert [r.scope for r in route(seen, "mac0", "203.0.113.64/26", 1000)] == [253]


def test_an_ipv4_route_by_an_ipv6_gateway(seen: Snapshot) -> None:
    assert [r.gateway for r in route(seen, "up0", "203.0.113.128/26")] == ["fe80::3"]


def test_an_encapsulating_route(seen: Snapshot) -> None:
    assert [r.encap for r in route(seen, "up0", "203.0.113.192/26")] == ["ip6"]


def test_a_multipath_route_is_one_for_every_link(seen: Snapshot) -> None:
    for link, gateway in (("up0", "192.0.2.4"), ("mac0", "192.0.2.130")):
        assert [(r.gateway, r.is_default) for r in route(seen, link, "default", 100)] == [
            (gateway, True)
        ]
    assert [r.gateway for r in route(seen, "up0", "2001:db8:f::/48")] == ["2001:db8:1::2"]
    assert [r.gateway for r in route(seen, "up1", "2001:db8:f::/48")] == ["fe80::4"]


def test_an_ipv6_default_route(seen: Snapshot) -> None:
    assert [(r.family, r.gateway, r.metric) for r in route(seen, "up0", "default")] == [
        (6, "2001:db8:1::fe", 9)
    ]


@pytest.mark.parametrize("compat", ["1", "0"])
def test_a_route_by_nexthop_objects_leaves_through_their_links(built: Netns, compat: str) -> None:
    built.sysctl("ipv4/nexthop_compat_mode", compat)
    seen = scene.look(built)
    assert [(r.gateway, r.nexthop_id) for r in route(seen, "up0", "10.7.0.0/16")] == [
        ("192.0.2.5", 7)
    ]
    assert [(r.gateway, r.nexthop_id) for r in route(seen, "mac0", "10.7.0.0/16")] == [
        ("192.0.2.131", 7)
    ]
    assert [(r.gateway, r.nexthop_id) for r in route(seen, "up0", "10.6.0.0/16")] == [
        ("192.0.2.5", 5)
    ]


def test_what_leaves_through_no_link_or_is_a_routing_daemons_is_left_out(seen: Snapshot) -> None:
    destinations = {r.destination for i in seen.interfaces for r in i.routes}
    assert not destinations & {"10.9.0.0/16", "10.8.0.0/16", "192.0.2.1/32", "ff00::/8"}


def test_a_namesake_in_a_scratch_namespace_gets_nothing_from_sysfs(host: Netns) -> None:
    """sysfs shows the links of the namespace it was mounted in, which is another here."""
    real = [path.parent for path in pathlib.Path("/sys/class/net").glob("*/device")]
    if not real:
        pytest.skip("kernel: this machine has no link with a device under it")
    for path in real:
        index, mac = (path / "ifindex").read_text().strip(), (path / "address").read_text().strip()
        host.ip("link", "add", path.name, "index", index, "address", mac, "type", "ifb")
    for link in scene.look(host).interfaces:
        assert (link.driver, link.pci, link.speed) == ("", None, None)


def test_this_machines_own_hardware_is_described() -> None:
    """Reads only; it is the one namespace here that has any."""
    paths = {p.parts[-3]: p for p in pathlib.Path("/sys/class/net").glob("*/device/driver")}
    found = {i.name: i.driver for i in inventory.snapshot().interfaces if i.driver}
    assert found == {name: path.readlink().name for name, path in paths.items()}


def test_a_family_that_the_kernel_does_not_have_has_nothing(built: Netns) -> None:
    """The kernel answers for it with what all others have, as it does for a missing IPv6."""
    query = Query("routes", source.RTM_GETROUTE, struct.pack("=B11x", socket.AF_X25))
    assert built.call(lambda: rtnl.dump(query)) != []
    assert built.call(lambda: source.dump_family(query)) == []


def test_a_question_that_makes_no_sense_is_refused_in_the_kernels_words(host: Netns) -> None:
    """Only with strict checking; without it, routes would not be filtered by the kernel."""
    query = Query("links", source.RTM_GETLINK, b"\0\0\7" + bytes(13))
    with pytest.raises(InventoryError, match=r"cannot list links: Invalid argument: \w+"):
        host.call(lambda: rtnl.dump(query))
