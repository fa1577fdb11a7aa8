"""YAML as a tree that knows its lines, and no more of YAML than a configuration needs.

PyYAML's loaders keep the last of two equal keys, expand aliases without end, read
0000:03:00.1 as a number to the base of sixty, and forget where each value stood.
So the tree is built here from PyYAML's events, with the scalars of YAML 1.2's
core schema. This module knows nothing of what the values mean.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import yaml

from netdevice_plugin.yamlnode import Node, Problem, Scalar, YamlError, join, shorten

MAX_DEPTH = 16

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def parse(text: str, problems: list[Problem]) -> Node:
    """Build the tree of the one document in `text`.

    Keys that are given twice are added to `problems`, and the first one counts.
    Raises YamlError for what is no YAML, or YAML of a kind that is not read here:
    aliases, tags, several documents, keys that are not text, more than
    `MAX_DEPTH` levels.
    """
    documents = _documents(text, problems)
    _, node = next(documents, (1, Node(None, 1)))
    if second := next(documents, None):
        raise YamlError(second[0], "a second document begins here; only one is read")
    return node


def parse_all(text: str, problems: list[Problem]) -> list[Node]:
    """Build the tree of each document in `text`, as `parse` does of one."""
    return [node for _, node in _documents(text, problems)]


def _documents(text: str, problems: list[Problem]) -> Iterator[tuple[int, Node]]:
    """Build one tree after the other, each with the line that its document begins in."""
    events = yaml.parse(text, Loader=_LOADER)
    try:
        next(events)  # the start of the stream
        while not isinstance(start := next(events), yaml.StreamEndEvent):
            yield _line(start), _node(next(events), events, "", problems)
            next(events)  # the end of the document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "cannot be read"
        raise YamlError(mark.line + 1 if mark else 1, f"not valid YAML: {what}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if error.position > 0 else 1
        raise YamlError(line, f"not valid YAML: {error.reason}") from error


def _node(
    event: yaml.Event,
    stream: Iterator[yaml.Event],
    path: str,
    problems: list[Problem],
    depth: int = 0,
) -> Node:
    line = _line(event)
    place = path or "the document"
    if depth > MAX_DEPTH:
        raise YamlError(line, f"nested more than {MAX_DEPTH} levels deep")
    match event:
        case yaml.AliasEvent():
            raise YamlError(line, f"{place}: aliases are not read; write it out")
        case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
            raise YamlError(line, f"{place}: the tag {shorten(tag)} is not read; use quotes")
        case yaml.ScalarEvent():
            return Node(_resolve(event.value) if event.implicit[0] else event.value, line)
        case yaml.SequenceStartEvent():
            return Node(_sequence(stream, path, problems, depth + 1), line)
        case _:
            return Node(_mapping(stream, path, problems, depth + 1), line)


def _sequence(
    stream: Iterator[yaml.Event], path: str, problems: list[Problem], depth: int
) -> list[Node]:
    items: list[Node] = []
    while not isinstance(event := next(stream), yaml.SequenceEndEvent):
        items.append(_node(event, stream, f"{path}[{len(items)}]", problems, depth))
    return items


def _mapping(
    stream: Iterator[yaml.Event], path: str, problems: list[Problem], depth: int
) -> dict[str, Node]:
    items: dict[str, Node] = {}
    while not isinstance(event := next(stream), yaml.MappingEndEvent):
        line = _line(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise YamlError(line, f"{path or 'the document'}: a key must be text")
        key = event.value
        place = join(path, key)
        value = _node(next(stream), stream, place, problems, depth)
        if key in items:
            text = f"given twice, first in line {items[key].line}"
            problems.append(Problem(line, place, text))
        else:
            items[key] = dataclasses.replace(value, line=line)
    return items


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _resolve(text: str) -> Scalar:
    """Read an unquoted scalar as YAML 1.2's core schema does (10.3.2)."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text) and len(text) < 20:
        return int(text, 0 if text[1:2] in ("o", "x") else 10)
    if _FLOAT.fullmatch(text) or _INT.fullmatch(text):
        return float(text.replace(".inf", "inf")) if len(text) < 20 else float("inf")
    return text
