"""A filter in the kernel for news of routes that say nothing of a link. Pure.

A routing daemon changes thousands of routes in a second. `routes.matters` would pass
them over, but even that takes a wake-up each, and they would fill the socket's buffer.
"""

from __future__ import annotations

import struct
import sys

from netdevice_plugin.inventory.routes import ROUTING_DAEMONS, RTN_UNICAST

# Classic BPF, linux/filter.h: load a byte; jump if equal, if any bit is set; return.
_LOAD, _EQUAL, _SET, _RETURN = 0x30, 0x15, 0x45, 0x06
_PASS, _DROP = 0xFFFFFFFF, 0

# Where things are in a message: nlmsghdr, then rtmsg.
_LITTLE = sys.byteorder == "little"
_KIND, _KIND_HIGH = (4, 5) if _LITTLE else (5, 4)
_REPLACE = 7 if _LITTLE else 6  # the byte of nlmsg_flags where NLM_F_REPLACE is the first bit
_LENGTH, _PROTOCOL, _TYPE = 16 + 1, 16 + 5, 16 + 7

_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25

Step = tuple[int, int, str, str]  # instruction, operand, where to go if so, and if not


def program() -> bytes:
    """Drop news of routes that do not matter, but for those that took the place of another.

    That may have been one that does.
    """
    steps: list[tuple[str, Step]] = [
        ("", (_LOAD, _KIND_HIGH, "", "")),
        ("", (_EQUAL, 0, "", "pass")),
        ("", (_LOAD, _KIND, "", "")),
        ("", (_EQUAL, _RTM_NEWROUTE, "route", "")),
        ("", (_EQUAL, _RTM_DELROUTE, "route", "pass")),
        ("route", (_LOAD, _REPLACE, "", "")),
        ("", (_SET, 1, "pass", "")),
        ("", (_LOAD, _TYPE, "", "")),
        ("", (_EQUAL, RTN_UNICAST, "", "drop")),
        ("", (_LOAD, _LENGTH, "", "")),
        ("", (_EQUAL, 0, "pass", "")),
        ("", (_LOAD, _PROTOCOL, "", "")),
        *(("", (_EQUAL, number, "drop", "")) for number in sorted(ROUTING_DAEMONS)),
        ("pass", (_RETURN, _PASS, "", "")),
        ("drop", (_RETURN, _DROP, "", "")),
    ]
    places = {label: at for at, (label, _) in enumerate(steps) if label}
    return b"".join(
        struct.pack("=HBBI", code, *(_offset(places, at, to) for to in (yes, no)), operand)
        for at, (_, (code, operand, yes, no)) in enumerate(steps)
    )


def _offset(places: dict[str, int], at: int, label: str) -> int:
    """How many instructions to skip; the next one without a label."""
    return places[label] - at - 1 if label else 0
