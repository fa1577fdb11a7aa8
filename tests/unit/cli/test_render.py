from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import click
import pytest
import yaml
from click.testing import CliRunner

from netdevice_plugin.cli import render

ROWS: list[Mapping[str, str]] = [
    {"NAME": "eth1", "STATE": "up"},
    {"NAME": "a\x1b[31m\n\udcff", "STATE": ""},
]


def printed(function: object, *arguments: object, **options: object) -> str:
    command = click.Command("x", callback=lambda: function(*arguments, **options))  # type: ignore[operator]
    result = CliRunner().invoke(command)
    assert result.exception is None, result.exception
    return result.stdout


def test_a_table_is_aligned_and_holds_no_control_characters() -> None:
    assert printed(render.table, ("NAME", "STATE"), ROWS).splitlines() == [
        "NAME             STATE",
        "eth1             up",
        r"a\x1b[31m\n\xff  -",
    ]


def test_a_heading_whose_cell_is_missing_gets_a_dash() -> None:
    assert printed(render.table, ("NAME", "MORE"), ROWS[:1]).splitlines()[1] == "eth1  -"


def test_no_row_leaves_the_headings() -> None:
    assert printed(render.table, ("NAME", "STATE"), []) == "NAME  STATE\n"


VALUE = {"error": "\x1b \udcff", "list": ["é", 1, None, True]}
READ = {"error": "\x1b \\xff", "list": ["é", 1, None, True]}


def test_documents_can_be_read_by_any_parser() -> None:
    assert json.loads(printed(render.document, VALUE, "json")) == READ
    assert yaml.safe_load(printed(render.document, VALUE, "yaml")) == READ


def test_a_stream_of_documents_has_one_in_each_line() -> None:
    text = printed(render.document, VALUE, "json", compact=True)
    assert text.count("\n") == 1
    assert json.loads(text) == READ


@pytest.mark.parametrize(
    ("when", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_700_000_000, "2023-11-14T22:13:20Z"), (2**64, None)],
)
def test_a_time_is_iso_8601_where_there_is_such_a_time(when: int, text: str | None) -> None:
    assert render.iso(when) == text
    assert render.iso(None) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (3600, "1h0m"), (86399, "23h59m"), (86400, "1d")],
)
def test_an_age_is_short(seconds: int, text: str) -> None:
    assert render.age(1_000_000, 1_000_000 + seconds) == text
    assert render.age(None, 5) == render.age(2**64, 5) == ""


TERMINAL = """
from netdevice_plugin.cli import render
row = {"NAME": "[bold]eth1[/bold]", "STATE": "up", "WHY NOT": "a long reason " * 9 + "end"}
render.table(("NAME", "STATE", "WHY NOT"), [row])
"""


def on_terminal(columns: int, **environment: str) -> str:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), **environment}
    with subprocess.Popen([sys.executable, "-c", TERMINAL], stdout=theirs, env=variables):
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while chunk := os.read(ours, 4096):
                text += chunk
    os.close(ours)
    return text.decode()


@pytest.mark.parametrize("columns", [20, 80])
def test_a_terminal_gets_colour_and_all_of_the_text(columns: int) -> None:
    text = on_terminal(columns)
    assert "\x1b[32mup" in text
    assert "[bold]eth1[/bold]" in text
    assert text.count("long") == 9
    assert "end" in text


def test_a_terminal_gets_no_colour_where_none_is_wanted() -> None:
    assert "\x1b[32m" not in on_terminal(80, NO_COLOR="1")
