"""What the kernel says of routes, and what follows from it. tests/kernel has the kernel's own."""

from __future__ import annotations

import pytest

from netdevice_plugin.inventory.table import RoutingTable
from tests.unit.inventory.messages import Attributes, hop, ip, nexthop, route, u32

TO = (1, ip("203.0.113.0"))
TO6 = (1, ip("2001:db8::"))
ETH1, ETH2 = 4, 5
BGP = 186


def four(ifindex: int, *more: tuple[int, bytes], protocol: int = 4, scope: int = 0) -> bytes:
    return route(TO, (4, u32(ifindex)), *more, length=24, protocol=protocol, scope=scope)


def six(ifindex: int, *more: tuple[int, bytes]) -> bytes:
    return route(TO6, (4, u32(ifindex)), *more, length=32, family=10)


def by(gateway: str) -> tuple[int, bytes]:
    return (5, ip(gateway))


MULTIPATH = route(TO, (9, hop(ETH1) + hop(ETH2)), length=24)
METRIC, SOURCE = (6, u32(7)), (7, ip("192.0.2.1"))


def gateways(table: RoutingTable, ifindex: int) -> list[str]:
    return [one.gateway for one in table.get(ifindex)]


def test_what_is_listed_leaves_through_its_links() -> None:
    table = RoutingTable([four(ETH1), MULTIPATH, six(ETH2)])
    assert [len(table.get(i)) for i in (ETH1, ETH2, 6)] == [2, 2, 0]
    assert set(table.links()) == {ETH1, ETH2}
    assert not table.stale


def test_a_new_route_is_added_and_a_withdrawn_one_is_gone() -> None:
    table = RoutingTable()
    assert table.told(four(ETH1, by("192.0.2.9")), replaced=False) == ETH1
    assert gateways(table, ETH1) == ["192.0.2.9"]
    assert table.withdrawn(four(ETH1, by("192.0.2.9"))) == ETH1
    assert table.get(ETH1) == ()
    assert not table.stale


def test_what_is_told_twice_is_there_once() -> None:
    table = RoutingTable([four(ETH1), six(ETH1)])
    for body in (four(ETH1), six(ETH1)):
        assert table.told(body, replaced=True) == 0
    assert len(table.get(ETH1)) == 2
    assert table.withdrawn(four(ETH1, METRIC)) == 0
    assert not table.stale


def test_ipv6_has_the_same_route_through_many_links() -> None:
    table = RoutingTable([six(ETH1)])
    assert table.told(six(ETH2), replaced=False) == ETH2
    assert table.withdrawn(six(ETH1)) == ETH1
    assert table.withdrawn(six(ETH1)) == 0
    assert [len(table.get(i)) for i in (ETH1, ETH2)] == [0, 1]
    assert not table.stale


@pytest.mark.parametrize(
    ("known", "told", "replaced"),
    [
        pytest.param(four(ETH1), four(ETH2), False, id="before-or-behind-it"),
        pytest.param(four(ETH1), four(ETH1, SOURCE), False, id="before-or-behind-on-one-link"),
        pytest.param(four(ETH1), four(ETH2), True, id="in-its-place"),
        pytest.param(six(ETH1), six(ETH2), True, id="ipv6-in-its-place"),
        pytest.param(six(ETH1), six(ETH1, by("fe80::1")), False, id="ipv6-on-one-link"),
        pytest.param(six(ETH1, by("fe80::1")), six(ETH2, by("fe80::2")), False, id="ipv6-as-one"),
        pytest.param([six(ETH1), six(ETH2)], six(ETH1), True, id="ipv6-in-place-of-another"),
        pytest.param(four(ETH1), MULTIPATH, False, id="multipath"),
        pytest.param(MULTIPATH, four(ETH1), False, id="beside-multipath"),
        pytest.param(four(ETH1), route(TO, (30, u32(9)), length=24), False, id="nexthop-object"),
        pytest.param(four(ETH1), four(ETH2, protocol=BGP), True, id="daemon-in-its-place"),
    ],
)
def test_what_it_became_is_not_certain(
    known: bytes | list[bytes], told: bytes, replaced: bool
) -> None:
    table = RoutingTable([known] if isinstance(known, bytes) else known)
    assert table.told(told, replaced=replaced) == 0
    assert table.stale


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(four(ETH2, protocol=BGP), id="daemon"),
        pytest.param(route(TO, (4, u32(ETH2)), length=24, kind=7), id="unreachable"),
    ],
)
def test_what_does_not_matter_changes_nothing(told: bytes) -> None:
    table = RoutingTable([four(ETH1)])
    assert table.told(told, replaced=False) == 0
    assert table.withdrawn(told) == 0
    assert not table.stale
    empty = RoutingTable()
    assert empty.told(told, replaced=True) == 0
    assert not empty.stale


