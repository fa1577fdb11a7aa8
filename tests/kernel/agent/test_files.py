"""CDI files before devices are healthy, and records of the mover that are broken."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from tests.kernel.agent.process import FILE, HEALTHY, KIND, UNHEALTHY, Node, mounted
from tests.kernel.mover.harness import Containers

pytestmark = pytest.mark.timeout(90)


def fill(directory: pathlib.Path) -> pathlib.Path:
    """Leave no room on a small file system."""
    path = directory / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path


def test_the_file_has_every_device_that_is_healthy_at_the_kubelet(cluster: Node) -> None:
    """A thread of the kubelet's looks, whenever it gets a list, at what a runtime would find."""
    cluster.run()
    wrong: list[object] = []
    seen = 0
    devices = cluster.kubelet.life.devices
    with cluster.kubelet.changes.lock:
        received = devices.received

        def look(resource: str, listed: tuple[object, ...]) -> None:
            nonlocal seen
            seen += 1
            there = cluster.spec()
            missing = [one for one in listed if one.healthy and one.id not in there]  # type: ignore[attr-defined]
            wrong.extend(missing)
            received(resource, listed)  # type: ignore[arg-type]

        devices.received = look  # type: ignore[method-assign, assignment]
    names = [f"eth{number}" for number in range(10, 40)]
    for name in names:
        cluster.netns.ip("link", "add", name, "type", "ifb")
    cluster.listed(**dict.fromkeys(["eth1", "eth2", *names], HEALTHY))
    assert seen
    assert not wrong


@pytest.mark.parametrize("what", ["read-only", "full"])
def test_a_directory_that_takes_no_file_keeps_new_devices_from_pods_and_old_ones_go_on(
    cluster: Node, what: str
) -> None:
    cluster.cdi_dir.mkdir()
    with mounted(cluster.cdi_dir, "-o", "size=64k"):
        agent = cluster.run()
        cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
        if what == "full":
            ballast = fill(cluster.cdi_dir)
        else:
            os.system(f"mount -o remount,ro {cluster.cdi_dir}")  # noqa: S605 - our own path
        cluster.netns.ip("link", "add", "eth3", "type", "ifb")
        cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=UNHEALTHY)
        line = agent.said("Device is unhealthy", device="eth3")
        assert str(cluster.cdi_dir / FILE) in line["reason"], line
        assert cluster.metric("cdi_write_failures_total") >= 1
        status, page = cluster.get("/readyz")
        assert status == 503
        assert str(cluster.cdi_dir / FILE) in page
        if what == "full":
            ballast.unlink()
        else:
            os.system(f"mount -o remount,rw {cluster.cdi_dir}")  # noqa: S605 - our own path
        cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)
        assert set(cluster.spec()) == {"eth1", "eth2", "eth3"}
        cluster.until("/readyz", lambda status, _: status == 200)
        agent.stop()


def test_a_file_that_somebody_removes_or_changes_is_put_back(cluster: Node) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    (cluster.cdi_dir / FILE).unlink()
    agent.said("CDI file was not as we left it: written again")
    assert set(cluster.spec()) == {"eth1", "eth2"}


def test_a_device_that_another_file_defines_too_is_not_offered(cluster: Node) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    other = cluster.cdi_dir / "other.json"
    spec = json.loads((cluster.cdi_dir / FILE).read_text())
    spec["devices"] = [one for one in spec["devices"] if one["name"] == "eth2"]
    other.write_text(json.dumps(spec))
    cluster.listed(eth1=HEALTHY, eth2=UNHEALTHY)
    agent.said("Device is unhealthy", device="eth2", reason=str(other))
    other.unlink()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_a_record_that_is_cut_in_half_takes_one_device_and_no_more(
    cluster: Node, containers: Containers
) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is lent", device="eth1")
    path = cluster.mover.run_dir / "attachments" / "eth1"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    cluster.listed(eth1=UNHEALTHY, eth2=HEALTHY)
    agent.said("Device is unhealthy", device="eth1", reason=str(path))
    assert cluster.metric("unreadable_records") == 1
    agent.kill()  # one that starts finds it so
    agent = cluster.run()
    cluster.listed(eth1=UNHEALTHY, eth2=HEALTHY)
    cluster.netns.ip("link", "add", "eth3", "type", "ifb")
    cluster.listed(eth1=UNHEALTHY, eth2=HEALTHY, eth3=HEALTHY)
    assert "eth1" in cluster.spec()
    path.write_bytes(whole)
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)
    cluster.bring_home("eth1", container)
    agent.said("Device is home", device="eth1")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)


def test_after_a_reboot_what_the_kubelet_remembers_is_there_before_it_is_healthy(
    cluster: Node,
) -> None:
    """Both directories are empty, as a tmpfs is; the kubelet's checkpoint is not."""
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    agent.kill()
    (cluster.cdi_dir / FILE).unlink()
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert set(cluster.spec()) == {"eth1", "eth2"}
    assert cluster.kubelet.life.devices.registered(KIND)
