from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import wire
from tests.unit.inventory.messages import done, framed


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=64)), max_size=20))
def test_attributes_that_are_written_are_read(several: list[tuple[int, bytes]]) -> None:
    data = b"".join(wire.attribute(kind, value) for kind, value in several)
    assert wire.each_attribute(data) == several
    assert wire.attributes(b"head" + data, 4) == dict(several)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=64)), max_size=10))
def test_messages_that_are_written_are_read(several: list[tuple[int, bytes]]) -> None:
    data = b"".join(framed(kind, body) for kind, body in several)
    assert [(message.type, message.body) for message in wire.messages(data)] == several


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_messages_or_our_error(data: bytes) -> None:
    with contextlib.suppress(InventoryError):
        for message in wire.messages(data):
            wire.error(message)
            wire.attributes(message.body)


@pytest.mark.parametrize("length", [0, 15, 17, 1000, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_an_error(length: int) -> None:
    data = struct.pack("=IHHII", length, 16, 0, 1, 0)
    with pytest.raises(InventoryError, match=f"claims {length} bytes of 16"):
        list(wire.messages(data))


def test_a_message_that_is_cut_short_is_an_error() -> None:
    with pytest.raises(InventoryError, match="cut short"):
        list(wire.messages(done()[:10]))


@pytest.mark.parametrize("length", [0, 3, 9, 0xFFFF])
def test_an_attribute_that_is_not_whole_is_an_error(length: int) -> None:
    with pytest.raises(InventoryError, match=f"claims {length} bytes"):
        wire.attributes(struct.pack("=HHI", length, 3, 0))


def test_nested_and_byte_order_flags_are_no_part_of_the_type() -> None:
    data = wire.attribute(0x8000 | 18, b"a") + wire.attribute(0x4000 | 19, b"b")
    assert wire.attributes(data) == {18: b"a", 19: b"b"}


def test_text_ends_at_nul_and_keeps_odd_bytes() -> None:
    assert wire.text(b"eth0\0\0rest") == "eth0"
    assert wire.text(b"\xff\xfe\0").encode("utf-8", "surrogateescape") == b"\xff\xfe"


def refusal(flags: int, *parts: bytes, kind: int = wire.NLMSG_ERROR) -> wire.Message:
    return wire.Message(kind, flags, struct.pack("=i", -22) + b"".join(parts))


WORDS = wire.attribute(1, b"no such thing\0")
QUOTED = wire.request(18, 0, bytes(16))


def test_an_error_has_its_number_and_the_kernels_words() -> None:
    assert wire.error(refusal(0, QUOTED)) == (22, "")
    assert wire.error(refusal(0x200, QUOTED, WORDS)) == (22, "no such thing")
    assert wire.error(refusal(0x300, QUOTED[:16], WORDS)) == (22, "no such thing")
    assert wire.error(refusal(0x200, WORDS, kind=wire.NLMSG_DONE)) == (22, "no such thing")


def test_done_without_a_number_is_success() -> None:
    assert wire.error(wire.Message(wire.NLMSG_DONE, 0, b"")) == (0, "")
