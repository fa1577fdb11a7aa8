from __future__ import annotations

import errno
import importlib.util
from collections.abc import Mapping

import pytest

from netdevice_plugin.doctor import dra
from netdevice_plugin.doctor.dra import Frontend
from netdevice_plugin.doctor.finding import Finding
from netdevice_plugin.doctor.kubelet import Kubelet
from netdevice_plugin.dra.sockets import Paths
from tests.unit.doctor.roots import CONFIG, Root, checks, lines, only

KUBELET = str(CONFIG.kubelet_dir)
DRIVER = CONFIG.prefix
PATHS = Paths.of(CONFIG.kubelet_dir, DRIVER, "3f0c1c9a-8d7e-4f6c-9b0a-0d8a3a1c2b3d")
AGENT = 4242


@pytest.fixture(autouse=True)
def node(root: Root) -> None:
    """A node whose agent serves DRA."""
    root.write("/etc/hostname", "Worker-1\n")
    root.process(AGENT, "python3", "/usr/bin/netdevice-plugin", "run", "--config", "/c.yaml")
    root.write(f"/proc/{AGENT}/environ", "HOME=/\0NODE_NAME=worker-1\0")
    root.socket(str(PATHS.registration))
    root.socket(str(PATHS.service))


def judge(
    root: Root,
    *,
    agent: int | None = AGENT,
    kubelets: str = "",
    refuses: Mapping[str, int] | None = None,
    installed: bool = True,
) -> list[Finding]:
    met = Kubelet(directory=KUBELET, configured=KUBELET, node=kubelets)
    find = (lambda _: object()) if installed else (lambda _: None)
    facts = dra.read(root.host(refuses=refuses), CONFIG, met, agent, find)
    return list(dra.check(facts))


def test_a_driver_that_can_be_found(root: Root) -> None:
    assert lines(judge(root)) == [
        f"dra/sockets registration socket: served: {PATHS.registration.name}",
        f"dra/sockets service socket: served: {PATHS.service.name}",
        "dra/node worker-1: is the name of the node, as far as can be seen here",
    ]
    assert {level for level, _ in checks(judge(root))} == {"ok"}


def test_what_the_extra_brings_is_what_is_looked_for() -> None:
    assert importlib.util.find_spec(dra.NEEDED)


def test_an_installation_without_the_extra(root: Root) -> None:
    found = only(judge(root, installed=False), "dra/installed")
    assert found.level.value == "warn"
    assert "pip install 'netdevice-plugin[dra]'" in found.remedy


def test_an_agent_in_charge_that_nobody_can_call(root: Root) -> None:
    dead = {str(path): errno.ECONNREFUSED for path in (PATHS.registration, PATHS.service)}
    findings = [one for one in judge(root, refuses=dead) if one.check == "dra/sockets"]
    assert checks(findings) == [("fail", "dra/sockets"), ("warn", "dra/sockets")] * 2
    assert "serves none for registration" in findings[0].text
    assert str(findings[1]) == f"{PATHS.registration}: is there, but nobody listens on it"


def test_sockets_of_an_agent_that_has_ended(root: Root) -> None:
    """That there is no agent is said elsewhere: see node/agent."""
    dead = {str(path): errno.ECONNREFUSED for path in (PATHS.registration, PATHS.service)}
    found = judge(root, agent=None, refuses=dead)
    assert {one for one in checks(found) if one[1] == "dra/sockets"} == {("warn", "dra/sockets")}


def test_sockets_of_others_are_none_of_ours(root: Root) -> None:
    for path in (PATHS.registration, PATHS.service):
        root.at(str(path)).unlink()
    root.socket(f"{KUBELET}/plugins_registry/gpu.example.com-reg.sock")
    root.socket(f"{KUBELET}/plugins/gpu.example.com/dra.sock")
    assert ("fail", "dra/sockets") in checks(judge(root))


def test_a_kubelet_that_looks_for_no_drivers(root: Root) -> None:
    root.at(str(PATHS.registration)).unlink()
    root.at(f"{KUBELET}/plugins_registry").rmdir()
    found = judge(root)
    assert only(found, "dra/registry").level.value == "fail"
    assert "dra/sockets" not in [check for _, check in checks(found)]


@pytest.mark.parametrize(
    ("argv", "environment", "kubelets", "level"),
    [
        (["--node-name", "worker-1"], "NODE_NAME=other", "worker-1", "ok"),
        (["--node-name=worker-1"], "", "", "ok"),
        ([], "", "", "ok"),  # both are called as the host is
        ([], "NODE_NAME=worker-1", "worker-1.example.com", "warn"),
        (["--node-name", "worker-2"], "", "", "warn"),
        (["--node-name", "Worker_1"], "", "", "fail"),
        (["--node-name", "a" * 254], "", "", "fail"),
        (["--node-name", "a-" * 126 + "."], "", "", "fail"),
    ],
)
def test_the_name_of_the_node_has_to_be_the_kubelets(
    root: Root, argv: list[str], environment: str, kubelets: str, level: str
) -> None:
    root.process(AGENT, "netdevice-plugin", "run", *argv)
    root.write(f"/proc/{AGENT}/environ", environment + "\0")
    found = only(judge(root, kubelets=kubelets), "dra/node")
    assert found.level.value == level


def test_a_node_of_which_no_name_can_be_seen(root: Root) -> None:
    root.at("/etc/hostname").unlink()
    assert only(judge(root, agent=None), "dra/node").level.value == "warn"
    facts = Frontend(driver=DRIVER, kubelets_node="worker-1")
    assert only(dra.check(facts), "dra/node").level.value == "ok"
