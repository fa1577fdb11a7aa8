from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.running import ATTACHED, keep, python

MAIN = "import sys; from netdevice_plugin.cli import main; main(sys.argv[1:], 'netdevice-plugin')"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    result = python(MAIN, _NETDEVICE_PLUGIN_COMPLETE=f"{shell}_source")
    assert result.returncode == 0, result.stderr
    assert "netdevice-plugin" in result.stdout


def completed(*words: str) -> list[str]:
    result = python(
        MAIN,
        _NETDEVICE_PLUGIN_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(("netdevice-plugin", *words)),
        COMP_CWORD=str(len(words)),
    )
    assert result.returncode == 0, result.stderr
    return [line.partition(",")[2] for line in result.stdout.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert completed("re") == ["reclaim"]
    assert completed("cdi", "generate", "--int") == ["--interfaces"]


def test_reclaim_completes_what_is_lent(tmp_path: Path) -> None:
    keep(tmp_path, ATTACHED)
    assert completed("--run-dir", str(tmp_path), "reclaim", "e") == ["eth1"]
