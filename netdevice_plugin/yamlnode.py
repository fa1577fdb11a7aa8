"""What a YAML document is read into, and how a place in it is called. No YAML here.

`yamltree` reads, and imports PyYAML, which commands without a file can do without.
"""

from __future__ import annotations

import dataclasses
import re

_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")

Scalar = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A value and the line (from 1) of its key, or of itself where it has none."""

    value: Scalar | list[Node] | dict[str, Node]
    line: int

    def describe(self) -> str:
        """Name the value for a message: a list, nothing, the number 8086."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if self.value is None:
            return "nothing"
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        kind = "text" if isinstance(self.value, str) else "number"
        return f"the {kind} {shorten(self.value)}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and where: path is like `pools[0].name`."""

    line: int
    path: str
    text: str


class YamlError(Exception):
    """The text cannot be made into a tree at all."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def shorten(value: Scalar) -> str:
    """Quote a value of the user's for a message: on one line, and not for ever."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def join(path: str, key: str) -> str:
    """Extend a path by a key, in quotes where it is not a short plain word."""
    word = key if _WORD.fullmatch(key) else shorten(key)
    return f"{path}.{word}" if path else word
