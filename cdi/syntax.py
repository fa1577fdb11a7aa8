"""Bytes to plain values and back: JSON and YAML, strict and bounded, with no notion of CDI.

Both readers refuse duplicate keys, text that is not UTF-8 and more than
`MAX_BYTES`; they raise SpecError whatever the bytes are. The writers give the
same bytes for the same value: ASCII, keys in the order of the dict, a newline
at the end.
"""

from __future__ import annotations

import collections
import json
import json.encoder
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn, TypeAlias

from cdi.errors import Problem, SpecError, quoted

Format = Literal["json", "yaml"]
Plain: TypeAlias = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None

_quote = json.encoder.encode_basestring_ascii

_YAML_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))

MAX_DEPTH = 500  # levels of JSON: fewer than Python recurses, more than any OCI configuration has
MAX_BYTES = 8 << 20  # room for more than 5,000 devices with two hooks each


def parse(data: bytes | str, *, source: str, format: Format) -> Plain:
    """Read one document; raises SpecError."""
    if len(data) > MAX_BYTES:
        _fail(source, f"is larger than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        _fail(source, f"is not UTF-8 text (byte {error.start})")
    if format == "json":
        return _parse_json(text, source)
    from cdi import yamlreader  # noqa: PLC0415 - 15 ms that most runs do without

    return yamlreader.parse(text, source)


def sniff(data: bytes) -> Format:
    """Guess the format of a file whose name does not tell: JSON starts with a brace."""
    return "json" if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else "yaml"


def dump(value: Plain, format: Format) -> bytes:
    """Write JSON or YAML, two spaces a level; raises ValueError for NaN and infinity."""
    if format == "json":
        return (indented_json(value) + "\n").encode()
    return "".join(f"{line}\n" for line in _yaml_lines(value)).encode()


def indented_json(value: Plain, level: int = 0) -> str:
    """Write JSON as `json.dumps(value, indent=2)` does, in a third of its time.

    `level` is how deep it will stand in a file; the first line is not indented.
    """
    parts: list[str] = []
    _put_json(value, "\n" + "  " * level, parts.append)
    return "".join(parts)


def _put_json(value: Plain, indent: str, put: Callable[[str], None]) -> None:
    """Loops, not comprehensions: those are calls, and nesting is bounded by Python's stack."""
    inner, separator = indent + "  ", ""
    if isinstance(value, str):
        put(_quote(value))
    elif isinstance(value, dict) and value:
        put("{")
        for key, member in value.items():
            put(f"{separator}{inner}{_quote(key)}: ")
            _put_json(member, inner, put)
            separator = ","
        put(indent + "}")
    elif isinstance(value, list) and value:
        put("[")
        for item in value:
            put(separator + inner)
            _put_json(item, inner, put)
            separator = ","
        put(indent + "]")
    else:
        put(str(value) if type(value) is int else json.dumps(value, allow_nan=False))


class _DuplicateKeyError(ValueError):
    """A JSON object has the same key twice."""


def _parse_json(text: str, source: str) -> Plain:
    try:
        value: Plain = json.loads(
            text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        _fail(source, f"is not JSON: {error.msg}", f"line {error.lineno}, column {error.colno}")
    except RecursionError:
        _fail(source, "is nested too deeply")
    except _DuplicateKeyError as error:
        _fail(source, f"has the key {error} twice in one object")
    except ValueError as error:  # an integer of thousands of digits, NaN
        _fail(source, f"has a number that cannot be read: {error}")
    if _is_deeper(value, MAX_DEPTH):
        _fail(source, "is nested too deeply")
    return value


def _is_deeper(value: Plain, levels: int) -> bool:
    """Whether containers stand in containers more than `levels` deep, found without recursion.

    Python's own reader counts on the C stack from 3.12 on, and takes what nothing else can walk.
    """
    level = [value]
    while level and levels > 0:
        level = [member for parent in level for member in _members(parent)]
        levels -= 1
    return bool(level)


def _members(value: Plain) -> list[Plain]:
    if isinstance(value, dict):
        value = list(value.values())
    return [one for one in value if isinstance(one, dict | list)] if isinstance(value, list) else []


def _unique_members(pairs: list[tuple[str, Plain]]) -> dict[str, Plain]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(key, _)] = collections.Counter(key for key, _ in pairs).most_common(1)
        raise _DuplicateKeyError(quoted(key))
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _fail(source: str, message: str, path: str = "") -> NoReturn:
    raise SpecError([Problem(source=source, path=path, message=message)])


def _yaml_lines(value: Plain) -> Iterator[str]:
    """Write a value line by line, every string and key in double quotes or plainly a word.

    Go and Python disagree on which plain words are numbers or booleans (`1e3`,
    `0o7`, `y`): quoted, a string is a string to all of them.
    """
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _yaml_member(_yaml_key(key), member)
    elif isinstance(value, list) and value:
        for item in value:
            lines = _yaml_lines(item)
            yield f"- {next(lines)}"
            yield from (f"  {line}" for line in lines)
    else:
        yield _yaml_scalar(value)


def _yaml_member(key: str, member: Plain) -> Iterator[str]:
    if isinstance(member, dict | list) and member:
        indent = "" if isinstance(member, list) else "  "
        yield f"{key}:"
        yield from (indent + line for line in _yaml_lines(member))
    else:
        yield f"{key}: {_yaml_scalar(member)}"


def _yaml_key(key: str) -> str:
    word = key.isascii() and key.isalnum() and key[0].isalpha()
    return key if word and key.lower() not in _YAML_WORDS else _yaml_scalar(key)


def _yaml_scalar(value: Plain) -> str:
    if isinstance(value, str):
        return f'"{"".join(map(_yaml_character, value))}"'
    return json.dumps(value)


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
