"""What rtnetlink is told of VFs and of links, and what is made of its answers."""

from __future__ import annotations

import dataclasses
import errno
import struct

import pytest

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.links import Links, RefusedError, encode_address
from netdevice_plugin.functions.record import Link
from netdevice_plugin.inventory import rtnl, wire
from netdevice_plugin.model import Address
from netdevice_plugin.provisioning import LinkState, VfSettings
from tests.unit.inventory import messages
from tests.unit.inventory.messages import u32
from tests.unit.inventory.test_vfinfo import FRESH, MAC, told
from tests.unit.inventory.test_vfinfo import link as pf_link

SETLINK, NEWADDR, GETLINK, NEWLINKPROP = 19, 20, 18, 108
OK = 0


class Kernel:
    """Answers one request after the other: with a message's body, or an errno."""

    def __init__(self, *answers: bytes | int) -> None:
        self._answers = list(answers)
        self.sent: list[wire.Message] = []

    def send(self, data: bytes, /) -> int:
        self.sent += wire.messages(data)
        return len(data)

    def recvmsg(self, size: int, /) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        answer = self._answers.pop(0)
        if isinstance(answer, int):
            return wire.request(2, 0, struct.pack("=i", -answer) + bytes(16)), [], 0, None
        return wire.request(16, 0, answer)[:size], [], 0, None

    def __enter__(self) -> rtnl.Socket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def links(self) -> Links:
        return Links(lambda: self)

    @property
    def kinds(self) -> list[int]:
        return [message.type for message in self.sent]


def pf(settings: VfSettings = FRESH) -> bytes:
    return pf_link(told(3, settings))


def test_settings_of_a_vf_are_read_told_in_one_request_and_read_again() -> None:
    goal = dataclasses.replace(FRESH, mac=MAC, trust=True)
    kernel = Kernel(pf(), OK, pf(goal))
    assert kernel.links.set_vf(7, 3, VfSettings(mac=MAC, trust=True))
    assert kernel.kinds == [GETLINK, SETLINK, GETLINK]
    assert kernel.sent[1].flags == 0x5  # NLM_F_REQUEST, NLM_F_ACK
    assert struct.unpack_from("=BxHiII", kernel.sent[1].body) == (0, 0, 7, 0, 0)


def test_settings_that_are_there_are_told_nobody() -> None:
    kernel = Kernel(pf())
    assert not kernel.links.set_vf(7, 3, VfSettings(trust=False, vlan=0))
    assert kernel.kinds == [GETLINK]


def test_the_setting_that_the_driver_lacks_is_named() -> None:
    after = dataclasses.replace(FRESH, mac=MAC)  # which the kernel sets before the other
    kernel = Kernel(pf(), errno.EOPNOTSUPP, pf(after))
    wanted = VfSettings(mac=MAC, link_state=LinkState.DISABLE)
    with pytest.raises(RefusedError) as raised:
        kernel.links.set_vf(7, 3, wanted)
    text = "VF 3: the PF's driver does not set linkState: Operation not supported"
    assert str(raised.value) == text
    assert raised.value.number == errno.EOPNOTSUPP


def test_what_may_not_be_set_for_want_of_privilege_says_which() -> None:
    kernel = Kernel(pf(), errno.EPERM, pf())
    with pytest.raises(FunctionError) as raised:
        kernel.links.set_vf(7, 3, VfSettings(trust=True))
    assert "CAP_NET_ADMIN" in raised.value.hint


def test_a_setting_that_is_ignored_is_no_success() -> None:
    kernel = Kernel(pf(), OK, pf())
    with pytest.raises(FunctionError, match="VF 3: the PF's driver ignored trust"):
        kernel.links.set_vf(7, 3, VfSettings(trust=True))


def test_a_vf_that_its_pf_does_not_know_is_missed() -> None:
    with pytest.raises(FunctionError, match="link 7 has no virtual function 4"):
        Kernel(pf()).links.vf(7, 4)


BEFORE = Link(
    name="ens5",
    altnames=("enp5s0", "lan"),
    mac=MAC,
    mtu=1400,
    up=True,
    addresses=(Address(family=4, address="10.0.0.1", prefix=24),),
)


