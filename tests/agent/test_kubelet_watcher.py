"""The fake kubelet's plugin watcher: sockets that it finds by itself."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pytest

from tests.fakes.kubelet.wire import registration as api
from tests.fakes.plugin import FaultError, Plugin
from tests.fakes.scene import KIND, Scene, scene


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


@contextlib.contextmanager
def found(here: Scene, path: str = "one.sock", *devices: str) -> Iterator[Plugin]:
    """A plugin in the watched directory."""
    socket = here.kubelet.place.registry / path
    with Plugin(socket, KIND, *(devices or ("eth1",))) as plugin:
        yield plugin


def heard(plugin: Plugin) -> api.RegistrationStatus:
    """What a plugin was told."""
    return plugin.told.get(timeout=20)


def test_a_socket_that_appears_is_registered_and_told_so(here: Scene) -> None:
    with found(here) as plugin:
        here.kubelet.await_devices(KIND, {"eth1": "Healthy"})
        assert heard(plugin) == api.RegistrationStatus(plugin_registered=True)


def test_a_socket_that_is_there_already_is_found_at_the_start(here: Scene) -> None:
    here.kubelet.kill()
    with found(here) as plugin:
        here.kubelet.start()
        assert heard(plugin).plugin_registered
        here.kubelet.await_devices(KIND, {"eth1": "Healthy"})


def test_a_socket_survives_the_kubelets_start(here: Scene) -> None:
    with found(here) as plugin:
        for _ in range(2):
            assert heard(plugin).plugin_registered
            here.kubelet.restart()
        assert heard(plugin).plugin_registered


def test_a_socket_in_a_directory_below_is_found(here: Scene) -> None:
    (here.kubelet.place.registry / "mine").mkdir()
    with found(here, "mine/one.sock") as plugin:
        assert heard(plugin).plugin_registered


def test_the_endpoint_may_be_another_socket(here: Scene) -> None:
    place = here.kubelet.place
    with Plugin(place.root / "other.sock", KIND, "eth7"):
        socket = place.registry / "one.sock"
        plugin = Plugin(socket, KIND)
        plugin.info = api.PluginInfo(
            type="DevicePlugin",
            name=KIND,
            endpoint=str(place.root / "other.sock"),
            supported_versions=["v1beta1"],
        )
        with plugin:
            here.kubelet.await_devices(KIND, {"eth7": "Healthy"})


def test_a_name_that_begins_with_a_dot_is_ignored(here: Scene) -> None:
    with found(here, ".one.sock") as hidden, found(here, "two.sock", "eth2") as plugin:
        assert heard(plugin).plugin_registered
        here.kubelet.await_devices(KIND, {"eth2": "Healthy"})
        assert hidden.told.empty()


def test_the_removal_of_the_socket_ends_the_registration(here: Scene) -> None:
    with found(here) as plugin:
        here.kubelet.await_resource(KIND, 1, 1)
        plugin.socket.unlink()
        here.kubelet.await_resource(KIND, 1, 0)


def test_the_end_of_the_list_alone_is_no_reason_to_register_again(here: Scene) -> None:
    with found(here) as plugin:
        assert heard(plugin).plugin_registered
        here.kubelet.await_resource(KIND, 1, 1)
        plugin.end_lists()
        here.kubelet.await_resource(KIND, 1, 0)
        assert plugin.told.empty()
        plugin.close()
        with found(here) as again:
            assert heard(again).plugin_registered
            here.kubelet.await_resource(KIND, 1, 1)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (api.PluginInfo(type="CSIPlugin", name=KIND, supported_versions=["v1beta1"]), "CSIPlugin"),
        (api.PluginInfo(type="DevicePlugin", name=KIND, supported_versions=["v1"]), "v1beta1"),
        (
            api.PluginInfo(type="DevicePlugin", name="eth", supported_versions=["v1beta1"]),
            "resource name",
        ),
    ],
)
def test_a_plugin_of_another_kind_is_told_why(here: Scene, info: api.PluginInfo, said: str) -> None:
    plugin = Plugin(here.kubelet.place.registry / "one.sock", KIND, "eth1")
    plugin.info = info
    with plugin:
        status = heard(plugin)
        assert not status.plugin_registered
        assert said in status.error


def test_a_plugin_that_fails_to_say_what_it_is_is_asked_again(here: Scene) -> None:
    failures = iter(["GetInfo"])

    def fail(method: str) -> None:
        if method == "GetInfo" and next(failures, ""):
            raise FaultError("not yet")

    plugin = Plugin(here.kubelet.place.registry / "one.sock", KIND, "eth1")
    plugin.before = fail
    with plugin:
        assert heard(plugin).plugin_registered


def test_a_plugin_that_does_not_want_to_hear_of_it_is_not_registered(here: Scene) -> None:
    def fail(method: str) -> None:
        if method == "NotifyRegistrationStatus":
            raise FaultError("I do not care")

    plugin = Plugin(here.kubelet.place.registry / "one.sock", KIND, "eth1")
    plugin.before = fail
    with plugin:
        errors = here.kubelet.life.watcher.errors
        here.kubelet.changes.wait(lambda: str(plugin.socket) in errors, lambda: "an error")
        assert not here.kubelet.life.devices.registered(KIND)


def test_what_is_no_socket_is_ignored(here: Scene) -> None:
    pathlib.Path(here.kubelet.place.registry / "file").write_text("")
    with found(here) as plugin:
        assert heard(plugin).plugin_registered
        assert not here.kubelet.life.watcher.errors
