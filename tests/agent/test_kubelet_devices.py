"""The fake kubelet's device sets: health, capacity, grace, and what podresources tells."""

from __future__ import annotations

import grpc
import pytest

from tests.fakes.kubelet import ContainerSpec, Kubelet, PodSpec, Resource, Restart, Settings, one
from tests.fakes.kubelet.wire import podresources as api
from tests.fakes.plugin import device, lister
from tests.fakes.scene import KIND, scene

ONE = {KIND: 1}


@pytest.mark.parametrize("word", ["Unhealthy", "healthy", "HEALTHY", "Healthy ", ""])
def test_any_other_word_than_healthy_counts_as_unhealthy(word: str) -> None:
    with scene() as here:
        plugin = here.registered("eth1", "eth2")
        plugin.send(device("eth1"), device("eth2", word))
        here.kubelet.await_resource(KIND, 2, 1)
        assert here.kubelet.life.devices.health(KIND) == {"eth1": "Healthy", "eth2": word}


def test_each_list_replaces_the_whole_set() -> None:
    with scene() as here:
        plugin = here.registered("eth1", "eth2")
        plugin.send(device("eth3"))
        here.kubelet.await_devices(KIND, {"eth3": "Healthy"})
        here.kubelet.await_resource(KIND, 1, 1)
        plugin.send()
        here.kubelet.await_resource(KIND, 0, 0)


def test_devices_of_one_name_are_one() -> None:
    with scene() as here:
        plugin = here.plugin()
        plugin.devices = [device("eth1"), device("eth1"), device("eth1")]
        here.register(plugin)
        here.kubelet.await_resource(KIND, 1, 1)


def test_the_end_of_the_list_makes_all_unhealthy_and_after_five_minutes_the_resource_is_0() -> None:
    with scene() as here:
        plugin = here.registered("eth1", "eth2")
        plugin.send(device("eth1"), device("eth2", "broken"))
        here.kubelet.await_resource(KIND, 2, 1)
        plugin.close()
        here.kubelet.await_resource(KIND, 2, 0)
        here.kubelet.clock.advance(299)
        here.kubelet.life.post()
        assert here.kubelet.cluster.resources[KIND] == Resource(capacity=2, allocatable=0)
        here.kubelet.clock.advance(2)
        here.kubelet.await_resource(KIND, 0, 0)
        assert here.kubelet.life.devices.healthy(KIND) is None


def test_a_plugin_that_comes_back_within_the_grace_is_none_the_worse() -> None:
    with scene() as here:
        here.registered("eth1").close()
        here.kubelet.await_resource(KIND, 1, 0)
        here.kubelet.clock.advance(200)
        here.registered("eth1")
        here.kubelet.clock.advance(200)
        here.kubelet.life.post()
        assert here.kubelet.cluster.resources[KIND] == Resource(capacity=1, allocatable=1)


def test_after_a_restart_what_was_registered_is_0_until_it_registers_again() -> None:
    with scene() as here:
        plugin = here.registered("eth1")
        here.kubelet.restart()
        here.kubelet.await_resource(KIND, 0, 0)
        plugin.close()
        here.registered("eth1")
        here.kubelet.await_resource(KIND, 1, 1)


def listed(kubelet: Kubelet) -> dict[str, list[tuple[str, list[str], list[int]]]]:
    """What List says: by pod/container the resource, the devices, the nodes."""
    pods = lister(kubelet.place).List(api.ListPodResourcesRequest()).pod_resources
    return {
        f"{pod.name}/{container.name}": [
            (d.resource_name, list(d.device_ids), [node.ID for node in d.topology.nodes])
            for d in container.devices
        ]
        for pod in pods
        for container in pod.containers
    }


