from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.inventory import routes
from netdevice_plugin.inventory.routes import Nexthop
from netdevice_plugin.model import Route
from tests.unit.inventory.messages import attributes, hop, ip, nexthop, route, u16, u32


def found_routes(*bodies: bytes, nexthops: dict[int, Nexthop] | None = None) -> list[Route]:
    several = routes.by_link(bodies, nexthops or {})
    return [route for ifindex in sorted(several) for route in several[ifindex]]


def test_a_multipath_route_is_one_for_every_way() -> None:
    ways = hop(4, (5, ip("192.0.2.1"))) + hop(5, (18, u16(10) + ip("fe80::1"))) + hop(4)
    routes = found_routes(route((9, ways)))
    assert [(r.ifindex, r.gateway) for r in routes] == [
        (4, "192.0.2.1"),
        (4, ""),
        (5, "fe80::1"),
    ]
    assert all(r.is_default for r in routes)


def test_a_route_by_a_nexthop_group_leaves_through_its_members() -> None:
    group = struct.pack("=IBBH", 1, 0, 0, 0) + struct.pack("=IBBH", 2, 0, 0, 0)
    objects = routes.nexthops(
        [
            nexthop(1, (5, u32(4)), (6, ip("192.0.2.1"))),
            nexthop(2, (5, u32(5)), (7, u16(4))),
            nexthop(3, (2, group)),
            nexthop(4),  # a blackhole
        ]
    )
    assert [
        (r.ifindex, r.gateway, r.nexthop_id, r.encap)
        for r in found_routes(route((30, u32(3))), nexthops=objects)
    ] == [(4, "192.0.2.1", 3, ""), (5, "", 3, "ip6")]
    assert found_routes(route((30, u32(4))), route((30, u32(99))), nexthops=objects) == []


def test_nexthop_objects_are_asked_for_only_where_a_route_goes_by_one() -> None:
    assert routes.by_nexthop_id(route((30, u32(3))))
    assert routes.by_nexthop_id(route((30, u32(3)), (9, hop(4))))
    assert not routes.by_nexthop_id(route((4, u32(4))))
    assert not routes.by_nexthop_id(route((4, u32(4)), (1, struct.pack("=HH", 8, 30))))


@pytest.mark.parametrize(
    ("body", "simple"),
    [
        (route((4, u32(4))), True),
        (route((4, u32(4)), (30, u32(3))), False),
        (route((9, hop(4))), False),
    ],
)
def test_a_route_of_one_way_of_its_own_is_simple(body: bytes, simple: bool) -> None:
    assert routes.entry(body, {}).simple is simple


TO = (1, ip("192.0.2.0"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (route(TO, (4, u32(9)), (5, ip("10.0.0.1")), length=24, protocol=4), True),
        (route(TO, (4, u32(4)), length=24, kind=6), True),
        (route(TO, (4, u32(4)), length=25), False),
        (route((1, ip("192.0.3.0")), (4, u32(4)), length=24), False),
        (route(TO, (4, u32(4)), (6, u32(1)), length=24), False),
        (route(TO, (4, u32(4)), length=24, table=100), False),
        (route(TO, (4, u32(4)), length=24, tos=16), False),
        (route(TO, (4, u32(4)), length=24, family=10), False),
        (route(TO, (2, ip("10.0.0.0")), (4, u32(4)), length=24), False),
    ],
)
def test_what_the_kernel_tells_routes_apart_by(other: bytes, same: bool) -> None:
    own = route(TO, (4, u32(4)), length=24)
    assert (routes.entry(own, {}).key == routes.entry(other, {}).key) is same


def test_a_route_of_another_family_has_no_way() -> None:
    assert routes.entry(route((4, u32(4)), family=28), {}).ways == ()


every_route = st.builds(
    Route,
    family=st.sampled_from([4, 6]),
    destination=st.sampled_from(["default", "192.0.2.0/24"]),
    ifindex=st.integers(1, 2),
    gateway=st.sampled_from(["", "10.0.0.1"]),
    table=st.sampled_from([1, 254, 300]),
    metric=st.integers(0, 1),
    encap=st.sampled_from(["", "ip"]),
)


@given(st.lists(every_route, max_size=8), st.randoms())
def test_the_order_is_that_of_the_routes_and_not_of_their_coming(
    several: list[Route], random: Random
) -> None:
    shuffled = several.copy()
    random.shuffle(shuffled)
    assert routes.ordered(shuffled) == routes.ordered(several)


def test_the_main_tables_default_route_comes_first() -> None:
    first = Route(family=4, destination="default", ifindex=1)
    rest = (
        Route(family=4, destination="10.0.0.0/8", ifindex=1),
        Route(family=4, destination="default", ifindex=1, table=9),
    )
    assert routes.ordered((*reversed(rest), first)) == (first, *rest)


def test_the_table_attribute_counts_more_than_the_header() -> None:
    assert [r.table for r in found_routes(route((4, u32(4)), (15, u32(70000)), table=252))] == [
        70000
    ]
    assert [r.table for r in found_routes(route((4, u32(4)), table=100))] == [100]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (route(length=24), True),
        (route(length=24, protocol=186), False),  # BGP
        (route(length=24, protocol=12), False),  # BIRD
        (route(protocol=186), True),
        (route(kind=2), False),  # local
        (route(kind=6), False),  # blackhole
        (route(kind=7), False),  # unreachable
        (route(flags=0x200), False),  # a cached exception
        (route(family=28), False),  # MPLS
        (route(family=10), True),
    ],
)
def test_which_routes_matter(body: bytes, expected: bool) -> None:
    assert routes.matters(body) is expected
    assert bool(found_routes(body + attributes((4, u32(4))))) is expected


def test_an_encapsulation_that_we_do_not_know_is_a_number() -> None:
    routes = found_routes(route((4, u32(4)), (21, u16(2))), route((4, u32(4)), (21, u16(99))))
    assert [r.encap for r in routes] == ["ip", "99"]
