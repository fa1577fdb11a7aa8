"""Whatever dies, ends or starts anew: pods keep the links that they have, and no link is lost.

The agent, containerd, runc, the mover and the links are real, the kubelet is the fake one. At
every change that the kubelet sees `Truth` looks whether what must never be is so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest

from tests.e2e.agent import Agent, Agents
from tests.e2e.containerd import Containerd
from tests.e2e.lender import CDI, KIND, RUN_DIR, Lender, assert_inside, look
from tests.e2e.links import Link
from tests.e2e.node import Node
from tests.e2e.podman import Podman
from tests.e2e.reboot import reboot
from tests.fakes.kubelet import ContainerSpec, Kubelet, Pod, PodSpec, Restart, one

ONE = {KIND: 1}
FAST = "networking.k8s.io/fast"


class Scene:
    """Links, some of which pods have that run; and whether they still have them as before."""

    def __init__(self, kubelet: Kubelet, lender: Lender, containerd: Containerd) -> None:
        self.kubelet = kubelet
        self.lender = lender
        self.containerd = containerd
        self.links: dict[str, Link] = {}
        self._has: list[tuple[Pod, Link, str]] = []

    def make(self, *kinds: str) -> None:
        """Make links of these kinds: lan1, lan2, …"""
        for kind in kinds:
            link = self.lender.make(kind)
            self.links[link.name] = link

    def listed(self, kind: str = KIND, **others: str) -> None:
        """Return when all links are listed as healthy, but for those given."""
        self.kubelet.await_devices(kind, {**dict.fromkeys(self.links, "Healthy"), **others})

    def run(self, name: str, kind: str = KIND) -> Pod:
        """Run a pod with one link."""
        pod = self.kubelet.run_pod(one(name, {kind: 1}))
        self.took(pod, kind)
        return pod

    def took(self, pod: Pod, kind: str = KIND) -> Link:
        """Note that a pod has a link now, in a container that is another one than before."""
        (device,) = self.kubelet.given(pod, kind)
        link = self.links[device]
        self._has = [entry for entry in self._has if entry[0] is not pod]
        self._has.append((pod, link, pod.container()))
        self.same()
        return link

    def same(self) -> None:
        """Fail unless every pod has its link in the container that it had it in."""
        for pod, link, container in self._has:
            assert pod.container() == container, str(pod)
            assert_inside(link, self.containerd.cri.sh(container, look(link)))

    def await_other(self, pod: Pod, container: str) -> None:
        """Return when a pod runs in another container than the one given."""
        self.kubelet.await_pod(pod, lambda: pod.running and pod.container() != container)

    def forget(self) -> None:
        """All containers are about to be others."""
        self._has.clear()

    def link(self, pod: Pod) -> Link:
        """The link that a pod has."""
        (found,) = (link for owner, link, _ in self._has if owner is pod)
        return found

    def delete(self, pod: Pod) -> Link:
        """Delete a pod."""
        link = self.link(pod)
        self._has = [entry for entry in self._has if entry[0] is not pod]
        self.kubelet.delete_pod(pod)
        return link

    def end(self) -> None:
        """Delete all pods, and see every link home as it was."""
        for pod, _, _ in tuple(self._has):
            self.delete(pod)
        self.lender.returned(*self.links.values())


@pytest.fixture
def scene(kubelet: Kubelet, lender: Lender, containerd: Containerd) -> Scene:
    """No link yet."""
    return Scene(kubelet, lender, containerd)


def test_a_pod_that_asks_for_a_device_has_a_link_until_it_is_deleted(
    scene: Scene, agents: Agents, containerd: Containerd
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    said = containerd.cri.sh(pod.container(), "env")
    assert f"NETDEVICE_NETWORKING_K8S_IO_NETDEVICE={scene.link(pod).name}\n" in said
    scene.end()
    scene.listed()
    assert agents.truth.looks


STOPS: Mapping[str, Callable[[Agent], None]] = {"SIGTERM": Agent.terminate, "SIGKILL": Agent.kill}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_an_agent_that_starts_anew_finds_what_pods_have(
    scene: Scene, agents: Agents, kubelet: Kubelet, stop: Callable[[Agent], None]
) -> None:
    scene.make("veth", "ifb", "macvlan")
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("first")
    scene.run("second")
    stop(agent)
    kubelet.await_resource(KIND, 3, 0)
    scene.same()
    agents.serve(kind=KIND)
    kubelet.await_resource(KIND, 3, 3)
    scene.same()
    scene.run("third")
    scene.end()
    scene.listed()


def test_an_agent_that_was_away_while_a_pod_ended_offers_its_link_again(
    scene: Scene, agents: Agents
) -> None:
    scene.make("veth", "macvlan")
    agent = agents.serve(kind=KIND)
    scene.listed()
    first, _second = scene.run("first"), scene.run("second")
    agent.kill()
    link = scene.delete(first)
    agents.serve(kind=KIND)
    scene.listed()
    third = scene.run("third")
    assert scene.link(third) == link
    scene.end()


ENDS: Mapping[str, Callable[[Kubelet], None]] = {"stop": Kubelet.stop, "kill": Kubelet.kill}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_kubelet_that_starts_anew_is_told_of_all_devices_again(
    scene: Scene, agents: Agents, kubelet: Kubelet, end: Callable[[Kubelet], None]
) -> None:
    scene.make("veth", "ifb")
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("first")
    end(kubelet)
    scene.same()
    kubelet.start()
    kubelet.await_admitted()
    scene.listed()
    kubelet.await_resource(KIND, 2, 2)
    scene.same()
    scene.run("second")
    scene.end()
    assert len(agent.lines("Starting")) == 1
    assert agent.running


def test_an_agent_and_a_kubelet_that_were_both_away_agree_again(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth", "ifb")
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("first")
    agent.kill()
    kubelet.restart()
    kubelet.await_admitted()
    scene.same()
    agents.serve(kind=KIND)
    scene.listed()
    kubelet.await_resource(KIND, 2, 2)
    scene.run("second")
    scene.end()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_kubelet_finds_an_agent_in_its_registry_again(
    scene: Scene, agents: Agents, kubelet: Kubelet, end: Callable[[Kubelet], None]
) -> None:
    scene.make("veth", "ifb")
    agents.configure("registration: plugins_registry\n", netdevice='"lan?"')
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("first")
    end(kubelet)
    kubelet.start()
    kubelet.await_admitted()
    scene.listed()
    agent.kill()
    agents.serve(kind=KIND)
    scene.listed()
    scene.same()
    scene.run("second")
    scene.end()


def test_an_agent_waits_for_a_kubelet(scene: Scene, agents: Agents, kubelet: Kubelet) -> None:
    scene.make("ifb")
    kubelet.kill()
    agent = agents.start()
    agent.await_line("Device is offered", device="lan1")
    kubelet.start()
    scene.listed()
    scene.run("pod")
    scene.end()


def test_a_containerd_that_starts_anew_costs_nobody_a_link(
    scene: Scene, agents: Agents, kubelet: Kubelet, containerd: Containerd, node: Node
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod, other = scene.run("pod"), scene.run("other")
    pid = containerd.cri.pid(pod.container())
    containerd.kill()
    node.kill(pid)  # nobody sees it yet
    containerd.start()
    kubelet.await_restart(pod, 1)
    link = scene.link(pod)
    assert scene.took(pod) == link
    assert other.running
    scene.listed()
    scene.end()


def test_after_a_reboot_pods_have_the_devices_that_they_had(
    scene: Scene, agents: Agents, kubelet: Kubelet, containerd: Containerd, node: Node
) -> None:
    scene.make("veth", "ifb", "macvlan")
    agent = agents.serve(kind=KIND)
    scene.listed()
    pods = scene.run("first"), scene.run("second")
    had = {pod: (scene.link(pod), pod.container()) for pod in pods}
    scene.forget()
    agent.kill()
    reboot(node, containerd, kubelet, scene.lender)
    kubelet.start(pods=False)
    agents.serve(kind=KIND)
    scene.listed()
    kubelet.admit_pods()
    for pod, (link, container) in had.items():
        scene.await_other(pod, container)
        assert scene.took(pod) == link
    assert len(kubelet.calls("Allocate")) == len(pods)
    scene.end()


def test_a_pool_that_is_added_takes_its_links_from_another(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    (free,) = scene.links.keys() - {scene.link(pod).name}
    agents.configure(fast=free, netdevice='"lan?"')
    kubelet.await_devices(FAST, {free: "Healthy"})
    kubelet.await_devices(KIND, {scene.link(pod).name: "Healthy"})
    scene.same()
    scene.run("other", FAST)
    scene.end()


def test_a_link_that_another_pool_selects_moves_there_when_its_pod_ends(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    had = scene.link(pod).name
    (free,) = scene.links.keys() - {had}
    agents.configure(fast=had, netdevice='"lan?"')
    kubelet.await_devices(FAST, {})
    scene.listed()
    kubelet.await_asked()
    scene.delete(pod)
    kubelet.await_devices(FAST, {had: "Healthy"})
    kubelet.await_devices(KIND, {free: "Healthy"})
    scene.run("other", FAST)
    scene.end()


def test_a_pool_that_is_renamed_keeps_what_pods_have_under_its_old_name(
    scene: Scene, agents: Agents, kubelet: Kubelet, containerd: Containerd, node: Node
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    had = scene.link(pod).name
    (free,) = scene.links.keys() - {had}
    agents.configure(fast='"lan?"')
    kubelet.await_devices(FAST, {free: "Healthy"})
    kubelet.await_devices(KIND, {had: "Healthy"})
    scene.same()
    node.kill(containerd.cri.pid(pod.container()))  # it is started again by the old CDI name
    kubelet.await_restart(pod, 1)
    scene.took(pod)
    scene.run("other", FAST)
    scene.delete(pod)
    scene.listed(FAST)
    scene.end()


def test_a_retired_resource_outlives_its_agent(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth", "ifb")
    agent = agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    had = scene.link(pod).name
    (free,) = scene.links.keys() - {had}
    agents.configure(fast='"lan?"')
    kubelet.await_devices(FAST, {free: "Healthy"})
    agent.kill()
    agents.serve(kind=KIND)
    kubelet.await_devices(KIND, {had: "Healthy"})
    kubelet.await_devices(FAST, {free: "Healthy"})
    scene.delete(pod)
    scene.listed(FAST)
    scene.end()


def test_a_pool_that_is_removed_ends_with_its_last_pod(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth", "ifb")
    agent = agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    had = scene.link(pod).name
    agents.configure()
    kubelet.await_devices(KIND, {had: "Healthy"})
    scene.same()
    scene.delete(pod)
    agent.await_line("Resource is no longer served", resource=KIND)
    kubelet.await_unregistered(KIND)
    kubelet.clock.advance(301)
    kubelet.await_resource(KIND, 0, 0)
    scene.end()


def test_a_bad_configuration_changes_nothing(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("pod")
    agents.write("pools: 7\n")
    refused = agent.await_line("Configuration refused; the one before stays in effect")
    assert "pools" in refused["reason"]
    scene.run("other")
    agents.configure(netdevice='"lan?"', fast="nothing")
    kubelet.await_devices(FAST, {})
    scene.listed()
    scene.end()


def test_a_second_agent_takes_over_and_the_first_ends(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth", "ifb", "macvlan")
    first = agents.serve("--instance=first", kind=KIND)
    scene.listed()
    scene.run("one")
    began = time.monotonic()
    second = agents.start("--instance=second")
    second.await_line("Asking the other agent to end", other="first")
    first.await_end(began + 1)  # a second to start in: Python, gRPC, the look at the links
    second.await_line("Registered with the kubelet")
    kubelet.await_resource(KIND, 3, 3)
    scene.listed()
    scene.run("two")
    again = agents.start("--instance=first")
    again.await_line("Another agent has taken over; waiting", other="second")
    scene.run("three")
    assert second.running
    second.kill()
    again.await_line("Registered with the kubelet")
    kubelet.await_resource(KIND, 3, 3)
    scene.end()


def test_a_container_that_crashes_has_the_link_again(
    scene: Scene, agents: Agents, kubelet: Kubelet, containerd: Containerd, node: Node
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    for count in (1, 2):
        node.kill(containerd.cri.pid(pod.container()))
        kubelet.await_restart(pod, count)
        link = scene.link(pod)
        assert scene.took(pod) == link
    assert len(kubelet.calls("Allocate")) == 1
    scene.listed()
    scene.end()


def test_an_init_container_and_then_the_app_container_have_the_link(
    scene: Scene, agents: Agents, kubelet: Kubelet
) -> None:
    scene.make("veth")
    agents.serve(kind=KIND)
    scene.listed()
    check = ("ip", "link", "show", "lan1")
    spec = PodSpec(
        name="pod",
        init_containers=(ContainerSpec(name="init", limits=ONE, command=check),),
        containers=(ContainerSpec(limits=ONE),),
    )
    pod = kubelet.run_pod(spec)
    assert pod.containers["init"].exit_code == 0
    scene.took(pod)
    scene.end()


def test_a_pod_on_the_hosts_network_is_told_why_it_has_no_device(
    scene: Scene, agents: Agents, kubelet: Kubelet, lender: Lender
) -> None:
    scene.make("ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod = kubelet.create_pod(one("pod", ONE, host_network=True, restart=Restart.NEVER))
    kubelet.await_over(pod)
    assert "netdevice-mover: lan1: " in pod.containers["main"].message
    assert "network namespace" in pod.containers["main"].message
    kubelet.delete_pod(pod)
    lender.untouched()
    scene.listed()
    scene.run("other")
    scene.end()


def test_a_device_of_a_pod_that_is_not_the_kubelets_is_unhealthy(
    scene: Scene, agents: Agents, containerd: Containerd, lender: Lender
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    foreign = containerd.cri.run_pod()
    containerd.cri.run(foreign, f"{KIND}=lan1")
    lender.lent(scene.links["lan1"])
    scene.listed(lan1="Unhealthy")
    said = agent.await_line("Device is unhealthy", device="lan1")
    assert "a pod that the kubelet does not know" in said["reason"]
    scene.run("pod")
    containerd.cri.remove_pod(foreign)
    scene.listed()
    scene.end()


@pytest.mark.parametrize("loaded_podman", ["runc"], indirect=True)
def test_a_device_in_a_container_outside_kubernetes_is_unhealthy(
    scene: Scene, agents: Agents, podman: Podman, lender: Lender
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    podman.start(f"--device={KIND}=lan1")
    lender.lent(scene.links["lan1"])
    scene.listed(lan1="Unhealthy")
    said = agent.await_line("Device is unhealthy", device="lan1")
    assert "which is no pod's" in said["reason"]
    podman.remove_all()
    scene.listed()
    scene.end()


def test_a_killed_shim_costs_a_pod_its_container_and_not_its_link(
    scene: Scene, agents: Agents, kubelet: Kubelet, containerd: Containerd, node: Node
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    pod, _other = scene.run("pod"), scene.run("other")
    link, before = scene.link(pod), pod.container()
    node.kill(containerd.shim(containerd.cri.sandbox(pod.spec.uid)))
    scene.await_other(pod, before)
    assert scene.took(pod) == link
    scene.listed()
    scene.end()


def test_the_agent_brings_a_link_home_that_no_runtime_returns(
    scene: Scene, agents: Agents, containerd: Containerd, node: Node, lender: Lender
) -> None:
    scene.make("veth")
    agent = agents.serve("--reclaim", kind=KIND)
    scene.listed()
    pod = scene.run("pod")
    shim = containerd.shim(containerd.cri.sandbox(pod.spec.uid))
    pid = containerd.cri.pid(pod.container())
    containerd.kill()
    node.kill(shim)
    node.kill(pid)
    agent.await_line("Device was not returned", device="lan1")
    lender.returned(scene.links["lan1"])
    agent.await_line("Brought link home", device="lan1")
    scene.listed()
    before = pod.container()
    containerd.start()
    scene.await_other(pod, before)
    scene.took(pod)
    scene.end()


def test_an_agent_brings_home_what_was_left_behind_while_there_was_none(
    scene: Scene, agents: Agents, containerd: Containerd, node: Node, lender: Lender
) -> None:
    scene.make("veth", "ifb")
    agent = agents.serve("--reclaim", kind=KIND)
    scene.listed()
    pod, other = scene.run("pod"), scene.run("other")
    before = pod.container()
    agent.kill()
    shim = containerd.shim(containerd.cri.sandbox(pod.spec.uid))
    pid = containerd.cri.pid(pod.container())
    containerd.kill()
    node.kill(shim)
    node.kill(pid)
    agent = agents.serve("--reclaim", kind=KIND)
    agent.await_line("Brought link home", device=scene.link(pod).name)
    assert lender.record(scene.link(other)).exists()
    scene.listed()
    containerd.start()
    scene.await_other(pod, before)
    scene.took(pod)
    scene.end()


def test_cdi_files_that_somebody_removes_are_there_again(
    scene: Scene, agents: Agents, node: Node
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("one")
    for path in node.path(CDI).iterdir():
        path.unlink()
    agent.await_line("CDI file was not as we left it: written again")
    scene.listed()
    scene.run("other")
    scene.end()


def test_a_record_that_was_cut_in_half_is_told_of_until_it_is_whole(
    scene: Scene, agents: Agents, lender: Lender
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    pod, _other = scene.run("one"), scene.run("other")
    record = lender.record(scene.link(pod))
    whole = record.read_bytes()
    half = record.with_name(".half")
    half.write_bytes(whole[: len(whole) // 2])
    half.rename(record)
    scene.listed(**{record.name: "Unhealthy"})
    said = agent.await_line("Device is unhealthy", device=record.name)
    assert str(record.name) in said["reason"]
    half.write_bytes(whole)
    half.rename(record)
    scene.listed()
    scene.end()


def test_a_link_that_is_deleted_in_its_pod_is_unhealthy_until_it_is_given_up(
    scene: Scene, agents: Agents, kubelet: Kubelet, node: Node, lender: Lender
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    pods = scene.run("one"), scene.run("other")
    (pod,) = (pod for pod in pods if scene.link(pod).name == "lan1")
    kubelet.await_asked()
    link = scene.link(pod)
    pin = f"{RUN_DIR}/netns/{link.name}"
    node.run("nsenter", f"--net={pin}", "ip", "link", "delete", link.name)
    scene.delete(pod)
    scene.listed(lan1="Unhealthy")
    said = agent.await_line("Device is unhealthy", device="lan1")
    assert "lost" in said["reason"]
    lender.reclaim(link, "--forget")
    kubelet.await_devices(KIND, {"lan2": "Healthy"})
    link.add()
    scene.listed()


def test_a_link_that_is_deleted_is_dropped_and_one_that_is_made_is_offered(
    scene: Scene, agents: Agents, kubelet: Kubelet, lender: Lender
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    link = scene.links["lan1"]
    lender.take_away(link)
    kubelet.await_devices(KIND, {"lan2": "Healthy"})
    kubelet.await_resource(KIND, 1, 1)
    lender.remake(link)
    scene.listed()
    scene.run("one")
    scene.run("two")
    scene.end()


def test_a_link_that_becomes_an_uplink_is_not_offered_any_more(
    scene: Scene, agents: Agents, kubelet: Kubelet, node: Node
) -> None:
    scene.make("veth", "ifb")
    agents.serve(kind=KIND)
    scene.listed()
    node.ip("route", "add", "default", "dev", "lan1", "metric", "99")
    kubelet.await_devices(KIND, {"lan2": "Healthy"})
    node.ip("route", "delete", "default", "dev", "lan1", "metric", "99")
    scene.listed()
    scene.run("one")
    scene.run("two")
    scene.end()


def test_the_last_link_that_goes_leaves_a_resource_without_devices(
    scene: Scene, agents: Agents, kubelet: Kubelet, lender: Lender
) -> None:
    scene.make("ifb")
    agents.serve(kind=KIND)
    scene.listed()
    lender.take_away(scene.links["lan1"])
    kubelet.await_devices(KIND, {})
    kubelet.await_resource(KIND, 0, 0)
    lender.remake(scene.links["lan1"])
    scene.listed()
    kubelet.await_resource(KIND, 1, 1)


def test_health_and_metrics_tell_what_is_lent(
    scene: Scene, agents: Agents, kubelet: Kubelet, node: Node
) -> None:
    scene.make("ifb", "veth")
    agent = agents.serve(kind=KIND)
    scene.listed()
    scene.run("pod")
    agent.await_line("Device is lent")
    page = "/usr/bin/python3", "-c", _GET
    assert node.run(*page, "healthz").stdout.startswith("200 ")
    assert node.run(*page, "readyz").stdout.startswith("200 ")
    metrics = node.run(*page, "metrics").stdout
    assert 'state="lent"' in metrics, metrics
    scene.end()


# As a probe does it: a verdict is at most a second old.
_GET = """\
import sys, time, urllib.error, urllib.request
for _ in range(30):
    try:
        answer = urllib.request.urlopen("http://127.0.0.1:9479/" + sys.argv[1])
        break
    except urllib.error.HTTPError as error:
        answer = error
        time.sleep(0.1)
print(answer.status, answer.read().decode())
"""