def now(name: str = "eth0", mtu: int = 1500, flags: int = 0, mac: str = "020000000001") -> bytes:
    altnames = messages.attributes((53, b"enp5s0\0"))
    parts = ((3, name.encode() + b"\0"), (1, bytes.fromhex(mac)), (4, u32(mtu)), (52, altnames))
    return messages.link(9, *parts, flags=flags)


def test_a_link_gets_back_its_name_mac_mtu_altnames_addresses_and_is_up() -> None:
    kernel = Kernel(now(), OK, OK, OK, OK)
    assert kernel.links.restore(9, BEFORE) == []
    assert kernel.kinds == [GETLINK, SETLINK, NEWLINKPROP, SETLINK, NEWADDR]
    assert wire.attributes(kernel.sent[1].body, 16) == {
        3: b"ens5\0",
        1: bytes.fromhex(MAC.replace(":", "")),
        4: u32(1400),
    }
    assert kernel.sent[2].body[16:] == bytes.fromhex("0c003480 0800 3500") + b"lan\0"
    assert struct.unpack_from("=BxHiII", kernel.sent[3].body) == (0, 0, 9, 1, 1)


def test_a_link_that_is_as_it_was_is_told_nothing() -> None:
    kernel = Kernel(now("ens5", 1400, mac=MAC.replace(":", "")))
    bare = dataclasses.replace(BEFORE, altnames=("enp5s0",), up=False, addresses=())
    assert kernel.links.restore(9, bare) == []
    assert kernel.kinds == [GETLINK]


def test_a_link_that_somebody_set_up_already_is_down_while_it_is_renamed() -> None:
    kernel = Kernel(now(flags=1), OK, OK, OK)
    bare = dataclasses.replace(BEFORE, altnames=(), up=False, addresses=())
    assert kernel.links.restore(9, bare) == []
    sent = [struct.unpack_from("=BxHiII", message.body)[3:] for message in kernel.sent[1:]]
    assert sent == [(0, 1), (0, 0), (1, 1)]


def test_what_cannot_be_restored_is_said_and_the_rest_is_done() -> None:
    kernel = Kernel(now(), errno.EEXIST, errno.EPERM, OK, errno.EADDRNOTAVAIL)
    assert kernel.links.restore(9, BEFORE) == [
        "cannot set eth0 to be ens5 again: File exists",
        "cannot add altname lan: Operation not permitted",
        "cannot add 10.0.0.1/24: Cannot assign requested address",
    ]


def test_what_udev_or_the_kernel_gave_back_is_no_problem() -> None:
    kernel = Kernel(now(), OK, errno.EEXIST, OK, errno.EEXIST)
    assert kernel.links.restore(9, BEFORE) == []


def test_a_link_that_goes_again_is_missed() -> None:
    with pytest.raises(FunctionError, match="link 9 has gone"):
        Kernel(errno.ENODEV).links.restore(9, BEFORE)


@pytest.mark.parametrize(
    ("address", "body"),
    [
        (
            Address(
                family=4,
                address="10.0.0.1",
                prefix=24,
                broadcast="10.0.0.255",
                label="a:b",
                flags=0x80,
            ),
            "02188000 09000000 08000200 0a000001 08000100 0a000001"
            "08000300 613a6200 08000400 0a0000ff",
        ),
        (
            Address(family=4, address="10.0.0.1", prefix=32, peer="10.0.0.2", scope=253),
            "022000fd 09000000 08000200 0a000001 08000100 0a000002",
        ),
        (
            Address(family=6, address="2001:db8::1", prefix=64, flags=0x280, metric=7),
            "0a408000 09000000 14000200 20010db8000000000000000000000001"
            "14000100 20010db8000000000000000000000001 08000800 80020000 08000900 07000000",
        ),
    ],
    ids=["broadcast", "peer", "IPv6"],
)
def test_an_address_is_written_as_it_was(address: Address, body: str) -> None:
    assert encode_address(9, address) == bytes.fromhex(body)