def test_podresources_lists_one_device_an_entry_once_for_each_numa_node() -> None:
    with scene() as here:
        plugin = here.plugin()
        plugin.devices = [device("eth1"), device("eth2", nodes=(0, 1)), device("eth3", nodes=())]
        here.register(plugin)
        here.kubelet.run_pod(one("pod", {KIND: 3}))
        assert sorted(listed(here.kubelet)["pod/main"]) == [
            (KIND, ["eth1"], []),
            (KIND, ["eth2"], [0]),
            (KIND, ["eth2"], [1]),
            (KIND, ["eth3"], []),
        ]


def test_podresources_leaves_out_init_containers_but_sidecars() -> None:
    with scene() as here:
        here.registered("eth1", "eth2")
        side = ContainerSpec(name="side", limits=ONE, sidecar=True)
        init = ContainerSpec(name="init", limits=ONE)
        main = ContainerSpec(limits=ONE)
        pod = here.kubelet.create_pod(
            PodSpec(name="pod", init_containers=(side, init), containers=(main,))
        )
        here.kubelet.await_pod(pod, lambda: "init" in pod.containers)
        here.runtime.exit(pod.container("init"))
        here.kubelet.await_running(pod)
        told = listed(here.kubelet)
        assert set(told) == {"pod/side", "pod/main"}
        assert told["pod/side"] != told["pod/main"]


def test_an_ended_pod_is_not_listed() -> None:
    with scene() as here:
        here.registered("eth1")
        pod = here.kubelet.run_pod(one("pod", ONE, restart=Restart.NEVER))
        here.runtime.exit(pod.container())
        here.kubelet.await_over(pod)
        assert not listed(here.kubelet)


def test_before_1_34_an_ended_pod_is_listed() -> None:
    with scene(Settings(active_pods_only=False)) as here:
        here.registered("eth1")
        pod = here.kubelet.run_pod(one("pod", ONE, restart=Restart.NEVER))
        here.runtime.exit(pod.container())
        here.kubelet.await_over(pod)
        assert "pod/main" in listed(here.kubelet)
        here.kubelet.delete_pod(pod)
        assert not listed(here.kubelet)


def test_podresources_knows_no_pod_until_the_api_server_is_there() -> None:
    with scene() as here:
        here.registered("eth1")
        here.kubelet.run_pod(one("pod", ONE))
        here.kubelet.kill()
        here.kubelet.start(pods=False)
        assert not listed(here.kubelet)
        here.kubelet.admit_pods()
        here.kubelet.await_admitted()
        assert listed(here.kubelet) == {"pod/main": [(KIND, ["eth1"], [])]}


def test_allocatable_resources_leave_out_devices_with_an_empty_topology() -> None:
    with scene() as here:
        plugin = here.plugin()
        plugin.devices = [
            device("eth1"),
            device("eth2", "Unhealthy"),
            device("eth3", nodes=()),
            device("eth4", nodes=(1,)),
        ]
        here.register(plugin)
        request = api.AllocatableResourcesRequest()
        found = lister(here.kubelet.place).GetAllocatableResources(request).devices
        assert [list(entry.device_ids) for entry in found] == [["eth1"], ["eth4"]]


def test_get_tells_of_one_pod_and_is_off_before_1_34() -> None:
    with scene() as here:
        here.registered("eth1")
        here.kubelet.run_pod(one("pod", ONE))
        request = api.GetPodResourcesRequest(pod_name="pod", pod_namespace="default")
        found = lister(here.kubelet.place).Get(request).pod_resources
        assert found.containers[0].devices[0].device_ids == ["eth1"]
        request.pod_name = "other"
        with pytest.raises(grpc.RpcError):
            lister(here.kubelet.place).Get(request)
    with scene(Settings(get_pod_resources=False)) as here, pytest.raises(grpc.RpcError) as refused:
        lister(here.kubelet.place).Get(request)
    assert "disabled" in str(refused.value.details())


def test_podresources_limits_the_rate_of_calls() -> None:
    with scene() as here:
        client = lister(here.kubelet.place)
        calls = [client.List.future(api.ListPodResourcesRequest()) for _ in range(300)]
        codes = {call.code() for call in calls}
        assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
