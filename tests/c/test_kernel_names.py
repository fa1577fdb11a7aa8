"""What the mover takes for a link's name is what this kernel takes: asked, not remembered."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator

import pytest

from tests.c.build import Driver
from tests.kernel.scratch import Netns, netns

REQUIRED = os.environ.get("NDP_REQUIRE_KERNEL") == "1"
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not REQUIRED and os.geteuid() != 0, reason="needs root"),
]

# Renames ifb link 2 to every name on stdin, in hex, and prints what the kernel said.
RENAME = r"""
import socket, struct, sys
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
netlink.bind((0, 0))
for line in sys.stdin:
    name = bytes.fromhex(line) + b"\0"
    attribute = struct.pack("HH", 4 + len(name), 3) + name + b"\0" * (-len(name) % 4)
    body = struct.pack("BxHiII", 0, 0, int(sys.argv[1]), 0, 0) + attribute
    netlink.send(struct.pack("IHHII", 16 + len(body), 16, 5, 1, 0) + body)
    print(-struct.unpack_from("i", netlink.recv(4096), 16)[0])
"""


@pytest.fixture(scope="module")
def space() -> Iterator[Netns]:
    with netns("names") as made:
        made.ip("link", "add", "first", "type", "ifb")
        yield made


def rename(space: Netns, names: list[bytes]) -> list[int]:
    """Give the one link each of the names, and say what the kernel answered."""
    (index,) = (link["ifindex"] for link in space.json("link", "show", "type", "ifb"))
    lines = "".join(name.hex() + "\n" for name in names)
    result = space.run(sys.executable, "-c", RENAME, str(index), stdin=lines)
    return [int(line) for line in result.stdout.split()]


def test_the_kernel_and_the_mover_take_the_same_names(mover: Driver, space: Netns) -> None:
    names = [b"a" + bytes([byte]) + b"b" for byte in range(1, 256)]
    names += [b".", b"..", b"...", b"a", b"a" * 15, b"ns:1", b"a.b", b"%", b"UPPER", b"first"]
    said = rename(space, names)
    assert set(said) == {0, errno.EINVAL}
    assert [mover("names", name).number("link") for name in names] == [int(rc == 0) for rc in said]


def test_the_kernel_has_no_room_for_a_sixteenth_byte(mover: Driver, space: Netns) -> None:
    assert rename(space, [b"a" * 16]) == [errno.ERANGE]
    assert mover("names", b"a" * 16).number("link") == 0
