"""What a command does not use it does not import: each tenth of a second is felt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.running import prepare, python
from tests.unit.dra.claimed import ref

CODE = """
import sys
from netdevice_plugin.cli import main
try:
    main(sys.argv[1:], "netdevice-plugin")
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {
    *("asyncio", "grpc", "httpx2", "lightkube", "pyroute2", "rich", "ssl", "watchdog", "yaml"),
    "hypothesis",
}


def imported(*arguments: str) -> set[str]:
    """The packages that a command imports, and our own modules."""
    result = python(CODE, *arguments)
    assert result.returncode == 0, result.stderr
    modules = result.stderr.split()
    ours = {name for name in modules if name.startswith("netdevice_plugin.")}
    return ours | {name.partition(".")[0] for name in modules}


def test_the_version_needs_nothing_but_the_command_line() -> None:
    found = imported("--version")
    assert not found & HEAVY
    assert {name for name in found if name.startswith("netdevice_plugin.")} == {
        "netdevice_plugin.cli",
        "netdevice_plugin.cli.boundary",
        "netdevice_plugin.cli.options",
        "netdevice_plugin.cli.render",
        "netdevice_plugin.errors",
    }


@pytest.mark.parametrize("arguments", [("--help",), ("cdi", "generate", "--help")])
def test_help_needs_neither_inventory_nor_configuration(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert not found & HEAVY
    assert not found & {"netdevice_plugin.config", "netdevice_plugin.inventory"}


def test_status_reads_files_and_nothing_else(tmp_path: object) -> None:
    found = imported("status", "--run-dir", str(tmp_path))
    assert not found & (HEAVY | {"netdevice_plugin.inventory", "netdevice_plugin.dra"})


def test_status_of_claims_asks_nobody_either(tmp_path: Path) -> None:
    prepare(tmp_path / "kubelet", ref(), "eth1")
    config = tmp_path / "config.yaml"
    config.write_text(f"pools: []\nkubeletDir: {tmp_path}/kubelet\n")
    found = imported("status", "--run-dir", str(tmp_path), "--config", str(config))
    assert "netdevice_plugin.dra.checkpoint" in found
    assert not found & ((HEAVY - {"yaml"}) | {"netdevice_plugin.dra.cluster"})


def test_yaml_is_imported_where_there_is_some_to_read() -> None:
    assert "yaml" not in imported("config", "show", "-o", "json")


def test_the_agent_has_no_client_of_the_api_server_before_a_pool_asks_for_dra() -> None:
    result = python("import sys, netdevice_plugin.agent.agent; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    assert "netdevice_plugin.agent.claiming" in result.stdout.split()
    assert not {"httpx2", "lightkube", "msgspec"} & set(result.stdout.split())
