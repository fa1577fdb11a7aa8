"""Claims on a node, with all that is real but the kubelet and the API server, which are strict.

At every change that these two see `tests.e2e.claimtruth` looks whether what must never be is so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.e2e.agent import CONFIG, Agent
from tests.e2e.containerd import Containerd
from tests.e2e.dra import DRIVER, NODE, POOL, Claims, NodeApi
from tests.e2e.lender import CDI, KIND, Lender, assert_inside, look
from tests.e2e.links import Link
from tests.e2e.reboot import reboot
from tests.fakes.kubelet import Kubelet, Phase, Pod, RefusedError, Restart, one


@pytest.fixture
def api(cluster_api: NodeApi) -> NodeApi:
    """The kubelet's API server is the one that the agent has."""
    return cluster_api


class Scene:
    """Links, and pods with claims that have some of them."""

    def __init__(self, claims: Claims, lender: Lender, containerd: Containerd) -> None:
        self.claims = claims
        self.kubelet = claims.kubelet
        self.lender = lender
        self.containerd = containerd
        self.links: dict[str, Link] = {}
        self._has: dict[str, tuple[Pod, str]] = {}  # by the claim's name

    def make(self, *kinds: str) -> None:
        """Make links of these kinds: lan1, lan2, …"""
        for kind in kinds:
            link = self.lender.make(kind)
            self.links[link.name] = link

    def serve(self) -> Agent:
        """Start an agent and return when all links are in slices."""
        agent = self.claims.serve()
        self.published()
        return agent

    def published(self) -> None:
        """Return when all links are in slices."""
        self.claims.await_slices(*self.links)

    def run(self, name: str, *links: str, **options: Any) -> Pod:
        """Run a pod with a claim, and see that it has what the claim was given."""
        pod = self.claims.run(name, *links, **options)
        self.took(pod)
        return pod

    def took(self, pod: Pod) -> None:
        """Note that a pod has its claim's links, in a container that is another one."""
        (claim,) = pod.spec.claims.values()
        self._has[claim] = (pod, pod.container())
        self.same()

    def same(self) -> None:
        """Fail unless every pod has its links in the container that it had them in."""
        for claim, (pod, container) in self._has.items():
            assert pod.container() == container, str(pod)
            for name in self.claims.got(claim):
                assert_inside(self.links[name], self.sh(pod, look(self.links[name])))

    def again(self, pod: Pod, container: str) -> None:
        """Return when a pod has its links in another container than that one."""
        self.kubelet.await_pod(pod, lambda: pod.running and pod.container() != container)
        self.took(pod)

    def sh(self, pod: Pod, script: str) -> str:
        """What a script prints in a pod."""
        return self.containerd.cri.sh(pod.container(), script)

    def forget(self, *pods: Pod) -> None:
        """Containers are about to be others."""
        self._has = {claim: has for claim, has in self._has.items() if has[0] not in pods}

    def delete(self, pod: Pod) -> None:
        """Delete a pod and its claim."""
        self.forget(pod)
        self.claims.delete(pod)

    def end(self) -> None:
        """Delete all pods; see every link home as it was, and nothing of claims left."""
        for pod, _ in tuple(self._has.values()):
            self.delete(pod)
        self.lender.returned(*self.links.values())
        assert not self.claim_files()
        assert not self.kubelet.life.dra.claims()

    def claim_files(self) -> list[str]:
        """The CDI files of claims."""
        return [path.name for path in self.lender.node.path(CDI).glob("*-claim_*")]


@pytest.fixture
def scene(claims: Claims, lender: Lender, containerd: Containerd) -> Scene:
    """No link yet."""
    return Scene(claims, lender, containerd)


