"""The command: how it prints, and what it imports. tests/kernel/cli runs it."""

from __future__ import annotations

import pytest

from netdevice_plugin.cli.doctor import describe, show
from netdevice_plugin.doctor import finding
from tests.unit.cli.running import python
from tests.unit.cli.test_imports import HEAVY, imported

GOOD = finding.ok("kernel/version", "Linux 6.1", "has all")
ODD = finding.warn("cdi/bad-file", "/etc/cdi/\x1b[31m\udcff.json", "is not JSON", "correct\nit")
BAD = finding.fail("containerd/cdi", "containerd 1.7.24", "CDI is off", "switch it on")


def test_a_line_for_each_finding_and_its_remedy_below(capsys: pytest.CaptureFixture[str]) -> None:
    show([GOOD, ODD, BAD])
    assert capsys.readouterr().out.splitlines() == [
        "ok    kernel/version  Linux 6.1: has all",
        r"warn  cdi/bad-file    /etc/cdi/\x1b[31m\xff.json: is not JSON",
        r"      remedy: correct\nit",
        "fail  containerd/cdi  containerd 1.7.24: CDI is off",
        "      remedy: switch it on",
        "1 ok, 1 warn, 1 fail",
    ]


def test_the_same_for_programs() -> None:
    assert describe([GOOD, BAD]) == {
        "worst": "fail",
        "findings": [
            {
                "level": "ok",
                "check": "kernel/version",
                "subject": "Linux 6.1",
                "finding": "has all",
                "remedy": None,
            },
            {
                "level": "fail",
                "check": "containerd/cdi",
                "subject": "containerd 1.7.24",
                "finding": "CDI is off",
                "remedy": "switch it on",
            },
        ],
    }


@pytest.mark.parametrize(
    ("findings", "code"), [((), 0), ((GOOD,), 0), ((GOOD, ODD), 5), ((BAD, ODD, GOOD), 6)]
)
def test_the_exit_code_is_the_worst(findings: tuple[finding.Finding, ...], code: int) -> None:
    assert finding.EXIT_CODES[finding.worst(findings)] == code


@pytest.mark.parametrize("arguments", [("--help",), ("doctor", "--help")])
def test_help_imports_nothing_of_it(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert not found & HEAVY
    assert not [name for name in found if name.startswith("netdevice_plugin.doctor")]


def test_it_needs_neither_asyncio_nor_grpc() -> None:
    code = "import sys; from netdevice_plugin.doctor import examination; print(*sys.modules)"
    found = set(python(code).stdout.split())
    assert "netdevice_plugin.doctor.node" in found
    assert not found & {"asyncio", "grpc", "rich", "watchdog", "prometheus_client", "yaml"}
