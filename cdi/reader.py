"""Reads typed fields out of plain values, and notes every problem with its path.

What is wrong is noted and replaced by an empty value, so that one pass finds all
that there is to find. No rule of CDI stands here; those are in `cdi.codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeGuard, TypeVar

from cdi.errors import Problem, SpecError, quoted

T = TypeVar("T")

MAX_PROBLEMS = 1000  # a file can hold millions; nobody reads on

_TYPES = {dict: "an object", list: "a list", bool: "a boolean", int: "an integer"}
_TYPES |= {float: "a number with a fraction", str: "a string", type(None): "null"}


class Report:
    """The problems of one file so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def add(self, path: str, message: str) -> None:
        """Note a problem; raises SpecError when there are too many to go on."""
        self.problems.append(Problem(source=self.source, path=path, message=message))
        if len(self.problems) == MAX_PROBLEMS:
            more = Problem(source=self.source, message="has more problems than these")
            raise SpecError([*self.problems, more])

    def finish(self) -> None:
        """Raise SpecError if anything was noted."""
        if self.problems:
            raise SpecError(self.problems)


class Value:
    """A value of unknown type at a known place."""

    __slots__ = ("_key", "_parent", "raw", "report")

    def __init__(
        self, raw: object, report: Report, parent: Value | None = None, key: str | int = ""
    ) -> None:
        self.raw = raw
        self.report = report
        self._parent = parent
        self._key = key

    @property
    def path(self) -> str:
        """Where it is, from the top: devices[0].name."""
        above = self._parent.path if self._parent else ""
        if isinstance(self._key, int):
            return f"{above}[{self._key}]"
        if self._key and not self._key.isalnum():
            return f"{above}[{quoted(self._key)}]"
        return f"{above}.{self._key}" if above else self._key

    def problem(self, message: str) -> None:
        """Note what is wrong with this value."""
        self.report.add(self.path, message)

    def wrong(self, wanted: str) -> None:
        """Note that the value is of another type than wanted."""
        found = _TYPES.get(type(self.raw), type(self.raw).__name__)
        quote = "; quote it" if wanted == "a string" and isinstance(self.raw, int | float) else ""
        self.problem(f"must be {wanted}, not {found}{quote}")

    def text(self) -> str:
        """Read a string that a C program could take; empty when it is none."""
        if not isinstance(self.raw, str):
            self.wrong("a string")
            return ""
        if "\0" in self.raw:
            self.problem("has a NUL character")
            return ""
        if not self.raw.isascii() and any("\ud800" <= c <= "\udfff" for c in self.raw):
            self.problem("has half of a surrogate pair, which is not a character")
            return ""
        return self.raw

    def integer(self, low: int, high: int) -> int:
        """Read an integer within limits; `low` when it is none. A boolean is none."""
        if not isinstance(self.raw, int) or isinstance(self.raw, bool):
            self.wrong("an integer")
            return low
        if not low <= self.raw <= high:
            self.problem(f"must be from {low} to {high}")
            return low
        return self.raw

    def flag(self) -> bool:
        """Read a boolean."""
        if not isinstance(self.raw, bool):
            self.wrong("a boolean")
        return self.raw is True

    def items(self) -> Iterator[Value]:
        """Go through a list; nothing when it is none."""
        if not isinstance(self.raw, list):
            self.wrong("a list")
            return
        for index, item in enumerate(self.raw):
            yield Value(item, self.report, self, index)

    def members(self) -> Iterator[tuple[str, Value]]:
        """Go through an object; nothing when it is none. Keys that are no strings are noted."""
        if not isinstance(self.raw, dict):
            self.wrong("an object")
            return
        for key, member in self.raw.items():
            if isinstance(key, str):
                yield key, Value(member, self.report, self, key)
            else:
                self.problem(f"has a key that is not a string: {quoted(str(key))}")

    def fields(self, *known: str) -> Fields:
        """Read an object that may have the known keys only."""
        return Fields(self, known)


class Fields:
    """The members of an object by name. A null is as good as no member, as in Go."""

    def __init__(self, owner: Value, known: tuple[str, ...]) -> None:
        self.owner = owner
        self._members: dict[str, Value] = {}
        for key, member in owner.members():
            if key not in known:
                member.problem("unknown key" + _advice(key, known))
            elif member.raw is not None:
                self._members[key] = member

    def get(self, key: str) -> Value | None:
        """Return the member, if there is one."""
        return self._members.get(key)

    def need(self, key: str) -> Value | None:
        """Return the member, or note that it is missing."""
        if key not in self._members and isinstance(self.owner.raw, dict):
            Value(None, self.owner.report, self.owner, key).problem("is missing")
        return self._members.get(key)

    def text(self, key: str) -> str:
        """Read a string that may be left out."""
        member = self._members.get(key)
        return member.text() if member else ""

    def required(self, key: str) -> str:
        """Read a string that must be there and have something in it."""
        member = self.need(key)
        if member and member.raw == "":
            member.problem("is empty")
        return member.text() if member else ""

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of strings that may be left out."""
        member = self._members.get(key)
        if member and _are_plain_texts(member.raw):
            return tuple(member.raw)
        return self.each(key, Value.text)

    def integer(self, key: str, low: int, high: int) -> int | None:
        """Read an integer within limits that may be left out."""
        member = self._members.get(key)
        return member.integer(low, high) if member else None

    def each(self, key: str, read: Callable[[Value], T]) -> tuple[T, ...]:
        """Read a list that may be left out, item by item."""
        member = self._members.get(key)
        return tuple(read(item) for item in member.items()) if member else ()


def _are_plain_texts(raw: object) -> TypeGuard[list[str]]:
    """Whether there is no need to look at each string: most of a file is lists without a fault."""
    try:
        joined = "".join(raw) if isinstance(raw, list) else "\0"
    except TypeError:  # one of them is no string
        return False
    return joined.isascii() and "\0" not in joined


_DROPPED = frozenset(("enableCMT", "enableMBM"))


def _advice(key: str, known: tuple[str, ...]) -> str:
    if key in _DROPPED:
        return ": dropped from CDI by 1.1.0"
    import difflib  # noqa: PLC0415 - for files that are wrong only

    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(key[:40].lower(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""
