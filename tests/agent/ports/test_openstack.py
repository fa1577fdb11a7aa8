"""Our provider for OpenStack, with the real SDK, against an HTTP server that plays the APIs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import contract
from netdevice_plugin.ports.command import Command
from netdevice_plugin.ports.connecting import openstack as argv
from netdevice_plugin.ports.contract import Request
from netdevice_plugin.ports.errors import (
    BusyError,
    QuotaError,
    RefusedError,
)
from netdevice_plugin.ports.openstack.__main__ import answer, arguments
from netdevice_plugin.ports.openstack.calls import name
from netdevice_plugin.ports.openstack.identity import server_id
from netdevice_plugin.ports.provider import Call, Owner, Port
from netdevice_plugin.provisioning import OpenStack
from tests.fakes.openstack import OpenStackServer, State
from tests.fakes.openstack.state import GROUP, NETWORK, SERVER, SUBNET

# What the SDK says of parts that we do not use.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"
)

OWNER = Owner(node="worker-1", pool="networking.k8s.io/fast")
SETTINGS = OpenStack(network="fast", server=SERVER)


@pytest.fixture(scope="module")
def running() -> Iterator[OpenStackServer]:
    with OpenStackServer() as server:
        yield server


@pytest.fixture
def cloud(running: OpenStackServer, monkeypatch: pytest.MonkeyPatch) -> State:
    running.state = State()
    for key, value in running.environment().items():
        monkeypatch.setenv(key, value)
    return running.state


def ask(call: Call, settings: OpenStack = SETTINGS, *, timeout: float = 20.0, **more: Any) -> bytes:
    request = Request(call=call, owner=OWNER, timeout=timeout, **more)
    return answer(contract.write_request(request), settings, lambda: SERVER)


def attach(settings: OpenStack = SETTINGS, **more: Any) -> Port:
    return contract.read_port(ask(Call.ATTACH, settings, **more), "openstack")


def listed() -> tuple[Port, ...]:
    return contract.read_ports(ask(Call.LIST), "openstack")


def test_a_port_is_made_attached_and_listed(cloud: State) -> None:
    port = attach()
    assert port.mac == "fa:16:3e:00:00:01"
    assert listed() == (port,)
    made = cloud.ports[port.id]
    assert made["network_id"] == NETWORK
    assert made["name"] == f"netdevice-plugin {SERVER} networking.k8s.io/fast"
    assert made["description"] == "of netdevice-plugin: node worker-1"
    assert cloud.calls == ["create", "attach"]


def test_it_has_the_subnet_and_groups_that_are_asked_for(cloud: State) -> None:
    settings = OpenStack(network=NETWORK, subnet="fast-v4", security_groups=("open",))
    made = cloud.ports[attach(settings).id]
    assert made["fixed_ips"] == [{"subnet_id": SUBNET}]
    assert made["security_groups"] == [GROUP]


def test_a_claim_may_ask_for_another_subnet(cloud: State) -> None:
    made = cloud.ports[attach(parameters={"subnet": "fast-v4"}).id]
    assert made["fixed_ips"] == [{"subnet_id": SUBNET}]
    with pytest.raises(RefusedError, match="parameter 'vlan' is not known"):
        attach(parameters={"vlan": "7"})


def test_a_claim_may_ask_for_another_network_and_groups(cloud: State) -> None:
    elsewhere = OpenStack(network="other", subnet="other-v4", server=SERVER)
    asked = {"network": "fast", "securityGroups": "open, open"}
    made = cloud.ports[attach(elsewhere, parameters=asked).id]
    assert made["network_id"] == NETWORK
    assert "fixed_ips" not in made  # the subnet is of the other network
    assert made["security_groups"] == [GROUP, GROUP]
    with pytest.raises(RefusedError, match="no network 'none' in this project"):
        attach(parameters={"network": "none"})


def test_what_a_port_was_asked_for_is_told_with_it(cloud: State) -> None:
    port = attach(request="uid-1/fast-0")
    assert port.request == "uid-1/fast-0"
    other = attach()
    assert listed() == (port, other)
    assert cloud.ports[port.id]["description"] == (
        "of netdevice-plugin, for uid-1/fast-0: node worker-1"
    )
    cloud.ports[port.id]["description"] = "of netdevice-plugin, for me"
    assert {one.request for one in listed()} == {""}
    cloud.ports[port.id]["description"] = None
    assert {one.request for one in listed()} == {""}


def test_a_port_is_waited_for_until_it_carries_traffic(cloud: State) -> None:
    cloud.faults.looks_until_up = 1
    port = attach()
    assert cloud.ports[port.id]["status"] == "ACTIVE"


def test_a_port_that_does_not_come_up_is_taken_back(cloud: State) -> None:
    cloud.faults.looks_until_up = 1000
    with pytest.raises(PortError, match="did not come up, it is DOWN"):
        attach(timeout=2.0)
    assert cloud.ports == {}
    assert cloud.calls == ["create", "attach", "detach", "delete"]


def test_a_port_that_cannot_be_attached_is_deleted(cloud: State) -> None:
    cloud.faults.attach_status = 500
    with pytest.raises(PortError, match="Failed to attach network adapter device"):
        attach()
    assert cloud.ports == {}


def test_a_port_whose_attach_was_not_answered_is_detached_and_deleted(cloud: State) -> None:
    cloud.faults.lose_attach = True
    with pytest.raises(PortError):
        attach()
    assert cloud.ports == {}
    assert cloud.calls[-2:] == ["detach", "delete"]


def test_a_port_that_could_not_be_taken_back_is_listed_as_what_it_is(cloud: State) -> None:
    cloud.faults.attach_status = 500
    cloud.faults.delete_status = 500
    with pytest.raises(PortError):
        attach()
    cloud.faults.delete_status = 0
    (left,) = listed()
    assert left.leftover
    assert ask(Call.DETACH, port=left.id) == contract.write_done()
    assert cloud.ports == {}


def test_a_port_whose_making_was_not_answered_is_found_by_its_name(cloud: State) -> None:
    cloud.faults.lose_create = True
    with pytest.raises(PortError):
        attach()
    assert [port.leftover for port in listed()] == [True]


def test_the_quota_is_told_from_other_conflicts(cloud: State) -> None:
    cloud.faults.quota = 0
    with pytest.raises(QuotaError, match="Quota exceeded") as caught:
        attach()
    assert "raise the project's quota" in caught.value.hint
    cloud.faults.quota = 1
    cloud.faults.attach_status = 409
    with pytest.raises(BusyError):
        attach()
    assert cloud.ports == {}


def test_it_is_detached_and_deleted_once_nova_is_done(cloud: State) -> None:
    port = attach()
    cloud.faults.looks_until_gone = 1
    assert ask(Call.DETACH, port=port.id) == contract.write_done()
    assert cloud.ports == {}
    assert cloud.calls == ["create", "attach", "detach", "delete"]
    assert ask(Call.DETACH, port=port.id) == contract.write_done()  # again


def test_a_port_that_nova_does_not_let_go_of_is_not_deleted(cloud: State) -> None:
    port = attach()
    cloud.faults.looks_until_gone = 1000
    with pytest.raises(PortError, match="is still attached"):
        contract.read_done(ask(Call.DETACH, port=port.id, timeout=0.5), "openstack")
    assert listed() == (port,)


def test_what_is_not_ours_is_left_alone(cloud: State) -> None:
    other = cloud.create({"name": "database", "network_id": NETWORK})
    with pytest.raises(RefusedError, match="'database', which is not ours"):
        contract.read_done(ask(Call.DETACH, port=str(other["id"])), "openstack")
    elsewhere = attach()
    cloud.ports[elsewhere.id]["device_id"] = "another-server"
    assert listed() == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (OpenStack(network="slow", server=SERVER), "there is no network 'slow'"),
        (OpenStack(network="fast", subnet="no"), "there is no subnet 'no'"),
        (OpenStack(network="fast", security_groups=("no",)), "there is no security group 'no'"),
        (OpenStack(network="fast", cloud="no"), "no"),
        (OpenStack(network="fast", server="other"), "other could not be found"),
    ],
    ids=["network", "subnet", "group", "cloud", "server"],
)
def test_wrong_settings_are_refused(cloud: State, settings: OpenStack, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        attach(settings)
    assert cloud.ports == {}


def test_credentials_that_do_not_hold_are_refused(cloud: State) -> None:
    cloud.faults.token_status = 401
    with pytest.raises(RefusedError) as caught:
        listed()
    assert "credentials" in caught.value.hint


@pytest.mark.parametrize(("status", "kind"), [(503, BusyError), (500, PortError)])
def test_a_bad_day_of_neutrons_is_told(cloud: State, status: int, kind: type[PortError]) -> None:
    cloud.faults.port_status = status
    with pytest.raises(PortError) as caught:
        listed()
    assert type(caught.value) is kind


def test_nobody_at_the_address_is_for_later(cloud: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_AUTH_URL", "http://127.0.0.1:1/v3")
    with pytest.raises(BusyError):
        listed()
    assert cloud.calls == []


def test_the_agent_runs_it_as_a_program(cloud: State) -> None:
    provider = Command(argv(SETTINGS), OWNER)

    port = asyncio.run(provider.attach({}))
    assert list(cloud.plugged) == [port.id]


def test_it_takes_back_what_it_began_when_it_is_told_to_end(
    running: OpenStackServer, cloud: State
) -> None:
    cloud.faults.hang_attach = True
    running.hanging.clear()
    provider = Command(argv(SETTINGS), OWNER)

    async def live() -> None:
        attaching = asyncio.create_task(provider.attach({}))
        assert await asyncio.to_thread(running.hanging.wait, 20)
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching

    asyncio.run(live())
    assert cloud.ports == {}
    assert cloud.calls == ["create", "attach", "detach", "delete"]


def test_the_settings_survive_the_way_to_the_program() -> None:
    settings = OpenStack(
        cloud="c", network="-n", subnet="s", security_groups=("a", "-b"), server="x"
    )
    line = argv(settings)
    assert line[:2] in {(sys.executable, "-P"), (sys.executable, "-I")}
    assert arguments(line[4:]) == settings


def test_a_pool_with_a_long_name_has_a_port_with_a_short_one() -> None:
    long = Owner(node="n", pool="a" * 190 + "/b")
    assert name(SERVER, OWNER) != name(SERVER, long)
    assert len(name(SERVER, long)) <= 255


def metadata(body: bytes, tmp_path: Path) -> str:
    (tmp_path / "meta_data.json").write_bytes(body)
    return (tmp_path / "meta_data.json").as_uri()


def test_the_server_is_the_one_that_the_metadata_names(tmp_path: Path) -> None:
    url = metadata(json.dumps({"uuid": SERVER}).encode(), tmp_path)
    assert server_id(url, tmp_path / "none") == SERVER


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"uuid": "x"}', b"\xff"])
def test_without_metadata_the_firmware_is_asked(body: bytes, tmp_path: Path) -> None:
    url = metadata(body, tmp_path)
    product = tmp_path / "product_uuid"
    with pytest.raises(RefusedError, match="which server this is cannot be told"):
        server_id(url, product)
    product.write_text(SERVER.upper() + "\n")
    assert server_id(url, product) == SERVER
