"""What holds for every test: where everything is required, a skip is a failure.

`make test` sets NDP_REQUIRE_ALL=1 in CI. There a test that skips for want of a
tool or a privilege proves nothing, so it fails. What the running kernel was not
built with nobody can install: such skips start with "kernel: " and stay.

`make test` runs pytest several times, and what failed in the first is soon out of
sight: NDP_FAILED names a file that collects it, for its last lines.
"""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Generator

import pytest

REQUIRED = os.environ.get("NDP_REQUIRE_ALL") == "1"
EXCUSED = "kernel: "


def pytest_configure(config: pytest.Config) -> None:
    """Give examples time: 0.2 s is a matter of how busy the machine is, and no promise of ours.

    In the guest of tests/vm, where its plugin is not loaded, hypothesis takes a minute to import.
    """
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings  # noqa: PLC0415

        settings.register_profile("patient", settings(deadline=None))
        settings.load_profile("patient")
    logging.getLogger("watchdog.observers.inotify").addFilter(_is_no_late_event)


def _is_no_late_event(record: logging.LogRecord) -> bool:
    """Leave out what is no error: watchdog's thread had just read an event when it was stopped.

    Nobody who stops the observer of a busy directory can prevent that (watchdog 7.1,
    InotifyEmitter.queue_events).
    """
    return "called when the thread is inactive" not in record.getMessage()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge a test that skips itself, or is skipped by a marker or a fixture."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _require(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge a module that skips as a whole."""
    report = yield
    _require(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Note what failed, and with which words."""
    path = os.environ.get("NDP_FAILED")
    if path and not hasattr(terminalreporter.config, "workerinput"):  # xdist's tell the first
        found = [one for kind in ("failed", "error") for one in terminalreporter.getreports(kind)]
        with pathlib.Path(path).open("a") as file:
            file.writelines(f"{one.nodeid} ({one.when}): {_words(one)}\n" for one in found)


def _words(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else report.longreprtext
    return (text.strip().splitlines() or ["?"])[0]


def _require(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not REQUIRED or report.outcome != "skipped":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(EXCUSED):
        report.outcome = "failed"
        report.longrepr = f"skipped, but NDP_REQUIRE_ALL=1 allows no skip: {reason}"
