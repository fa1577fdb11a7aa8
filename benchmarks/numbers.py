"""What many measurements come to, and tables of them. Pure."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import textwrap
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """Durations of one thing, in seconds, in the order in which they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The bounds of the middle half."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    def percentile(self, number: int) -> float:
        """What that many in a hundred do not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(len(ordered) * number / 100) - 1)]

    def over(self, other: Samples) -> float:
        """The ratio of the medians."""
        return self.median / other.median

    def pairwise(self, other: Samples) -> float:
        """The median of the ratios of each two that were taken one after the other.

        A machine that is slow for a while is so for both of a pair.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(one / two for one, two in pairs)

    def bounds(self, other: Samples) -> tuple[float, float]:
        """Where the ratio of the medians is with 95 % probability (bootstrap).

        Without the number of runs and their spread a ratio says little.
        """
        chance = random.Random(0)  # noqa: S311 - the same numbers give the same bounds
        ratios = sorted(
            _median_of_some(self, chance) / _median_of_some(other, chance) for _ in range(1000)
        )
        return ratios[25], ratios[974]

    def __str__(self) -> str:
        return milliseconds(self.median)

    @property
    def spread(self) -> str:
        """The quartiles, as a cell."""
        low, high = self.quartiles
        return f"{milliseconds(low)}..{milliseconds(high)}"


def _median_of_some(samples: Samples, chance: random.Random) -> float:
    return statistics.median(chance.choices(samples.seconds, k=len(samples.seconds)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Something measured, and how to read it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """For a terminal."""
        cells = (self.columns, *self.rows)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_line(row, widths) for row in cells]
        rule = "-" * len(lines[0])
        notes = (textwrap.fill(note, 100) for note in self.notes)
        return "\n".join((self.title, rule, lines[0], rule, *lines[1:], "", *notes))

    def markdown(self) -> str:
        """For docs/benchmarks.md."""
        ruler = ["---", *["---:"] * (len(self.columns) - 1)]
        rows = [f"| {' | '.join(row)} |" for row in (self.columns, ruler, *self.rows)]
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join((f"## {self.title}", "", *rows, *notes))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Put the first column to the left and numbers to the right."""
    first = row[0].ljust(widths[0])
    others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join((first, *others))


def milliseconds(seconds: float) -> str:
    """A duration with three significant digits or so; the unit stands in the column."""
    value = seconds * 1000
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def ratio(value: float) -> str:
    """How many times as long."""
    return f"{value:.2f}x" if value < 10 else f"{value:.1f}x"
