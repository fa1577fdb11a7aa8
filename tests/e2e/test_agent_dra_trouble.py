"""Whatever dies, is removed, renamed or refused: claims keep their links, and no link is lost.

As in `test_agent_lifecycle` for device plugins; what both have alike is in `test_agent_dra`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.dra import DRIVER, Claims, NodeApi
from tests.e2e.lender import CDI, Lender
from tests.e2e.test_agent_dra import Scene
from tests.e2e.waiting import TIMEOUT, until
from tests.fakes.apiserver import Fault
from tests.fakes.kubelet import Pod, one

_ACCOUNT = "system:serviceaccount:"  # as users of the API server are called that are pods


@pytest.fixture
def api(cluster_api: NodeApi) -> NodeApi:
    """The kubelet's API server is the one that the agent has."""
    return cluster_api


@pytest.fixture
def scene(claims: Claims, lender: Lender, containerd: Containerd) -> Scene:
    """No link yet."""
    return Scene(claims, lender, containerd)


def crash(scene: Scene, *pods: Pod) -> None:
    """Kill the containers of pods, and see each have its link again in the next one."""
    before = {pod: pod.container() for pod in pods}
    for pod in pods:
        scene.lender.node.kill(scene.containerd.cri.pid(before[pod]))
    scene.forget(*pods)
    for pod in pods:
        scene.again(pod, before[pod])


def hook(scene: Scene, pod: Pod) -> Mapping[str, object]:
    """The first hook in a claim's file."""
    claim = scene.claims.cluster.get("resourceclaims", pod.spec.name, "default")
    (path,) = scene.lender.node.path(CDI).glob(f"*-claim_{claim['metadata']['uid']}.json")
    device = json.loads(path.read_text())["devices"][0]
    found: Mapping[str, object] = device["containerEdits"]["hooks"][0]
    return found


def test_files_of_claims_that_somebody_removes_are_there_again(scene: Scene) -> None:
    scene.make("veth", "ifb")
    agent = scene.serve()
    pods = scene.run("first"), scene.run("second")
    agent.await_line("Registered with the kubelet")
    directory = scene.lender.node.path(CDI)
    files = scene.claim_files()
    assert len(files) == 2
    (directory / files[0]).unlink()
    until(directory, lambda: scene.claim_files() == files, "the file is there again")
    for name in files:
        (directory / name).unlink()
    until(directory, lambda: sorted(scene.claim_files()) == sorted(files), "both are")
    assert {line["claim"] for line in agent.lines("CDI file of a claim is written again")} == {
        "default/first",
        "default/second",
    }
    crash(scene, *pods)
    scene.end()


def test_a_new_configuration_is_in_the_files_of_claims_and_a_bad_one_is_not(scene: Scene) -> None:
    scene.make("veth", "ifb")
    agent = scene.serve()
    pod = scene.run("pod")
    assert hook(scene, pod)["timeout"] == 30
    scene.claims.configure("hookTimeout: 77\n", netdevice='"lan?"')
    directory = scene.lender.node.path(CDI)
    until(directory, lambda: hook(scene, pod)["timeout"] == 77, "the file says so")
    scene.claims.configure("nonsense: 7\n", netdevice='"lan?"')
    agent.await_line("Configuration refused; the one before stays in effect")
    assert hook(scene, pod)["timeout"] == 77
    crash(scene, pod)
    scene.run("other")
    scene.end()


