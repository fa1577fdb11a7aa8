"""A log line is one line, in the form asked for, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.operations import logs

HEADER = re.compile(
    r"^([IWEF])(\d{4}) (\d\d:\d\d:\d\d\.\d{6}) +(\d+) ([^ ]+:\d+)\] (.*)\n$", re.DOTALL
)
KEY = re.compile(r" ([\w.-]+)=", re.ASCII)


class Log:
    """A logger of a test's own, and what came out of it."""

    def __init__(self, form: logging.Formatter) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(form)
        self.logger = logging.Logger("netdevice_plugin.health")
        self.logger.addHandler(handler)

    @property
    def line(self) -> str:
        """The only line, of printable ASCII."""
        text = self.stream.getvalue()
        assert text.count("\n") == 1
        assert text.endswith("\n")
        assert all(" " <= char <= "~" for char in text[:-1])
        return text

    @property
    def decoded(self) -> dict[str, object]:
        """The line as JSON."""
        found: dict[str, object] = json.loads(self.line)
        return found

    @property
    def text(self) -> tuple[str, dict[str, object]]:
        """The line as klog's text: the message, and the values by key."""
        match = HEADER.match(self.line)
        assert match
        message, at = json.JSONDecoder().raw_decode(match[6])
        values: dict[str, object] = {}
        while at < len(match[6]):
            key = KEY.match(match[6], at)
            assert key
            values[key[1]], at = json.JSONDecoder().raw_decode(match[6], key.end())
        return message, values


def text() -> Log:
    return Log(logs.TextFormatter())


def json_() -> Log:
    return Log(logs.JsonFormatter())


both = pytest.mark.parametrize("make", [text, json_], ids=["text", "json"])


def values(log: Log) -> dict[str, object]:
    """What came by `extra`, in either form."""
    if isinstance(log.logger.handlers[0].formatter, logs.TextFormatter):
        return log.text[1]
    ours = {"ts", "level", "logger", "caller", "msg"}
    return {key: value for key, value in log.decoded.items() if key not in ours}


@pytest.mark.parametrize(
    ("level", "letter"),
    [
        *((logging.DEBUG, "I"), (logging.INFO, "I"), (logging.WARNING, "W")),
        *((logging.ERROR, "E"), (logging.CRITICAL, "F")),
    ],
)
def test_text_has_the_header_of_klog(level: int, letter: str) -> None:
    log = text()
    log.logger.log(level, "Device is %s", "unhealthy", extra={"device": "eth1"})
    match = HEADER.match(log.line)
    assert match
    assert match[1] == letter
    assert match[4] == str(os.getpid())
    assert re.fullmatch(r"test_logs\.py:\d+", match[5])
    assert match[6] == '"Device is unhealthy" device="eth1"'
    assert re.match(rf"{letter}\d{{4}} \S+ +{os.getpid()} ", log.line)
    assert log.line.index("test_logs.py") >= len("I1121 04:51:33.000000       1 ")


def test_json_has_what_collectors_look_for() -> None:
    log = json_()
    log.logger.warning("Device is unhealthy", extra={"device": "eth1"})
    assert list(log.decoded) == ["ts", "level", "logger", "caller", "msg", "device"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(log.decoded["ts"]))
    assert log.decoded["level"] == "warning"
    assert log.decoded["logger"] == "netdevice_plugin.health"
    assert str(log.decoded["caller"]).startswith("test_logs.py:")
    assert log.decoded["msg"] == "Device is unhealthy"


