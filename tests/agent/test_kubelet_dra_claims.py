"""The fake kubelet's claims: when they are prepared, by whom, how often, and given back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.dradriver import Answers, DraDriver, device
from tests.fakes.kubelet import ContainerSpec, Phase, Pod, PodSpec, Restart, Settings, one
from tests.fakes.kubelet.wire import dra as api
from tests.fakes.kubelet.wire import podresources
from tests.fakes.plugin import FaultError, lister
from tests.fakes.scene import DRIVER, KIND, Scene, scene

OTHER = "other.example.com"


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


def cdi(here: Scene, pod: Pod, container: str = "main") -> list[str]:
    """The CDI devices that a container was created with."""
    config = here.runtime.configs[pod.container(container)]
    return [named.name for named in config.given.cdi_devices]


def state(here: Scene) -> list[dict[str, object]]:
    """The claims in the kubelet's file."""
    text = (here.kubelet.place.root / "dra_manager_state").read_text()
    listed: list[dict[str, object]] = json.loads(json.loads(text)["Data"])["ClaimInfoStateList"]
    return listed


def failing(*methods: str) -> Callable[[str], None]:
    """Make calls fail, each once."""
    left = list(methods)

    def before(method: str) -> None:
        if method in left:
            left.remove(method)
            raise FaultError(f"{method} is on fire")

    return before


def test_a_claim_is_prepared_before_the_sandbox_and_its_devices_come_first(here: Scene) -> None:
    here.registered("eth1")
    driver = here.driver()
    here.api.add("net", DRIVER, "eth7")
    seen: list[object] = []
    driver.before = lambda method: seen.append((method, here.runtime._sandboxes.copy()))
    spec = PodSpec(
        name="pod",
        containers=(ContainerSpec(limits={KIND: 1}, claims=("net",)),),
        claims={"net": "net"},
    )
    pod = here.kubelet.run_pod(spec)
    assert ("NodePrepareResources", {}) in seen
    assert cdi(here, pod) == ["example.com/claim=net-dev", f"{KIND}=eth1"]


def test_all_claims_of_a_pod_are_one_call_for_each_driver(here: Scene) -> None:
    mine, other = here.driver(), here.driver(OTHER)
    here.api.add("a", DRIVER, "eth1")
    here.api.allocate("b", [(DRIVER, "x", "eth2"), (OTHER, "y", "gpu")])
    pod = here.kubelet.run_pod(one("pod", claims=("a", "b")))
    assert (mine.prepared, other.prepared) == ([("a", "b")], [("b",)])
    assert len(here.kubelet.prepared(pod)) == 3


def test_a_container_has_the_devices_of_the_requests_that_it_names(here: Scene) -> None:
    driver = here.driver()
    here.api.allocate("net", [(DRIVER, "data", "eth1"), (DRIVER, "control", "eth2")])
    driver.devices["net"] = [
        device("eth1", "a.b/c=data", requests=["data"]),
        device("eth2", "a.b/c=control", requests=["control"]),
        device("eth3", "a.b/c=any"),
    ]
    containers = tuple(
        ContainerSpec(name=name, claims=claims)
        for name, claims in (("one", ("n/data",)), ("all", ("n",)), ("none", ()))
    )
    spec = PodSpec(name="pod", containers=containers, claims={"n": "net"})
    pod = here.kubelet.run_pod(spec)
    assert cdi(here, pod, "one") == ["a.b/c=data", "a.b/c=any"]
    assert cdi(here, pod, "all") == ["a.b/c=data", "a.b/c=control", "a.b/c=any"]
    assert cdi(here, pod, "none") == []


def test_the_claim_is_on_disk_before_the_driver_is_asked(here: Scene) -> None:
    driver = here.driver()
    uid = here.api.add("net", DRIVER, "eth1")
    found: list[object] = []
    driver.before = lambda method: found.extend(state(here) if "Prepare" in method else ())
    pod = here.kubelet.run_pod(one("pod", claims=("net",)))
    early = {
        "ClaimUID": uid,
        "ClaimName": "net",
        "Namespace": "default",
        "PodUIDs": {pod.spec.uid: {}},
        "DriverState": {DRIVER: {"Devices": []}},
    }
    assert found[0] == early
    told = {
        "PoolName": "node/pool",
        "DeviceName": "net-dev",
        "RequestNames": [],
        "CDIDeviceIDs": ["example.com/claim=net-dev"],
        "ShareID": None,
    }
    assert state(here) == [{**early, "DriverState": {DRIVER: {"Devices": [told]}}}]


