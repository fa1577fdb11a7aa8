"""A host link into a pod's container and home, as a kubelet drives containerd over CRI."""

from __future__ import annotations

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri, refusal
from tests.e2e.lender import KIND, Lender, assert_inside, look
from tests.e2e.links import MADE_KINDS
from tests.e2e.node import Node


@pytest.mark.parametrize("kind", MADE_KINDS)
def test_a_link_of_each_kind_goes_in_with_its_settings_and_comes_home(
    cri: Cri, lender: Lender, kind: str
) -> None:
    link = lender.lend(kind)
    container = cri.run(cri.run_pod(), lender.device(link))
    assert_inside(link, cri.sh(container, look(link)))
    cri.stop(container)
    lender.returned(link)


def test_a_container_that_ends_by_itself_gives_the_link_back_before_it_is_seen_to_end(
    cri: Cri, lender: Lender
) -> None:
    link = lender.lend()
    container = cri.run(cri.run_pod(), lender.device(link), ("sleep", "0.2"))
    cri.exited(container)
    assert not lender.record(link).exists()
    lender.returned(link)


def test_a_killed_container_gives_the_link_back(cri: Cri, lender: Lender, node: Node) -> None:
    link = lender.lend()
    container = cri.run(cri.run_pod(), lender.device(link))
    node.kill(cri.pid(container))
    cri.exited(container)
    lender.returned(link)


