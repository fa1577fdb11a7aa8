"""What `pip install .` leaves behind works with the base requirements alone."""

from __future__ import annotations

import pathlib
import subprocess

import netdevice_plugin
from tests.packaging.conftest import Installation

# Packages of extras, which this installation does not have, and where alone they are imported.
EXTRAS = {
    "httpx2": ".dra.cluster.",
    "keystoneauth1": ".ports.openstack.",
    "lightkube": ".dra.cluster.",
    "openstack": ".ports.openstack.",
}
IMPORT_ALL = f"""
import importlib, pkgutil, cdi, netdevice_plugin
for package in (cdi, netdevice_plugin):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(".__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if {EXTRAS}.get(error.name, "nowhere") not in module.name:
                    raise
                print(module.name)
"""


def test_command_and_mover_say_the_same_version(installation: Installation) -> None:
    command = installation.run("netdevice-plugin", "--version")
    assert command.returncode == 0, command.stderr
    assert command.stdout.split()[-1] == netdevice_plugin.__version__
    said = subprocess.run([installation.mover, "--version"], capture_output=True, check=True)
    assert said.stdout.split()[-1].decode() == netdevice_plugin.__version__


def test_the_mover_is_installed_executable(installation: Installation) -> None:
    assert installation.mover.stat().st_mode & 0o777 == 0o755


def test_every_module_finds_what_it_imports(installation: Installation) -> None:
    result = installation.run("python", "-W", "error", "-c", IMPORT_ALL)
    assert result.returncode == 0, result.stderr
    without = result.stdout.split()
    assert "netdevice_plugin.dra.cluster.api" in without
    assert "netdevice_plugin.ports.openstack.calls" in without


def test_the_installed_mover_gets_onto_the_host(
    installation: Installation, tmp_path: pathlib.Path
) -> None:
    result = installation.run("netdevice-plugin", "mover", "install", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "netdevice-mover").read_bytes() == installation.mover.read_bytes()
