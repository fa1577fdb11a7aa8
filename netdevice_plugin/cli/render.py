"""How results look: tables for people, plain when piped, and JSON or YAML for programs.

Names, aliases and errors come from the kernel and from files, and may hold any
bytes: nothing of them reaches a terminal unescaped.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cdi.syntax import Plain

_FOLDED = {"ADDRESSES": 18, "ALTNAMES": 15, "HOLDER": 20, "WHY NOT": 24, "ERROR": 24}  # at least
_STYLES = {
    "up": "green",
    "attached": "cyan",
    "attaching": "yellow",
    "returning": "yellow",
    "stranded": "bold red",
    "lost": "bold red",
    "dead": "red",
}


def printable(text: str) -> str:
    """Escape what would break a line or a terminal; a byte that is no UTF-8 as its number."""
    if text.isprintable():
        return text
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in decoded)


def on_terminal() -> bool:
    """Whether a person is looking."""
    return sys.stdout.isatty()


def table(headings: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Print the cells of those headings; what is missing or empty is a dash."""
    body = [[printable(row.get(heading, "") or "-") for heading in headings] for row in rows]
    escaped = [list(headings), *body]
    if on_terminal():
        _rich_table(escaped)
        return
    widths = [max(map(len, column)) for column in zip(*escaped, strict=True)]
    for row in escaped:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _rich_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal; rich obeys NO_COLOR and TERM."""
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second, for people alone
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415 - as which nothing is taken for markup

    grid = Table(box=None, pad_edge=False, header_style="bold")
    least = 0
    for heading, *cells in zip(*rows, strict=True):
        width = max(map(len, (heading, *cells)))
        width = min(width, _FOLDED.get(heading, width))
        grid.add_column(heading, overflow="fold", min_width=width)
        least += width + 2
    for row in rows[1:]:
        grid.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    console = Console()
    console.width = max(console.width, least)  # the terminal breaks what is too long, we cut none
    console.print(grid)


def document(value: Plain, form: str, *, compact: bool = False) -> None:
    """Print JSON or YAML; `compact` is JSON in one line, for a stream of them."""
    from cdi import syntax  # noqa: PLC0415 - tables do without

    value = _clean(value)
    if form == "yaml":
        click.echo(syntax.dump(value, "yaml"), nl=False)
    elif compact:
        import json  # noqa: PLC0415 - imported by syntax already

        click.echo(json.dumps(value))
    else:
        click.echo(syntax.dump(value, "json"), nl=False)


def _clean(value: Plain) -> Plain:
    """Escape bytes that are no UTF-8: parsers refuse the surrogates that stand for them."""
    if isinstance(value, dict):
        return {key: _clean(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_clean(member) for member in value]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


def iso(when: int | None) -> str | None:
    """Write a point in time, unix seconds, as 2025-11-21T02:42:00Z; None for what is none."""
    try:
        stamp = datetime.datetime.fromtimestamp(when or 0, datetime.UTC)
    except (OverflowError, ValueError, OSError):  # a record can say any number
        return None
    return None if when is None else stamp.strftime("%Y-%m-%dT%H:%M:%SZ")


def age(when: int | None, now: float) -> str:
    """Say how long ago: 5s, 12m, 3h20m, 4d."""
    if when is None or iso(when) is None:
        return ""
    seconds = max(0, int(now) - when)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60}m"
    return f"{seconds // 86400}d"
