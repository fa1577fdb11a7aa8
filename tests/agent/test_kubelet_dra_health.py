"""The health of DRA devices, as the fake kubelet hears of it and forgets it again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.dradriver import healthy
from tests.fakes.kubelet import Settings
from tests.fakes.kubelet.wire import health as api
from tests.fakes.scene import DRIVER, Scene, scene

POOL = "node/pool"


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as made:
        yield made


def test_what_a_driver_tells_is_believed(here: Scene) -> None:
    driver = here.driver()
    driver.tell(healthy("eth1"), healthy("eth2", api.UNHEALTHY), healthy("eth3", api.UNKNOWN))
    here.kubelet.await_health(
        DRIVER, POOL, {"eth1": "Healthy", "eth2": "Unhealthy", "eth3": "Unknown", "eth4": "Unknown"}
    )


def test_what_is_not_told_again_is_unknown_after_a_while(here: Scene) -> None:
    driver = here.driver()
    slow = healthy("eth2")
    slow.health_check_timeout_seconds = 60
    driver.tell(healthy("eth1"), slow)
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Healthy", "eth2": "Healthy"})
    here.kubelet.clock.advance(31)
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Unknown", "eth2": "Healthy"})
    driver.tell(healthy("eth1"))
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Healthy", "eth2": "Healthy"})


def test_a_long_message_is_cut(here: Scene) -> None:
    driver = here.driver()
    device = healthy("eth1", api.UNHEALTHY)
    device.message = "x" * 1025
    driver.tell(device)
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Unhealthy"})
    assert here.kubelet.life.health.of(DRIVER, POOL, "eth1")[1] == "x" * 1021 + "..."


def test_a_stream_that_ends_is_asked_for_again_after_five_seconds(here: Scene) -> None:
    driver = here.driver()
    driver.tell(healthy("eth1"))
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Healthy"})
    driver.end_health()
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Unknown"})
    here.kubelet.clock.advance(5)
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Healthy"})


def test_the_end_of_one_instance_forgets_what_the_other_has_told(here: Scene) -> None:
    old, new = here.driver(), here.driver()
    new.tell(healthy("eth1"))
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Healthy"})
    old.close()
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Unknown"})
    new.tell(healthy("eth1"))
    here.kubelet.await_health(DRIVER, POOL, {"eth1": "Healthy"})


def test_an_older_kubelet_does_not_ask() -> None:
    with scene(Settings(dra_health=False)) as here:
        asked: list[str] = []
        driver = here.driver()
        driver.before = asked.append
        here.kubelet.clock.advance(6)
        driver.tell(healthy("eth1"))
        assert here.kubelet.life.health.lists == {}
        assert "NodeWatchResources" not in asked
