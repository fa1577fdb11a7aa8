"""The fake kubelet's DRA drivers: how they are found, which is called, what their end costs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fakes.dradriver import DraDriver
from tests.fakes.kubelet import Settings, one
from tests.fakes.kubelet.wire import registration as api
from tests.fakes.plugin import FaultError
from tests.fakes.scene import DRIVER, Scene, scene

CLAIM = one("pod", claims=("net",))


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


def heard(driver: DraDriver) -> api.RegistrationStatus:
    """What a driver was told."""
    return driver.told.get(timeout=20)


def test_a_driver_is_found_connected_to_and_told_so(here: Scene) -> None:
    driver = here.driver()
    assert heard(driver) == api.RegistrationStatus(plugin_registered=True)
    assert here.kubelet.life.drivers.find(DRIVER).endpoint == driver.socket


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        (("v1.DRAPlugin", "v1beta1.DRAPlugin"), "v1"),
        (("v1beta1.DRAPlugin", "v1.DRAPlugin"), "v1beta1"),
        (("v1alpha1.DRAResourceHealth", "v7.DRAPlugin", "v1beta1.DRAPlugin"), "v1beta1"),
    ],
)
def test_the_first_version_of_the_drivers_that_is_known_is_spoken(
    here: Scene, versions: tuple[str, ...], chosen: str
) -> None:
    driver = DraDriver(here.kubelet.place, DRIVER)
    driver.info.supported_versions[:] = versions
    with driver:
        here.kubelet.await_driver(DRIVER)
        here.api.add("net", DRIVER, "eth1")
        pod = here.kubelet.run_pod(CLAIM)
        assert driver.versions == [chosen]
        assert here.kubelet.prepared(pod) == {(DRIVER, "node/pool", "net-dev")}


def test_an_older_kubelet_speaks_the_older_version() -> None:
    with scene(Settings(dra_services=("v1beta1.DRAPlugin",))) as here:
        driver = here.driver()
        here.api.add("net", DRIVER, "eth1")
        here.kubelet.run_pod(CLAIM)
        assert driver.versions == ["v1beta1"]


@pytest.mark.parametrize(
    ("versions", "said"),
    [((), "empty list"), (("1.0.0",), "none of services"), (("v1alpha4.Node",), "none of")],
)
def test_a_driver_without_a_known_version_is_told_why(
    here: Scene, versions: tuple[str, ...], said: str
) -> None:
    driver = DraDriver(here.kubelet.place, DRIVER)
    del driver.info.supported_versions[:]
    driver.info.supported_versions.extend(versions)
    with driver:
        status = heard(driver)
        assert not status.plugin_registered
        assert said in status.error


def test_the_newest_instance_that_is_connected_is_called(here: Scene) -> None:
    old, new = here.driver(), here.driver()
    for name in ("a", "b", "c"):
        here.api.add(name, DRIVER, "eth1")
    here.kubelet.run_pod(one("a", claims=("a",)))
    new.disconnect()
    here.kubelet.await_driver(DRIVER, 1)
    here.kubelet.run_pod(one("b", claims=("b",)))
    old.close()
    here.kubelet.await_driver(DRIVER, 0)
    waits = here.kubelet.create_pod(one("c", claims=("c",)))
    here.kubelet.await_event(waits, "code = Unavailable")
    assert (new.prepared, old.prepared) == ([("a",)], [("b",)])


def test_an_instance_may_not_have_the_endpoint_of_another(here: Scene) -> None:
    first = here.driver(instance="1")
    second = DraDriver(here.kubelet.place, DRIVER, "2")
    second.socket = first.socket.with_name("other.sock")
    second.info.endpoint = str(first.socket)
    with second:
        assert "already registered" in heard(second).error


def test_a_registration_socket_that_goes_takes_the_instance_with_it(here: Scene) -> None:
    old, new = here.driver(), here.driver()
    new.registration.unlink()
    here.kubelet.await_driver(DRIVER, 1)
    assert here.kubelet.life.drivers.find(DRIVER).endpoint == old.socket


def test_a_registration_socket_that_is_made_anew_is_another_registration(here: Scene) -> None:
    driver = here.driver(instance="1")
    assert heard(driver).plugin_registered
    driver.close()
    with DraDriver(here.kubelet.place, DRIVER, "1") as again:
        assert heard(again).plugin_registered
        here.kubelet.await_driver(DRIVER, 1)


def test_a_driver_that_fails_to_hear_of_it_is_not_registered(here: Scene) -> None:
    def fail(method: str) -> None:
        if method == "NotifyRegistrationStatus":
            raise FaultError("I do not care")

    driver = DraDriver(here.kubelet.place, DRIVER)
    driver.before = fail
    with driver:
        errors = here.kubelet.life.watcher.errors
        here.kubelet.changes.wait(lambda: str(driver.registration) in errors, lambda: "an error")
        here.kubelet.await_driver(DRIVER, 0)


def test_a_service_that_comes_back_at_its_socket_is_connected_to_again(here: Scene) -> None:
    driver = here.driver(instance="1")
    driver.disconnect()
    here.kubelet.await_driver(DRIVER, 0)
    here.api.add("net", DRIVER, "eth1")
    again = DraDriver(here.kubelet.place, DRIVER, "1")
    again.registration = again.registration.with_name(".hidden")
    with again:
        here.kubelet.await_driver(DRIVER, 1)
        here.kubelet.run_pod(CLAIM)
        assert again.prepared == [("net",)]


# Slices.


def wiped(here: Scene, *drivers: str) -> None:
    """Return when slices were deleted of these in turn."""
    told = here.kubelet.life.drivers.wiped
    here.kubelet.changes.wait(lambda: told == list(drivers), lambda: f"{drivers}, but {told}")


def test_all_slices_of_the_node_are_deleted_at_the_start(here: Scene) -> None:
    wiped(here, "")
    here.kubelet.stop()
    here.api.slices = {"one": DRIVER, "two": "example.com"}
    here.kubelet.start()
    wiped(here, "")
    assert here.api.deleted == [("node", ""), ("node", "")]
    assert not here.api.slices


def test_the_deletion_is_tried_until_the_api_server_is_there(here: Scene) -> None:
    wiped(here, "")
    here.kubelet.stop()
    here.api.away = True
    here.kubelet.start()
    here.api.away = False
    wiped(here, "")


def test_a_driver_that_is_away_for_half_a_minute_loses_its_slices(here: Scene) -> None:
    driver = here.driver()
    here.api.slices = {"one": DRIVER, "two": "example.com"}
    driver.close()
    here.kubelet.await_driver(DRIVER, 0)
    here.kubelet.clock.advance(29)
    wiped(here, "")
    here.kubelet.clock.advance(2)
    wiped(here, "", DRIVER)
    assert here.api.slices == {"two": "example.com"}


def test_a_driver_that_is_back_in_time_keeps_its_slices(here: Scene) -> None:
    driver = here.driver()
    driver.close()
    here.kubelet.await_driver(DRIVER, 0)
    here.driver()
    here.kubelet.clock.advance(31)
    here.driver("example.com").close()
    here.kubelet.await_driver("example.com", 0)
    here.kubelet.clock.advance(31)
    wiped(here, "", "example.com")


def test_one_instance_is_enough_to_keep_slices(here: Scene) -> None:
    old, _new = here.driver(), here.driver()
    old.close()
    here.kubelet.await_driver(DRIVER, 1)
    here.kubelet.clock.advance(31)
    here.driver("example.com").close()
    here.kubelet.await_driver("example.com", 0)
    here.kubelet.clock.advance(31)
    wiped(here, "", "example.com")


def test_a_driver_that_never_could_be_reached_loses_its_slices(here: Scene) -> None:
    driver = DraDriver(here.kubelet.place, DRIVER)
    driver.info.endpoint = str(driver.socket.with_name("nobody.sock"))
    with driver:
        assert heard(driver).plugin_registered
        here.kubelet.clock.advance(31)
        wiped(here, "", DRIVER)


def test_a_socket_is_reached_however_long_its_path_is(here: Scene) -> None:
    driver = here.driver()
    long = driver.socket.with_name(f"{'x' * 80}.sock")
    os.link(driver.socket, long)
    again = DraDriver(here.kubelet.place, DRIVER)
    again.info.endpoint = str(long)
    with again:
        here.kubelet.await_driver(DRIVER, 2)
