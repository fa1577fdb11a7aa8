"""Kubelets that are away, come late, refuse, hang or go in the middle."""

from __future__ import annotations

import shutil
import socket
import threading

import pytest

from tests.fakes.kubelet.settings import RefusedError, nothing
from tests.kernel.agent.process import HEALTHY, KIND, Node

pytestmark = pytest.mark.timeout(90)


def test_a_kubelet_whose_directory_is_made_later_is_found(node: Node) -> None:
    shutil.rmtree(node.kubelet.place.root)
    agent = node.start()
    agent.said("Device is offered", device="eth1")
    assert set(node.spec()) == {"eth1", "eth2"}
    status, page = node.get("/readyz")
    assert status == 503
    assert "[-]kubelet: not registered" in page
    assert node.get("/healthz")[0] == 200
    node.kubelet.place.root.mkdir()
    with node.kubelet:
        node.listed(eth1=HEALTHY, eth2=HEALTHY)
        node.until("/readyz", lambda status, _: status == 200)
        agent.stop()


def test_the_kubelet_is_restarted_again_and_again(cluster: Node) -> None:
    agent = cluster.run()
    for round in range(3):
        cluster.kubelet.kill()
        cluster.netns.ip("link", "add", f"eth{3 + round}", "type", "ifb")
        cluster.kubelet.start()
        cluster.kubelet.await_registered(KIND)
        names = ["eth1", "eth2", *(f"eth{3 + number}" for number in range(round + 1))]
        cluster.listed(**dict.fromkeys(names, HEALTHY))
    assert cluster.metric("kubelet_registrations_total", resource=KIND) == 4
    agent.stop()


@pytest.mark.parametrize("point", ["Register", "Registered"])
def test_a_kubelet_that_refuses_is_asked_until_it_does_not(node: Node, point: str) -> None:
    left = iter(range(3))

    def refuse(reached: str, _resource: str) -> None:
        if reached == point and next(left, None) is not None:
            raise RefusedError("not today")

    node.kubelet.interfere = refuse
    with node.kubelet:
        agent = node.start()
        agent.said("Not registered with the kubelet", reason="not today")
        node.until_metric("kubelet_registrations_total", 1, resource=KIND)
        node.listed(eth1=HEALTHY, eth2=HEALTHY)
        assert node.metric("kubelet_registration_failures_total", resource=KIND) == 3
        agent.stop()


@pytest.mark.parametrize("point", ["Register", "Registered"])
def test_with_a_kubelet_that_hangs_the_agent_works_on_and_ends_in_time(
    node: Node, point: str
) -> None:
    reached, go = threading.Event(), threading.Event()

    def hang(where: str, _resource: str) -> None:
        if where == point:
            reached.set()
            go.wait(60)

    node.kubelet.interfere = hang
    with node.kubelet:
        agent = node.start()
        try:
            assert reached.wait(20)
            node.netns.ip("link", "add", "eth3", "type", "ifb")
            agent.said("Device is offered", device="eth3")
            assert set(node.spec()) == {"eth1", "eth2", "eth3"}
            assert node.get("/healthz")[0] == 200
            assert agent.stop() < 2
        finally:
            go.set()


@pytest.mark.parametrize("point", ["Register", "Registered"])
def test_a_kubelet_that_is_killed_in_the_middle_is_met_again(node: Node, point: str) -> None:
    reached, go = threading.Event(), threading.Event()

    def hang(where: str, _resource: str) -> None:
        if where == point:
            reached.set()
            go.wait(60)

    node.kubelet.interfere = hang
    with node.kubelet:
        agent = node.start()
        assert reached.wait(20)
        node.kubelet.interfere = nothing
        node.kubelet.kill()
        go.set()
        node.kubelet.start()
        node.listed(eth1=HEALTHY, eth2=HEALTHY)
        agent.stop()


def test_podresources_that_hang_keep_the_agent_neither_from_its_start_nor_from_its_end(
    node: Node,
) -> None:
    directory = node.kubelet.place.pod_resources
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(directory / "kubelet.sock"))
        mute.listen()
        agent = node.start()
        mute.accept()[0].close()  # it has begun to ask
        assert agent.stop() < 2
        agent = node.start()
        agent.said("The kubelet does not say what pods have", reason=str(directory))
        agent.said("Device is offered", device="eth1")
        assert set(node.spec()) == {"eth1", "eth2"}
        assert agent.stop() < 2


def test_the_plugins_registry_is_the_other_way_in(cluster: Node) -> None:
    pool = {"name": "netdevice", "selectors": [{"ifNames": ["eth*"]}]}
    cluster.write({"registration": "plugins_registry", "pools": [pool]})
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.kubelet.restart()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    agent.stop()
    assert not list(cluster.kubelet.place.registry.iterdir())


def test_nothing_is_left_in_the_kubelets_directory(cluster: Node) -> None:
    before = sorted(cluster.kubelet.place.plugins.iterdir())
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert agent.stop() < 2
    after = sorted(cluster.kubelet.place.plugins.iterdir())
    assert [path for path in after if path.is_socket()] == [
        path for path in before if path.is_socket()
    ]


def test_a_directory_that_is_too_deep_for_a_socket_is_refused_at_once(node: Node) -> None:
    deep = node.root / ("d" * 120)
    agent = node.start(f"--kubelet-dir={deep}")
    agent.end(code=2)
    (error,) = (line for line in agent.plain if line.startswith("error: "))
    assert str(deep) in error
    assert "hint: kubeletDir has to be shorter" in agent.plain
