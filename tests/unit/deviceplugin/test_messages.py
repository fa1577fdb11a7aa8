"""Lists, allocations and introductions, without a socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin.deviceplugin import messages
from netdevice_plugin.deviceplugin.preference import Place, place
from netdevice_plugin.model import Device, Interface, Listed, Made, Pool
from netdevice_plugin.provisioning import CreatedKind, Creation, Node
from netdevice_plugin.serving.errors import (
    MalformedCallError,
    UnhealthyDeviceError,
    UnknownDeviceError,
)
from tests.unit.deviceplugin.devices import KIND, POOL, link, listed

TWO = (listed("eth2"), listed("eth1", "its driver is gone"))


def request(*containers: list[str]) -> api.AllocateRequest:
    return api.AllocateRequest(
        container_requests=[api.ContainerAllocateRequest(devices_ids=one) for one in containers]
    )


def allocate(devices: tuple[Listed, ...], *containers: list[str]) -> api.AllocateResponse:
    return messages.allocate(messages.roster(POOL, devices), request(*containers))


def envs(devices: tuple[Listed, ...], names: list[str]) -> dict[str, str]:
    return dict(allocate(devices, names).container_responses[0].envs)


# ---- the list


def test_the_list_has_every_device_healthy_or_not() -> None:
    roster = messages.roster(POOL, TWO)
    assert roster.message() == api.ListAndWatchResponse(
        devices=[
            api.Device(ID="eth1", health="Unhealthy"),
            api.Device(ID="eth2", health="Healthy"),
        ]
    )
    assert (roster.healthy, roster.unhealthy, roster.left_out) == (1, 1, 0)


def test_a_lent_device_is_as_healthy_as_any() -> None:
    (device,) = messages.roster(POOL, [listed("eth1", lent=True)]).message().devices
    assert device.health == "Healthy"


def test_an_empty_list_is_a_list() -> None:
    assert messages.roster(POOL, ()).message() == api.ListAndWatchResponse()


def test_topology_is_absent_where_the_node_is_not_known() -> None:
    links = (
        link("eth0", numa=0, pci="0000:03:00.0"),
        link("eth1", numa=1, pci="0000:03:00.1"),
        link("eth2", pci="0000:03:00.2"),
        link("veth0"),
    )
    devices = messages.roster(POOL, map(listed, links)).message().devices
    assert [one.HasField("topology") for one in devices] == [True, True, False, False]
    assert [[node.ID for node in one.topology.nodes] for one in devices] == [[0], [1], [], []]


@given(st.permutations([listed("a"), listed("b", "broken"), listed("c"), listed("d")]))
def test_the_order_in_which_devices_come_makes_no_news(devices: list[Listed]) -> None:
    assert messages.roster(POOL, devices).wire == messages.roster(POOL, sorted_(devices)).wire


def sorted_(devices: list[Listed]) -> list[Listed]:
    return sorted(devices, key=lambda one: one.device.name)


@pytest.mark.parametrize(
    "other",
    [listed("eth1", "gone"), listed(link("eth1", numa=1, pci="0000:03:00.1")), listed("eth9")],
    ids=["health", "topology", "name"],
)
def test_whatever_the_kubelet_is_told_makes_news(other: Listed) -> None:
    assert messages.roster(POOL, [listed("eth1")]).wire != messages.roster(POOL, [other]).wire


@pytest.mark.parametrize(
    "other",
    [listed(link("eth1", ifindex=99)), listed("eth1", lent=True)],
    ids=["another number", "lent"],
)
def test_what_the_kubelet_is_not_told_makes_no_news(other: Listed) -> None:
    assert messages.roster(POOL, [listed("eth1")]).wire == messages.roster(POOL, [other]).wire


def test_forty_thousand_devices_of_the_longest_name_are_within_the_limit_of_a_message() -> None:
    devices = [listed(f"eth{n}x{'y' * 9}"[:15]) for n in range(40_000)]
    roster = messages.roster(POOL, devices)
    assert roster.left_out == 0
    assert len(roster.wire) < messages.LIST_LIMIT < 4 * 2**20


def test_what_does_not_fit_is_left_out_but_never_what_a_pod_has() -> None:
    devices = [listed("a"), listed("b"), listed("c", lent=True), listed("d", "x", lent=True)]
    size = len(messages.roster(POOL, devices[:1]).wire)
    roster = messages.roster(POOL, devices, limit=3 * size + 2)
    assert list(roster.devices) == ["a", "c", "d"]
    assert [one.ID for one in roster.message().devices] == ["a", "c", "d"]
    assert (roster.healthy, roster.unhealthy, roster.left_out) == (2, 1, 1)
    assert len(roster.wire) <= 3 * size + 2


def test_what_is_left_out_cannot_be_allocated() -> None:
    roster = messages.roster(POOL, [listed("a"), listed("b")], limit=20)
    with pytest.raises(UnknownDeviceError):
        messages.allocate(roster, request(["b"]))


# ---- Allocate


def test_just_the_devices_asked_for_are_answered_in_that_order() -> None:
    devices = tuple(listed(f"eth{n}") for n in range(4))
    (answer,) = allocate(devices, ["eth3", "eth1"]).container_responses
    assert [one.name for one in answer.cdi_devices] == [f"{KIND}=eth3", f"{KIND}=eth1"]
    assert not answer.annotations
    assert not answer.mounts
    assert not answer.devices


def test_each_container_of_a_call_gets_its_own_answer() -> None:
    devices = (listed("eth1"), listed("eth2"))
    answers = allocate(devices, ["eth2"], ["eth1"]).container_responses
    assert [one.cdi_devices[0].name for one in answers] == [f"{KIND}=eth2", f"{KIND}=eth1"]


def test_a_lent_device_is_allocated_again_for_the_next_container_of_its_pod() -> None:
    (answer,) = allocate((listed("eth1", lent=True),), ["eth1"]).container_responses
    assert [one.name for one in answer.cdi_devices] == [f"{KIND}=eth1"]


def test_variables_name_the_links_and_the_functions() -> None:
    devices = (
        listed(link("enp3s0f1", pci="0000:03:00.1")),
        listed("veth0"),
        listed(link("enp3s0f0", pci="0000:03:00.0")),
    )
    assert envs(devices, ["enp3s0f1", "veth0", "enp3s0f0"]) == {
        "NETDEVICE_NETWORKING_K8S_IO_NETDEVICE": "enp3s0f1,veth0,enp3s0f0",
        "PCIDEVICE_NETWORKING_K8S_IO_NETDEVICE": "0000:03:00.1,0000:03:00.0",
        "PCIDEVICE_NETWORKING_K8S_IO_NETDEVICE_INFO": json.dumps(
            {
                "0000:03:00.1": {"generic": {"deviceID": "0000:03:00.1"}},
                "0000:03:00.0": {"generic": {"deviceID": "0000:03:00.0"}},
            },
            separators=(",", ":"),
        ),
    }


def test_a_userspace_device_has_no_variable_of_links() -> None:
    nodes = (Node("/dev/vfio/vfio"), Node("/dev/vfio/12"))
    function = Device(
        name="pci-0000-03-00-1",
        pool=POOL.name,
        interface=link("enp3s0f1", numa=1, pci="0000:03:00.1"),
        nodes=nodes,
    )
    found = envs((Listed(device=function),), ["pci-0000-03-00-1"])
    assert found.keys() == {
        "PCIDEVICE_NETWORKING_K8S_IO_NETDEVICE",
        "PCIDEVICE_NETWORKING_K8S_IO_NETDEVICE_INFO",
    }
    info = json.loads(found["PCIDEVICE_NETWORKING_K8S_IO_NETDEVICE_INFO"])
    assert info["0000:03:00.1"]["vfio"]["dev-mount"] == "/dev/vfio/12"


def test_a_link_that_is_to_be_made_has_its_name_in_the_pod_and_sits_with_its_parent() -> None:
    creation = Creation(kind=CreatedKind.MACVLAN, parent="eth0", mode="bridge", count=1)
    parent = link("eth0", numa=1, pci="0000:03:00.0")
    made = Device(
        name="shared-0",
        pool=POOL.name,
        interface=Interface(ifindex=0, name="shared-0"),
        made=Made(creation=creation, number=0, parent=parent),
    )
    assert envs((Listed(device=made),), ["shared-0"]) == {
        "NETDEVICE_NETWORKING_K8S_IO_NETDEVICE": "shared-0"
    }
    (one,) = messages.roster(POOL, [Listed(device=made)]).message().devices
    assert [node.ID for node in one.topology.nodes] == [1]
    assert place(made) == Place(1, "0000:03:00.0")


def test_links_without_a_function_make_no_variable_of_functions() -> None:
    assert envs((listed("veth0"),), ["veth0"]) == {"NETDEVICE_NETWORKING_K8S_IO_NETDEVICE": "veth0"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("eth0.100", "eth0.100"),
        ("Wän0", "Wän0"),
        ("a,b", r"a\x2cb"),
        ("a\\b", r"a\x5cb"),
        ("a\x1bb", r"a\x1bb"),
        ("a\udcffb", r"a\xffb"),
        ("a\ud800b", r"a\ud800b"),
        ("$(id)", "$(id)"),
    ],
)
def test_a_name_of_any_bytes_is_one_entry_of_valid_utf8(name: str, shown: str) -> None:
    device = listed("x")
    odd = Listed(device=type(device.device)(name="odd", pool="p", interface=link(name)))
    assert envs((odd,), ["odd"])["NETDEVICE_NETWORKING_K8S_IO_NETDEVICE"] == shown


@given(st.lists(st.binary(min_size=1, max_size=15), min_size=1, max_size=4, unique=True))
def test_links_of_any_bytes_can_be_told_apart_again(names: list[bytes]) -> None:
    devices = tuple(listed(name.decode("utf-8", "surrogateescape")) for name in names)
    answer = envs(devices, [one.device.name for one in devices])
    entries = answer["NETDEVICE_NETWORKING_K8S_IO_NETDEVICE"].split(",")
    assert len(set(entries)) == len(names)
    decoded = [
        entry.encode().decode("unicode_escape").encode("latin-1", "replace") for entry in entries
    ]
    ascii_names = {name for name in names if name.isascii()}
    assert ascii_names <= set(decoded)


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        (["eth9"], UnknownDeviceError, "has no device 'eth9'"),
        (["eth2", "eth9"], UnknownDeviceError, "has no device 'eth9'"),
        (["eth1"], UnhealthyDeviceError, "device eth1 is unhealthy: its driver is gone"),
        (["eth2", "eth2"], MalformedCallError, "names device eth2 twice"),
        ([], MalformedCallError, "names no device"),
        ([""], UnknownDeviceError, "has no device ''"),
        (["\x1b[31m"], UnknownDeviceError, r"has no device '\x1b[31m'"),
    ],
)
def test_what_cannot_be_had_is_refused_with_its_name(
    names: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        allocate(TWO, names)
    assert said in str(caught.value)
    assert KIND in str(caught.value)


def test_a_call_without_a_container_is_refused() -> None:
    with pytest.raises(MalformedCallError, match="names no container"):
        allocate(TWO)


def test_one_bad_container_refuses_the_whole_call() -> None:
    with pytest.raises(UnknownDeviceError):
        allocate(TWO, ["eth2"], ["eth9"])


def test_a_huge_name_is_not_repeated_in_full() -> None:
    with pytest.raises(UnknownDeviceError) as caught:
        allocate(TWO, ["x" * 1_000_000])
    assert len(str(caught.value)) < 200


@given(
    st.lists(
        st.lists(st.sampled_from(["eth1", "eth2", "eth3", "eth9", ""]), max_size=4), max_size=3
    )
)
def test_an_answer_has_what_was_asked_for_or_there_is_none(containers: list[list[str]]) -> None:
    good = {"eth2", "eth3"}
    fine = bool(containers) and all(
        one and len(set(one)) == len(one) and set(one) <= good for one in containers
    )
    try:
        answer = allocate((*TWO, listed("eth3")), *containers)
    except (MalformedCallError, UnknownDeviceError, UnhealthyDeviceError):
        assert not fine
    else:
        assert fine
        assert [
            [device.name.removeprefix(f"{KIND}=") for device in one.cdi_devices]
            for one in answer.container_responses
        ] == containers


# ---- GetPreferredAllocation


def test_advice_is_given_for_each_container() -> None:
    devices = [
        listed(link("a", numa=0, pci="0000:03:00.0")),
        listed(link("b", numa=1, pci="0000:04:00.0")),
        listed(link("c", numa=1, pci="0000:04:00.1")),
    ]
    asked = api.PreferredAllocationRequest(
        container_requests=[
            api.ContainerPreferredAllocationRequest(
                available_deviceIDs=["a", "b", "c"], allocation_size=2
            ),
            api.ContainerPreferredAllocationRequest(
                available_deviceIDs=["a", "x"], must_include_deviceIDs=["a"], allocation_size=2
            ),
            api.ContainerPreferredAllocationRequest(),
        ]
    )
    answer = messages.preferred(messages.roster(POOL, devices), asked)
    chosen = [list(one.deviceIDs) for one in answer.container_responses]
    assert chosen == [["b", "c"], ["a", "x"], []]


# ---- names


@pytest.mark.parametrize("name", ["pool", "a\udcffb", "a\ud800", "a b", "ä", "", "x" * 300])
def test_a_pool_of_any_name_can_be_introduced(name: str) -> None:
    pool = Pool(name=name)
    assert messages.register_request(pool, "e.sock").resource_name.startswith("networking.k8s.io/")
    assert messages.plugin_info(pool).name == messages.register_request(pool, "").resource_name
    roster = messages.roster(pool, [listed("eth1")])
    (answer,) = messages.allocate(roster, request(["eth1"])).container_responses
    assert answer.cdi_devices[0].name.endswith("=eth1")


def test_the_introduction_is_what_the_kubelet_accepts() -> None:
    assert messages.register_request(POOL, "e.sock") == api.RegisterRequest(
        version="v1beta1",
        endpoint="e.sock",
        resource_name=KIND,
        options=api.DevicePluginOptions(get_preferred_allocation_available=True),
    )
    info = messages.plugin_info(POOL)
    assert (info.type, info.name, info.endpoint) == ("DevicePlugin", KIND, "")
    assert list(info.supported_versions) == ["v1beta1"]
