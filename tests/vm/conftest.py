"""The guest's side: its NICs and the mover. On this machine only the relay is at work."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.kernel.mover.harness import Containers, unmount
from tests.vm import relay
from tests.vm.nics import HOST, Nics
from tests.vm.node import Node
from tests.vm.plugs import Plugs
from tests.vm.qmp import Qmp


def pytest_configure(config: pytest.Config) -> None:
    """Take this directory's tests to the guest, or tell from there how they went."""
    config.pluginmanager.register((relay.Reporter if relay.IN_GUEST else relay.Relay)(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all below this directory."""
    for item in items:
        if relay.HERE in item.path.parents:
            item.add_marker(pytest.mark.vm)
            item.add_marker(pytest.mark.timeout(600))  # each wait has its own, shorter


@pytest.fixture
def run_dir(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where the records go; what is mounted there is unmounted."""
    yield tmp_path / "run"
    unmount(tmp_path)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


@pytest.fixture
def node(run_dir: pathlib.Path) -> Iterator[Node]:
    """The guest as a node; links that a test made are gone afterwards."""
    before = {link["ifindex"] for link in HOST.links().values()}
    yield Node(run_dir)
    for name, link in HOST.links().items():  # but for NICs, which the kernel does not remove
        if link["ifindex"] not in before:
            HOST.run("ip", "link", "del", name, check=False)


@pytest.fixture
def containers(run_dir: pathlib.Path) -> Iterator[Containers]:
    """Starts containers, and ends them before the run directory goes."""
    started = Containers()
    yield started
    started.end()


@pytest.fixture(scope="session")
def all_nics() -> Nics:
    """The NICs, under names of ours, with two VFs made."""
    return Nics.found()


@pytest.fixture(scope="session")
def qmp(all_nics: Nics) -> Qmp:
    """QEMU's monitor. The guest's own NICs have their names before others come."""
    return Qmp()


@pytest.fixture
def plugs(qmp: Qmp) -> Iterator[Plugs]:
    """Plugs NICs into free slots; they are pulled at the end."""
    plugging = Plugs(qmp)
    yield plugging
    plugging.close()
