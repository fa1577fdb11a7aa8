"""pytest on both sides: the guest's tells what it saw, this machine's reports it as its own.

The reports cross as pytest itself writes them down, one JSON object a line; pytest-xdist
does the same with its workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import pytest

from tests.debian import FetchError
from tests.e2e.fetch import parts as runtimes
from tests.vm import dpdk, fetch
from tests.vm.guest import (
    BOOTS,
    CRASHES,
    PORT,
    SILENCE,
    EmulatorError,
    Guest,
    GuestError,
    booted,
    pytest_command,
)

HERE = pathlib.Path(__file__).parent
IN_GUEST = "NDP_GUEST" in os.environ
MOVER = pathlib.Path(os.environ.get("NDP_GUEST", "/"), "netdevice-mover")
STEPS = MOVER.with_name("netdevice-mover-steps")
_HANDED_ON = ("PATH", "NDP_REQUIRE_ALL", "NDP_REQUIRE_KERNEL")


class Reporter:
    """In the guest: each report goes out as a line."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._port = pathlib.Path(PORT).open("w", buffering=1)  # noqa: SIM115 - until poweroff
        self._port.write("ready\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write it down."""
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._port.write(json.dumps(data) + "\n")


class Relay:
    """On this machine: a test's protocol is to wait for the guest's reports of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._guest: Guest | None = None
        self._failure = ""  # why there is no guest; then there is none for all
        self._boots = 0
        self._crashes: list[str] = []  # tests in which QEMU gave up; it goes on from there
        self._stack = contextlib.ExitStack()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Report a test of this directory; leave others to pytest."""
        if HERE not in item.path.parents:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        result: list[pytest.TestReport] = []
        try:
            while not result or result[-1].when != "teardown":
                guest = self._running(item)
                try:
                    result.append(self._report(item, guest.line(SILENCE)))
                except EmulatorError:
                    if len(self._crashes) == CRASHES:
                        raise
                    self._crashes.append(item.nodeid)
                    self._guest = None
                    result.clear()
        except (FetchError, GuestError, subprocess.CalledProcessError) as error:
            self._failure = self._failure or str(error)
        if self._failure:
            result.append(self._failed(item))
        return result

    def _running(self, first: pytest.Item) -> Guest:
        """The one guest, started for the first test that needs it and all that follow."""
        if self._failure:
            raise GuestError(self._failure)
        if not self._guest:
            items = first.session.items
            left = items[items.index(first) :]
            self._guest = self._start([one.nodeid for one in left if HERE in one.path.parents])
        return self._guest

    def _start(self, tests: Sequence[str]) -> Guest:
        work = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        for binary, steps in ((MOVER, []), (STEPS, ["--steps"])):
            build = (sys.executable, "-m", "hack.build_mover", *steps, str(work / binary.name))
            subprocess.run(build, cwd=fetch.ROOT, check=True, stdout=subprocess.PIPE)
        environment = {
            **{name: os.environ[name] for name in _HANDED_ON if name in os.environ},
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "NDP_GUEST": str(work),
        }
        dpdk.root()
        runtimes()
        running = booted(fetch.kit(), work, pytest_command(tests), environment)
        guest, self._boots = self._stack.enter_context(running)
        return guest

    def _report(self, item: pytest.Item, line: str) -> pytest.TestReport:
        hook = self._config.hook
        data = json.loads(line)
        report = hook.pytest_report_from_serializable(config=self._config, data=data)
        assert isinstance(report, pytest.TestReport)
        if report.nodeid != item.nodeid:
            raise GuestError(f"the guest reported {report.nodeid} instead")
        return report

    def _failed(self, item: pytest.Item) -> pytest.TestReport:
        """What pytest reports when a fixture fails."""
        call = pytest.CallInfo.from_call(
            lambda: pytest.fail(self._failure, pytrace=False), when="setup"
        )
        report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A boot that hung is no secret, though the next one went well."""
        for test in self._crashes:
            terminalreporter.write_line(f"QEMU gave up in {test}, which was run again")
        if self._boots > 1:
            terminalreporter.write_line(f"the guest came up in boot {self._boots} of {BOOTS}")

    def pytest_sessionfinish(self) -> None:
        """Stop the guest."""
        self._stack.close()