def test_a_containerd_that_starts_anew_costs_no_claim_its_link(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod, _other = scene.run("pod"), scene.run("other")
    pid, before = scene.containerd.cri.pid(pod.container()), pod.container()
    scene.containerd.kill()
    scene.lender.node.kill(pid)  # nobody sees it yet
    scene.containerd.start()
    scene.forget(pod)
    scene.again(pod, before)
    scene.published()
    scene.end()


def test_a_killed_shim_costs_a_pod_its_container_and_not_its_claims_link(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod, _other = scene.run("pod"), scene.run("other")
    before, cri = pod.container(), scene.containerd.cri
    scene.lender.node.kill(scene.containerd.shim(cri.sandbox(pod.spec.uid)))
    scene.forget(pod)
    scene.again(pod, before)
    scene.end()


@contextlib.contextmanager
def locked(scene: Scene) -> Iterator[None]:
    """Nobody can change claims meanwhile."""
    with (scene.kubelet.place.drivers / DRIVER / "serialize.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_an_agent_that_is_killed_in_the_middle_of_a_call_finishes_it_the_next_time(
    scene: Scene,
) -> None:
    scene.make("veth", "ifb")
    agent = scene.serve()
    first = scene.run("first")
    book, asked = scene.claims.server.book, threading.Event()
    book.clear()
    scene.claims.claim("second")
    with locked(scene):
        second = scene.kubelet.create_pod(one("second", claims=("second",)))
        book.wait(lambda: any(_ACCOUNT in one.user for one in book.find("get", "resourceclaims")))
        agent.kill()
    agent = scene.serve()
    scene.kubelet.await_running(second)
    scene.took(second)
    scene.kubelet.interfere = lambda point, _: (
        asked.set() if point == "NodeUnprepareResources" else None
    )
    with locked(scene):
        scene.forget(first)
        scene.kubelet.cluster.delete(first)
        assert asked.wait(TIMEOUT)
        agent.kill()
    scene.claims.serve()
    scene.kubelet.await_pod(first, lambda: first.gone)
    scene.claims.cluster.delete("resourceclaims", "first", "default")
    scene.run("third")
    scene.end()


def test_two_agents_take_turns_and_the_last_one_has_the_claims(scene: Scene) -> None:
    scene.make("veth", "ifb", "macvlan")
    first = scene.claims.serve("--instance=first")
    scene.published()
    one_ = scene.run("one")
    began = time.monotonic()
    second = scene.claims.start("--instance=second")
    first.await_end(began + 1)
    second.await_line("Registered with the kubelet")
    scene.run("two")
    again = scene.claims.start("--instance=first")
    again.await_line("Another agent has taken over; waiting", other="second")
    second.kill()
    again.await_line("Registered with the kubelet")
    scene.delete(one_)
    scene.run("three")
    scene.published()
    scene.end()


def test_a_pool_that_is_renamed_has_what_claims_had_when_they_end(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    (had,) = scene.claims.got("pod")
    (free,) = scene.links.keys() - {had}
    scene.claims.configure(fast='"lan?"')
    scene.claims.await_slices(free, pool="fast")
    scene.claims.await_slices(had)
    crash(scene, pod)
    scene.delete(pod)
    scene.claims.await_slices(*scene.links, pool="fast")
    scene.claims.await_no_slices()
    scene.end()


def test_a_pool_that_is_added_takes_its_links_and_back(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    (had,) = scene.claims.got("pod")
    (free,) = scene.links.keys() - {had}
    scene.claims.configure(fast=free, netdevice='"lan?"')
    scene.claims.await_slices(free, pool="fast")
    scene.claims.await_slices(had)
    scene.claims.configure(netdevice='"lan?"')
    scene.claims.await_no_slices("fast")
    scene.published()
    scene.run("other")
    assert pod.running
    scene.end()


def test_a_pool_goes_to_the_device_plugin_and_back_while_claims_have_its_links(
    scene: Scene,
) -> None:
    scene.make("veth", "ifb")
    agent = scene.serve()
    pod = scene.run("pod")
    (had,) = scene.claims.got("pod")
    (free,) = scene.links.keys() - {had}
    kind = f"{DRIVER}/netdevice"
    scene.claims.configure(plugin={"netdevice": '"lan?"'})
    scene.kubelet.await_devices(kind, {free: "Healthy"})
    scene.claims.await_slices(had)
    crash(scene, pod)
    agent.kill()  # the next one finds the same
    agent = scene.claims.serve()
    scene.kubelet.await_devices(kind, {free: "Healthy"})
    scene.claims.await_slices(had)
    scene.claims.configure(netdevice='"lan?"')
    scene.published()
    scene.run("other")
    assert agent.running
    scene.end()


def test_an_api_server_that_fails_delays_claims_and_loses_none(scene: Scene) -> None:
    scene.make("veth", "ifb")
    scene.serve()
    pod = scene.run("pod")
    api = scene.claims.server

    def interfere(point: str, _driver: str) -> None:
        if point == "NodePrepareResources":  # the kubelet has read the claim itself by now
            scene.kubelet.interfere = lambda *_: None
            api.fault(Fault(code=500))

    scene.kubelet.interfere = interfere
    scene.claims.claim("other")
    waits = scene.kubelet.create_pod(one("other", claims=("other",)))
    scene.kubelet.await_event(waits, "claim default/other cannot be read: ")
    crash(scene, pod)
    api.faults.clear()
    scene.kubelet.await_running(waits)
    scene.took(waits)
    scene.published()
    scene.end()


def test_a_claim_made_anew_under_its_name_is_another(scene: Scene) -> None:
    scene.make("veth")
    scene.serve()
    for _ in range(3):
        pod = scene.run("pod")
        uid = scene.claims.cluster.get("resourceclaims", "pod", "default")["metadata"]["uid"]
        assert [uid in name for name in scene.claim_files()] == [True]
        scene.delete(pod)
    scene.end()


def test_a_kubelet_that_lost_its_state_never_unprepares_and_the_link_is_not_lost(
    scene: Scene,
) -> None:
    scene.make("veth")
    agent = scene.serve()
    pod = scene.run("pod")
    scene.forget(pod)
    scene.kubelet.kill()
    scene.containerd.cri.remove_all_pods()
    scene.kubelet.place.root.joinpath("dra_manager_state").unlink()
    scene.kubelet.cluster.delete(pod)
    scene.claims.cluster.delete("resourceclaims", "pod", "default")
    scene.lender.returned(*scene.links.values())
    assert len(scene.claim_files()) == 1
    scene.kubelet.start()
    scene.kubelet.await_driver(DRIVER)
    scene.published()
    scene.run("other")
    agent.await_line("Device taken over from a claim that is over")
    scene.end()


def test_a_checkpoint_that_is_broken_is_told_until_it_is_gone(scene: Scene) -> None:
    scene.make("ifb", "veth")
    agent = scene.serve()
    pod = scene.run("pod")
    directory = scene.kubelet.place.drivers / DRIVER / "claims"
    broken = directory / "00000000-0000-4000-8000-000000000000.json"
    broken.write_text("{")
    scene.run("other")
    said = agent.await_line("Checkpoint of a claim cannot be read")
    assert str(broken.name) in said["reason"]
    assert "remove the file" in said["reason"]
    broken.unlink()
    crash(scene, pod)
    scene.end()