class Broken:
    """Something whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


@both
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (0.25, 0.25),
        (float("inf"), "inf"),
        pytest.param(10**4000, "1" + "0" * 4000, id="a large number"),
        pytest.param(10**5000, "<int>", id="a number too large to print"),
        ("", ""),
        ('a b="c" ', 'a b="c" '),
        (("eth1", 2), ["eth1", 2]),
        ([["nested"]], ["['nested']"]),
        ({"a": 1}, "{'a': 1}"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (Broken(), "<Broken>"),
    ],
)
def test_a_value_keeps_its_type_or_becomes_text(
    make: Callable[[], Log], value: object, shown: object
) -> None:
    log = make()
    log.logger.info("Said", extra={"value": value})
    assert values(log) == {"value": shown}


@both
@given(st.text(), st.text())
def test_no_message_or_value_breaks_the_line(
    make: Callable[[], Log], message: str, value: str
) -> None:
    log = make()
    log.logger.info("%s", message, extra={"value": value})
    assert values(log) == {"value": value}


@both
@pytest.mark.parametrize(
    "hostile", ["a\nb", "\x1b[31mred", "\x7f", "\u202egnp", "\udc80", 'quote" x=1', "\0", "\u2028"]
)
def test_hostile_names_are_harmless(make: Callable[[], Log], hostile: str) -> None:
    log = make()
    log.logger.info(hostile, extra={"device": hostile, hostile: 1})
    found = values(log)
    assert found["device"] == hostile
    assert len(found) == 2


@both
def test_a_value_is_not_endless(make: Callable[[], Log]) -> None:
    log = make()
    log.logger.info("x" * 10_000_000, extra={"a": "y" * 10_000_000, "b": ["z" * 5000] * 1000})
    assert len(log.line) < 450_000
    assert str(values(log)["a"]).endswith("... (10000000 characters)")


@both
def test_an_exception_is_on_the_line(make: Callable[[], Log]) -> None:
    def fail() -> None:
        raise ValueError("two\nlines")

    log = make()
    try:
        fail()
    except ValueError:
        log.logger.exception("Failed")
    found = values(log)
    assert found["err"] == "ValueError: two\nlines"
    assert str(found["stack"]).startswith("Traceback (most recent call last):\n")


@both
def test_exception_information_without_an_exception_is_none(make: Callable[[], Log]) -> None:
    log = make()
    log.logger.error("Failed", exc_info=True)
    assert values(log) == {}


@both
def test_a_stack_is_on_the_line(make: Callable[[], Log]) -> None:
    log = make()
    log.logger.info("Here", stack_info=True)
    assert str(values(log)["stack"]).startswith("Stack (most recent call last):\n")


@both
def test_arguments_that_do_not_fit_are_shown_beside_the_message(make: Callable[[], Log]) -> None:
    log = make()
    log.logger.info("%d devices", "many")
    assert "%d devices ('many',)" in log.line


def test_a_key_of_ours_is_not_overwritten() -> None:
    log = json_()
    log.logger.info("Said", extra={"level": "mine", "ts": 0})
    assert log.decoded["level"] == "info"
    assert log.decoded["level_"] == "mine"


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def limited(clock: Clock) -> Log:
    log = json_()
    log.logger.handlers[0].addFilter(logs.Repeats(clock))
    return log


def test_a_warning_that_stays_the_same_is_said_once_a_minute() -> None:
    clock = Clock()
    log = limited(clock)
    for second in range(0, 61, 10):
        clock.now = second
        log.logger.warning("Cannot register", extra={"resource": "a"})
    first, second_line = log.stream.getvalue().splitlines()
    assert "repeated" not in json.loads(first)
    assert json.loads(second_line)["repeated"] == 5


def test_what_differs_is_said() -> None:
    log = limited(Clock())
    for resource in ("a", "b"):
        log.logger.warning("Cannot register", extra={"resource": resource})
        log.logger.error("Cannot register", extra={"resource": resource})
        log.logger.info("Trying", extra={"resource": resource})
        log.logger.info("Trying", extra={"resource": resource})
    assert len(log.stream.getvalue().splitlines()) == 8


def test_what_is_remembered_is_bounded() -> None:
    log = limited(Clock())
    for number in range(logs.MAX_REMEMBERED + 1):
        log.logger.warning("Number %d", number)
    log.logger.warning("Number 0")  # forgotten, so said again
    log.logger.warning("Number %d", logs.MAX_REMEMBERED)
    assert len(log.stream.getvalue().splitlines()) == logs.MAX_REMEMBERED + 2


@pytest.fixture
def undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A stream to log to; logging is as before when the test is over."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.raiseExceptions)
    talkative = {name: logging.getLogger(name).level for name in ("asyncio", "grpc", "watchdog")}
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    yield io.StringIO()
    logging.captureWarnings(False)
    root.handlers[:], level, logging.raiseExceptions = before
    root.setLevel(level)
    for name, level in talkative.items():
        logging.getLogger(name).setLevel(level)


def test_all_logging_goes_one_way(undone: io.StringIO) -> None:
    logs.setup(logging.INFO, "json", undone)
    logging.getLogger("netdevice_plugin.x").info("Said")
    logging.getLogger("netdevice_plugin.x").debug("Not said")
    logging.getLogger("asyncio").info("Not said")
    logging.getLogger("watchdog.observers").warning("Said too")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("And a warning", stacklevel=1)
    said = [json.loads(line)["msg"] for line in undone.getvalue().splitlines()]
    assert said[:2] == ["Said", "Said too"]
    assert "And a warning" in said[2]
    assert os.environ["GRPC_VERBOSITY"] == "NONE"


def test_setting_up_again_replaces(undone: io.StringIO) -> None:
    logs.setup(logging.INFO, "json", undone)
    logs.setup(logging.DEBUG, "text", undone)
    logging.getLogger("netdevice_plugin.x").debug("Said")
    assert HEADER.match(undone.getvalue())


def test_a_stream_that_is_broken_breaks_nothing(undone: io.StringIO) -> None:
    logs.setup(logging.INFO, "text", undone)
    undone.close()
    logging.getLogger("netdevice_plugin.x").warning("Nobody hears")
