from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from netdevice_plugin import attachments
from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.config import Config
from netdevice_plugin.doctor import node
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.doctor.node import Look, Node
from netdevice_plugin.errors import InventoryError
from netdevice_plugin.look import View
from netdevice_plugin.model import Interface, Pool, Protection, Selector, Snapshot
from tests.unit.cli.running import ATTACHED, DEAD, LIVING, fails, keep
from tests.unit.doctor.roots import CONFIG, Root, checks, lines, only

RUN = "/run/netdevice-plugin"
LO = Interface(ifindex=1, name="lo", flags=9, link_type="loopback")
ETH0, ETH1 = Interface(ifindex=2, name="eth0"), Interface(ifindex=3, name="eth1")
SNAPSHOT = Snapshot(
    interfaces=(LO, ETH0, ETH1),
    protected=(
        Protection(ifindex=1, reason="is the loopback device"),
        Protection(ifindex=2, reason="carries the IPv4 default route"),
    ),
)


def pool(name: str, *names: str) -> Pool:
    return Pool(name=name, selectors=(Selector(if_names=names),))


def looking(snapshot: Snapshot = SNAPSHOT) -> Look:
    """The links as given; records as they are on disk."""

    def look(config: Config) -> View:
        found, problems = attachments.load(config.run_dir)
        return View(snapshot=snapshot, attachments=found, problems=problems)

    return look


def judge(
    root: Root, *pools: Pool, look: Look | None = None, kubelet: bool = False
) -> list[Finding]:
    config = dataclasses.replace(CONFIG, pools=pools)
    facts = node.read(root.host(), config, look or looking())
    return list(node.check(facts, config, kubelet=kubelet))


def lock(root: Root, path: str, pid: int, kind: str = "FLOCK  ADVISORY  WRITE") -> None:
    """Have a process hold a file's lock, as the kernel lists it."""
    status = root.write(path).stat()
    major, minor = os.major(status.st_dev), os.minor(status.st_dev)
    root.write(
        "/proc/locks",
        "1: POSIX  ADVISORY  READ 5 00:10:7 0 EOF\n"
        f"2: {kind} {pid} {major:02x}:{minor:02x}:{status.st_ino} 0 EOF\n"
        f"2: -> FLOCK  ADVISORY  WRITE 99 {major:02x}:{minor:02x}:{status.st_ino} 0 EOF\n",
    )


@pytest.fixture(autouse=True)
def living(root: Root) -> None:
    """The process that `LIVING` is."""
    root.write(f"/proc/{os.getpid()}/stat", Path("/proc/self/stat").read_bytes())
    root.write("/proc/1/stat", "1 (init) S\n")
    root.write("/proc/self/status", "NSpid:\t42\n")
    root.write("/proc/locks", "")
    root.mounts(("/", "ext4", "rw"))


def test_a_node_where_all_is_well(root: Root) -> None:
    keep(root.at(RUN), ATTACHED)
    findings = judge(root, pool("netdevice", "eth1"))
    assert {one.level for one in findings} == {Level.OK}
    assert lines(findings) == [
        "node/protected eth0: never offered: it carries the IPv4 default route",
        "node/protected lo: never offered: it is the loopback device",
        "node/pool networking.k8s.io/netdevice: offers eth1",
        "node/lent eth1: lent, to containers that live",
        f"node/agent {RUN}/agent.lock: no agent is in charge, and no kubelet would ask it",
    ]


def test_pools_that_have_nothing_or_name_what_stays(root: Root) -> None:
    findings = judge(root, pool("one", "eth7"), pool("two", "eth0", "eth1"))
    assert [(one.level, str(one)) for one in findings if one.check == "node/pool"] == [
        (
            Level.FAIL,
            "configuration: pool two: eth0 cannot be offered: it carries the IPv4 default route",
        ),
        (Level.WARN, "networking.k8s.io/one: selects no link of this host"),
        (Level.OK, "networking.k8s.io/two: offers eth1"),
    ]


def test_a_hundred_links_that_stay_are_a_line(root: Root) -> None:
    links = tuple(Interface(ifindex=n, name=f"veth{n:08x}") for n in range(10, 110))
    kept = tuple(Protection(ifindex=one.ifindex, reason="is a pod's", hard=False) for one in links)
    snapshot = Snapshot(interfaces=links, protected=kept)
    findings = judge(root, look=looking(snapshot))
    assert str(only(findings, "node/protected")).endswith(
        "and 88 more: never offered: it is a pod's"
    )
    assert only(findings, "node/uplink").level is Level.WARN


def test_links_that_cannot_be_read(root: Root) -> None:
    def look(_config: Config) -> View:
        raise InventoryError("no netlink here")

    findings = judge(root, pool("a", "eth1"), look=look)
    assert only(findings, "node/links").text == "no netlink here"
    assert "node/pool" not in [check for _, check in checks(findings)]