def test_a_container_that_runs_out_of_memory_gives_the_link_back(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    greedy = ("tail", "/dev/zero")  # looks for the end of a line
    container = cri.create(cri.run_pod(), lender.device(link), greedy, memory=16 << 20)
    cri.start(container)
    cri.exited(container)
    assert cri.reason(container) == "OOMKilled"
    lender.returned(link)


def test_a_container_restarted_in_a_live_pod_has_the_link_again(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    pod = cri.run_pod()
    for _ in range(3):
        container = cri.run(pod, lender.device(link))
        assert_inside(link, cri.sh(container, look(link)))
        cri.stop(container)
        cri.remove(container)
    lender.returned(link)


def test_two_containers_share_the_link_until_the_last_one_ends(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    pod = cri.run_pod()
    first, second = (cri.run(pod, lender.device(link)) for _ in range(2))
    for container in (first, second):
        assert_inside(link, cri.sh(container, look(link)))
    cri.stop(first)
    assert_inside(link, cri.sh(second, look(link)))
    cri.stop(second)
    lender.returned(link)


def test_the_next_pod_has_the_link_after_the_first(cri: Cri, lender: Lender) -> None:
    link = lender.lend("veth")
    for _ in range(2):
        pod = cri.run_pod()
        container = cri.run(pod, lender.device(link))
        assert_inside(link, cri.sh(container, look(link)))
        cri.remove_pod(pod)
        lender.returned(link)


def test_another_pod_is_refused_while_the_first_lives(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    holder = cri.run(cri.run_pod(), lender.device(link))
    waiting = cri.create(cri.run_pod(), lender.device(link))
    with refusal() as said:
        cri.start(waiting)
    assert holder[:12] in said[0]
    assert_inside(link, cri.sh(holder, look(link)))


def test_the_hosts_network_is_refused_and_the_host_untouched(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    container = cri.create(cri.run_pod(host_network=True), lender.device(link))
    with refusal() as said:
        cri.start(container)
    assert f"netdevice-mover: {link.name}: " in said[0]
    assert "network namespace" in said[0]
    lender.untouched()


def test_a_pod_that_is_stopped_with_its_container_running_gives_the_link_back(
    cri: Cri, lender: Lender
) -> None:
    link = lender.lend("macvlan")
    pod = cri.run_pod()
    cri.run(pod, lender.device(link))
    cri.stop_pod(pod)
    lender.returned(link)


def test_a_killed_pause_loses_nothing(cri: Cri, lender: Lender, node: Node) -> None:
    link = lender.lend()
    pod = cri.run_pod()
    container = cri.run(pod, lender.device(link))
    node.kill(cri.pod_pid(pod))
    assert_inside(link, cri.sh(container, look(link)))
    cri.stop_pod(pod)
    lender.returned(link)


def test_an_unknown_device_is_refused_at_create(cri: Cri, lender: Lender) -> None:
    lender.lend()
    pod = cri.run_pod()
    with refusal() as said:
        cri.create(pod, f"{KIND}=nowhere")
    assert f"{KIND}=nowhere" in said[0]
    lender.untouched()


def test_an_absent_link_fails_the_container_and_leaves_the_host_as_it_was(
    cri: Cri, lender: Lender
) -> None:
    absent, bystander = lender.lend(), lender.lend()
    lender.take_away(absent)
    pod = cri.run_pod()
    container = cri.create(pod, lender.device(absent))
    with refusal() as said:
        cri.start(container)
    assert f"netdevice-mover: {absent.name}: " in said[0]
    lender.untouched()
    other = cri.run(pod, lender.device(bystander))
    assert_inside(bystander, cri.sh(other, look(bystander)))


def test_a_command_that_cannot_be_executed_gives_the_link_back(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    container = cri.create(cri.run_pod(), lender.device(link), ("/no/such/program",))
    with refusal():
        cri.start(container)
    lender.returned(link)


def test_a_container_outlives_containerd_and_is_served_by_the_next(
    containerd: Containerd, lender: Lender
) -> None:
    link = lender.lend()
    container = containerd.cri.run(containerd.cri.run_pod(), lender.device(link))
    containerd.kill()
    containerd.start()
    assert_inside(link, containerd.cri.sh(container, look(link)))
    containerd.cri.stop(container)
    lender.returned(link)


def test_a_container_that_ends_without_containerd_gives_the_link_back_once_it_is_up(
    containerd: Containerd, lender: Lender, node: Node
) -> None:
    link = lender.lend()
    cri = containerd.cri
    pid = cri.pid(cri.run(cri.run_pod(), lender.device(link)))
    containerd.kill()
    node.kill(pid)
    assert lender.record(link).exists()
    containerd.start()
    lender.returned(link)


def test_containerd_ends_the_container_of_a_killed_shim_and_the_link_comes_home(
    containerd: Containerd, lender: Lender, node: Node
) -> None:
    link = lender.lend()
    pod = containerd.cri.run_pod()
    container = containerd.cri.run(pod, lender.device(link))
    node.kill(containerd.shim(pod))
    containerd.cri.exited(container)
    lender.returned(link)


def test_reclaim_waits_for_the_death_of_a_container_that_nobody_looks_after(
    containerd: Containerd, lender: Lender, node: Node
) -> None:
    link = lender.lend()
    pid = orphan(containerd, lender.device(link), node)
    assert lender.reclaim(link, check=False).returncode == 3
    node.kill(pid)
    lender.reclaim(link)
    lender.returned(link)
    containerd.start()  # it runs poststop now, which has nothing left to do
    containerd.cri.remove_all_pods()
    lender.returned(link)


def test_reclaim_takes_the_link_from_a_live_container_by_force(
    containerd: Containerd, lender: Lender, node: Node
) -> None:
    link = lender.lend("vxlan")
    orphan(containerd, lender.device(link), node)
    lender.reclaim(link, "--force")
    lender.returned(link)
    containerd.start()


def test_a_link_whose_container_shim_and_containerd_died_comes_home_when_containerd_is_back(
    containerd: Containerd, lender: Lender, node: Node
) -> None:
    """The namespace has no process left: the pin alone keeps a link that would die with it."""
    link = lender.lend("veth")
    pid = orphan(containerd, lender.device(link), node)
    node.kill(pid)
    assert lender.record(link).exists()
    containerd.start()
    lender.returned(link)


def orphan(containerd: Containerd, device: str, node: Node) -> int:
    """A container that lives on while its shim and containerd are dead; returns its process."""
    pod = containerd.cri.run_pod()
    pid = containerd.cri.pid(containerd.cri.run(pod, device))
    shim = containerd.shim(pod)
    containerd.kill()
    node.kill(shim)
    return pid
