"""The image run as the manifests have it: what they grant is enough, and none of it too much."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

import netdevice_plugin
from netdevice_plugin.mover import Exit
from tests.e2e.lender import Lender
from tests.e2e.links import Link
from tests.e2e.waiting import TIMEOUT
from tests.fakes.kubelet import Kubelet
from tests.fakes.runtime import MemoryRuntime
from tests.kernel.mover.harness import inside
from tests.manifests import BASE as BASE_MANIFESTS
from tests.manifests import ROOT, Object, configuration, pod_spec
from tests.packaging import image, kustomize
from tests.packaging.image import Builder

DEVICE = "networking.k8s.io/netdevice"
# What fails without it. To where /proc/sys can be written leads the host's mount namespace alone.
NEEDED = {
    "NET_ADMIN": "move the link home: Operation not permitted",
    "SYS_ADMIN": "bring the link home: Operation not permitted",
    "SYS_CHROOT": "give the link its settings back: /proc/sys/net/ipv4/conf/lan1/rp_filter=2: Read",
    "SYS_PTRACE": "give the link its settings back: /proc/sys/net/ipv4/conf/lan1/rp_filter=2: Read",
}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(scope="module")
def pod(built: Builder) -> Object:
    """The agent's pod, on a node that has its directories and its configuration."""
    objects = kustomize.build(BASE_MANIFESTS)
    found = pod_spec(objects)
    image.make_host_directories(built.node, found)
    config = built.node.path("/run/test-config/config.yaml")
    config.write_text(configuration(objects).replace("netdev*", "lan*"))
    return found


@pytest.fixture(scope="module")
def reclaiming(pod: Object) -> Object:
    """The same, with the overlay that may bring links home."""
    del pod  # its node is ready
    return pod_spec(kustomize.build(ROOT / "deploy" / "overlays" / "reclaim"))


@pytest.fixture
def lender(built: Builder, pod: Object) -> Iterator[Lender]:
    """Links of the node; the mover is where the pod's first container puts it."""
    image.make_host_directories(built.node, pod)  # a test may have uninstalled all
    built.as_pod(pod, pod["initContainers"][0], *pod["initContainers"][0]["args"])
    lending = Lender(built.node)
    yield lending
    lending.close()
    built.remove_all()


def test_the_image_says_its_version_without_a_privilege(built: Builder, pod: Object) -> None:
    result = built.as_pod(pod, pod["containers"][0], "--version")
    assert result.stdout == f"netdevice-plugin {netdevice_plugin.__version__}\n"


def test_the_first_container_puts_the_mover_onto_the_node(built: Builder, pod: Object) -> None:
    first = pod["initContainers"][0]
    built.node.run("rm", "--force", "/opt/netdevice-plugin/bin/netdevice-mover")
    assert "installed " in built.as_pod(pod, first, *first["args"]).stdout
    assert "unchanged " in built.as_pod(pod, first, *first["args"]).stdout
    said = built.node.run("/opt/netdevice-plugin/bin/netdevice-mover", "--version").stdout
    assert said == f"netdevice-mover {netdevice_plugin.__version__}\n"


def test_the_agent_sees_the_links_of_the_host_and_writes_cdi_files_for_them(
    built: Builder, pod: Object, lender: Lender
) -> None:
    link = lender.lend()
    agent = pod["containers"][0]
    config = "--config=/etc/netdevice-plugin/config.yaml"
    said = json.loads(built.as_pod(pod, agent, "devices", config, "-o", "json").stdout)
    (row,) = (row for row in said["links"] if row["name"] == link.name)
    assert row["pool"] == DEVICE
    assert row["mtu"] == link.mtu
    built.node.run("rm", "-r", "/run/cdi/networking.k8s.io-netdevice.json")
    built.as_pod(pod, agent, "cdi", "generate", config)
    names = built.node.run("ls", "/var/run/cdi").stdout.split()
    assert names == ["networking.k8s.io-netdevice.json"]


