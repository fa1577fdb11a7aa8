"""Pod spec in, running container with a host's link out, and the link home again.

The kubelet is the fake one, the device plugin does as it is told, the CDI file is written by
`cdi generate`; containerd, runc, the mover and the links are real.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.lender import KIND, Lender, assert_inside, look
from tests.e2e.links import Link
from tests.e2e.node import Node
from tests.e2e.reboot import reboot
from tests.fakes.kubelet import ContainerSpec, Kubelet, Phase, Pod, PodSpec, Restart, one
from tests.fakes.plugin import Plugin, device

ONE = {KIND: 1}


@pytest.fixture
def plugin(kubelet: Kubelet) -> Iterator[Plugin]:
    """Serves, and is not registered yet."""
    with Plugin(kubelet.place.plugins / "netdevice.sock", KIND) as serving:
        yield serving


def offer(kubelet: Kubelet, plugin: Plugin, *links: Link) -> None:
    """List the links, as a plugin does that has just started."""
    plugin.devices = [device(link.name) for link in links]
    plugin.register(kubelet.place)
    kubelet.await_devices(KIND, {link.name: "Healthy" for link in links})


def seen(containerd: Containerd, pod: Pod, link: Link, container: str = "main") -> str:
    """What a container sees of a link."""
    return containerd.cri.sh(pod.container(container), look(link))


def test_a_pod_that_asks_for_a_device_has_a_link_until_it_is_deleted(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd
) -> None:
    link = lender.lend("veth")
    offer(kubelet, plugin, link)
    pod = kubelet.run_pod(one("pod", ONE))
    assert_inside(link, seen(containerd, pod, link))
    assert "GIVEN=lan1\n" in containerd.cri.sh(pod.container(), "env")
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_container_has_two_links_of_one_request(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd
) -> None:
    links = lender.lend("ifb"), lender.lend("macvlan")
    offer(kubelet, plugin, *links)
    pod = kubelet.run_pod(one("pod", {KIND: 2}))
    for link in links:
        assert_inside(link, seen(containerd, pod, link))
    kubelet.delete_pod(pod)
    lender.returned(*links)


def test_an_init_container_and_then_the_app_container_have_the_link(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    check = ("ip", "link", "show", link.name)
    pod = kubelet.run_pod(
        PodSpec(
            name="pod",
            init_containers=(ContainerSpec(name="init", limits=ONE, command=check),),
            containers=(ContainerSpec(limits=ONE),),
        )
    )
    assert pod.containers["init"].exit_code == 0
    assert_inside(link, seen(containerd, pod, link))
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_container_that_crashes_has_the_link_again(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd, node: Node
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    pod = kubelet.run_pod(one("pod", ONE))
    for count in (1, 2):
        node.kill(containerd.cri.pid(pod.container()))
        kubelet.await_restart(pod, count)
        assert_inside(link, seen(containerd, pod, link))
    assert len(plugin.allocated) == 1
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_pod_that_succeeds_gives_the_link_to_one_that_waits(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    check = ("ip", "link", "show", link.name)
    first = kubelet.create_pod(one("first", ONE, command=check, restart=Restart.NEVER))
    second = kubelet.create_pod(one("second", ONE))
    kubelet.await_running(second)
    assert first.phase is Phase.SUCCEEDED
    assert_inside(link, seen(containerd, second, link))
    kubelet.delete_pod(second)
    lender.returned(link)


def test_a_dead_pause_costs_a_pod_its_sandbox_and_not_its_link(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd, node: Node
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    pod = kubelet.run_pod(one("pod", ONE))
    before = pod.container()
    node.kill(containerd.cri.pod_pid(containerd.cri.sandbox(pod.spec.uid)))
    kubelet.await_pod(pod, lambda: pod.running and pod.container() != before)
    assert_inside(link, seen(containerd, pod, link))
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_hook_that_fails_is_in_the_containers_status_and_tried_again(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    lender.take_away(link)
    pod = kubelet.create_pod(one("pod", ONE))
    kubelet.await_pod(pod, lambda: "main" in pod.containers)
    assert pod.containers["main"].reason == "RunContainerError"
    assert f"netdevice-mover: {link.name}: " in pod.containers["main"].message
    lender.remake(link)
    lender.generate()
    kubelet.await_running(pod)
    assert_inside(link, seen(containerd, pod, link))
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_cdi_name_that_nobody_knows_is_in_the_containers_status(
    kubelet: Kubelet, plugin: Plugin, lender: Lender
) -> None:
    link = lender.lend()
    plugin.devices = [device("nowhere")]
    plugin.register(kubelet.place)
    pod = kubelet.create_pod(one("pod", ONE))
    kubelet.await_pod(pod, lambda: "main" in pod.containers)
    status = pod.containers["main"]
    assert status.reason == "CreateContainerError"
    assert f"{KIND}=nowhere" in status.message
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_pod_on_the_hosts_network_is_refused_by_the_mover(
    kubelet: Kubelet, plugin: Plugin, lender: Lender
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    pod = kubelet.create_pod(one("pod", ONE, host_network=True, restart=Restart.NEVER))
    kubelet.await_over(pod)
    assert "network namespace" in pod.containers["main"].message
    kubelet.delete_pod(pod)
    lender.untouched()


def test_a_killed_kubelet_finds_its_pods_running_when_it_is_back(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    pod = kubelet.run_pod(one("pod", ONE))
    before = pod.container()
    kubelet.restart()
    kubelet.await_admitted()
    assert pod.container() == before
    assert_inside(link, seen(containerd, pod, link))
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_after_a_reboot_a_pod_has_the_same_device_if_the_plugin_is_there_first(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd, node: Node
) -> None:
    links = lender.lend("veth"), lender.lend()
    offer(kubelet, plugin, *links)
    pod = kubelet.run_pod(one("pod", ONE))
    (given,) = kubelet.given(pod, KIND)
    before = pod.container()
    reboot(node, containerd, kubelet, lender)
    kubelet.start(pods=False)
    lender.generate()
    with Plugin(kubelet.place.plugins / "again.sock", KIND) as again:
        offer(kubelet, again, *links)
        kubelet.admit_pods()
        kubelet.await_pod(pod, lambda: pod.running and pod.container() != before)
        (link,) = (link for link in links if link.name == given)
        assert_inside(link, seen(containerd, pod, link))
        assert not again.allocated
        kubelet.delete_pod(pod)
        lender.returned(*links)


def test_after_a_reboot_a_pod_fails_if_the_plugin_is_late(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd, node: Node
) -> None:
    link = lender.lend("macvlan")
    offer(kubelet, plugin, link)
    pod = kubelet.run_pod(one("pod", ONE))
    reboot(node, containerd, kubelet, lender)
    kubelet.start()
    kubelet.await_over(pod)
    assert pod.reason == "UnexpectedAdmissionError"
    kubelet.delete_pod(pod)
    lender.returned(link)


def test_a_killed_containerd_costs_a_pod_nothing(
    kubelet: Kubelet, plugin: Plugin, lender: Lender, containerd: Containerd, node: Node
) -> None:
    link = lender.lend()
    offer(kubelet, plugin, link)
    pod = kubelet.run_pod(one("pod", ONE))
    pid = containerd.cri.pid(pod.container())
    containerd.kill()
    node.kill(pid)  # nobody sees it yet
    containerd.start()
    kubelet.await_restart(pod, 1)
    assert_inside(link, seen(containerd, pod, link))
    kubelet.delete_pod(pod)
    lender.returned(link)
