"""What is in the way, what is not what it should be, and bugs: it goes on, or ends loudly."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.agent.process import HEALTHY, KIND, UNHEALTHY, Node
from tests.kernel.mover.harness import Containers

pytestmark = pytest.mark.timeout(90)


def big(path: Path) -> None:
    path.write_bytes(b"x=" * 5_000_000)


def nul(path: Path) -> None:
    path.write_bytes(b"\0" * 100)


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


THINGS = pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, big, nul, deep])


@THINGS
def test_what_is_no_configuration_is_refused_at_the_start_and_later(
    node: Node, make: Callable[[Path], None]
) -> None:
    thing = node.root / "thing"
    make(thing)
    agent = node.start(f"--config={thing}")
    agent.end(code=2)
    assert any(str(thing) in line for line in agent.plain if line.startswith("error: "))
    agent = node.start("--no-kubelet")
    agent.said("Device is offered", device="eth1")
    node.config.unlink()
    thing.rename(node.config)
    agent.said("Configuration refused; the one before stays in effect", reason=str(node.config))
    node.netns.ip("link", "add", "eth3", "type", "ifb")
    agent.said("Device is offered", device="eth3")
    assert agent.stop() < 2


@THINGS
def test_what_is_no_record_harms_one_device_at_most(
    cluster: Node, make: Callable[[Path], None]
) -> None:
    records = cluster.mover.run_dir / "attachments"
    records.mkdir(parents=True)
    make(records / "eth1")
    agent = cluster.run()
    cluster.listed(eth1=UNHEALTHY, eth2=HEALTHY)
    agent.said("Device is unhealthy", device="eth1", reason=str(records / "eth1"))
    (records / "eth1").rename(cluster.root / "away")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    make(records / "eth2")
    cluster.listed(eth1=HEALTHY, eth2=UNHEALTHY)
    assert agent.stop() < 2


@THINGS
def test_what_is_no_cdi_file_harms_nobody(cluster: Node, make: Callable[[Path], None]) -> None:
    cluster.cdi_dir.mkdir()
    make(cluster.cdi_dir / "thing.json")
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert agent.stop() < 2


def test_a_directory_in_place_of_the_cdi_file_is_named_until_it_is_gone(cluster: Node) -> None:
    path = cluster.cdi_dir / "networking.k8s.io-netdevice.json"
    (path / "in").mkdir(parents=True)
    agent = cluster.run()
    cluster.listed(eth1=UNHEALTHY, eth2=UNHEALTHY)
    agent.said("Device is unhealthy", device="eth1", reason=str(path))
    shutil.rmtree(path)
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_a_directory_in_place_of_the_socket_is_named_until_it_is_gone(cluster: Node) -> None:
    path = cluster.kubelet.place.plugins / "networking.k8s.io-netdevice.sock"
    path.mkdir()
    agent = cluster.start()
    agent.said("Not registered with the kubelet", reason=f"cannot serve on {path}")
    path.rmdir()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_a_checkpoint_that_is_none_is_said_and_hurts_nobody(cluster: Node) -> None:
    path = cluster.kubelet.place.plugins / "kubelet_internal_checkpoint"
    path.write_text('{"Data": {"PodDeviceEntries": 7')
    agent = cluster.run()
    agent.said("The kubelet does not say what pods have", reason=str(path))
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert cluster.metric("kubelet_queries_total", source="checkpoint", outcome="failed") >= 1


def test_the_nodes_own_address_may_move_by_configuration(cluster: Node) -> None:
    cluster.netns.ip("addr", "add", "192.0.2.7/24", "dev", "eth1")
    cluster.configure("*th*")
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.configure("*th*", nodeAddresses=["192.0.2.7"])
    agent.said("Device is unhealthy", device="eth1", reason="192.0.2.7")
    cluster.listed(eth2=HEALTHY)
    cluster.netns.ip("link", "add", "eth3", "type", "ifb")
    cluster.listed(eth2=HEALTHY, eth3=HEALTHY)
    cluster.configure("*th*")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)


def test_the_directories_may_be_swept_away_while_it_runs(
    cluster: Node, containers: Containers
) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    shutil.rmtree(cluster.cdi_dir)
    agent.said("CDI file was not as we left it: written again")
    assert set(cluster.spec()) == {"eth1", "eth2"}
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is lent", device="eth1")
    cluster.bring_home("eth1", container)
    agent.said("Device is home", device="eth1")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert agent.stop() < 2


def test_a_link_that_nobody_returned_is_noticed_with_the_remedy(
    cluster: Node, containers: Containers
) -> None:
    """That the agent brings it home itself, where it may, is tests/kernel/loans' and e2e's."""
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is lent", device="eth1")
    container.end()  # and no poststop
    agent.said("Device was not returned", device="eth1", remedy="netdevice-plugin reclaim eth1")
    assert cluster.metric("dead_holders_total") == 1
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.mover.reclaim(device="eth1").ok()
    agent.said("Device is home", device="eth1")
    agent.said("Device is in order again", device="eth1")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_what_a_container_has_that_is_no_pods_is_not_given_to_a_pod(
    cluster: Node, containers: Containers
) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is unhealthy", device="eth1", reason=container.id[:12])
    cluster.listed(eth1=UNHEALTHY, eth2=HEALTHY)
    cluster.bring_home("eth1", container)
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


BUGS = {
    "reconciler": "from netdevice_plugin.loans.reconciler import Reconciler as C; name = 'step'",
    "links": "from netdevice_plugin.agent.looking import Looking as C; name = 'follow_links'",
    "records": "from netdevice_plugin.agent.looking import Looking as C; name = 'follow_records'",
    "turn": "from netdevice_plugin.agent.offers import Offers as C; name = '_turn'",
    "store": "from netdevice_plugin.cdistore.mirror import Mirror as C; name = 'bring'",
    "server": "from netdevice_plugin.deviceplugin.server import PoolServer as C; name = '_round'",
    "question": "from netdevice_plugin.agent.asking import Asking as C; name = 'ask'",
    "pages": "from netdevice_plugin.operations.http import Server as C; name = 'start'",
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_ends_it_with_a_trace_and_whoever_runs_it_starts_it_again(
    cluster: Node, bug: str
) -> None:
    code = f"{BUGS[bug]}\nsetattr(C, name, lambda *a, **k: 1 // 0)\n"
    code += "from netdevice_plugin.cli import main\nmain(prog_name='netdevice-plugin')\n"
    result = cluster.netns.run(sys.executable, "-c", code, *cluster.command()[3:], check=False)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert "was never retrieved" not in result.stderr
    cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert cluster.metric("kubelet_stream_open", resource=KIND) == 1
