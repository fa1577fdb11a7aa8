"""What a claim's status says, and what of it is none of our business."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters import Parameters, Vlan
from netdevice_plugin.dra.status import DeviceStatus, merge, of_attachment

DRIVER, NODE = "networking.k8s.io", "worker-1"
POOL = f"{NODE}/netdevice"
RESULT = Result(request="r", pool=POOL, device="eth1")
NOW = "2026-11-21T08:00:00Z"


def message(address: str, scope: int = 0) -> bytes:
    """RTM_NEWADDR: ifaddrmsg, and the address as IFA_ADDRESS and IFA_LOCAL."""
    interface = ipaddress.ip_interface(address)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, interface.network.prefixlen, 0, scope, 7)
    for kind in (1, 2):
        body += struct.pack("=HH", 4 + len(interface.packed), kind) + interface.packed
    return body


RECORD = Attachment(
    device="eth1",
    phase=Phase.ATTACHED,
    link=HostLink(name="eth1", ifindex=7, mac="02:00:00:00:00:01"),
    pod_name="net1",
    addresses=(message("192.0.2.1/24"), message("2001:db8::1/64"), message("fe80::1/64", 253)),
)
ONE = DeviceStatus(
    pool=POOL,
    device="eth1",
    interface="net1",
    addresses=("192.0.2.1/24", "2001:db8::1/64"),
    mac="02:00:00:00:00:01",
)


def merged(
    devices: list[dict[str, Any]], *statuses: DeviceStatus, now: str = NOW
) -> list[Any] | None:
    return merge(devices, statuses, driver=DRIVER, node=NODE, now=now)


def test_a_link_in_a_pod_has_what_it_had_on_the_host() -> None:
    assert of_attachment(RESULT, RECORD, Parameters()) == ONE


def test_what_the_claim_gives_stands_for_itself() -> None:
    given = Parameters(
        mac="02:00:00:00:00:AA", addresses=("2001:DB8:0::5/64", "198.51.100.1/24"), mtu=1400
    )
    made = of_attachment(RESULT, RECORD, given)
    assert made == dataclasses.replace(
        ONE, mac="02:00:00:00:00:aa", addresses=("2001:db8::5/64", "198.51.100.1/24")
    )


@pytest.mark.parametrize(
    ("given", "name", "addresses"),
    [
        (Parameters(keep_host_addresses=False), "net1", ()),
        (Parameters(vlan=Vlan(id=7)), "net1.7", ()),
        (Parameters(vlan=Vlan(id=7), interface_name="v", addresses=("10.0.0.1/8",)), "v",
         ("10.0.0.1/8",)),
    ],
    ids=["none", "a VLAN", "a named VLAN"],
)  # fmt: skip
def test_a_vlan_has_a_name_and_addresses_of_its_own(
    given: Parameters, name: str, addresses: tuple[str, ...]
) -> None:
    made = of_attachment(RESULT, RECORD, given)
    assert made == dataclasses.replace(ONE, interface=name, addresses=addresses)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ATTACHED])
def test_a_link_on_its_way_is_not_in_the_pod(phase: Phase) -> None:
    record = dataclasses.replace(RECORD, phase=phase)
    assert of_attachment(RESULT, record, Parameters()) is None


def test_a_device_to_look_at_or_without_a_record_is_not_in_the_pod() -> None:
    assert of_attachment(dataclasses.replace(RESULT, admin=True), RECORD, Parameters()) is None
    assert of_attachment(RESULT, None, Parameters()) is None


def test_what_does_not_fit_is_left_out() -> None:
    many = tuple(message(f"10.0.0.{number}/24") for number in range(100))
    record = dataclasses.replace(
        RECORD,
        pod_name="x" * 257,
        link=dataclasses.replace(RECORD.link, mac="00:" * 43),
        addresses=(b"short", *many, *many),
    )
    made = of_attachment(RESULT, record, Parameters())
    assert made is not None
    assert (made.interface, made.mac, len(made.addresses)) == ("", "", 16)


def test_an_entry_says_it_all() -> None:
    assert merged([], ONE) == [
        {
            "driver": DRIVER,
            "pool": POOL,
            "device": "eth1",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Attached",
                    "message": "net1 is in the pod",
                    "lastTransitionTime": NOW,
                }
            ],
            "networkData": {
                "interfaceName": "net1",
                "ips": ["192.0.2.1/24", "2001:db8::1/64"],
                "hardwareAddress": "02:00:00:00:00:01",
            },
        }
    ]


def test_a_share_is_told_from_the_others() -> None:
    made = merged([], ONE, dataclasses.replace(ONE, share_id="s"))
    assert made is not None
    assert [one.get("shareID") for one in made] == [None, "s"]


def test_what_is_so_already_is_not_written() -> None:
    made = merged([], ONE)
    assert made is not None
    assert merged(made, ONE, now="2026-11-21T09:00:00Z") is None
    assert merged([]) is None


def test_a_change_keeps_the_time_since_when_it_is_ready() -> None:
    made = merged([], ONE)
    assert made is not None
    changed = merged(made, dataclasses.replace(ONE, mac=""), now="2026-11-21T09:00:00Z")
    assert changed is not None
    assert changed[0]["conditions"][0]["lastTransitionTime"] == NOW
    assert "hardwareAddress" not in changed[0]["networkData"]


def test_a_condition_that_was_not_true_becomes_so_now() -> None:
    old = {"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    entry = {"driver": DRIVER, "pool": POOL, "device": "eth1", "conditions": [old]}
    made = merged([entry], ONE)
    assert made is not None
    assert [one["lastTransitionTime"] for one in made[0]["conditions"]] == [NOW]


def test_what_others_add_to_our_entry_stays() -> None:
    bound = {"type": "Bound", "status": "True"}
    entry = {
        "driver": DRIVER,
        "pool": POOL,
        "device": "eth1",
        "conditions": [bound],
        "data": {"x": 1},
    }
    made = merged([entry], ONE)
    assert made is not None
    assert made[0]["conditions"][0] == bound
    assert merged(made) == [entry]


FOREIGN = st.fixed_dictionaries(
    {
        "driver": st.sampled_from([DRIVER, "gpu.example.com"]),
        "pool": st.sampled_from([POOL, "worker-2/netdevice", "worker-10/x", "worker-1"]),
        "device": st.sampled_from(["eth1", "eth2", "gpu"]),
    },
    optional={"data": st.just({"a": 1})},
)


@given(st.lists(FOREIGN, max_size=6, unique_by=json.dumps), st.booleans())
def test_entries_of_others_are_left_as_they_are_and_in_order(
    devices: list[dict[str, Any]], told: bool
) -> None:
    made = merged(devices, *([ONE] if told else []))
    after = devices if made is None else made
    assert _theirs(after) == _theirs(devices)
    assert merged(list(after), *([ONE] if told else [])) is None


def _theirs(devices: list[Any]) -> list[Any]:
    return [
        one for one in devices if one["driver"] != DRIVER or not one["pool"].startswith(f"{NODE}/")
    ]
