from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import decode, routes, wire
from netdevice_plugin.inventory.routes import Nexthop
from netdevice_plugin.model import Address, Interface, Route
from tests.unit.inventory.messages import (
    address,
    attributes,
    ip,
    link,
    route,
    u32,
)


def interface(body: bytes) -> Interface:
    return decode.link(body).interface


def test_a_link_with_all_that_hardware_tells() -> None:
    body = link(
        7,
        (3, b"enp3s0f0\0"),
        (1, bytes.fromhex("aabbccddeeff")),
        (54, bytes.fromhex("0011223344aa")),
        (4, u32(9000)),
        (16, b"\6"),
        (20, b"to the rack\0"),
        (38, b"p0\0"),
        (10, u32(3)),
        (52, attributes((53, b"one\0"), (53, b"two\0"))),
        (57, b"pci\0"),
        (56, b"0000:03:00.0\0"),
        flags=0x11043,
    )
    own = Address(family=4, address="192.0.2.1", prefix=24)
    out = Route(family=4, destination="default", ifindex=7)
    assert decode.link(body, (own,), (out,)) == decode.Link(
        Interface(
            ifindex=7,
            name="enp3s0f0",
            altnames=("one", "two"),
            mac="aa:bb:cc:dd:ee:ff",
            permanent_mac="00:11:22:33:44:aa",
            mtu=9000,
            flags=0x11043,
            operstate="up",
            carrier=True,
            alias="to the rack",
            port="p0",
            master=3,
            addresses=(own,),
            routes=(out,),
        ),
        "pci",
        "0000:03:00.0",
    )


@pytest.mark.parametrize(("kind", "inner"), [("vlan", 0), ("bond", 0), ("vrf", 0)])
def test_kinds_that_few_kernels_have_are_told_by_their_name(kind: str, inner: int) -> None:
    info = attributes((1, kind.encode() + b"\0"), (2, attributes((inner, b"data"))))
    assert interface(link(7, (18, info))).kind == kind


VLAN_DATA = {
    "802.1q": (((1, b"\x64\0"), (5, b"\x81\0")), ("802.1q", 100)),
    "802.1ad": (((5, b"\x88\xa8"), (1, b"\xfe\x0f")), ("802.1ad", 4094)),
    "another protocol": (((1, b"\x64\0"), (5, b"\x91\0")), None),
    "cut short": (((1, b"\x64"), (5, b"\x81\0")), None),
    "nothing": ((), None),
}


@pytest.mark.parametrize(("several", "vlan"), VLAN_DATA.values(), ids=VLAN_DATA)
def test_a_vlan_is_told_by_protocol_and_number(
    several: tuple[tuple[int, bytes], ...], vlan: tuple[str, int] | None
) -> None:
    for kind, expected in ((b"vlan", vlan), (b"vxlan", None)):
        info = attributes((1, kind + b"\0"), (2, attributes(*several)))
        assert interface(link(7, (18, info))).vlan == expected


@pytest.mark.parametrize(
    ("several", "lower", "peer"),
    [
        (((5, u32(4)),), 4, None),
        (((5, u32(0)),), None, None),
        (((5, u32(4)), (37, u32(0))), None, 0),
        (((5, u32(4)), (37, struct.pack("=i", -1))), None, -1),
        (((18, attributes((1, b"vxlan\0"), (2, attributes((3, u32(9)))))),), 9, None),
        (((18, attributes((1, b"geneve\0"), (2, attributes((3, u32(9)))))),), None, None),
    ],
)
def test_what_is_below_a_link(
    several: tuple[tuple[int, bytes], ...], lower: int | None, peer: int | None
) -> None:
    found = interface(link(7, *several))
    assert (found.lower, found.peer_netnsid) == (lower, peer)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (bytes(6), ""),
        (b"", ""),
        (ip("192.0.2.1"), ""),  # the "address" of an IP tunnel
        (bytes(16), ""),
        (bytes(19) + b"\1", "00:" * 19 + "01"),  # InfiniBand
    ],
)
def test_only_hardware_addresses_are_macs(raw: bytes, expected: str) -> None:
    assert interface(link(7, (1, raw))).mac == expected


@pytest.mark.parametrize(
    ("number", "name"), [(1, "ether"), (772, "loopback"), (32, "infiniband"), (4711, "4711")]
)
def test_link_types_have_their_usual_names(number: int, name: str) -> None:
    assert interface(link(7, kind=number)).link_type == name


@pytest.mark.parametrize("raw", [b"", b"\x63", b"\6\6"])
def test_an_operstate_that_is_none_is_unknown(raw: bytes) -> None:
    assert interface(link(7, (16, raw))).operstate == "unknown"


def test_attributes_of_odd_size_count_as_absent() -> None:
    found = interface(link(7, (4, b"\1\2"), (10, b""), (5, bytes(8)), (3, b"")))
    assert (found.mtu, found.master, found.lower, found.name) == (0, None, None, "")


def test_address_families_that_are_not_ours_are_no_addresses() -> None:
    assert decode.address(address(3, (1, ip("192.0.2.1")), family=28)) is None
    assert decode.address(address(3, (1, b"\1\2"))) is None


def test_an_address_without_cacheinfo_lasts_for_ever() -> None:
    found = decode.address(address(3, (1, ip("2001:db8::1")), family=socket.AF_INET6, prefix=64))
    assert found == (3, Address(family=6, address="2001:db8::1", prefix=64))


def test_addresses_that_differ_in_seconds_left_are_equal_but_for_ever_is_not() -> None:
    def lasting(seconds: int, flags: int) -> object:
        times = struct.pack("=IIII", seconds, seconds, 0, 0)
        return decode.address(address(3, (2, ip("192.0.2.1")), (6, times), flags=flags))

    assert lasting(100, 0) == lasting(99, 0)
    assert lasting(100, 0) != lasting(0xFFFFFFFF, 0x80)


DECODERS: list[Callable[[bytes], object]] = [
    interface,
    decode.address,
    decode.subject,
    lambda body: routes.entry(body, {0: Nexthop(ifindex=1)}),
    lambda body: routes.by_link([body], {}),
    routes.matters,
    routes.by_nexthop_id,
    routes.nexthop,
]

nests = st.recursive(
    st.binary(max_size=40),
    lambda inner: st.lists(st.tuples(st.integers(0, 70), inner), max_size=6).map(
        lambda several: attributes(*several)
    ),
    max_leaves=30,
)
heads = st.sampled_from(
    [bytes(16), bytes(12), bytes(8), b"\2" + bytes(6) + b"\1", b"\n" + bytes(15), b"\2\x18" * 6]
)
odd = st.one_of(st.binary(max_size=80), st.builds(bytes.__add__, heads, nests))


@given(odd, st.sampled_from(DECODERS))
@example(link(1, (18, b"\0\0\0\0")), interface)
@example(route((9, b"\0" * 8)), DECODERS[3])
def test_whatever_the_bytes_nothing_but_our_error_is_raised(
    body: bytes, decoder: Callable[[bytes], object]
) -> None:
    with contextlib.suppress(InventoryError):
        decoder(body)


@given(st.data())
def test_a_message_cut_anywhere_is_decoded_or_our_error(data: st.DataObject) -> None:
    whole = link(7, (3, b"eth0\0"), (18, attributes((1, b"veth\0"))), (52, attributes((53, b"x"))))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        decode.link(cut)
    except InventoryError:
        return
    assert len(wire.each_attribute(cut, 16)) <= 3
