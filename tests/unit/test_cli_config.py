from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from netdevice_plugin import config
from netdevice_plugin.cli.config import config as command
from netdevice_plugin.errors import ConfigError

GOOD = """\
pools:
- name: fast
  frontend: dra
  selectors: [{vendors: ["8086"]}]
- name: rest
  injection: native
  selectors: [{ifNames: ["*"]}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "netdevice.yaml"
    path.write_text(GOOD)
    return path


def test_check_prints_the_pools_of_a_good_file(file: Path) -> None:
    result = CliRunner().invoke(command, ["check", str(file)])
    assert result.exit_code == 0
    assert result.stdout == (
        "networking.k8s.io/fast (dra, hook)\nnetworking.k8s.io/rest (device-plugin, native)\n"
    )


def test_check_reports_every_problem_in_a_line_and_exits_with_2(file: Path) -> None:
    file.write_text(GOOD.replace("frontend", "frontent") + "x: 1\n")
    result = CliRunner().invoke(command, ["check", str(file)])
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second, hint = result.stderr.splitlines()
    assert first == (f"error: {file}:3: pools[0].frontent: unknown key (did you mean frontend?)")
    assert second.startswith(f"error: {file}:8: x: unknown key")
    assert hint.startswith("hint: ")


def test_check_leaves_an_unreadable_file_to_the_boundary(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["check", str(tmp_path / "absent")])
    assert isinstance(result.exception, ConfigError)
    assert "absent" in str(result.exception)


def test_show_prints_what_reads_back_as_the_same(file: Path) -> None:
    loaded = config.load(file)
    for arguments in (["show", str(file)], ["show", "-o", "json", str(file)]):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0
        assert config.loads(result.stdout.encode(), "stdout") == loaded


def test_show_without_a_file_prints_the_defaults() -> None:
    result = CliRunner().invoke(command, ["show", "-o", "json"])
    assert json.loads(result.stdout)["hookTimeout"] == config.Config().hook_timeout


def test_show_refuses_a_form_that_it_does_not_know() -> None:
    result = CliRunner().invoke(command, ["show", "-o", "xml"])
    assert result.exit_code == 2
    assert "xml" in result.stderr
