"""What the log says of devices."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from netdevice_plugin.agent.telling import MANY, tell
from netdevice_plugin.model import Device, Interface, Listed

KIND = "networking.k8s.io/netdevice"


def device(name: str = "eth1", fault: str = "", *, lent: bool = False, mtu: int = 1500) -> Listed:
    interface = Interface(ifindex=1, name=name, mtu=mtu)
    return Listed(
        device=Device(name=name, pool="netdevice", interface=interface, lent=lent), fault=fault
    )


def told(
    caplog: pytest.LogCaptureFixture, before: Sequence[Listed], after: Sequence[Listed]
) -> list[str]:
    with caplog.at_level(logging.INFO):
        tell({KIND: before}, {KIND: after})
    return [one.message for one in caplog.records]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (None, device(), "Device is offered"),
        (device(), None, "Device is gone"),
        (device(), device(fault="gone"), "Device is unhealthy"),
        (None, device(fault="gone"), "Device is unhealthy"),
        (device(fault="gone"), device(fault="lost"), "Device is unhealthy"),
        (device(fault="gone"), device(), "Device is healthy again"),
        (device(), device(lent=True), "Device is lent"),
        (None, device(lent=True), "Device is lent"),
        (device(lent=True), device(), "Device is home"),
        (device(lent=True), device(lent=True, fault="lost"), "Device is unhealthy"),
    ],
)
def test_a_device_that_is_another_than_before_is_one_line(
    caplog: pytest.LogCaptureFixture,
    before: Listed | None,
    after: Listed | None,
    message: str,
) -> None:
    assert told(caplog, [before] if before else [], [after] if after else []) == [message]
    (line,) = caplog.records
    assert (line.__dict__["device"], line.__dict__["resource"]) == ("eth1", KIND)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (device(), device()),
        (device(), device(mtu=9000)),
        (device(fault="gone"), device(fault="gone", mtu=9000)),
        (device(lent=True), device(lent=True)),
    ],
)
def test_what_concerns_nobody_is_not_said(
    caplog: pytest.LogCaptureFixture, before: Listed, after: Listed
) -> None:
    assert told(caplog, [before], [after]) == []


def test_a_lent_device_whose_fault_is_gone_is_lent_still(caplog: pytest.LogCaptureFixture) -> None:
    before, after = device(lent=True, fault="lost"), device(lent=True)
    assert told(caplog, [before], [after]) == ["Device is healthy again"]


def test_of_many_only_the_number_is_said(caplog: pytest.LogCaptureFixture) -> None:
    after = [device(f"eth{number}") for number in range(MANY)]
    assert len(told(caplog, [], after)) == MANY
    caplog.clear()
    more = [*after, device("last", fault="gone")]
    assert told(caplog, [], more) == ["Devices changed"]
    (line,) = caplog.records
    assert line.__dict__["changed"] == MANY + 1
    assert line.__dict__["healthy"] == MANY
    assert line.__dict__["unhealthy"] == 1


def test_a_resource_that_goes_takes_its_devices(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tell({KIND: [device()]}, {})
    assert [one.message for one in caplog.records] == ["Device is gone"]
