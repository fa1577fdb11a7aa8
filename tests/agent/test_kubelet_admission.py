"""The fake kubelet's admission: who is asked what, who gets which device, what is replayed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator

import pytest

from tests.fakes.kubelet import (
    ContainerSpec,
    Kubelet,
    Phase,
    Pod,
    PodSpec,
    Restart,
    Settings,
    one,
)
from tests.fakes.kubelet.wire import deviceplugin as api
from tests.fakes.plugin import FaultError, device
from tests.fakes.scene import KIND, Scene, scene

ONE = {KIND: 1}


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


def names(scene: Scene, pod: Pod, container: str = "main") -> list[str]:
    """The CDI devices that a container was created with."""
    config = scene.runtime.configs[pod.container(container)]
    return [cdi.name for cdi in config.given.cdi_devices]


def checkpointed(kubelet: Kubelet) -> list[dict[str, object]]:
    """The allocations in the file."""
    text = (kubelet.place.plugins / "kubelet_internal_checkpoint").read_text()
    entries: list[dict[str, object]] = json.loads(text)["Data"]["PodDeviceEntries"] or []
    return entries


def test_a_container_is_given_what_the_plugin_says(here: Scene) -> None:
    plugin = here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    assert plugin.allocated == [("eth1",)]
    assert names(here, pod) == [f"{KIND}=eth1"]
    assert here.runtime.configs[pod.container()].given.envs == {"GIVEN": "eth1"}


def test_a_cdi_device_that_two_plugins_name_is_given_once(here: Scene) -> None:
    first = here.registered("eth1")
    second = here.registered("x", name="two.sock", resource="example.com/other")
    same = api.ContainerAllocateResponse(cdi_devices=[api.CDIDevice(name="a.b/c=d")] * 2)
    first.allocate = second.allocate = lambda _ids: same
    pod = here.kubelet.run_pod(one("pod", {KIND: 1, "example.com/other": 1}))
    assert names(here, pod) == ["a.b/c=d"]


def test_an_allocation_is_checkpointed_at_once(here: Scene) -> None:
    here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    (entry,) = checkpointed(here.kubelet)
    response = api.ContainerAllocateResponse.FromString(base64.b64decode(str(entry["AllocResp"])))
    assert response.cdi_devices[0].name == f"{KIND}=eth1"
    assert {**entry, "AllocResp": ""} == {
        "PodUID": pod.spec.uid,
        "ContainerName": "main",
        "ResourceName": KIND,
        "DeviceIDs": {"-1": ["eth1"]},
        "AllocResp": "",
    }


def test_a_pod_for_which_there_is_no_room_waits_for_it(here: Scene) -> None:
    plugin = here.registered("eth1")
    first = here.kubelet.run_pod(one("first", ONE))
    second = here.kubelet.create_pod(one("second", ONE))
    assert (second.phase, second.message) == (Phase.PENDING, f"Insufficient {KIND}")
    here.kubelet.delete_pod(first)
    here.kubelet.await_running(second)
    assert plugin.allocated == [("eth1",), ("eth1",)]


def test_an_unhealthy_device_is_never_chosen(here: Scene) -> None:
    plugin = here.registered("eth1")
    plugin.send(device("eth1", "Unhealthy"), device("eth2"), device("eth3", "Unhealthy"))
    here.kubelet.await_resource(KIND, 3, 1)
    pod = here.kubelet.run_pod(one("pod", ONE))
    waiting = here.kubelet.create_pod(one("waiting", ONE))
    assert here.kubelet.given(pod, KIND) == {"eth2"}
    assert waiting.message == f"Insufficient {KIND}"


def test_an_error_of_allocate_fails_the_pod_with_its_text(here: Scene) -> None:
    plugin = here.registered("eth1")

    def refuse(method: str) -> None:
        if method == "Allocate":
            raise FaultError("eth1 is on fire")

    plugin.before = refuse
    pod = here.kubelet.create_pod(one("pod", ONE))
    here.kubelet.await_over(pod)
    assert pod.reason == "UnexpectedAdmissionError"
    text = "rpc error: code = Internal desc = eth1 is on fire"
    assert pod.message == f"Allocate failed due to {text}, which is unexpected"
    assert not checkpointed(here.kubelet)
    plugin.before = lambda _method: None
    here.kubelet.run_pod(one("next", ONE))


def test_an_app_container_has_its_init_containers_device_and_another_call(here: Scene) -> None:
    plugin = here.registered("eth1", "eth2", "eth3")
    init = ContainerSpec(name="init", limits=ONE)
    spec = PodSpec(name="pod", init_containers=(init,), containers=(ContainerSpec(limits=ONE),))
    pod = here.kubelet.create_pod(spec)
    here.kubelet.await_pod(pod, lambda: "init" in pod.containers)
    here.runtime.exit(pod.container("init"))
    here.kubelet.await_running(pod)
    assert len(plugin.allocated) == 2
    assert names(here, pod, "init") == names(here, pod)


def test_a_sidecar_keeps_its_device(here: Scene) -> None:
    here.registered("eth1", "eth2")
    side = ContainerSpec(name="side", limits=ONE, sidecar=True)
    spec = PodSpec(name="pod", init_containers=(side,), containers=(ContainerSpec(limits=ONE),))
    pod = here.kubelet.run_pod(spec)
    assert names(here, pod, "side") != names(here, pod)


def test_a_container_that_is_started_again_has_the_same_and_nobody_is_asked(here: Scene) -> None:
    plugin = here.registered("eth1", "eth2", "eth3")
    pod = here.kubelet.run_pod(one("pod", ONE))
    before = names(here, pod)
    for count in (1, 2):
        here.runtime.exit(pod.container(), 1)
        here.kubelet.await_restart(pod, count)
        assert names(here, pod) == before
    assert len(plugin.allocated) == 1
    assert not plugin.started


@pytest.mark.parametrize(
    ("restart", "code", "phase"),
    [
        (Restart.NEVER, 0, Phase.SUCCEEDED),
        (Restart.NEVER, 1, Phase.FAILED),
        (Restart.ON_FAILURE, 0, Phase.SUCCEEDED),
    ],
)
def test_a_container_that_is_not_started_again_ends_its_pod(
    here: Scene, restart: Restart, code: int, phase: Phase
) -> None:
    here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE, restart=restart))
    here.runtime.exit(pod.container(), code)
    here.kubelet.await_over(pod)
    assert pod.phase is phase
    here.kubelet.run_pod(one("next", ONE))  # it has its device


def test_pre_start_is_called_before_each_start_if_the_options_ask_for_it(here: Scene) -> None:
    plugin = here.plugin("eth1")
    plugin.options = api.DevicePluginOptions(pre_start_required=True)
    here.register(plugin)
    pod = here.kubelet.run_pod(one("pod", ONE))
    here.runtime.exit(pod.container(), 1)
    here.kubelet.await_restart(pod, 1)
    assert plugin.started == [("eth1",)] * 2
    assert plugin.allocated == [("eth1",)]


def test_a_container_that_cannot_be_made_is_tried_again(here: Scene) -> None:
    here.registered("eth1")
    here.runtime.refuse = lambda call, _name: "no such device" if call == "create" else ""
    pod = here.kubelet.create_pod(one("pod", ONE))
    here.kubelet.await_pod(pod, lambda: "main" in pod.containers)
    status = pod.containers["main"]
    assert (status.reason, status.message) == ("CreateContainerError", "no such device")
    here.runtime.refuse = lambda _call, _name: ""
    here.kubelet.await_running(pod)


def test_a_container_that_runs_is_running_though_nobody_heard_of_its_start(here: Scene) -> None:
    """As where the runtime is killed in the middle: it finds the container when it is back."""
    here.runtime.lose = lambda _name: True
    pod = here.kubelet.run_pod(one("pod"))
    assert pod.containers["main"].restarts == 0


def test_a_dead_sandbox_is_replaced_with_all_that_was_in_it(here: Scene) -> None:
    plugin = here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    first = pod.container()
    here.runtime.kill_sandbox(pod.spec.uid)
    here.kubelet.await_pod(pod, lambda: pod.running and pod.container() != first)
    assert len(plugin.allocated) == 1


def test_the_plugin_prefers_where_there_is_a_choice(here: Scene) -> None:
    plugin = here.plugin("eth1", "eth2", "eth3", "eth4")
    plugin.options = api.DevicePluginOptions(get_preferred_allocation_available=True)
    plugin.prefer = lambda free, must, size: [*must, *sorted(free, reverse=True)][:size]
    here.register(plugin)
    pod = here.kubelet.run_pod(one("pod", {KIND: 2}))
    assert here.kubelet.given(pod, KIND) == {"eth3", "eth4"}
    assert plugin.preferred == [(frozenset({"eth1", "eth2", "eth3", "eth4"}), frozenset(), 2)]


def test_a_preference_for_others_than_the_free_ones_is_not_followed(here: Scene) -> None:
    plugin = here.plugin("eth1", "eth2")
    plugin.options = api.DevicePluginOptions(get_preferred_allocation_available=True)
    plugin.prefer = lambda _free, _must, _size: ["eth9", "lo"]
    here.register(plugin)
    pod = here.kubelet.run_pod(one("pod", ONE))
    assert here.kubelet.given(pod, KIND) < {"eth1", "eth2"}


def test_devices_of_one_numa_node_come_first_where_a_policy_asks_for_it() -> None:
    with scene(Settings(numa=True)) as here:
        plugin = here.plugin()
        plugin.devices = [
            device("a", nodes=(0,)),
            device("b", nodes=(1,)),
            device("c", nodes=(1,)),
            device("d"),
        ]
        here.register(plugin)
        both = here.kubelet.run_pod(one("both", {KIND: 2}))
        assert here.kubelet.given(both, KIND) == {"b", "c"}
        rest = here.kubelet.run_pod(one("rest", {KIND: 2}))
        assert here.kubelet.given(rest, KIND) == {"a", "d"}


def test_after_a_restart_a_running_pod_is_recognised_and_nobody_is_asked(here: Scene) -> None:
    plugin = here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    container = pod.container()
    here.kubelet.restart()
    here.kubelet.await_admitted()
    assert pod.running
    assert pod.container() == container
    plugin.close()
    again = here.registered("eth1")
    here.runtime.exit(container, 1)
    here.kubelet.await_restart(pod, 1)
    assert names(here, pod) == [f"{KIND}=eth1"]
    assert not again.allocated


def test_after_a_reboot_a_pod_has_the_same_if_the_plugin_is_there_first(here: Scene) -> None:
    plugin = here.registered("eth1", "eth2")
    pod = here.kubelet.run_pod(one("pod", ONE))
    before = names(here, pod)
    here.kubelet.kill()
    here.runtime.reboot()
    here.kubelet.start(pods=False)
    plugin.close()
    again = here.registered("eth1", "eth2")
    here.kubelet.admit_pods()
    first = pod.container()
    here.kubelet.await_pod(pod, lambda: pod.running and pod.container() != first)
    assert names(here, pod) == before
    assert not again.allocated


def test_after_a_reboot_a_pod_fails_if_its_device_is_not_healthy(here: Scene) -> None:
    plugin = here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    here.kubelet.kill()
    here.runtime.reboot()
    here.kubelet.start(pods=False)
    plugin.close()
    again = here.plugin("eth2")
    again.devices = [device("eth1", "Unhealthy"), device("eth2")]
    here.register(again)
    here.kubelet.admit_pods()
    here.kubelet.await_over(pod)
    assert pod.reason == "UnexpectedAdmissionError"
    assert "eth1" in pod.message


def test_after_a_reboot_a_pod_fails_if_the_plugin_is_late(here: Scene) -> None:
    here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    here.kubelet.kill()
    here.runtime.reboot()
    here.kubelet.start()
    here.kubelet.await_over(pod)
    assert pod.reason == "UnexpectedAdmissionError"


def test_what_a_deleted_pod_had_is_freed_at_the_next_admission_and_later_in_the_file(
    here: Scene,
) -> None:
    here.registered("eth1", "eth2")
    pod = here.kubelet.run_pod(one("pod", ONE))
    here.kubelet.delete_pod(pod)
    ledger = here.kubelet.life.ledger
    assert len(ledger.taken(KIND)) == 1
    ledger.forget_inactive()
    assert not ledger.taken(KIND)
    assert len(checkpointed(here.kubelet)) == 1
    here.kubelet.run_pod(one("next", ONE))
    (entry,) = checkpointed(here.kubelet)
    assert entry["PodUID"] != pod.spec.uid


def test_a_pod_deleted_while_the_kubelet_is_away_goes_when_it_is_back(here: Scene) -> None:
    here.registered("eth1")
    pod = here.kubelet.run_pod(one("pod", ONE))
    here.kubelet.kill()
    here.kubelet.cluster.delete(pod)
    assert not pod.gone
    here.kubelet.start()
    here.kubelet.await_pod(pod, lambda: pod.gone)


def test_a_kubelet_killed_in_the_middle_of_allocate_asks_again_in_its_next_run(here: Scene) -> None:
    plugin = here.registered("eth1")
    reached, go_on = threading.Event(), threading.Event()

    def hang(method: str) -> None:
        if method == "Allocate" and not reached.is_set():
            reached.set()
            assert go_on.wait(20)

    plugin.before = hang
    pod = here.kubelet.create_pod(one("pod", ONE))
    assert reached.wait(20)
    here.kubelet.kill()
    go_on.set()
    assert pod.phase is Phase.PENDING
    plugin.close()
    here.kubelet.start(pods=False)
    here.registered("eth1")
    here.kubelet.admit_pods()
    here.kubelet.await_running(pod)