def orphan(built: Builder, link: Link) -> None:
    """Lend the link to a container that is killed with all that would have run its hook."""
    options = ("--detach", "--entrypoint=sleep", f"--device={DEVICE}={link.name}")
    container = built.run(*options, command=("infinity",)).stdout.strip()
    pid = built.pid(container)
    built.node.kill(built.pid(container, "ConmonPid"))
    built.node.kill(pid)


def test_the_reclaim_overlay_may_bring_a_link_home(
    built: Builder, reclaiming: Object, lender: Lender
) -> None:
    orphan(built, lender.lend())
    agent = reclaiming["containers"][0]
    assert built.as_pod(reclaiming, agent, "reclaim", "--all").stdout == "lan1: home\n"
    lender.untouched()


def test_an_agent_with_the_reclaim_overlay_brings_a_link_home_by_itself(
    built: Builder, reclaiming: Object, kubelet: Kubelet, lender: Lender
) -> None:
    link = lender.lend()
    agents = Agents(built, reclaiming)
    agents.start("reclaiming")
    kubelet.await_devices(DEVICE, {link.name: "Healthy"})
    orphan(built, link)
    lender.returned(link)
    agents.stop("reclaiming")


@pytest.mark.parametrize("capability", NEEDED)
def test_the_reclaim_overlay_has_no_capability_too_many(
    built: Builder, reclaiming: Object, lender: Lender, capability: str
) -> None:
    orphan(built, lender.lend())
    less = copy.deepcopy(reclaiming)
    capabilities = less["containers"][0]["securityContext"]["capabilities"]
    assert capabilities["add"] == list(NEEDED)
    capabilities["add"].remove(capability)
    result = built.as_pod(less, less["containers"][0], "reclaim", "--all", check=False)
    assert result.returncode == 1
    assert NEEDED[capability] in result.stderr
    lender.cli("reclaim", "--all")
    lender.untouched()


def test_without_the_overlay_the_agent_brings_nothing_home(
    built: Builder, pod: Object, lender: Lender
) -> None:
    orphan(built, lender.lend())
    result = built.as_pod(pod, pod["containers"][0], "reclaim", "--all", check=False)
    assert result.returncode == Exit.HELD
    assert "lan1: whether its holder lives cannot be seen from here" in result.stderr
    assert lender.cli("reclaim", "--all").stdout == "lan1: home\n"
    lender.untouched()


def _expanded(word: str, values: Mapping[str, str]) -> str:
    """Put the container's environment into an argument, as the kubelet does."""
    for name, value in values.items():
        word = word.replace(name, value)
    assert "$(" not in word
    return word


