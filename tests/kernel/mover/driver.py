"""What a link's driver is set to, as the kernel tells it by ethtool's ioctl.

Numbers and layouts: linux/ethtool.h and linux/sockios.h.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct

from tests.kernel.mover.dump import Dump
from tests.kernel.scratch import Netns

_SIOCETHTOOL = 0x8946
_GSSET_INFO, _GSTRINGS, _SS_FEATURES = 0x37, 0x1B, 4
_GFEATURES, _SFEATURES = 0x3A, 0x3B
_NAME_SIZE = 32
_NUMBERS = {  # name -> what reads it, what sets it, and its numbers' names in order
    "channels": (0x3C, 0x3D, ("rx", "tx", "other", "combined")),
    "ring": (0x10, 0x11, ("rx", "rx-mini", "rx-jumbo", "tx")),
}


def _ioctl(link: str, data: bytes) -> bytes:
    """One request, in the namespace that this thread is in."""
    buffer = array.array("B", data)
    address, _ = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, struct.pack("16sP16x", link.encode(), address))
    return buffer.tobytes()


def _names(link: str) -> list[str]:
    answer = _ioctl(link, struct.pack("IIQI4x", _GSSET_INFO, 0, 1 << _SS_FEATURES, 0))
    (count,) = struct.unpack_from("I", answer, 16)
    head = struct.pack("III", _GSTRINGS, _SS_FEATURES, count)
    text = _ioctl(link, head + bytes(count * _NAME_SIZE))[len(head) :]
    return [
        text[at : at + _NAME_SIZE].rstrip(b"\0").decode() for at in range(0, len(text), _NAME_SIZE)
    ]


def _features(link: str) -> Dump:
    names = _names(link)
    words = (len(names) + 31) // 32
    answer = _ioctl(link, struct.pack("II", _GFEATURES, words) + bytes(16 * words))
    blocks = list(struct.iter_unpack("IIII", answer[8:]))
    found: Dump = {}
    for number, name in enumerate(names):
        block = blocks[number // 32]
        bits = [word >> number % 32 & 1 for word in block[:3]]
        if name:
            found[f"feature/{name}"] = dict(
                zip(("available", "requested", "active"), bits, strict=True)
            )
    return found


def _numbers(link: str, group: str) -> tuple[int, ...]:
    return struct.unpack("9I", _ioctl(link, struct.pack("9I", _NUMBERS[group][0], *[0] * 8)))


def _settings(link: str) -> Dump:
    found = _features(link)
    for group, (_, _, names) in _NUMBERS.items():
        try:
            numbers = _numbers(link, group)[5:]
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            continue
        found |= {f"{group}/{name}": n for name, n in zip(names, numbers, strict=True)}
    return found


def settings(space: Netns, link: str) -> Dump:
    """Every feature, ring and number of channels that the link has."""
    return space.call(lambda: _settings(link))


def is_on(space: Netns, link: str, feature: str) -> bool:
    """Whether a feature is at work."""
    found = settings(space, link)[f"feature/{feature}"]
    assert isinstance(found, dict)
    return bool(found["active"])


def set_feature(space: Netns, link: str, name: str, on: bool) -> None:
    """Want a feature on, or off; the kernel may do so later or never."""

    def work() -> None:
        names = _names(link)
        number, words = names.index(name), (len(names) + 31) // 32
        blocks = [[0, 0] for _ in range(words)]
        blocks[number // 32] = [1 << number % 32, int(on) << number % 32]
        flat = [word for block in blocks for word in block]
        _ioctl(link, struct.pack(f"II{2 * words}I", _SFEATURES, words, *flat))

    space.call(work)


def set_numbers(space: Netns, link: str, group: str, **wanted: int) -> None:
    """Set rings or channels, as `rx=2`."""

    def work() -> None:
        numbers = list(_numbers(link, group))
        numbers[0] = _NUMBERS[group][1]
        for name, number in wanted.items():
            numbers[5 + _NUMBERS[group][2].index(name)] = number
        _ioctl(link, struct.pack("9I", *numbers))

    space.call(work)
