"""YAML to plain values, strict and bounded; imported only when there is YAML to read.

yaml's own loaders recurse without a limit, let a repeated key win silently and
expand aliases for ever. This one builds its values from the parser's events, so
that it can count and stop at any of them. Plain words mean what they mean to
the Go readers of the container runtimes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import yaml
from yaml import events

from cdi.errors import Problem, SpecError, quoted
from cdi.syntax import Plain

MAX_DEPTH = 32  # a Spec needs 7
MAX_NODES = 1 << 20  # aliases expanded

# YAML 1.1, and the octal of 1.2. Of the single letters readers think differently:
# as booleans they are refused wherever a string is due.
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"))
_INTEGER = re.compile(r"([-+]?)(?:0b([01_]+)|0x([0-9a-fA-F_]+)|0o?([0-7_]+)|(0|[1-9][0-9_]*))")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_BASES = (2, 16, 8, 10)


# libyaml is ten times as fast, and not everywhere.
LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(
    text: str, source: str, loader: type[yaml.SafeLoader | yaml.CSafeLoader] = LOADER
) -> Plain:
    """Read the one document of the text; raises SpecError with line and column."""
    try:
        reader = _Reader(yaml.parse(text, Loader=loader), source)
        return reader.read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        message = f"is not YAML: {error.problem}"
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        place, message = "", f"is not YAML: {str(error).partition(chr(10))[0]}"
    raise SpecError([Problem(source=source, path=place, message=message)])


class _Reader:
    def __init__(self, parsed: Iterator[events.Event], source: str) -> None:
        self._events = parsed
        self._source = source
        self._nodes = 0
        self._anchors: dict[str, tuple[Plain, int]] = {}

    def read(self) -> Plain:
        value: Plain = None
        documents = 0
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fail(event, "has more than one document")
                value = self._node(next(self._events), 0)
        return value

    def _node(self, event: events.Event, depth: int) -> Plain:
        before = self._nodes
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._fail(event, f"is nested more than {MAX_DEPTH} levels deep")
        value: Plain
        match event:
            case events.AliasEvent():
                return self._alias(event)
            case events.ScalarEvent():
                value = self._scalar(event)
            case events.MappingStartEvent():
                value = self._mapping(event, depth + 1)
            case events.SequenceStartEvent():
                value = self._sequence(event, depth + 1)
            case _:
                self._fail(event, "cannot be understood")
        if event.anchor:
            self._anchors[event.anchor] = value, self._nodes - before
        return value

    def _alias(self, event: events.AliasEvent) -> Plain:
        # An anchor is known once its node is complete, so that no value holds itself.
        name = event.anchor or ""
        if name not in self._anchors:
            self._fail(event, f"has an alias to {quoted(name)}, which is not defined yet")
        value, nodes = self._anchors[name]
        self._count(event, nodes)
        return value

    def _count(self, event: events.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._fail(event, f"has more than {MAX_NODES} values, aliases expanded")

    def _sequence(self, start: events.SequenceStartEvent, depth: int) -> list[Plain]:
        self._refuse_tag(start, start.tag)
        items: list[Plain] = []
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            items.append(self._node(event, depth))
        return items

    def _mapping(self, start: events.MappingStartEvent, depth: int) -> dict[str, Plain]:
        self._refuse_tag(start, start.tag)
        members: dict[str, Plain] = {}
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            key = self._node(event, depth)
            if not isinstance(key, str):
                self._fail(event, "has a key that is not a string: quote it")
            if key in members:
                self._fail(event, f"has the key {quoted(key)} twice in one mapping")
            members[key] = self._node(next(self._events), depth)
        return members

    def _scalar(self, event: events.ScalarEvent) -> Plain:
        text: str = event.value
        if event.tag == "tag:yaml.org,2002:str" or event.style:
            self._refuse_tag(event, event.tag, "!", "tag:yaml.org,2002:str")
            return text
        self._refuse_tag(event, event.tag)
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        return _number(text)

    def _refuse_tag(self, event: events.Event, tag: str | None, *allowed: str) -> None:
        if tag is not None and tag not in allowed:
            self._fail(event, f"has the tag {quoted(tag)}; only !!str is understood")

    def _fail(self, event: events.Event, message: str) -> NoReturn:
        mark = event.start_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError([Problem(source=self._source, path=place, message=message)])


def _number(text: str) -> int | float | str:
    """Resolve a plain word that may be a number; a word that is none stays as it is."""
    match = _INTEGER.fullmatch(text)
    if match:
        sign, *found = match.groups()
        for base, digits in zip(_BASES, found, strict=True):
            if digits and digits.strip("_"):
                return int(sign + digits.replace("_", ""), base)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    return text
