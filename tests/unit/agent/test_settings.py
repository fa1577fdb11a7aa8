"""What the command line says over the configuration."""

from __future__ import annotations

from pathlib import Path

from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.config import Config


def test_what_was_not_given_is_the_configurations() -> None:
    config = Config(run_dir=Path("/a"), node_addresses=("192.0.2.1",))
    assert Settings().over(config) is config


def test_the_nodes_addresses_add_up() -> None:
    config = Config(node_addresses=("192.0.2.1", "192.0.2.2"))
    settings = Settings(node_addresses=("192.0.2.2", "2001:db8::1"))
    assert settings.over(config).node_addresses == ("192.0.2.1", "192.0.2.2", "2001:db8::1")


def test_directories_are_replaced() -> None:
    settings = Settings(run_dir=Path("/b"), kubelet_dir=Path("/c"))
    found = settings.over(Config())
    assert (found.run_dir, found.kubelet_dir) == (Path("/b"), Path("/c"))