@pytest.mark.parametrize(
    ("known", "withdrawn"),
    [
        pytest.param([MULTIPATH], MULTIPATH, id="multipath"),
        pytest.param([MULTIPATH], four(ETH1), id="one-of-its-ways"),
        pytest.param([four(ETH1), four(ETH1, SOURCE)], four(ETH1), id="one-of-two-on-one-link"),
        pytest.param([four(ETH1)], four(ETH1, SOURCE), id="not-as-we-know-it"),
    ],
)
def test_what_is_left_is_not_certain(known: list[bytes], withdrawn: bytes) -> None:
    table = RoutingTable(known)
    assert table.withdrawn(withdrawn) == 0
    assert table.stale


def test_a_link_that_is_set_down_keeps_only_what_never_leaves_the_host() -> None:
    inside = route((1, ip("198.51.100.1")), (4, u32(ETH1)), length=32, scope=254)
    table = RoutingTable([four(ETH1), inside, six(ETH1), six(ETH2)])
    table.down(ETH1)
    assert [one.destination for one in table.get(ETH1)] == ["198.51.100.1/32"]
    assert len(table.get(ETH2)) == 1
    assert not table.stale


def test_a_link_without_ipv4_addresses_keeps_its_ipv6_routes() -> None:
    table = RoutingTable([four(ETH1, scope=254), six(ETH1)])
    table.unnumbered(ETH1)
    assert [one.family for one in table.get(ETH1)] == [6]
    assert not table.stale


def test_a_link_that_is_gone_takes_all_its_routes_and_others_may_come_in_their_place() -> None:
    table = RoutingTable([four(ETH1, scope=254), six(ETH1)])
    table.gone(ETH1)
    assert table.get(ETH1) == ()
    assert table.told(four(ETH2), replaced=False) == ETH2
    assert not table.stale


@pytest.mark.parametrize("method", ["down", "gone", "wavered"])
@pytest.mark.parametrize(
    "known",
    [
        pytest.param(MULTIPATH, id="multipath"),
        pytest.param(four(ETH1, (30, u32(9))), id="nexthop-object"),
    ],
)
def test_a_route_of_several_ways_may_go_with_one_of_its_links(known: bytes, method: str) -> None:
    table = RoutingTable([known])
    getattr(table, method)(6)
    assert not table.stale
    getattr(table, method)(ETH1)
    assert table.stale


def test_a_link_that_wavers_keeps_its_own_routes() -> None:
    table = RoutingTable([four(ETH1)])
    table.wavered(ETH1)
    assert len(table.get(ETH1)) == 1
    assert not table.stale


def test_routes_may_go_with_their_source() -> None:
    table = RoutingTable([four(ETH1, SOURCE)])
    table.source_gone("192.0.2.2")
    assert not table.stale
    assert table.withdrawn(four(ETH1, SOURCE)) == ETH1
    table.source_gone("192.0.2.1")
    assert not table.stale
    table.told(four(ETH1, SOURCE), replaced=False)
    table.source_gone("192.0.2.1")
    assert table.stale


def group(*members: int) -> Attributes:
    return ((2, b"".join(u32(member) + bytes(4) for member in members)),)


@pytest.mark.parametrize(("number", "expected"), [(1, True), (3, True), (2, False), (9, False)])
def test_only_nexthop_objects_that_our_routes_go_by_count(number: int, expected: bool) -> None:
    objects = [nexthop(1, (5, u32(ETH1))), nexthop(2, (5, u32(ETH2))), nexthop(3, *group(1))]
    table = RoutingTable([route(TO, (30, u32(3)), length=24)], objects)
    assert [one.nexthop_id for one in table.get(ETH1)] == [3]
    table.nexthop(nexthop(number, (5, u32(ETH2))))
    assert table.stale is expected
