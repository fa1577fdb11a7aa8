"""The filter, run as the kernel runs it, must keep all that may say something of a link."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.inventory import routes, sieve
from tests.unit.inventory.messages import framed, link, route

NEWLINK, NEWROUTE, DELROUTE, NEWNEXTHOP = 16, 24, 25, 104
REPLACED = 0x100
BGP = 186


def passes(data: bytes) -> bool:
    """Interpret the program: linux/filter.h. A load beyond the end drops the message."""
    steps = list(struct.iter_unpack("=HBBI", sieve.program()))
    at = value = 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == 0x06:
            return bool(operand)
        if code == 0x30:
            if operand >= len(data):
                return False
            value = data[operand]
        else:
            holds = value == operand if code == 0x15 else bool(value & operand)
            at += yes if holds else no


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (framed(NEWLINK, link(1)), True),
        (framed(NEWNEXTHOP, bytes(8)), True),
        (framed(NEWROUTE, route(length=24)), True),
        (framed(DELROUTE, route(length=24)), True),
        (framed(NEWROUTE, route(length=24, protocol=BGP)), False),
        (framed(DELROUTE, route(length=24, protocol=BGP)), False),
        (framed(NEWROUTE, route(protocol=BGP)), True),
        (framed(NEWROUTE, route(length=24, kind=2)), False),
        (framed(NEWROUTE, route(length=24, protocol=BGP), flags=REPLACED), True),
        (framed(NEWROUTE, route(length=24, kind=7), flags=REPLACED), True),
        (framed(NEWROUTE | 0x100, route(length=24, kind=2)), True),  # of no type that we know
    ],
)
def test_what_comes_through(data: bytes, expected: bool) -> None:
    assert passes(data) is expected


@given(
    st.builds(
        route,
        family=st.sampled_from([2, 10, 28]),
        length=st.sampled_from([0, 24]),
        protocol=st.integers(0, 255),
        kind=st.integers(0, 12),
    ),
    st.sampled_from([NEWROUTE, DELROUTE]),
)
def test_no_route_that_matters_is_held_back(body: bytes, kind: int) -> None:
    assert passes(framed(kind, body)) or not routes.matters(body)


def test_a_routing_daemons_are_all_held_back() -> None:
    for protocol in routes.ROUTING_DAEMONS:
        assert not passes(framed(NEWROUTE, route(length=24, protocol=protocol)))