def wrong(here: Scene, said: str) -> Pod:
    """A pod whose claim cannot be had, and why."""
    pod = here.kubelet.create_pod(one("pod", claims=("net",)))
    message = here.kubelet.await_event(pod, said)
    assert message.startswith("Failed to prepare dynamic resources: prepare dynamic resources: ")
    assert pod.phase is Phase.PENDING
    assert not here.runtime._sandboxes
    return pod


def test_a_claim_that_is_reserved_for_others_is_not_prepared(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    here.api.reserves = False
    pod = wrong(here, "is not allowed to use ResourceClaim net (uid-1)")
    assert not driver.prepared
    here.kubelet.delete_pod(pod)
    assert not driver.unprepared


def test_a_claim_without_an_allocation_is_not_prepared(here: Scene) -> None:
    here.driver()
    here.api.add("net", DRIVER, "eth1")
    del here.api.claims["default", "net"]["status"]["allocation"]
    wrong(here, "ResourceClaim net: not allocated")


def test_an_api_server_that_is_away_delays_the_pod(here: Scene) -> None:
    here.driver()
    here.api.add("net", DRIVER, "eth1")
    here.api.away = True
    pod = wrong(here, "fetch ResourceClaim net: connection refused")
    here.api.away = False
    here.kubelet.await_running(pod)


def test_a_driver_that_comes_later_is_waited_for(here: Scene) -> None:
    here.api.add("net", DRIVER, "eth1")
    pod = wrong(here, f"DRA driver {DRIVER} is not registered")
    here.driver()
    here.kubelet.await_running(pod)


def lacks(answers: Answers) -> None:
    answers.clear()


def adds(answers: Answers) -> None:
    answers["stranger"] = api.NodePrepareResourceResponse()


def errs(answers: Answers) -> None:
    for answer in answers.values():
        answer.error = "eth1: mtu: too large"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacks, "NodePrepareResources skipped 1 ResourceClaims"),
        (adds, "NodePrepareResources returned result for unknown claim UID stranger"),
        (errs, "NodePrepareResources failed for ResourceClaim net: eth1: mtu: too large"),
    ],
)
def test_an_answer_that_is_not_exactly_right_fails_the_pod_and_is_asked_for_again(
    here: Scene, change: Callable[[Answers], None], said: str
) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    driver.change = change
    pod = wrong(here, said)
    driver.change = lambda _answers: None
    here.kubelet.await_running(pod)
    assert len(driver.prepared) > 1


