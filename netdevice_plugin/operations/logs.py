"""Log lines as Kubernetes components write them: klog's text, or one JSON object a line.

    _log.warning("Device is unhealthy", extra={"device": name, "reason": why})

    W1121 04:51:33.000000       1 health.py:12] "Device is unhealthy" device="eth1" reason="gone"
    {"ts": "2026-11-21T04:51:33.000000Z", "level": "warning", "logger": "netdevice_plugin.health",
     "caller": "health.py:12", "msg": "Device is unhealthy", "device": "eth1", "reason": "gone"}

An event is one line of printable ASCII, whatever is in its message and values: names of
links and pods are others' choice. Two formatters for the standard library's logging do
it; a structured-logging package would bring calls of its own into every module.
"""

from __future__ import annotations

import collections
import datetime
import json
import logging
import math
import os
import re
import time
import traceback
from collections.abc import Callable
from typing import TextIO

MAX_TEXT = 4096  # characters of a message or a value
MAX_STACK = 16384
REPEAT_SECONDS = 60.0
MAX_REMEMBERED = 256

Value = bool | int | float | str | None | list["Value"]

# What every record has; anything else came by `extra`.
_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_SEVERITY = {logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}
# At INFO and below they tell of what concerns nobody here.
_TALKATIVE = ("asyncio", "concurrent.futures", "grpc", "httpcore2", "httpx2", "watchdog")


def _clip(text: str, limit: int = MAX_TEXT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _scalar(value: object) -> Value:
    """Leave what JSON has; all else is its str()."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    try:
        return _clip(str(value))
    except Exception:  # somebody's __str__: the rest of the line is worth having
        return f"<{type(value).__name__}>"


def _value(value: object) -> Value:
    if isinstance(value, list | tuple | set | frozenset):
        return [_scalar(one) for one in list(value)[:100]]
    return _scalar(value)


def _json(value: object) -> str:
    # json leaves DEL as it is, which a terminal does not.
    return json.dumps(value).replace("\x7f", "\\u007f")


def _message(record: logging.LogRecord) -> str:
    try:
        return _clip(record.getMessage())
    except Exception:  # arguments that do not fit the format
        return _clip(f"{record.msg!s} {record.args!r}")


def fields(record: logging.LogRecord) -> dict[str, Value]:
    """What came by `extra`, and `err` and `stack` of an exception."""
    found = {
        re.sub(r"[^\w.-]", "_", key, flags=re.ASCII): _value(value)
        for key, value in vars(record).items()
        if key not in _PLAIN
    }
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        found.setdefault("err", _scalar(f"{type(error).__name__}: {error}"))
        found["stack"] = _clip("".join(traceback.format_exception(error)), MAX_STACK)
    elif record.stack_info:
        found["stack"] = _clip(record.stack_info, MAX_STACK)
    return found


class TextFormatter(logging.Formatter):
    """klog's header, the message quoted, then key=value; local time, as klog has it."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        when = datetime.datetime.fromtimestamp(record.created)
        letter = _SEVERITY.get(record.levelno, "I")
        head = f"{letter}{when:%m%d %H:%M:%S.%f} {record.process or 0:7d}"
        words = [f"{key}={_json(value)}" for key, value in fields(record).items()]
        where = f"{_ascii(record.filename)}:{record.lineno}]"
        return " ".join([head, where, _json(_message(record)), *words])


class JsonFormatter(logging.Formatter):
    """An object with `ts` (RFC 3339, UTC), `level`, `logger`, `caller`, `msg`, and all else."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line; a key of ours that comes by `extra` as well gets an underscore."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Value] = {
            "ts": f"{when:%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "caller": f"{record.filename}:{record.lineno}",
            "msg": _message(record),
        }
        for key, value in fields(record).items():
            line[f"{key}_" if key in line else key] = value
        return _json(line)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


class Repeats(logging.Filter):
    """Lets a warning or error pass once a minute while it stays the same, and says how often.

    What is retried for ever would else fill a disk with one sentence.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: collections.OrderedDict[tuple[object, ...], tuple[float, int]]
        self._last = collections.OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to let it pass; `repeated` is how many were held back before it."""
        if record.levelno < logging.WARNING:
            return True
        key = (record.name, record.levelno, _message(record), str(fields(record)))
        now = self._clock()
        since, held = self._last.pop(key, (-math.inf, 0))
        if now - since < REPEAT_SECONDS:
            self._last[key] = (since, held + 1)
            return False
        if held:
            record.repeated = held
        self._last[key] = (now, 0)
        if len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        return True


def setup(level: int, form: str, stream: TextIO | None = None) -> logging.Handler:
    """Send all logging of this process to stderr, or `stream`, as `text` or `json`.

    Call it before grpc is imported: its C core reads then that it is to be quiet, and
    would write lines of its own form beside ours. Python's warnings are logged too.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(Repeats())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk or closed pipe is no reason for more output
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # To it, an event that comes while a watch ends is an error.
    logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)
    return handler
