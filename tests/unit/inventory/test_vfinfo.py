"""What a PF says of its VFs, and is told of them, byte for byte."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import rtnl, vfinfo, wire
from netdevice_plugin.provisioning import LinkState, VfSettings
from tests.unit.inventory import messages
from tests.unit.inventory.messages import u32

MAC = "02:00:00:00:00:99"
FRESH = VfSettings(
    mac="00:00:00:00:00:00",
    vlan=0,
    qos=0,
    protocol="802.1q",
    spoof_check=True,
    trust=False,
    link_state=LinkState.AUTO,
    min_tx_rate=0,
    max_tx_rate=0,
)


def words(number: int, *values: int) -> bytes:
    return struct.pack(f"={1 + len(values)}I", number, *values)


def told(number: int, settings: VfSettings = FRESH, **left_out: bool) -> bytes:
    """A VF in IFLA_VFINFO_LIST, as the kernel writes it."""
    mac = bytes.fromhex((settings.mac or "").replace(":", ""))
    parts = {
        "mac": (1, u32(number) + mac.ljust(32, b"\0")),
        "vlan": (2, words(number, settings.vlan or 0, settings.qos or 0)),
        "tx_rate": (3, words(number, settings.max_tx_rate or 0)),
        "spoofchk": (4, words(number, _flag(settings.spoof_check))),
        "state": (5, words(number, 0)),
        "rate": (6, words(number, settings.min_tx_rate or 0, settings.max_tx_rate or 0)),
        "rss": (7, words(number, 0)),
        "trust": (9, words(number, _flag(settings.trust))),
        "vlans": (
            12,
            messages.attributes(
                (1, words(number, settings.vlan or 0, settings.qos or 0) + b"\x81\x00\0\0")
            ),
        ),
    }
    return messages.attributes(*(part for key, part in parts.items() if key not in left_out))


def _flag(value: bool | None) -> int:
    return 0xFFFFFFFF if value is None else int(value)


def link(*vfs: bytes) -> bytes:
    nest = messages.attributes(*((1, vf) for vf in vfs))
    return messages.link(7, (1, bytes(6)), (22, nest))


def test_each_vf_is_read_by_its_number() -> None:
    other = dataclasses.replace(FRESH, mac=MAC, vlan=100, qos=3, trust=True, max_tx_rate=100)
    assert vfinfo.decode(link(told(0), told(5, other))) == {0: FRESH, 5: other}


def test_what_a_driver_does_not_tell_is_not_known() -> None:
    quiet = dataclasses.replace(FRESH, spoof_check=None, trust=None)
    assert vfinfo.decode(link(told(0, quiet))) == {0: quiet}
    (found,) = vfinfo.decode(
        link(told(0, FRESH, vlan=True, vlans=True, rate=True, state=True, spoofchk=True))
    ).values()
    assert found == VfSettings(mac=FRESH.mac, trust=False)


def test_before_4_9_there_was_one_protocol() -> None:
    tagged = dataclasses.replace(FRESH, vlan=7)
    assert vfinfo.decode(link(told(0, tagged, vlans=True))) == {0: tagged}


def test_a_link_without_vfs_has_none() -> None:
    assert vfinfo.decode(messages.link(7)) == {}


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        found = vfinfo.decode(messages.link(7, (22, messages.attributes((1, data)))))
    except InventoryError:
        return
    assert all(isinstance(one, VfSettings) for one in found.values())


# linux/if_link.h by hand: length and type, then the number of the VF, here 5, and values.
ADDRESS = "28000100 05000000 020000000099" + "00" * 26
VLAN = "10000200 05000000 64000000 03000000"
VLAN_AD = "18000c00 14000100 05000000 64000000 03000000 88a80000"
RATE = "10000600 05000000 00000000 64000000"
SPOOFCHK = "0c000400 05000000 00000000"
STATE = "0c000500 05000000 02000000"
TRUST = "0c000900 05000000 01000000"


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        (VfSettings(), ""),
        (VfSettings(trust=False, vlan=0), ""),
        (VfSettings(mac=MAC), ADDRESS),
        (VfSettings(vlan=100, qos=3), VLAN),
        (VfSettings(vlan=100, qos=3, protocol="802.1ad"), VLAN_AD),
        (VfSettings(max_tx_rate=100), RATE),
        (VfSettings(spoof_check=False), SPOOFCHK),
        (VfSettings(link_state=LinkState.DISABLE), STATE),
        (VfSettings(trust=True), TRUST),
        (VfSettings(mac=MAC, vlan=100, qos=3, trust=True), ADDRESS + VLAN + TRUST),
    ],
)
def test_what_differs_is_told_in_one_attribute(wanted: VfSettings, parts: str) -> None:
    body = bytes.fromhex(parts)
    expected = struct.pack("=HHHH", len(body) + 8, 22, len(body) + 4, 1) + body if body else b""
    assert vfinfo.encode(5, FRESH, wanted) == expected


def test_a_vlan_keeps_what_is_not_said_of_it_and_loses_all_with_its_number() -> None:
    tagged = dataclasses.replace(FRESH, vlan=100, qos=3, protocol="802.1ad")
    assert vfinfo.target(tagged, VfSettings(vlan=200)) == dataclasses.replace(tagged, vlan=200)
    assert vfinfo.target(tagged, VfSettings(vlan=0)) == FRESH


settings = st.builds(
    VfSettings,
    mac=st.none() | st.sampled_from([MAC, "02:00:00:00:00:01"]),
    vlan=st.none() | st.integers(0, 4094),
    qos=st.none() | st.integers(0, 7),
    spoof_check=st.none() | st.booleans(),
    trust=st.none() | st.booleans(),
    max_tx_rate=st.none() | st.integers(0, 10),
)


@given(settings)
def test_what_was_told_is_read_again(wanted: VfSettings) -> None:
    goal = vfinfo.target(FRESH, wanted)
    assert vfinfo.decode(link(told(3, goal))) == {3: goal}
    assert vfinfo.encode(3, goal, wanted) == b""


class Script:
    """A socket that answers with what it was given."""

    def __init__(self, answer: bytes) -> None:
        self.sent: list[bytes] = []
        self._answer = answer

    def send(self, data: bytes, /) -> int:
        self.sent.append(data)
        return len(data)

    def recvmsg(self, size: int, /) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        return self._answer[:size], [], 0, None

    def __enter__(self) -> rtnl.Socket:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_the_pf_is_asked_for_its_vfs_and_not_for_their_counters() -> None:
    script = Script(wire.request(16, 0, link(told(0))))
    assert vfinfo.ask(7, connect=lambda: script) == {0: FRESH}
    (sent,) = script.sent
    (message,) = wire.messages(sent)
    assert message.type == 18
    assert wire.attributes(message.body, 16) == {29: u32(1 | 8)}


def test_a_pf_that_has_gone_is_missed() -> None:
    gone = wire.request(2, 0, struct.pack("=i", -19) + bytes(16))
    with pytest.raises(InventoryError, match="there is no such link"):
        vfinfo.ask(7, connect=lambda: Script(gone))
