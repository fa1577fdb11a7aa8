"""Links come, go, change their name, are lent: what the kubelet hears of that."""

from __future__ import annotations

import pytest

from netdevice_plugin.model import device_name
from tests.fakes.kubelet import one
from tests.kernel.agent.process import HEALTHY, KIND, UNHEALTHY, Node
from tests.kernel.mover.harness import Containers

pytestmark = pytest.mark.timeout(60)


def test_the_kubelet_has_what_the_host_has(cluster: Node) -> None:
    cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.netns.ip("link", "add", "eth3", "type", "ifb")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)
    cluster.netns.ip("link", "set", "eth3", "name", "eth4")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth4=HEALTHY)
    cluster.netns.ip("link", "del", "eth4")
    cluster.netns.ip("link", "del", "eth2")
    cluster.listed(eth1=HEALTHY)
    assert set(cluster.spec()) == {"eth1"}


def test_the_last_removal_is_told_too(cluster: Node) -> None:
    cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.netns.batch(["link del eth1", "link del eth2"])
    cluster.listed()
    assert cluster.kubelet.life.devices.registered(KIND)
    cluster.netns.ip("link", "add", "eth1", "type", "ifb")
    cluster.listed(eth1=HEALTHY)


def test_a_pool_without_a_link_is_registered_with_none(cluster: Node) -> None:
    cluster.configure("none*")
    cluster.run()
    cluster.listed()
    cluster.until("/readyz", lambda status, _: status == 200)


def test_a_link_that_goes_away_under_a_pod_is_unhealthy_until_the_pod_ends(cluster: Node) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    pod = cluster.kubelet.run_pod(one("web", {KIND: 1}))
    (name,) = cluster.kubelet.given(pod, KIND)
    other = "eth2" if name == "eth1" else "eth1"
    cluster.netns.ip("link", "del", name)
    cluster.listed(**{name: UNHEALTHY, other: HEALTHY})
    agent.said("Device is unhealthy", device=name, reason="its link is gone")
    cluster.until_metric("kubelet_queries_total", 2, source="podresources", outcome="answered")
    cluster.kubelet.delete_pod(pod)
    cluster.listed(**{other: HEALTHY})
    agent.said("Device is gone", device=name)


def test_a_pool_may_ask_for_a_carrier(cluster: Node) -> None:
    pool = {"name": "netdevice", "requireCarrier": True, "selectors": [{"ifNames": ["eth*"]}]}
    cluster.write({"pools": [pool]})
    agent = cluster.run()
    cluster.listed(eth1=UNHEALTHY, eth2=UNHEALTHY)
    agent.said("Device is unhealthy", device="eth1", reason="it has no carrier")
    cluster.netns.batch(["link set eth1 up", "link set peer1 up"])
    cluster.listed(eth1=HEALTHY, eth2=UNHEALTHY)
    cluster.netns.ip("link", "set", "peer1", "down")
    cluster.listed(eth1=UNHEALTHY, eth2=UNHEALTHY)


def test_a_lent_link_is_healthy_over_every_end_of_the_agent(
    cluster: Node, containers: Containers
) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is lent", device="eth1")
    assert "eth1" not in cluster.netns.links()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    agent.kill()
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    agent.stop()
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert set(cluster.spec()) == {"eth1", "eth2"}
    assert not agent.found("Device is unhealthy")
    cluster.bring_home("eth1", container)
    agent.said("Device is home", device="eth1")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_a_lent_link_comes_home_while_there_is_no_agent(
    cluster: Node, containers: Containers
) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is lent", device="eth1")
    agent.kill()
    cluster.bring_home("eth1", container)
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    assert not agent.found("Device is unhealthy")


HOSTILE = (
    "a.b-c_d",
    "fifteen-letters",
    "net-x",
    "Capitals",
    "eth1=x",
    "\x1b[31m",
    "\x01\x7f",
    'q"\\n',
    "${HOME}",
    "é",
)


def test_whatever_a_link_is_called_it_is_offered_and_hurts_nobody(cluster: Node) -> None:
    cluster.configure("*")
    cluster.netns.batch(["link del eth1", "link del eth2"])
    for name in HOSTILE:
        cluster.netns.ip("link", "add", "name", name, "type", "ifb")
    agent = cluster.run()
    cluster.listed(**{device_name(name): HEALTHY for name in HOSTILE})
    assert set(cluster.spec()) == {device_name(name) for name in HOSTILE}
    cluster.netns.ip("link", "set", HOSTILE[0], "name", "\udcff\udcfe")  # no CDI file can name it
    cluster.listed(**{device_name(name): HEALTHY for name in HOSTILE[1:]})
    cluster.netns.ip("link", "set", "\udcff\udcfe", "name", HOSTILE[0])
    cluster.listed(**{device_name(name): HEALTHY for name in HOSTILE})
    assert agent.stop() < 2
    assert not agent.plain


def test_an_uplink_is_never_offered_and_that_is_said(cluster: Node) -> None:
    cluster.configure("eth*", "up0")
    cluster.netns.batch(
        [
            "link add up0 type veth peer name up1",
            "link set up1 up",
            "link set up0 up",
            "addr add 192.0.2.1/24 dev up0",
            "route add default via 192.0.2.254",
        ]
    )
    agent = cluster.run()
    agent.said("A pool asks for what it cannot have", reason="up0")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.netns.batch(["link set eth1 up", "route add default dev eth1 metric 9"])
    agent.said("Device is unhealthy", device="eth1", reason="it carries the IPv4 default route")
    cluster.listed(eth2=HEALTHY)
    assert set(cluster.spec()) == {"eth2"}
    cluster.netns.ip("route", "del", "default", "dev", "eth1")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_a_link_with_the_nodes_own_address_is_never_offered(cluster: Node) -> None:
    cluster.netns.ip("address", "add", "192.0.2.77/24", "dev", "eth2")
    cluster.run("--node-address", "192.0.2.77")
    cluster.listed(eth1=HEALTHY)
