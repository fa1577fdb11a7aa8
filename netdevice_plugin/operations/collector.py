"""The mover's counters and errors as metrics, read at each scrape."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from netdevice_plugin import model
from netdevice_plugin.operations import catalogue
from netdevice_plugin.operations.counters import BOUNDS, COMMANDS, OUTCOMES, Counters, Counts


class MoverCollector(Collector):
    """Reads what movers left under the run directory; broken files are logged, not raised."""

    def __init__(self, run_dir: Path) -> None:
        self._counters = Counters(run_dir / "counters")
        self._errors = run_dir / "errors"

    def describe(self) -> Iterator[Metric]:
        """Name the families without reading anything."""
        yield _counter(catalogue.RUNS)
        yield _counter(catalogue.FAILURES)
        yield _histogram(catalogue.DURATION)
        yield _gauge(catalogue.STANDING)

    def collect(self) -> Iterator[Metric]:
        """Read, and make the families."""
        counts = self._counters.read()
        yield _runs(counts)
        yield _failures(counts)
        yield _durations(counts)
        standing = _gauge(catalogue.STANDING)
        standing.add_metric((), _standing(self._errors))
        yield standing


def _counter(metric: catalogue.Metric) -> CounterMetricFamily:
    return CounterMetricFamily(metric.full_name, metric.text, labels=metric.labels)


def _gauge(metric: catalogue.Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.text, labels=metric.labels)


def _histogram(metric: catalogue.Metric) -> HistogramMetricFamily:
    return HistogramMetricFamily(metric.full_name, metric.text, labels=metric.labels)


def _runs(counts: Counts) -> Metric:
    family = _counter(catalogue.RUNS)
    for command, outcome in itertools.product(COMMANDS, OUTCOMES):
        family.add_metric((command, outcome), counts["runs", command, outcome])
    return family


def _failures(counts: Counts) -> Metric:
    """By step; those that the mover had no room for are `other`, so that the sum is right."""
    family = _counter(catalogue.FAILURES)
    other = {command: counts["runs", command, "failed"] for command in COMMANDS}
    for (key, command, step), count in counts.items():
        if key == "failed":
            other[command] -= count
            family.add_metric((command, step), count)
    for command, count in other.items():
        if count > 0:
            family.add_metric((command, "other"), count)
    return family


def _durations(counts: Counts) -> Metric:
    family = _histogram(catalogue.DURATION)
    for command in COMMANDS:
        running = itertools.accumulate(counts["times", command, bound] for bound in BOUNDS)
        seconds = counts["times", command, "sum"] / 1_000_000
        family.add_metric((command,), list(zip(BOUNDS, running, strict=True)), seconds)
    return family


def _standing(errors: Path) -> int:
    try:
        with os.scandir(errors) as entries:
            return sum(model.is_dns_label(entry.name) for entry in entries)
    except OSError:
        return 0
