"""Configuration files of other programs: TOML and JSON that may hold anything."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from netdevice_plugin.doctor.host import Host, reason

Value: TypeAlias = object
Table: TypeAlias = Mapping[str, Value]

_LIMIT = 512 << 10  # bytes; a containerd configuration has 10,000


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that was read. With a `fault`, one line, there is nothing in `data`."""

    path: str
    data: Table = dataclasses.field(default_factory=dict)
    fault: str = ""
    changed: float = 0.0  # unix seconds


def read_toml(host: Host, path: str) -> File:
    """Read TOML."""
    return _read(host, path, "TOML", tomllib.loads)


def read_json(host: Host, path: str) -> File:
    """Read a JSON object."""
    return _read(host, path, "JSON", json.loads)


def _read(host: Host, path: str, form: str, parse: Callable[[str], Value]) -> File:
    try:
        text = host.text(path, _LIMIT)
        changed = host.stat(path).st_mtime
    except OSError as error:
        return File(path, fault=f"cannot be read: {reason(error)}")
    try:
        data = parse(text)
    except RecursionError:
        return File(path, fault=f"is not {form}: it is nested too deeply", changed=changed)
    except ValueError as error:  # both parsers' errors, and numbers of thousands of digits
        return File(path, fault=f"is not {form}: {error}", changed=changed)
    if not isinstance(data, dict):
        return File(path, fault=f"is not {form} with keys", changed=changed)
    return File(path, data, changed=changed)


def table(data: Value, *keys: str) -> Table:
    """Walk down to a table; an empty one stands for what is not there, or is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def texts(value: Value) -> tuple[str, ...] | None:
    """Take a list of texts; None for anything else."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    return None
