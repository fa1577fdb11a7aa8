"""The guest's side: its NICs and the mover. On this machine only the relay is at work."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e import containerd as containerds
from tests.e2e import criruntime, image
from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.e2e.fetch import Parts
from tests.e2e.fetch import parts as fetch_parts
from tests.e2e.node import Node as Machine
from tests.fakes.kubelet import Kubelet
from tests.kernel.mover.harness import Containers, unmount
from tests.vm import dpdk, relay
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


@pytest.fixture(scope="session")
def machine(all_nics: Nics) -> Machine:
    """The guest as a host for container runtimes, with the mover where it is installed."""
    installed = pathlib.Path("/opt/netdevice-plugin/bin", relay.MOVER.name)
    installed.parent.mkdir(parents=True)
    shutil.copy(relay.MOVER, installed)
    HOST.sysctl("ipv4/ip_forward", "1")  # else CNI does, in mid test
    return Machine(os.getpid(), "ndp")


@pytest.fixture(scope="session")
def parts() -> Parts:
    """containerd and CNI's plugins, which were fetched before the guest started."""
    return fetch_parts()


@pytest.fixture(scope="session")
def running_containerd(machine: Machine, parts: Parts) -> Iterator[Containerd]:
    """One daemon for all tests; its only image has testpmd besides busybox."""
    archive = pathlib.Path("/run/image.tar")
    image.write(archive, dpdk.root())
    with containerds.containerd(machine, parts, archive) as daemon:
        archive.unlink()
        yield daemon


@pytest.fixture
def containerd(running_containerd: Containerd) -> Iterator[Containerd]:
    """The same, without a pod at the end."""
    yield running_containerd
    running_containerd.clear()


@pytest.fixture
def kubelet(machine: Machine, parts: Parts, containerd: Containerd) -> Iterator[Kubelet]:
    """A kubelet on the guest, with nothing of an earlier one; it runs pods in containerd."""
    root = pathlib.Path("/var/lib/kubelet")
    shutil.rmtree(root, ignore_errors=True)
    with Kubelet(root, criruntime.connector(machine, parts, containerd)) as running:
        yield running


@pytest.fixture
def agents(machine: Machine, kubelet: Kubelet, tmp_path: pathlib.Path) -> Iterator[Agents]:
    """Starts agents; whatever they did must be right."""
    running = Agents(machine, kubelet, tmp_path)
    yield running
    running.close()
    for path in pathlib.Path("/run/cdi").iterdir():
        path.unlink()
