"""The names in a PromQL expression: enough of its grammar to tell metrics from all else."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[[^]]*\])|(?P<name>[a-zA-Z_:][\w:]*)"""
    r"""|(?P<number>[0-9][\w.]*)|(?P<sign>=~|!~|[=!<>]=|\S)""",
)
# What is followed by a list of labels.
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_CALLS = {"(", "by", "without"}  # what follows a function or an aggregation
_WORDS = _LISTS | {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """What an expression asks for."""

    metrics: frozenset[str]
    labels: frozenset[str]  # in selectors, and in the lists of `by`, `on`, ...


def names(expression: str) -> Names:
    """Take an expression apart; `$` variables of Grafana are in strings and ranges alone."""
    metrics, labels = set(), set()
    tokens = list(_tokens(expression))
    inside = ""  # "{" in a selector, "(" in a list of labels
    for at, (sort, text) in enumerate(tokens):
        following = tokens[at + 1][1].lower() if at + 1 < len(tokens) else ""
        before = tokens[at - 1][1].lower() if at else ""
        if text == "{" or (text == "(" and before in _LISTS):
            inside = text
        elif text in ("}", ")") and inside:
            inside = ""
        elif sort == "name" and inside:
            labels.add(text)
        elif sort == "name" and following not in _CALLS and text.lower() not in _WORDS:
            metrics.add(text)
    return Names(frozenset(metrics), frozenset(labels))


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(expression):
        if found.lastgroup:
            yield found.lastgroup, found[0]