def test_a_call_that_fails_is_made_again(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    driver.before = failing("NodePrepareResources")
    pod = wrong(here, "NodePrepareResources: rpc error: code = Internal desc = Node")
    here.kubelet.await_running(pod)
    assert driver.prepared == [("net",)] * 2


def test_a_call_that_takes_too_long_is_given_up_and_made_again() -> None:
    with scene(Settings(dra_call=0.3)) as here:
        driver = here.driver()
        here.api.add("net", DRIVER, "eth1")
        go_on = threading.Event()

        def hang(method: str) -> None:
            if method == "NodePrepareResources":
                assert go_on.wait(20)

        driver.before = hang
        pod = wrong(here, "code = DeadlineExceeded")
        go_on.set()
        here.kubelet.await_running(pod)


def test_a_deleted_pod_waits_for_no_call(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    asked, go_on = threading.Event(), threading.Event()

    def hang(method: str) -> None:
        if method == "NodePrepareResources":
            asked.set()
            assert go_on.wait(20)

    driver.before = hang
    pod = here.kubelet.create_pod(one("pod", claims=("net",)))
    assert asked.wait(20)
    here.kubelet.delete_pod(pod)
    go_on.set()
    assert driver.unprepared == [("net",)]


def test_containers_that_start_again_need_no_prepare_and_new_sandboxes_do_not_either(
    here: Scene,
) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    pod = here.kubelet.run_pod(one("pod", claims=("net",)))
    here.runtime.exit(pod.container(), 1)
    here.kubelet.await_restart(pod, 1)
    before = pod.container()
    here.runtime.kill_sandbox(pod.spec.uid)
    here.kubelet.await_pod(pod, lambda: pod.running and pod.container() != before)
    assert driver.prepared == [("net",)]


def test_after_a_restart_a_running_pod_is_left_alone_and_its_next_sandbox_prepared(
    here: Scene,
) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    pod = here.kubelet.run_pod(one("pod", claims=("net",)))
    before = pod.container()
    here.kubelet.restart()
    here.kubelet.await_driver(DRIVER)
    assert here.kubelet.prepared(pod) == {(DRIVER, "node/pool", "net-dev")}
    here.kubelet.await_admitted()
    assert driver.prepared == [("net",)]
    here.runtime.kill_sandbox(pod.spec.uid)
    here.kubelet.await_pod(pod, lambda: pod.running and pod.container() != before)
    assert driver.prepared == [("net",)] * 2
    assert cdi(here, pod) == ["example.com/claim=net-dev"] * 2  # as it is in the kubelet


def test_a_kubelet_that_is_killed_while_it_asks_asks_again(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    asked, go_on = threading.Event(), threading.Event()

    def hang(method: str) -> None:
        if method == "NodePrepareResources" and not asked.is_set():
            asked.set()
            assert go_on.wait(20)

    driver.before = hang
    pod = here.kubelet.create_pod(one("pod", claims=("net",)))
    assert asked.wait(20)
    here.kubelet.restart()
    go_on.set()
    here.kubelet.await_running(pod)
    assert driver.prepared == [("net",)] * 2


def test_a_claim_of_two_pods_is_prepared_once_and_unprepared_after_the_last(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    first = here.kubelet.run_pod(one("first", claims=("net",)))
    second = here.kubelet.run_pod(one("second", claims=("net",)))
    here.kubelet.delete_pod(first)
    assert not driver.unprepared
    assert cdi(here, second) == ["example.com/claim=net-dev"]
    here.kubelet.delete_pod(second)
    assert (driver.prepared, driver.unprepared) == ([("net",)], [("net",)])
    assert state(here) == []


def test_a_pod_is_not_over_before_its_claims_are_given_back(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    pod = here.kubelet.run_pod(one("pod", claims=("net",), restart=Restart.NEVER))
    asked, go_on = threading.Event(), threading.Event()

    def hang(method: str) -> None:
        if method == "NodeUnprepareResources":
            asked.set()
            assert go_on.wait(20)

    driver.before = hang
    here.runtime.exit(pod.container())
    assert asked.wait(20)
    assert not any(s.ready for s in here.runtime._sandboxes.values())
    assert pod.phase is Phase.RUNNING
    go_on.set()
    here.kubelet.await_over(pod)
    assert here.api.claims["default", "net"]["status"]["reservedFor"] == []


def test_unprepare_is_tried_until_it_succeeds(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    pod = here.kubelet.run_pod(one("pod", claims=("net",)))
    driver.before = failing("NodeUnprepareResources", "NodeUnprepareResources")
    here.kubelet.delete_pod(pod)
    text = "rpc error: code = Internal desc = NodeUnprepareResources is on fire"
    said = f"unprepare dynamic resources: NodeUnprepareResources: {text}"
    assert [event.message for event in pod.events] == [said]
    assert driver.unprepared == [("net",)]


def test_what_a_pod_had_that_is_gone_is_given_back_within_a_minute(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1")
    pod = here.kubelet.run_pod(one("pod", claims=("net",)))
    here.kubelet.kill()
    with here.kubelet.changes.lock:
        here.kubelet.cluster.remove(pod)  # by force: nobody waits for the kubelet
    here.kubelet.start()
    here.kubelet.await_driver(DRIVER)
    here.kubelet.await_admitted()
    here.kubelet.clock.advance(61)
    here.kubelet.changes.wait(lambda: not here.kubelet.life.dra.claims(), lambda: "no claim")
    assert driver.unprepared == [("net",)]


def test_a_claim_of_the_same_name_waits_for_the_end_of_the_old_one(here: Scene) -> None:
    driver = here.driver()
    here.api.add("net", DRIVER, "eth1", uid="old")
    first = here.kubelet.run_pod(one("first", claims=("net",)))
    here.api.add("net", DRIVER, "eth1", uid="new")
    second = here.kubelet.create_pod(one("second", claims=("net",)))
    here.kubelet.await_event(second, "old ResourceClaim with same name net and different UID old")
    here.kubelet.delete_pod(first)
    here.kubelet.await_running(second)
    assert [call.ids for call in here.kubelet.calls("NodePrepareResources")] == [{"old"}, {"new"}]
    assert driver.unprepared == [("net",)]


def test_the_calls_of_all_runs_are_known(here: Scene) -> None:
    here.driver()
    here.api.add("net", DRIVER, "eth1", uid="a")
    pod = here.kubelet.run_pod(one("pod", claims=("net",)))
    here.kubelet.restart()
    here.kubelet.await_driver(DRIVER)
    here.kubelet.delete_pod(pod)
    methods = [(call.method, call.resource) for call in here.kubelet.calls()]
    assert methods == [("NodePrepareResources", DRIVER), ("NodeUnprepareResources", DRIVER)]


# Extended resources.


def extended(here: Scene) -> tuple[DraDriver, Pod]:
    """A pod whose resource no plugin has, and a device class does."""
    driver = here.driver()
    here.api.classes[KIND] = DRIVER
    name, request = "pod-extended-resources", "container-0-request-0"
    driver.devices[name] = [device("eth1", "a.b/c=eth1", requests=[request])]
    return driver, here.kubelet.run_pod(one("pod", {KIND: 1}))


def test_an_extended_resource_that_only_a_class_has_is_a_hidden_claim(here: Scene) -> None:
    driver, pod = extended(here)
    assert driver.prepared == [("pod-extended-resources",)]
    assert cdi(here, pod) == ["a.b/c=eth1"]
    here.kubelet.delete_pod(pod)
    assert driver.unprepared == driver.prepared


def test_a_plugin_that_comes_later_is_not_asked_for_what_a_claim_serves(here: Scene) -> None:
    _driver, pod = extended(here)
    plugin = here.registered("eth9")
    here.runtime.exit(pod.container(), 1)
    here.kubelet.await_restart(pod, 1)
    assert cdi(here, pod) == ["a.b/c=eth1"]
    assert not plugin.allocated
    assert here.kubelet.given(pod, KIND) == frozenset()


def test_a_resource_that_a_plugin_has_is_never_a_claim(here: Scene) -> None:
    driver = here.driver()
    here.api.classes[KIND] = DRIVER
    here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", {KIND: 1}))
    assert here.kubelet.given(pod, KIND) == {"eth1"}
    assert not driver.prepared


# podresources.


def test_podresources_show_the_devices_of_claims(here: Scene) -> None:
    driver = here.driver()
    here.api.allocate("net", [(DRIVER, "data", "eth1"), (DRIVER, "control", "eth2")])
    driver.devices["net"] = [device("eth1", "a.b/c=1"), device("eth2", "a.b/c=2")]
    here.kubelet.run_pod(one("pod", claims=("net",)))
    (pod,) = lister(here.kubelet.place).List(podresources.ListPodResourcesRequest()).pod_resources
    (claim,) = pod.containers[0].dynamic_resources
    assert (claim.claim_namespace, claim.claim_name) == ("default", "net")
    listed = [
        (r.driver_name, r.pool_name, r.device_name, [cdi.name for cdi in r.cdi_devices])
        for r in claim.claim_resources
    ]
    assert listed == [
        (DRIVER, "node/pool", "eth1", ["a.b/c=1"]),
        (DRIVER, "node/pool", "eth2", ["a.b/c=1", "a.b/c=2"]),  # as it is in the kubelet
    ]


def test_podresources_show_nothing_of_a_claim_that_is_not_prepared(here: Scene) -> None:
    here.api.add("net", DRIVER, "eth1")
    wrong(here, "is not registered")
    (pod,) = lister(here.kubelet.place).List(podresources.ListPodResourcesRequest()).pod_resources
    assert not pod.containers[0].dynamic_resources