def test_a_pod_with_a_claim_has_a_link_until_it_is_deleted(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    (name,) = scene.claims.got("pod")
    scene.published()
    assert f"NETDEVICE_LINKS={name}\n" in scene.sh(pod, "env")
    (entry,) = scene.claims.await_ready("pod").values()
    link = scene.links[name]
    assert entry["networkData"]["interfaceName"] == name
    assert {link.ipv4, link.ipv6} <= set(entry["networkData"]["ips"])
    scene.end()
    scene.published()
    assert scene.claims.truth.looks


def test_a_claim_has_several_links(scene: Scene) -> None:
    scene.make("veth", "ifb", "macvlan")
    scene.serve()
    pod = scene.run("pod", "lan3", "lan1")
    assert scene.claims.got("pod") == ["lan3", "lan1"]
    assert scene.kubelet.prepared(pod) == {
        (DRIVER, f"{NODE}/{POOL}", "lan1"),
        (DRIVER, f"{NODE}/{POOL}", "lan3"),
    }
    scene.run("other")
    scene.end()


def test_a_claim_says_how_its_link_is_in_the_pod(scene: Scene) -> None:
    scene.make("veth")
    scene.serve()
    pod = scene.claims.run(
        "pod",
        parameters={
            "interfaceName": "net1",
            "mtu": 1300,
            "mac": "02:00:00:00:00:07",
            "addresses": ["192.0.2.77/24"],
        },
    )
    said = scene.sh(pod, "ip address show dev net1; cat /sys/class/net/net1/mtu")
    assert "inet 192.0.2.77/24" in said
    assert "02:00:00:00:00:07" in said
    assert "1300\n" in said
    (entry,) = scene.claims.await_ready("pod").values()
    assert entry["networkData"] == {
        "interfaceName": "net1",
        "ips": ["192.0.2.77/24"],
        "hardwareAddress": "02:00:00:00:00:07",
    }
    scene.delete(pod)
    scene.end()


def test_what_is_wrong_with_a_claim_is_in_its_pods_events(scene: Scene) -> None:
    scene.make("ifb")
    scene.serve()
    scene.claims.claim("pod", parameters={"mtu": 9000, "mtuu": 1})
    pod = scene.kubelet.create_pod(one("pod", claims=("pod",)))
    scene.kubelet.await_event(pod, "mtuu")
    assert pod.phase is Phase.PENDING
    scene.delete(pod)
    scene.run("other")
    scene.end()


def test_a_claim_to_look_moves_no_link(scene: Scene) -> None:
    scene.make("ifb")
    with scene.claims.cluster.edit("namespaces", "default") as namespace:
        namespace["metadata"]["labels"] = {"resource.kubernetes.io/admin-access": "true"}
    scene.serve()
    scene.run("owner")
    pod = scene.claims.run("admin", "lan1", admin=True)
    assert "lan1" not in scene.sh(pod, "ip link show")
    scene.same()
    scene.claims.delete(pod)
    scene.same()
    scene.end()


def test_a_claim_of_two_pods_goes_from_one_to_the_other(scene: Scene) -> None:
    scene.make("veth")
    scene.serve()
    scene.claims.claim("net")
    spec = one("first", claims=("net",), command=("true",), restart=Restart.NEVER)
    first = scene.kubelet.create_pod(spec)
    second = scene.kubelet.create_pod(one("second", claims=("net",)))
    scene.kubelet.await_over(first)
    scene.kubelet.await_running(second)
    scene.took(second)
    scene.kubelet.delete_pod(first)
    scene.same()
    scene.end()


def test_a_container_that_crashes_and_a_pause_that_dies_have_the_link_again(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    cri, node = scene.containerd.cri, scene.lender.node
    for kill in (cri.pid(pod.container()), cri.pod_pid(cri.sandbox(pod.spec.uid))):
        before = pod.container()
        node.kill(kill)
        scene.again(pod, before)
    assert len(scene.kubelet.calls("NodePrepareResources")) == 1
    scene.end()


STOPS: Mapping[str, Callable[[Agent], None]] = {"SIGTERM": Agent.terminate, "SIGKILL": Agent.kill}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_an_agent_that_starts_anew_finds_what_claims_have(
    scene: Scene, stop: Callable[[Agent], None]
) -> None:
    scene.make("veth", "ifb", "macvlan")
    agent = scene.serve()
    first, second = scene.run("first"), scene.run("second")
    stop(agent)
    scene.kubelet.await_driver(DRIVER, 0)
    scene.same()
    scene.published()
    scene.kubelet.cluster.delete(first)  # nobody is there to give its claim back
    scene.forget(first)
    scene.kubelet.await_event(first, "unprepare dynamic resources: ")
    scene.serve()
    scene.kubelet.await_pod(first, lambda: first.gone)
    scene.same()
    scene.run("third", *set(scene.links) - set(scene.claims.got("second")))
    scene.delete(second)
    scene.end()


ENDS: Mapping[str, Callable[[Kubelet], None]] = {"stop": Kubelet.stop, "kill": Kubelet.kill}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_kubelet_that_starts_anew_has_its_slices_and_asks_again(
    scene: Scene, end: Callable[[Kubelet], None]
) -> None:
    scene.make("veth", "ifb")
    agent = scene.serve()
    pod = scene.run("pod")
    end(scene.kubelet)
    scene.same()
    scene.kubelet.start()
    wiped = scene.kubelet.life.drivers.wiped
    scene.kubelet.changes.wait(lambda: wiped, lambda: "slices are deleted")
    scene.kubelet.await_driver(DRIVER)
    scene.published()
    scene.same()
    cri, before = scene.containerd.cri, pod.container()
    scene.lender.node.kill(cri.pod_pid(cri.sandbox(pod.spec.uid)))
    scene.again(pod, before)
    assert len(scene.kubelet.calls("NodePrepareResources")) == 2
    scene.run("other")
    scene.end()
    assert agent.running


def test_a_rolling_update_costs_nobody_anything(scene: Scene) -> None:
    scene.make("veth", "ifb", "macvlan")
    old = scene.serve()
    first = scene.run("first")
    began = time.monotonic()
    new = scene.claims.start()
    old.await_end(began)  # who comes later takes over
    waits = scene.kubelet.create_pod(one("second", claims=("second",)))
    scene.claims.claim("second")
    scene.kubelet.await_running(waits)
    scene.took(waits)
    scene.delete(first)
    scene.published()
    scene.run("third")
    scene.kubelet.clock.advance(31)
    scene.end()
    scene.published()
    assert new.running
    assert scene.kubelet.life.drivers.wiped == [""]


def test_after_a_reboot_pods_have_the_devices_that_they_had(scene: Scene) -> None:
    scene.make("veth", "ifb", "macvlan")
    agent = scene.serve()
    pods = scene.run("first"), scene.run("second")
    had = {pod: (pod.container(), scene.claims.got(pod.spec.name)) for pod in pods}
    scene.forget(*pods)
    agent.kill()
    reboot(scene.lender.node, scene.containerd, scene.kubelet, scene.lender)
    assert not scene.claim_files()
    scene.kubelet.start()
    scene.claims.serve()
    for pod, (container, names) in had.items():
        scene.again(pod, container)
        assert scene.claims.got(pod.spec.name) == names
    scene.published()
    scene.run("third")
    scene.end()


def test_an_answer_that_is_lost_is_given_again(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    kubelet = scene.kubelet
    lost = ["NodePrepareResources done"]

    def interfere(point: str, _driver: str) -> None:
        if point in lost:
            lost.remove(point)
            raise RefusedError("the answer is lost")

    kubelet.interfere = interfere
    scene.claims.claim("pod")
    pod = kubelet.create_pod(one("pod", claims=("pod",)))
    kubelet.await_event(pod, "the answer is lost")
    kubelet.await_running(pod)
    scene.took(pod)
    scene.run("other")
    scene.end()


def test_an_api_server_that_is_away_delays_new_pods_and_nothing_else(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    scene.claims.claim("other")
    scene.claims.server.go_away()
    waits = scene.kubelet.create_pod(one("other", claims=("other",)))
    scene.kubelet.await_event(waits, "fetch ResourceClaim other: ")
    before = pod.container()
    scene.lender.node.kill(scene.containerd.cri.pid(before))
    scene.again(pod, before)
    scene.kubelet.delete_pod(pod)
    scene.forget(pod)
    scene.claims.server.come_back()
    scene.kubelet.await_running(waits)
    scene.took(waits)
    scene.published()
    scene.end()


def test_a_pod_with_limits_has_a_link_by_the_device_class(scene: Scene) -> None:
    scene.make("veth")
    scene.serve()
    pod = scene.kubelet.run_pod(one("pod", {KIND: 1}))
    link = scene.links["lan1"]
    assert_inside(link, scene.sh(pod, look(link)))
    waits = scene.kubelet.create_pod(one("waits", {KIND: 1}))
    assert waits.phase is Phase.PENDING
    scene.kubelet.delete_pod(pod)
    scene.kubelet.await_running(waits)
    assert_inside(link, scene.sh(waits, look(link)))
    scene.kubelet.delete_pod(waits)
    scene.end()


def test_a_pool_that_becomes_dras_drains(scene: Scene) -> None:
    scene.make("veth", "ifb")
    kubelet, claims = scene.kubelet, scene.claims
    claims.configure(plugin={POOL: '"lan?"'})
    claims.start()
    kubelet.await_devices(KIND, {"lan1": "Healthy", "lan2": "Healthy"})
    old = kubelet.run_pod(one("old", {KIND: 1}))
    (had,) = kubelet.given(old, KIND)
    (free,) = scene.links.keys() - {had}
    claims.configure(netdevice='"lan?"')
    kubelet.await_driver(DRIVER)
    claims.await_slices(free)
    kubelet.await_devices(KIND, {had: "Healthy"})
    scene.run("new")
    assert_inside(scene.links[had], scene.sh(old, look(scene.links[had])))
    kubelet.delete_pod(old)
    scene.published()
    other = kubelet.run_pod(one("other", {KIND: 1}))  # the same pod as before, by DRA
    assert kubelet.given(other, KIND) == frozenset()
    assert_inside(scene.links[had], scene.sh(other, look(scene.links[had])))
    kubelet.delete_pod(other)
    scene.end()


def test_a_pool_that_is_dras_no_more_keeps_what_claims_have(scene: Scene) -> None:
    scene.make("veth", "ifb")
    kubelet, claims = scene.kubelet, scene.claims
    scene.serve()
    pod = scene.run("pod")
    (had,) = claims.got("pod")
    (free,) = scene.links.keys() - {had}
    claims.configure(plugin={POOL: '"lan?"'})
    kubelet.await_devices(KIND, {free: "Healthy"})
    claims.await_slices(had)
    other = kubelet.run_pod(one("other", {KIND: 1}))  # by the device plugin
    assert kubelet.given(other, KIND) == frozenset({free})
    scene.same()
    scene.delete(pod)
    claims.await_no_slices()
    kubelet.await_devices(KIND, {had: "Healthy", free: "Healthy"})
    assert_inside(scene.links[free], scene.sh(other, look(scene.links[free])))
    kubelet.delete_pod(other)
    scene.end()


def test_a_pool_that_is_gone_leaves_no_slice_but_for_what_claims_have(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    (had,) = scene.claims.got("pod")
    scene.claims.configure()
    scene.claims.await_slices(had)
    scene.same()
    scene.delete(pod)
    scene.claims.await_no_slices()
    scene.end()


def test_operators_see_who_has_what_by_which_claim(scene: Scene) -> None:
    scene.make("veth", "ifb")
    agent = scene.serve()
    pod = scene.run("pod")
    (name,) = scene.claims.got("pod")
    scene.claims.await_ready("pod")

    def told(*argv: str) -> Any:
        found = scene.lender.cli(*argv, "--config", CONFIG, "-o", "json", check=False)
        return json.loads(found.stdout)

    (lent,) = told("status")["lent"]
    assert (lent["device"], lent["claim"]["name"]) == (name, "pod")
    assert lent["holders"][0]["alive"]
    links = {link["name"]: link for link in told("devices")["links"]}
    assert {link["frontend"] for link in links.values() if link["pool"]} == {"dra"}
    assert [one for one, link in links.items() if link["claim"]] == [name]
    findings = [one for one in told("doctor")["findings"] if one["check"].startswith("dra/")]
    assert [(one["check"], one["level"]) for one in findings if one["check"] != "dra/node"] == [
        ("dra/sockets", "ok"),
        ("dra/sockets", "ok"),
        ("dra/claim", "ok"),
    ]
    assert agent.running
    scene.delete(pod)
    document = told("status")
    assert (document["lent"], document["claims"]) == ([], [])
    scene.end()
