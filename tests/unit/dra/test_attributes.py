"""What a device says of itself, and what is left out so that the slice is not refused. Pure."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import making
from netdevice_plugin.dra import attributes
from netdevice_plugin.model import Address, Device, Interface, Made, PciDevice, VirtualFunction
from netdevice_plugin.provisioning import CreatedKind, Creation
from tests.unit.dra.listed import NIC, VETH, VF, device

ROWS = attributes.TABLE
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

texts = st.text(max_size=100) | st.binary(max_size=100).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
addresses = st.builds(
    Address,
    family=st.sampled_from((4, 6)),
    address=st.sampled_from(("192.0.2.1", "2001:db8::1")),
    prefix=st.just(24),
    scope=st.sampled_from((0, 253)),
    flags=st.integers(0, 0xFF),
)
links = st.builds(
    Interface,
    ifindex=st.integers(1, 99),
    name=texts.filter(bool),
    alias=texts,
    kind=texts,
    mac=texts,
    driver=texts,
    mtu=st.integers(0, 2**32 - 1),
    speed=st.none() | st.integers(0, 2**31),
    rdma=texts,
    addresses=st.lists(addresses, max_size=4).map(tuple),
)


def of(interface: Interface) -> dict[str, object]:
    """The attributes without their types; nothing may have been left out."""
    found, problems = attributes.of(device(interface))
    assert not problems
    return {name: next(iter(value.values())) for name, value in found.items()}


def test_a_nic_says_all_that_is_known_of_it() -> None:
    assert of(NIC) == {
        "resource.kubernetes.io/pcieRoot": "pci0000:3a",
        "resource.kubernetes.io/pciBusID": "0000:3b:00.1",
        "ifName": "ens5f1",
        "alias": "uplink of rack 7",
        "pool": "netdevice",
        "kind": "physical",
        "type": "ether",
        "mac": "02:00:00:00:00:03",
        "permanentMac": "02:00:00:00:00:03",
        "mtu": 9000,
        "state": "up",
        "carrier": True,
        "speed": 25000,
        "driver": "mlx5_core",
        "vendor": "15b3",
        "device": "1017",
        "numaNode": 0,
        "userspace": False,
        "sriovPf": True,
        "totalVfs": 8,
        "numVfs": 2,
        "sriovVf": False,
        "onDemand": False,
        "rdma": True,
        "rdmaDevice": "mlx5_1",
        "ipv4": "192.0.2.7",
        "ipv6": "2001:db8::7",
    }


def test_a_virtual_function_says_whose_it_is() -> None:
    found = of(VF)
    assert (found["sriovVf"], found["sriovPf"]) == (True, False)
    assert (found["vfNumber"], found["pfName"]) == (2, "ens5f0")
    assert found["pfPciBusID"] == "0000:3b:00.0"
    assert "numaNode" not in found


def test_values_have_their_types() -> None:
    found, _ = attributes.of(device(NIC))
    assert found["carrier"] == {"bool": True}
    assert found["mtu"] == {"int": 9000}
    assert found["ifName"] == {"string": "ens5f1"}


@pytest.mark.parametrize(
    ("alias", "why"),
    [
        pytest.param("x" * 65, "65 bytes, at most 64 are allowed", id="too long"),
        pytest.param("ä" * 33, "66 bytes, at most 64 are allowed", id="too long in bytes"),
        pytest.param("\udcff", "it is not UTF-8", id="no text"),
    ],
)
def test_what_the_server_would_refuse_is_left_out_and_told(alias: str, why: str) -> None:
    found, problems = attributes.of(device(dataclasses.replace(VETH, alias=alias)))
    assert problems == (f"eth1: attribute alias is left out: {why}",)
    assert found == attributes.of(device(VETH))[0]


def test_64_bytes_are_allowed() -> None:
    assert of(dataclasses.replace(VETH, alias="x" * 64))["alias"] == "x" * 64


@pytest.mark.parametrize(
    ("flags", "address"),
    [
        pytest.param(0x80, "2001:db8::1", id="permanent"),
        pytest.param(0x01, "2001:db8::2", id="temporary"),
        pytest.param(0x88, "2001:db8::2", id="another host has it"),
    ],
)
def test_the_address_is_one_that_is_to_stay(flags: int, address: str) -> None:
    first = Address(family=6, address="2001:db8::1", prefix=64, flags=flags)
    second = Address(family=6, address="2001:db8::2", prefix=64, flags=0x80)
    assert of(dataclasses.replace(VETH, addresses=(first, second)))["ipv6"] == address


def test_a_device_whose_nic_is_yet_to_be_attached_says_so() -> None:
    found, problems = attributes.of(making.awaited("fast", 3))
    assert not problems
    assert {name: next(iter(value.values())) for name, value in found.items()} == {
        "ifName": "fast-3",
        "pool": "fast",
        "kind": "physical",
        "type": "ether",
        "mtu": 0,
        "state": "unknown",
        "carrier": True,
        "userspace": False,
        "sriovPf": False,
        "sriovVf": False,
        "onDemand": True,
        "rdma": False,
    }


@pytest.mark.parametrize("interface", [VETH, VF, NIC], ids=lambda one: one.name)
def test_what_is_always_there_is_there(interface: Interface) -> None:
    assert {row.name for row in ROWS if row.always} <= of(interface).keys()


def test_no_device_can_have_too_many() -> None:
    of_pfs = {"totalVfs", "numVfs", "eswitchMode"}
    of_vfs = {"vfNumber", "pfName", "pfPciBusID", "pfState"}
    of_made = {"parent", "vlan"}
    assert {*of_pfs, *of_vfs, *of_made} <= {row.name for row in ROWS}
    for some in (of_pfs, of_vfs, of_made):
        none = {*of_pfs, *of_vfs, *of_made} - some
        assert len([row for row in ROWS if row.name not in none]) <= attributes.MAX_ATTRIBUTES
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_name_is_one_that_the_server_takes(row: attributes.Attribute) -> None:
    domain, _, name = row.name.rpartition("/")
    assert domain in ("", "resource.kubernetes.io")
    assert _IDENTIFIER.fullmatch(name)
    assert len(name) <= attributes.MAX_NAME


@given(links)
def test_whatever_the_kernel_says_the_server_takes_it(interface: Interface) -> None:
    found, problems = attributes.of(device(interface))
    told = {re.search(r"attribute (\S+) ", line)[1] for line in problems}  # type: ignore[index]
    assert not told & found.keys()
    types = {"string": str, "int": int, "bool": bool}
    for value in found.values():
        ((kind, inner),) = value.items()
        assert type(inner) is types[kind]
        if isinstance(inner, str):
            assert 0 < len(inner.encode()) <= attributes.MAX_VALUE


def test_a_userspace_device_says_what_driver_it_is_given_out_with() -> None:
    function = Interface(
        ifindex=0,
        name="",
        driver="iavf",
        pci=PciDevice(address="0000:3b:02.2", iommu_group=17, root="pci0000:3a"),
        vf=VirtualFunction(number=2, pf_address="0000:3b:00.0", pf_name="ens5", pf_state="down"),
    )
    one = Device(name="pci-0000-3b-02-2", pool="dpdk", interface=function, driver="vfio-pci")
    found, _ = attributes.of(one)
    said = {name: next(iter(value.values())) for name, value in found.items()}
    assert said["userspace"] is True
    assert said["userspaceDriver"] == "vfio-pci"
    assert (said["iommuGroup"], said["pfState"], said["driver"]) == (17, "down", "iavf")
    assert said["ifName"] == ""
    assert {row.name for row in ROWS if row.always} <= said.keys()


def test_a_link_that_is_to_be_made_says_where_its_parent_is() -> None:
    creation = Creation(kind=CreatedKind.VLAN, parent="ens5f1", vlans=((100, 107),))
    link = Interface(ifindex=0, name="shared-100", kind="vlan", mtu=1500)
    one = Device(
        name="shared-100",
        pool="shared",
        interface=link,
        made=Made(creation=creation, number=100, parent=NIC),
    )
    found, _ = attributes.of(one)
    said = {name: next(iter(value.values())) for name, value in found.items()}
    assert (said["parent"], said["vlan"], said["kind"]) == ("ens5f1", 100, "vlan")
    assert (said["numaNode"], said["resource.kubernetes.io/pcieRoot"]) == (0, "pci0000:3a")
    assert not {"resource.kubernetes.io/pciBusID", "vendor", "mac"} & said.keys()
    macvlan = dataclasses.replace(creation, kind=CreatedKind.MACVLAN)
    other = dataclasses.replace(one, made=Made(creation=macvlan, number=1, parent=NIC))
    assert "vlan" not in attributes.of(other)[0]


def test_a_physical_function_says_the_mode_of_its_switch() -> None:
    assert NIC.pf is not None
    switchdev = dataclasses.replace(NIC.pf, eswitch="switchdev")
    assert of(dataclasses.replace(NIC, pf=switchdev))["eswitchMode"] == "switchdev"
    assert "eswitchMode" not in of(NIC)