class Agents:
    """Agents in containers, as the kubelet runs the pods of a DaemonSet."""

    def __init__(self, built: Builder, pod: Object) -> None:
        self._built = built
        self._pod = pod
        (self._container,) = pod["containers"]

    def start(self, uid: str) -> None:
        """Start the pod with that UID."""
        values = {"$(POD_UID)": uid, "$(HOST_IP)": "192.0.2.254", "$(NODE_NAME)": "node"}
        arguments = [_expanded(word, values) for word in self._container["args"]]
        self._built.as_pod(self._pod, self._container, *arguments, name=uid)

    def restart(self, uid: str) -> None:
        """Start the pod's container again, as is done when it ends."""
        self._built("start", uid)

    def ended(self, uid: str) -> int:
        """Return the exit code, once it has ended."""
        return int(self._built("wait", uid).stdout)

    def stop(self, uid: str) -> float:
        """Delete the pod; returns how long that took."""
        began = time.monotonic()
        grace = self._pod["terminationGracePeriodSeconds"]
        self._built("stop", f"--time={grace}", uid)
        took = time.monotonic() - began
        assert self.ended(uid) == 0, self.said(uid)
        return took

    def said(self, uid: str) -> str:
        """Its log."""
        result = self._built("logs", uid)
        return result.stdout + result.stderr

    def probe(self, name: str) -> int:
        """Ask what the kubelet asks; returns the HTTP status."""
        probe = self._container[f"{name}Probe"]["httpGet"]
        with inside(pathlib.Path(f"/proc/{self._built.node.pid}/ns/net")):
            connection = http.client.HTTPConnection(probe["host"], probe["port"], timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", probe["path"])
                return connection.getresponse().status

    def await_ready(self) -> None:
        """Ask as the kubelet does, time and again."""
        poll(lambda: self.probe("readiness") == 200, "it is ready")

    def await_said(self, uid: str, text: str) -> None:
        """Return when that is in its log, which podman tells nobody of."""
        poll(lambda: text in self.said(uid), text)


def poll(holds: Callable[[], bool], what: str) -> None:
    """Return when something is so that there is no event for."""
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture
def agents(built: Builder, pod: Object) -> Iterator[Agents]:
    """Agents of this test alone."""
    yield Agents(built, pod)
    built.remove_all()


@pytest.fixture
def kubelet(built: Builder, lender: Lender) -> Iterator[Kubelet]:
    """The node's kubelet; `lender` is there first, so that links outlive it."""
    del lender
    root = built.node.path("/var/lib/kubelet")
    with Kubelet(root, MemoryRuntime().connect, seen_from=built.node.path("/")) as running:
        yield running


def test_the_kubelet_gets_its_devices_from_an_agent_without_a_privilege(
    agents: Agents, kubelet: Kubelet, lender: Lender
) -> None:
    lender.lend()
    agents.start("first")
    kubelet.await_devices(DEVICE, {"lan1": "Healthy"})
    assert [agents.probe(name) for name in ("startup", "liveness")] == [200, 200]
    agents.await_ready()
    assert agents.stop("first") < 5
    assert "Traceback" not in agents.said("first")


def test_the_next_agent_takes_over_and_the_one_before_does_not_take_back(
    agents: Agents, kubelet: Kubelet, lender: Lender
) -> None:
    """A rolling update with a surge, until the old pod is deleted."""
    lender.lend()
    agents.start("first")
    kubelet.await_devices(DEVICE, {"lan1": "Healthy"})
    agents.start("second")
    assert agents.ended("first") == 0
    agents.restart("first")  # what the kubelet does with a container that ends
    # Not before: process 1 of a container is sent no SIGTERM until it asks for it.
    agents.await_said("first", "Another agent has taken over; waiting")
    lender.lend()
    kubelet.await_devices(DEVICE, {"lan1": "Healthy", "lan2": "Healthy"})
    agents.await_ready()
    agents.stop("first")
    kubelet.await_devices(DEVICE, {"lan1": "Healthy", "lan2": "Healthy"})
    agents.await_ready()
    agents.stop("second")


def uninstall(built: Builder) -> set[str]:
    """Do what the guide has root do on every node; returns the files that are left of ours."""
    guide = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
    (command,) = re.findall(r"^# (test -z [^`]*)^```$", guide, re.MULTILINE)
    built.node.run("sh", "-c", command, check=False)
    ours = ("/var/run/cdi", "/run/netdevice-plugin", "/opt/netdevice-plugin")
    found = built.node.run("find", *ours, "-type", "f", check=False).stdout.splitlines()
    sockets = built.node.run("ls", "/var/lib/kubelet/device-plugins").stdout.split()
    return {*found, *(name for name in sockets if name.startswith("networking"))}


def test_uninstalling_leaves_nothing_and_waits_for_what_is_lent(
    built: Builder, agents: Agents, kubelet: Kubelet, lender: Lender
) -> None:
    link = lender.lend()
    agents.start("last")
    kubelet.await_devices(DEVICE, {link.name: "Healthy"})
    agents.stop("last")
    lender.record(link).write_text("format=1\n")
    assert {"/opt/netdevice-plugin/bin/netdevice-mover"} < uninstall(built)
    lender.record(link).unlink()
    assert uninstall(built) == set()
