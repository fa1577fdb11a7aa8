"""What a PF says of its virtual functions, IFLA_VFINFO_LIST. Pure, but for `ask`.

Numbers are those of linux/if_link.h. A driver leaves out what it does not know, or
says -1: that is None here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import rtnl, wire
from netdevice_plugin.provisioning import LinkState, VfSettings

IFLA_VFINFO_LIST = 22
VF_INFO = 1
VF_MAC = 1
VF_VLAN = 2
VF_SPOOFCHK = 4
VF_LINK_STATE = 5
VF_RATE = 6
VF_TRUST = 9
VF_VLAN_LIST = 12
VF_VLAN_INFO = 1  # in that

PROTOCOLS: Mapping[str, int] = {"802.1q": 0x8100, "802.1ad": 0x88A8}
LINK_STATES = (LinkState.AUTO, LinkState.ENABLE, LinkState.DISABLE)  # by their numbers

_RTM_GETLINK = 18
_IFLA_ADDRESS = 1
_IFLA_EXT_MASK = 29
_RTEXT_FILTER_VF = 1
_RTEXT_FILTER_SKIP_STATS = 8
_MASK = wire.attribute(
    _IFLA_EXT_MASK, struct.pack("=I", _RTEXT_FILTER_VF | _RTEXT_FILTER_SKIP_STATS)
)
_IFINFO_SIZE = 16
_U32 = struct.Struct("=I")
_MAX_ADDRESS = 32  # MAX_ADDR_LEN, which struct ifla_vf_mac has room for
_UNKNOWN = 0xFFFFFFFF


def ask(
    ifindex: int, *, connect: Callable[[], rtnl.Socket] = rtnl.connect
) -> Mapping[int, VfSettings]:
    """Read what the PF with that link says of each VF, by number; raises InventoryError."""
    body = struct.pack("=4xi8x", ifindex) + _MASK
    query = rtnl.Query(f"virtual functions of link {ifindex}", _RTM_GETLINK, body)
    found = rtnl.ask([query], connect=connect)
    if not found:
        raise InventoryError(f"cannot list {query.what}: there is no such link")
    return decode(found[0])


def decode(body: bytes) -> Mapping[int, VfSettings]:
    """Read the virtual functions in an RTM_NEWLINK, by number."""
    found = wire.attributes(body, _IFINFO_SIZE)
    length = len(found.get(_IFLA_ADDRESS, b"")) or 6
    each = wire.each_attribute(found.get(IFLA_VFINFO_LIST, b""))
    return dict(_settings(nest, length) for kind, nest in each if kind == VF_INFO)


def _settings(nest: bytes, length: int) -> tuple[int, VfSettings]:
    found = wire.attributes(nest)
    mac = found.get(VF_MAC, b"")
    if len(mac) < _U32.size + length:
        raise InventoryError("netlink: a virtual function has no number")
    vlan, qos, protocol = _vlan(found)
    rate = found.get(VF_RATE, b"")
    rates = struct.unpack_from("=III", rate)[1:] if len(rate) >= 12 else (None, None)
    state = _number(found, VF_LINK_STATE)
    settings = VfSettings(
        mac=mac[4 : 4 + length].hex(":"),
        vlan=vlan,
        qos=qos,
        protocol=protocol,
        spoof_check=_flag(found, VF_SPOOFCHK),
        trust=_flag(found, VF_TRUST),
        link_state=LINK_STATES[state] if state is not None and state < len(LINK_STATES) else None,
        min_tx_rate=rates[0],
        max_tx_rate=rates[1],
    )
    return int(_U32.unpack_from(mac)[0]), settings


def _vlan(found: Mapping[int, bytes]) -> tuple[int | None, int | None, str | None]:
    """VLAN, priority and protocol; before 4.9 a kernel knew one protocol only."""
    for kind, value in wire.each_attribute(found.get(VF_VLAN_LIST, b"")):
        if kind == VF_VLAN_INFO and len(value) >= 14:
            _, vlan, qos = struct.unpack_from("=III", value)
            number = int.from_bytes(value[12:14], "big")
            names = {number: name for name, number in PROTOCOLS.items()}
            return vlan, qos, names.get(number, "802.1q")
    value = found.get(VF_VLAN, b"")
    if len(value) < 12:
        return None, None, None
    _, vlan, qos = struct.unpack_from("=III", value)
    return vlan, qos, "802.1q"


def _number(found: Mapping[int, bytes], kind: int) -> int | None:
    """The second number of a pair, the first being the VF's."""
    value = found.get(kind, b"")
    if len(value) < 8:
        return None
    number = int(_U32.unpack_from(value, 4)[0])
    return None if number == _UNKNOWN else number


def _flag(found: Mapping[int, bytes], kind: int) -> bool | None:
    number = _number(found, kind)
    return None if number is None else bool(number)


def encode(number: int, current: VfSettings, wanted: VfSettings) -> bytes:
    """Write IFLA_VFINFO_LIST with what has to change for a VF; empty if nothing has.

    The kernel takes each VLAN with its priority and protocol, and both rates at once:
    what is not wanted of these stays as it is, and without a VLAN there is neither.
    """
    goal = target(current, wanted)
    parts = b""
    if goal.mac != current.mac and goal.mac is not None:
        address = bytes.fromhex(goal.mac.replace(":", ""))
        parts += wire.attribute(VF_MAC, _U32.pack(number) + address.ljust(_MAX_ADDRESS, b"\0"))
    if _vlan_of(goal) != _vlan_of(current):
        parts += _encode_vlan(number, goal)
    if (goal.min_tx_rate, goal.max_tx_rate) != (current.min_tx_rate, current.max_tx_rate):
        rates = struct.pack("=III", number, goal.min_tx_rate or 0, goal.max_tx_rate or 0)
        parts += wire.attribute(VF_RATE, rates)
    if goal.spoof_check != current.spoof_check and goal.spoof_check is not None:
        parts += _pair(VF_SPOOFCHK, number, int(goal.spoof_check))
    if goal.link_state != current.link_state and goal.link_state is not None:
        parts += _pair(VF_LINK_STATE, number, LINK_STATES.index(goal.link_state))
    if goal.trust != current.trust and goal.trust is not None:
        parts += _pair(VF_TRUST, number, int(goal.trust))
    return wire.attribute(IFLA_VFINFO_LIST, wire.attribute(VF_INFO, parts)) if parts else b""


def target(current: VfSettings, wanted: VfSettings) -> VfSettings:
    """What a VF has once it was told what is wanted, as far as its driver tells."""
    goal = wanted.over(current)
    if goal.vlan:
        return goal
    return VfSettings(qos=0, protocol="802.1q").over(goal) if goal.vlan == 0 else goal


def _vlan_of(settings: VfSettings) -> tuple[int | None, int | None, str | None]:
    return settings.vlan, settings.qos, settings.protocol


def _encode_vlan(number: int, goal: VfSettings) -> bytes:
    values = struct.pack("=III", number, goal.vlan or 0, goal.qos or 0)
    if goal.protocol in (None, "802.1q"):  # which older kernels take, too
        return wire.attribute(VF_VLAN, values)
    protocol = PROTOCOLS[goal.protocol or "802.1q"].to_bytes(2, "big")
    info = wire.attribute(VF_VLAN_INFO, values + protocol + bytes(2))
    return wire.attribute(VF_VLAN_LIST, info)


def _pair(kind: int, number: int, value: int) -> bytes:
    return wire.attribute(kind, struct.pack("=II", number, value))
