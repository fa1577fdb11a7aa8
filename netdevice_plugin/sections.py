"""A mapping that a user wrote, read key by key: strict, and every problem collected.

The configuration file and the parameters of claims are read with this. What the
keys mean is known to whoever reads; how a problem is called is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from netdevice_plugin.yamlnode import Node, Problem, join, shorten

_T = TypeVar("_T")
Parser = Callable[[str], _T]

SUGGESTIONS = 20  # problems until what was meant is not looked for any more: it takes 1 ms


class Section:
    """A mapping whose keys are taken one by one; what is wrong is collected in `problems`.

    The getters return something of the right type in any case, the fallback where
    the key is absent or wrong, so that reading goes on to the next problem.
    """

    def __init__(self, node: Node, path: str, problems: list[Problem]) -> None:
        self.node = node
        self.path = path
        self.problems = problems
        self.items: dict[str, Node] = {}
        self.known: list[str] = []
        if isinstance(node.value, dict):
            self.items = node.value
        else:
            self.report(node, path, f"must be a mapping of keys, not {node.describe()}")

    def report(self, node: Node, path: str, text: str) -> None:
        """Note a problem at a place."""
        self.problems.append(Problem(node.line, path, text))

    def complain(self, key: str, text: str) -> None:
        """Note a problem at a key that is there, or else at the mapping."""
        self.report(self.items.get(key, self.node), join(self.path, key), text)

    def refuse(self, key: str, text: str) -> None:
        """Say of a key that it is known, and why it is not taken."""
        node = self.items.get(key)
        if node is not None:
            self.complain(key, text)
            self.items = {other: value for other, value in self.items.items() if other != key}

    def require(self, key: str, text: str = "is missing") -> None:
        """Note a problem if the key is absent."""
        if isinstance(self.node.value, dict) and key not in self.items:
            self.report(self.node, join(self.path, key), text)

    def take(self, key: str) -> tuple[Node | None, str]:
        """Find a key's value, and its path."""
        self.known.append(key)
        return self.items.get(key), join(self.path, key)

    def part(self, key: str) -> Section | None:
        """Take a mapping below a key; None where the key is absent or has none."""
        node, path = self.take(key)
        if node is None:
            return None
        section = Section(node, path, self.problems)
        return section if isinstance(node.value, dict) else None

    def text(self, key: str, parser: Parser[_T], fallback: _T) -> _T:
        """Take a text, as `parser` reads it; it raises ValueError with the reason."""
        node, path = self.take(key)
        found = None if node is None else self.read(node, path, parser)
        return fallback if found is None else found

    def read(self, node: Node, path: str, parser: Parser[_T]) -> _T | None:
        """Read a text; None where it is wrong."""
        if not isinstance(node.value, str):
            scalar = isinstance(node.value, int | float)
            quotes = "; put it in quotes" if scalar else ""
            self.report(node, path, f"must be text, not {node.describe()}{quotes}")
            return None
        try:
            return parser(node.value)
        except ValueError as error:
            self.report(node, path, f"{shorten(node.value)} {error}")
            return None

    def number(self, key: str, bounds: tuple[int, int], fallback: _T) -> int | _T:
        """Take a whole number within bounds, which belong to it."""
        node, path = self.take(key)
        found = None if node is None else self.count(node, path, bounds)
        return fallback if found is None else found

    def count(self, node: Node, path: str, bounds: tuple[int, int]) -> int | None:
        """Read a whole number: no truth value, no text, no 1.0."""
        low, high = bounds
        value = node.value
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.report(node, path, f"must be a whole number from {low} to {high}")
        return None

    def flag(self, key: str, *, fallback: _T) -> bool | _T:
        """Take true or false."""
        node, path = self.take(key)
        found = None if node is None else self.truth(node, path)
        return fallback if found is None else found

    def truth(self, node: Node, path: str) -> bool | None:
        """Read true or false."""
        if isinstance(node.value, bool):
            return node.value
        self.report(node, path, f"must be true or false, not {node.describe()}")
        return None

    def nodes(self, key: str, *, empty: str = "") -> list[tuple[Node, str]]:
        """List a list's members with their paths; an empty list is a problem if `empty` says so."""
        node, path = self.take(key)
        if node is None:
            return []
        if not isinstance(node.value, list):
            self.report(node, path, f"must be a list, not {node.describe()}")
            return []
        if empty and not node.value:
            self.report(node, path, empty)
        return [(member, f"{path}[{index}]") for index, member in enumerate(node.value)]

    def texts(self, key: str, parser: Parser[_T], *, empty: str = "") -> tuple[_T, ...]:
        """Take a list of texts; those that are wrong are left out."""
        found = [self.read(node, path, parser) for node, path in self.nodes(key, empty=empty)]
        return tuple(value for value in found if value is not None)

    def finish(self) -> None:
        """Report every key that nobody took."""
        for key, node in self.items.items():
            if key not in self.known:
                meant = near(key, self.known) if len(self.problems) < SUGGESTIONS else ""
                self.report(node, join(self.path, key), f"unknown key{meant}")


def near(key: str, known: list[str]) -> str:
    """Suggest what an unknown key was meant to be, in parentheses."""
    import difflib  # noqa: PLC0415 - only mistakes need it

    folded = {word.lower(): word for word in known}
    close = difflib.get_close_matches(key.lower()[:40], folded, 1)
    if close:
        return f" (did you mean {folded[close[0]]}?)"
    return f" (known are {', '.join(known)})"
