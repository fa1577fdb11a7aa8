"""As much of ELF as tells a static binary from one that needs something of its host."""

from __future__ import annotations

import dataclasses
import pathlib
import struct

PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 2, 3, 0x6474E551, 0x6474E552
DT_NEEDED = 1
PF_X = 1
MACHINES = {62: "x86_64", 183: "aarch64"}


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """One program header."""

    type: int
    flags: int
    offset: int
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Elf:
    """A 64-bit little-endian program."""

    machine: str
    position_independent: bool
    segments: tuple[Segment, ...]
    needed: int  # shared libraries

    def segment(self, kind: int) -> Segment | None:
        """The first segment of that type."""
        return next((segment for segment in self.segments if segment.type == kind), None)


def read(path: pathlib.Path) -> Elf:
    """Parse a program that a compiler has just made."""
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01", f"{path} is no 64-bit little-endian ELF"
    kind, machine = struct.unpack_from("<HH", data, 16)
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = tuple(_segment(data, start + number * size) for number in range(count))
    dynamic = (segment for segment in segments if segment.type == PT_DYNAMIC)
    needed = sum(_needed(data, segment) for segment in dynamic)
    return Elf(MACHINES[machine], kind == 3, segments, needed)


def _segment(data: bytes, at: int) -> Segment:
    kind, flags, offset = struct.unpack_from("<IIQ", data, at)
    (size,) = struct.unpack_from("<Q", data, at + 32)
    return Segment(kind, flags, offset, size)


def _needed(data: bytes, dynamic: Segment) -> int:
    entries = struct.iter_unpack("<qQ", data[dynamic.offset : dynamic.offset + dynamic.size])
    return sum(tag == DT_NEEDED for tag, _ in entries)
