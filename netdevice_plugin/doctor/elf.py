"""The little of an ELF file that decides whether a host can run it. Pure."""

from __future__ import annotations

import dataclasses
import struct

_MACHINES = {"x86_64": 62, "aarch64": 183}  # EM_* by what uname says
_PT_INTERP = 3
_HEAD = struct.Struct("<16sHHIQQQIHHH")  # ELF64, little endian: all that the mover is built for


@dataclasses.dataclass(frozen=True, slots=True)
class Elf:
    """A program: for which machine, and whether it needs libraries."""

    machine: int
    static: bool


def parse(data: bytes) -> Elf | None:
    """Read the head of a file; None if it is no 64-bit little-endian program of ELF."""
    if len(data) < _HEAD.size or data[:6] != b"\x7fELF\x02\x01":
        return None
    head = _HEAD.unpack_from(data)
    machine, offset, size, count = head[2], head[5], head[9], head[10]
    kinds = [
        struct.unpack_from("<I", data, offset + index * size)[0]
        for index in range(count)
        if offset + index * size + 4 <= len(data)
    ]
    return Elf(machine, _PT_INTERP not in kinds)


def runs_on(program: Elf, machine: str) -> bool:
    """Whether a machine, as uname names it, runs the program; one not known here is believed."""
    return _MACHINES.get(machine, program.machine) == program.machine
