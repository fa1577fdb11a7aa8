"""`status`, `reclaim` and `cdi prune` with links that the real mover lent."""

from __future__ import annotations

import time

import pytest

from tests.kernel.cli.conftest import Host
from tests.kernel.mover.harness import Containers
from tests.kernel.scratch import Netns


def test_status_says_who_has_the_link(node: Host, containers: Containers) -> None:
    node.generate("eth1")
    container = containers.alone()
    node.lend("eth1", container)
    document = node.json("status")
    assert (document["failures"], document["problems"]) == ([], [])
    (lent,) = document["lent"]
    (holder,) = lent.pop("holders")
    netns = container.netns.path.stat()
    assert lent == {
        "device": "eth1",
        "phase": "attached",
        "link": "eth1",
        "born": None,
        "linkInPod": "eth1",
        "netns": {"device": netns.st_dev, "inode": netns.st_ino},
        "pin": str(node.mover.pin("eth1")),
        "claim": None,
        "error": None,
    }
    since = time.mktime(time.strptime(holder.pop("since"), "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert abs(since - time.time()) < 60
    assert holder == {
        "container": container.id,
        "containerName": "app",
        "namespace": "default",
        "pod": "web-0",
        "podUid": "3f0c1c9a-8d7e-4f6c-9b0a-0d8a3a1c2b3d",
        "pid": container.pid,
        "alive": True,
    }


def test_status_marks_a_holder_that_died(node: Host, containers: Containers) -> None:
    node.generate("eth1")
    container = containers.alone()
    node.lend("eth1", container)
    assert "(dead)" not in node.run("status").stdout
    container.end()
    assert f"{container.id[:12]} (dead)" in node.run("status").stdout


def test_status_shows_why_an_attach_failed(node: Host, containers: Containers) -> None:
    node.generate("eth1")
    node.netns.ip("link", "del", "eth1")
    assert node.hook("eth1", "createRuntime", containers.alone()).code == 1
    (failure,) = node.json("status")["failures"]
    assert failure["device"] == "eth1"
    assert failure["message"]
    assert node.run("status").stdout.startswith("eth1: failed ")


def test_what_a_living_container_has_is_taken_by_force_alone(
    node: Host, containers: Containers
) -> None:
    node.generate("eth1")
    container = containers.alone()
    node.lend("eth1", container)
    for options in ((), ("--dry-run",)):
        result = node.run("reclaim", "eth1", *options, code=3)
        assert result.stdout == ""
        assert result.stderr.startswith("error: eth1: ")
        assert container.id[:12] in result.stderr
    assert node.run("reclaim", "--all").stderr == "nothing to reclaim\n"
    assert "eth1" not in node.netns.links()
    assert node.run("reclaim", "eth1", "--force").stdout == "eth1: home\n"
    assert "eth1" in node.netns.links()
    assert node.run("status").stderr == "nothing is lent\n"


def test_what_the_dead_had_is_brought_home(node: Host, containers: Containers, pod: Netns) -> None:
    before = node.netns.json("addr", "show", "dev", "eth1")
    node.generate("eth1", "eth2")
    dead, living = containers.of(pod), containers.alone()
    node.lend("eth1", dead)
    node.lend("eth2", living)
    dead.end()
    result = node.run("reclaim", "--all", "--dry-run")
    assert result.stdout == "eth1: would bring eth1 home (its holder is dead)\n"
    assert "eth1" in pod.links()
    assert node.run("reclaim", "--all").stdout == "eth1: home\n"
    assert node.netns.json("addr", "show", "dev", "eth1") == before
    assert [one["device"] for one in node.json("status")["lent"]] == ["eth2"]


@pytest.mark.parametrize("forget", [False, True])
def test_a_link_that_is_lost_is_said_and_can_be_forgotten(
    node: Host,
    containers: Containers,
    pod: Netns,
    forget: bool,
) -> None:
    node.generate("eth1")
    container = containers.of(pod)
    node.lend("eth1", container)
    pod.ip("link", "del", "eth1")
    container.end()
    if forget:
        assert node.run("reclaim", "eth1", "--forget").stdout == "eth1: forgotten\n"
        assert node.run("status").stderr == "nothing is lent\n"
        return
    result = node.run("reclaim", "eth1", code=4)
    assert result.stderr.startswith("error: eth1: ")
    assert node.json("status", code=4)["lent"][0]["phase"] == "lost"
    assert node.run("reclaim", "--all", "--dry-run").stdout == (
        "eth1: would bring eth1 home (it is lost)\n"
    )


def test_prune_removes_a_file_when_none_of_its_devices_is_left(
    node: Host, containers: Containers
) -> None:
    node.generate("eth1", "eth2")
    prune = ("cdi", "prune", "--spec-dir", node.cdi_dir)
    node.netns.ip("link", "del", "eth2")
    container = containers.alone()
    node.lend("eth1", container)
    assert node.run(*prune).stdout == ""
    container.end()
    node.run("reclaim", "eth1")
    node.netns.ip("link", "set", "eth1", "name", "wan7")
    assert node.run(*prune).stdout == ""
    node.netns.ip("link", "del", "wan7")
    assert node.run(*prune, "--dry-run").stdout == f"would remove {node.file}\n"
    assert node.file.exists()
    assert node.run(*prune).stdout == f"removed {node.file}\n"
    assert not node.file.exists()


def test_prune_warns_of_a_file_that_it_cannot_read_and_leaves_it(node: Host) -> None:
    node.cdi_dir.mkdir()
    node.file.write_text("{")
    result = node.run("cdi", "prune", "--spec-dir", node.cdi_dir)
    assert result.stderr.startswith(f"warning: {node.file}: ")
    assert node.file.exists()
