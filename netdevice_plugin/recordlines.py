"""A record of the mover's as lines: `key=value`, and what a value may be. Pure.

Whatever is wrong with one is said with the file, the line and the remedy.
"""

from __future__ import annotations

import re
from pathlib import Path

from netdevice_plugin.errors import AttachmentError

MAX_SIZE = 8 * 2**20  # bytes; a record with 10,000 routes has a tenth of that
NUMBER = re.compile(r"[0-9]{1,20}")

_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_UNESCAPED = re.compile(rb"[\x00-\x1f\x7f]|\\(?!x[0-9a-fA-F]{2})")
_HEX = re.compile(r"([0-9a-fA-F]{2})*")


class Lines:
    """The lines of one file by key, and typed access that names the line when it fails."""

    def __init__(self, data: bytes, path: Path) -> None:
        self.path = path
        self.lines: dict[str, list[tuple[int, bytes]]] = {}
        if len(data) > MAX_SIZE:
            raise problem(path, f"is larger than {MAX_SIZE} bytes")
        lines = data.split(b"\n")
        if lines[0] != b"format=1":
            raise self._unknown_format(lines[0])
        if lines.pop():
            raise problem(f"{path}:{len(lines) + 1}", "the last line is cut short")
        for number, line in enumerate(lines, 1):
            self._add(number, line)

    def _unknown_format(self, line: bytes) -> AttachmentError:
        if re.fullmatch(rb"format=[0-9]{1,9}", line):
            text = f"{self.path}:1: record {line.decode()} is not known here"
            return AttachmentError(text, hint="a newer netdevice-mover wrote it; upgrade this side")
        return problem(f"{self.path}:1", "is not a record: the first line is not format=1")

    def _add(self, number: int, line: bytes) -> None:
        key, equals, value = line.partition(b"=")
        if not equals:
            raise problem(f"{self.path}:{number}", "is not key=value")
        if _UNESCAPED.search(value):
            raise problem(f"{self.path}:{number}", "holds a control byte or a bare backslash")
        self.lines.setdefault(key.decode("utf-8", "replace"), []).append((number, value))

    def error(self, key: str, what: str, line: int | None = None) -> AttachmentError:
        """Say what is wrong with a key, and in which line."""
        if line is None and key in self.lines:
            line = self.lines[key][-1][0]
        return problem(f"{self.path}:{line}" if line else self.path, f"{key}: {what}")

    def every(self, key: str) -> list[tuple[int, bytes]]:
        """List the values of a key as they are written, with their lines."""
        return self.lines.get(key, [])

    def every_text(self, key: str) -> tuple[str, ...]:
        """List the values of a key."""
        return tuple(unescape(value) for _, value in self.every(key))

    def text(self, key: str, *, required: bool = False) -> str:
        """Take the one value of a key; empty if there is none and that may be."""
        found = self.every_text(key)
        if len(found) > 1:
            raise self.error(key, "given more than once")
        if required and not (found and found[0]):
            raise self.error(key, "is missing")
        return found[0] if found else ""

    def link_name(self, key: str, *, required: bool = False) -> str:
        """Take a value that the kernel would take as the name of a link."""
        name = self.text(key, required=required)
        if len(name.encode("utf-8", "surrogateescape")) > 15 or re.search(r"[\s/\0]", name):
            raise self.error(key, f"{name!r} is no name of a link")
        return name

    def number(self, key: str, top: int) -> int | None:
        """Take a number up to that one."""
        text = self.text(key)
        if not text:
            return None
        if not NUMBER.fullmatch(text) or int(text) > top:
            raise self.error(key, f"{text[:40]!r} is not a number from 0 to {top}")
        return int(text)

    def ifindex(self, key: str) -> int | None:
        """Take a number of a link."""
        return self.number(key, 2**31 - 1) or None  # 0 is for one that is not known

    def hex(self, key: str) -> bytes:
        """Take bytes."""
        self.text(key)
        return b"".join(self.every_hex(key))

    def every_hex(self, key: str) -> tuple[bytes, ...]:
        """List values that are bytes."""
        found = []
        for line, value in self.every(key):
            text = unescape(value)
            if not _HEX.fullmatch(text):
                raise self.error(key, f"{text[:40]!r} is not hex", line)
            found.append(bytes.fromhex(text))
        return tuple(found)


def unescape(value: bytes) -> str:
    """Read what the mover escapes; what is not UTF-8 stays what it was, by surrogates."""
    plain = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), value)
    return plain.decode("utf-8", "surrogateescape")


def problem(place: Path | str, what: str) -> AttachmentError:
    """Say what is wrong with a record, and what to do."""
    return AttachmentError(
        f"{place}: {what}",
        hint="the link may still be in the namespace pinned under netns/ beside it: "
        "move it home by hand with ip link, then remove the file",
    )
