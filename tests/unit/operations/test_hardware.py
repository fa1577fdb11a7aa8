"""What functions and ports tell is what is scraped."""

from __future__ import annotations

import inspect
import pathlib

import pytest

from netdevice_plugin.functions import observer as of_functions
from netdevice_plugin.operations.hardware import HardwareMetrics, PortMetrics
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.ports import observer as of_ports
from tests.unit.operations.test_metrics import scraped


@pytest.fixture
def metrics(tmp_path: pathlib.Path) -> Metrics:
    return Metrics(tmp_path)


@pytest.mark.parametrize(
    ("observer", "ours"),
    [(of_functions.Observer, HardwareMetrics), (of_ports.Observer, PortMetrics)],
)
def test_it_hears_what_there_is_to_tell(observer: type, ours: type) -> None:
    told = {name: one for name, one in vars(observer).items() if inspect.isfunction(one)}
    told = {name: one for name, one in told.items() if not name.startswith("_")}
    assert len(told) > 1
    for name, method in told.items():
        assert inspect.signature(getattr(ours, name)) == inspect.signature(method)


def test_functions_are_counted_by_outcome_and_timed(metrics: Metrics) -> None:
    hardware = HardwareMetrics(metrics)
    assert scraped(metrics, "function_calls_total") == {}
    hardware.began()
    hardware.bound("pci-0000-03-00-1", 0.03)
    hardware.failed("pci-0000-03-00-1", "return")
    hardware.returned("pci-0000-03-00-1", 0.2)
    hardware.lent(3)
    assert scraped(metrics, "function_calls_total") == {
        ("bind", "done"): 1,
        ("bind", "failed"): 0,
        ("return", "done"): 1,
        ("return", "failed"): 1,
    }
    buckets = scraped(metrics, "function_call_duration_seconds_bucket")
    assert [buckets["bind", le] for le in ("0.025", "0.05")] == [0, 1]
    assert [buckets["return", le] for le in ("0.1", "0.25")] == [0, 1]
    assert scraped(metrics, "functions_bound") == {(): 3}
    assert "pci-0000" not in metrics.page().decode()


def test_virtual_functions_are_counted(metrics: Metrics) -> None:
    hardware = HardwareMetrics(metrics)
    hardware.vf_set("pci-0000-03-10-0")
    hardware.counted("0000:03:00.0", 8)
    hardware.not_counted("0000:03:00.0")
    assert scraped(metrics, "vf_settings_total") == {(): 1}
    assert scraped(metrics, "vf_counts_total") == {("done",): 1, ("failed",): 1}


def test_ports_are_counted_by_where_they_are(metrics: Metrics) -> None:
    ports = PortMetrics(metrics)
    ports.called("example.com/port", "attach", "quota", 0.3)
    ports.counted("example.com/port", ports=7, coming=2, leaving=1)
    assert scraped(metrics, "port_calls_total") == {("attach", "quota", "example.com/port"): 1}
    assert scraped(metrics, "port_call_duration_seconds_count") == {("attach",): 1}
    assert scraped(metrics, "ports") == {
        ("example.com/port", "here"): 4,
        ("example.com/port", "coming"): 2,
        ("example.com/port", "leaving"): 1,
    }
