"""The fake kubelet's registration: the call back, the names, the race, the directory."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from tests.fakes.kubelet import RefusedError, Resource, one
from tests.fakes.kubelet.names import is_extended_resource
from tests.fakes.kubelet.place import Place
from tests.fakes.kubelet.runtime import RuntimeCallError
from tests.fakes.kubelet.settings import nothing
from tests.fakes.plugin import FaultError, Plugin, device
from tests.fakes.scene import KIND, Scene, scene


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


def test_a_plugin_is_asked_for_its_options_before_register_returns(here: Scene) -> None:
    plugin = here.plugin("eth1")
    asked: list[str] = []
    plugin.before = asked.append
    plugin.register(here.kubelet.place)
    assert asked[0] == "GetDevicePluginOptions"
    here.kubelet.await_devices(KIND, {"eth1": "Healthy"})


def test_register_waits_for_a_plugin_that_does_not_answer(here: Scene) -> None:
    plugin = here.plugin("eth1")
    reached, go_on = threading.Event(), threading.Event()

    def hang(method: str) -> None:
        if method == "GetDevicePluginOptions":
            reached.set()
            assert go_on.wait(20)

    plugin.before = hang
    registering = threading.Thread(target=plugin.register, args=(here.kubelet.place,))
    registering.start()
    assert reached.wait(20)
    assert registering.is_alive()
    go_on.set()
    registering.join(20)
    here.kubelet.await_registered(KIND)


def test_another_version_is_refused(here: Scene) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        here.plugin().register(here.kubelet.place, version="v1alpha1")
    assert refused.value.code() is grpc.StatusCode.UNKNOWN
    assert "v1alpha1" in str(refused.value.details())


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("networking.k8s.io/netdevice", True),
        ("example.com/Net_device.1", True),
        (f"example.com/{'a' * 63}", True),
        ("netdevice", False),
        ("kubernetes.io/netdevice", False),
        ("sub.kubernetes.io/netdevice", False),
        ("requests.example.com/netdevice", False),
        ("Example.com/netdevice", False),
        ("example.com/net/device", False),
        ("example.com/-netdevice", False),
        (f"example.com/{'a' * 64}", False),
        (f"{'a.' * 130}com/netdevice", False),
    ],
)
def test_the_resource_names_of_others_are_refused(name: str, accepted: bool) -> None:
    assert is_extended_resource(name) is accepted


def test_a_name_of_kubernetes_own_is_refused_at_register(here: Scene) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        here.plugin().register(here.kubelet.place, resource="kubernetes.io/netdevice")
    assert "kubernetes.io/netdevice" in str(refused.value.details())
    assert not here.kubelet.cluster.resources


def test_a_plugin_without_options_is_refused_and_takes_its_predecessors_place(here: Scene) -> None:
    old = here.registered("eth1")
    new = here.plugin("eth2", name="two.sock")

    def fail(method: str) -> None:
        if method == "GetDevicePluginOptions":
            raise FaultError("not today")

    new.before = fail
    with pytest.raises(grpc.RpcError) as refused:
        new.register(here.kubelet.place)
    assert "code = Internal desc = not today" in str(refused.value.details())
    old.send(device("eth3"))  # the old list is still read …
    here.kubelet.await_devices(KIND, {"eth3": "Healthy"})
    old.close()  # … but its end means nothing any more
    here.registered("gpu", name="three.sock", resource="example.com/other")
    assert here.kubelet.cluster.resources[KIND] == Resource(capacity=1, allocatable=1)


def test_a_later_register_silently_replaces_and_any_end_disconnects_the_current_one(
    here: Scene,
) -> None:
    old = here.registered("eth1")
    new = here.registered("eth2", name="two.sock")
    old.send(device("eth1"), device("eth2"))
    here.kubelet.await_devices(KIND, {"eth1": "Healthy", "eth2": "Healthy"})
    old.end_lists()
    here.kubelet.await_devices(KIND, {"eth1": "Unhealthy", "eth2": "Unhealthy"})
    assert not here.kubelet.life.devices.registered(KIND)
    here.register(new)
    here.kubelet.await_resource(KIND, 1, 1)


def test_the_end_of_a_list_is_never_followed_by_a_call_of_the_kubelets(here: Scene) -> None:
    plugin = here.registered("eth1")
    plugin.end_lists()
    here.kubelet.await_resource(KIND, 1, 0)
    asked: list[str] = []
    plugin.before = asked.append
    here.registered("x", name="two.sock", resource="example.com/other")
    assert not asked


def test_a_list_of_more_than_4_mib_ends_the_connection(here: Scene) -> None:
    plugin = here.registered("eth1")
    plugin.send(*(device(f"{number:063}") for number in range(60_000)))
    here.kubelet.await_devices(KIND, {"eth1": "Unhealthy"})


def test_interference_refuses_at_each_point() -> None:
    refusals = iter(["Register", "Registered"])

    def interfere(point: str, _resource: str) -> None:
        if point == wanted:
            raise RefusedError(f"no {point}")

    with scene(interfere=interfere) as here:
        for wanted in refusals:
            plugin = here.plugin("eth1", name=f"{wanted}.sock")
            with pytest.raises(grpc.RpcError) as refused:
                plugin.register(here.kubelet.place)
            assert refused.value.details() == f"no {wanted}"


def test_the_start_wipes_sockets_and_keeps_all_else(here: Scene) -> None:
    here.registered("eth1")
    directory = here.kubelet.place.plugins
    here.kubelet.stop()
    (directory / "file").write_text("")
    (directory / "sub").mkdir()
    with socket.socket(socket.AF_UNIX) as inner:
        inner.bind(str(directory / "sub" / "in.sock"))
    here.kubelet.start()
    names = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    assert names == {
        "DEPRECATION",
        "file",
        "kubelet.sock",
        "kubelet_internal_checkpoint",
        "sub",
        "sub/in.sock",
    }


def test_stop_takes_the_socket_away_and_kill_leaves_one_that_nobody_serves(here: Scene) -> None:
    place = here.kubelet.place
    here.kubelet.stop()
    assert not place.socket.exists()
    here.kubelet.start()
    here.kubelet.kill()
    for path in (place.socket, place.pod_resources / "kubelet.sock"):
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
    here.kubelet.start()


def test_a_kill_ends_the_plugins_streams(here: Scene) -> None:
    plugin = here.registered("eth1")
    ended = threading.Event()
    plugin.ended = ended.set
    here.kubelet.kill()
    assert ended.wait(20)
    here.kubelet.start()


def test_the_kubelet_makes_its_directories(here: Scene) -> None:
    place = here.kubelet.place
    assert place.plugins.is_dir()
    assert place.registry.is_dir()
    assert place.pod_resources.is_dir()


@pytest.mark.parametrize("point", ["dial", "options"])
def test_a_kubelet_is_killed_at_once_in_the_middle_of_a_registration(
    here: Scene, point: str
) -> None:
    go_on, reached = threading.Event(), threading.Event()
    with socket.socket(socket.AF_UNIX) as deaf:
        plugin = here.plugin("eth1") if point == "options" else None
        path = here.kubelet.place.plugins / "deaf.sock"
        deaf.bind(str(path))  # nobody listens

        def hang(_method: str) -> None:
            reached.set()
            go_on.wait(20)

        here.kubelet.interfere = lambda _point, _name: reached.set()
        if plugin is not None:
            here.kubelet.interfere = nothing
            plugin.before = hang
        registering = threading.Thread(
            target=register, args=(plugin or Plugin(path, KIND), here.kubelet.place)
        )
        registering.start()
        assert reached.wait(20)
        began = time.monotonic()
        here.kubelet.kill()
        assert time.monotonic() - began < 5
        go_on.set()
        registering.join(20)
        here.kubelet.start()


def register(plugin: Plugin, place: Place) -> None:
    """Register, which fails."""
    with pytest.raises(grpc.RpcError):
        plugin.register(place)


def test_a_run_leaves_no_thread_and_no_open_file_behind(here: Scene) -> None:
    def restarted() -> tuple[int, int]:
        here.kubelet.kill()
        found = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        here.kubelet.start()
        return found

    def cycle() -> tuple[int, int]:
        plugin = here.registered("eth1")
        pod = here.kubelet.run_pod(one("pod", {KIND: 1}))
        found = restarted()
        here.kubelet.delete_pod(pod)
        plugin.close()
        return found

    for _ in range(2):  # gRPC starts threads of its own as it needs them
        cycle()
    first = cycle()
    for _ in range(4):
        last = cycle()
    assert last[0] <= first[0]
    assert last[1] <= first[1]


def test_a_runtime_that_does_not_answer_at_first_is_asked_again(here: Scene) -> None:
    left = iter(("no answer", "no answer"))
    here.runtime.refuse = lambda call, _name: next(left, "") if call == "observe" else ""
    here.kubelet.restart()
    here.kubelet.await_admitted()
    assert not list(left)


def test_no_kubelet_runs_without_a_runtime(here: Scene) -> None:
    here.kubelet.kill()
    here.runtime.refuse = lambda call, _name: "no answer" if call == "observe" else ""
    with pytest.raises(RuntimeCallError, match="no answer"):
        here.kubelet.start()
    assert not here.kubelet.runs
    here.runtime.refuse = lambda _call, _name: ""
    here.kubelet.start()
    here.kubelet.await_admitted()