@pytest.mark.parametrize(
    ("record", "level", "check"),
    [
        (dataclasses.replace(ATTACHED, phase=Phase.LOST, error="gone"), Level.FAIL, "node/lost"),
        (dataclasses.replace(ATTACHED, phase=Phase.STRANDED), Level.FAIL, "node/stranded"),
        (dataclasses.replace(ATTACHED, phase=Phase.RETURNING), Level.WARN, "node/dead"),
        (dataclasses.replace(ATTACHED, holders=(DEAD,)), Level.WARN, "node/dead"),
        (dataclasses.replace(ATTACHED, holders=(DEAD, LIVING)), Level.OK, "node/lent"),
    ],
    ids=["lost", "stranded", "returning", "dead", "one lives"],
)
def test_loans_that_went_wrong(root: Root, record: Attachment, level: Level, check: str) -> None:
    keep(root.at(RUN), record)
    found = only(judge(root), check)
    assert (found.level, found.subject) == (level, "eth1")
    if level is not Level.OK:
        assert "netdevice-plugin reclaim" in found.remedy


def test_holders_that_cannot_be_seen_are_not_dead(root: Root) -> None:
    keep(root.at(RUN), dataclasses.replace(ATTACHED, holders=(DEAD,)))
    assert ("warn", "node/dead") in checks(judge(root))
    root.write("/proc/self/status", "NSpid:\t1\n")  # of a container
    assert only(judge(root), "node/lent").text == "lent"


def test_a_mover_at_work_is_left_alone(root: Root) -> None:
    keep(root.at(RUN), dataclasses.replace(ATTACHED, phase=Phase.ATTACHING))
    lock(root, f"{RUN}/locks/eth1", 4242)
    assert "node/dead" not in [check for _, check in checks(judge(root))]


def test_a_record_that_cannot_be_read(root: Root) -> None:
    root.write(f"{RUN}/attachments/eth1", "format=1\nhalf")
    found = only(judge(root), "node/record")
    assert found.level is Level.FAIL
    assert found.text == f"{RUN}/attachments/eth1:2: the last line is cut short"


def test_what_failed_last_is_told(root: Root) -> None:
    for number in range(25):
        fails(root.at(RUN), f"eth{number}", "1700000000 find the pod: no network namespace")
    found = [one for one in judge(root) if one.check == "node/failure"]
    assert len(found) == 21
    assert found[0].text == "its last run failed: find the pod: no network namespace"
    assert found[-1].text == "5 more have failed"


def test_errors_that_cannot_be_read(root: Root) -> None:
    root.write(f"{RUN}/errors", "a file")
    assert "Not a directory" in only(judge(root), "node/failure").text


def test_a_pin_without_a_record_is_a_leak(root: Root) -> None:
    keep(root.at(RUN), ATTACHED)
    pins = [(f"{RUN}/netns/{name}", "nsfs", "rw") for name in ("eth1", "eth2", "eth3")]
    root.mounts(("/", "ext4", "rw"), *pins)
    lock(root, f"{RUN}/locks/eth3", 7)
    found = only(judge(root), "node/pin")
    assert (found.level, found.subject) == (Level.WARN, f"{RUN}/netns/eth2")
    assert found.remedy == f"umount {RUN}/netns/eth2; rm {RUN}/netns/eth2"


def test_the_agent_in_charge_is_named(root: Root) -> None:
    lock(root, f"{RUN}/agent.lock", 4242)
    found = only(judge(root, kubelet=True), "node/agent")
    assert found.text == "an agent is in charge (pid 4242)"


@pytest.mark.parametrize(
    "kind", ["FLOCK  ADVISORY  READ ", "POSIX  ADVISORY  WRITE", "OFDLCK ADVISORY  WRITE"]
)
def test_other_locks_are_nobodys_charge(root: Root, kind: str) -> None:
    lock(root, f"{RUN}/agent.lock", 4242, kind)
    found = only(judge(root, kubelet=True), "node/agent")
    assert found.level is Level.WARN
    assert found.text.startswith("no agent is in charge: pods")


def test_locks_that_cannot_be_seen(root: Root) -> None:
    root.write(f"{RUN}/agent.lock")
    root.at("/proc/locks").unlink()
    assert only(judge(root), "node/agent").level is Level.WARN


def test_another_namespace_than_the_hosts_is_told() -> None:
    facts = Node(view=View(snapshot=SNAPSHOT), elsewhere=True)
    found = only(node.check(facts, CONFIG, kubelet=False), "node/namespace")
    assert found.level is Level.WARN


def test_our_namespace_is_compared_with_that_of_the_first_process(root: Root) -> None:
    ours = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - what it says, not where it leads
    root.link("/proc/1/ns/net", ours)
    facts = node.read(root.host(), CONFIG, looking())
    assert not facts.elsewhere
    root.at("/proc/1/ns/net").unlink()
    root.link("/proc/1/ns/net", "net:[1]")
    assert node.read(root.host(), CONFIG, looking()).elsewhere
