from __future__ import annotations

import dataclasses
import json

import pytest

from netdevice_plugin.cli import offers
from netdevice_plugin.cli.bound import Bound
from netdevice_plugin.cli.claimed import Claimed
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.functions.record import FunctionRecord, Link, Phase
from netdevice_plugin.look import View
from netdevice_plugin.model import (
    Address,
    Frontend,
    Interface,
    PciDevice,
    PhysicalFunction,
    Pool,
    Protection,
    Selector,
    Snapshot,
    VirtualFunction,
)
from netdevice_plugin.provisioning import CreatedKind, Creation, Userspace
from tests.unit.cli.running import ATTACHED, LIVING
from tests.unit.dra.claimed import ref

UPLINK = Interface(ifindex=2, name="eth0", flags=1, operstate="up")
LENT = Interface(ifindex=7, name="eth1", kind="veth", flags=1, operstate="up", lent=True)
VF = Interface(
    ifindex=9,
    name="Data.1",
    altnames=("data", "x"),
    alias="\x1b",
    mac="02:00:00:00:00:09",
    permanent_mac="0a:00:00:00:00:09",
    mtu=9000,
    flags=1,
    operstate="up",
    carrier=True,
    speed=25000,
    addresses=(
        Address(family=4, address="192.0.2.1", prefix=24),
        Address(family=6, address="fe80::1", prefix=64, scope=253),
        Address(family=6, address="2001:db8::1", prefix=64),
    ),
    driver="iavf",
    pci=PciDevice(
        address="0000:03:10.1",
        vendor="8086",
        device="154c",
        driver="iavf",
        numa_node=0,
        root="pci0000:00",
        iommu_group=17,
    ),
    vf=VirtualFunction(number=1, pf_address="0000:03:00.0", pf_name="ens1", pf_state="down"),
    rdma="irdma0",
)
PF = Interface(
    ifindex=4, name="ens1", pf=PhysicalFunction(total_vfs=8, num_vfs=2, eswitch="legacy")
)
POOLS = (
    Pool(name="fast", selectors=(Selector(drivers=("iavf",)),)),
    Pool(name="netdevice", selectors=(Selector(if_names=("eth1", "eth0")),)),
)
VIEW = View(
    snapshot=Snapshot(
        interfaces=(UPLINK, PF, LENT, VF),
        protected=(Protection(ifindex=2, reason="carries the IPv4 default route"),),
    ),
    attachments=(ATTACHED,),
    problems=(AttachmentError("/run/x/attachments/eth5:1: is broken"),),
)
FOUND = offers.offers(VIEW, POOLS)


def test_every_link_has_a_pool_or_a_reason() -> None:
    assert [(one.interface.name, one.pool, one.reason) for one in FOUND.links] == [
        ("Data.1", "networking.k8s.io/fast", ""),
        ("ens1", "", "no pool selects it"),
        ("eth0", "", "carries the IPv4 default route"),
        ("eth1", "networking.k8s.io/netdevice", ""),
    ]


def test_what_is_wrong_with_pools_and_records_is_beside_them() -> None:
    assert FOUND.problems == (
        "pool netdevice: eth0 cannot be offered: it carries the IPv4 default route",
        "/run/x/attachments/eth5:1: is broken",
    )


def test_the_table_says_what_a_newcomer_asks() -> None:
    rows = [tuple(row[heading] for heading in offers.HEADINGS) for row in offers.rows(FOUND.links)]
    numbers = "192.0.2.1/24,2001:db8::1/64"
    assert rows == [
        ("Data.1", "ether", "up", "iavf", "0000:03:10.1", "0", numbers, "fast", "", ""),
        ("ens1", "ether", "down", "", "", "", "", "", "", "no pool selects it"),
        ("eth0", "ether", "up", "", "", "", "", "", "", "carries the IPv4 default route"),
        ("eth1", "veth", "attached", "", "", "", "", "netdevice", "default/web-0", ""),
    ]


def test_the_wide_table_says_more() -> None:
    row = offers.rows(FOUND.links)[0]
    assert set(offers.HEADINGS) < set(offers.WIDE) == set(row)
    more = {heading: row[heading] for heading in offers.WIDE if heading not in offers.HEADINGS}
    assert more == {
        "FRONTEND": "device-plugin",
        "CLAIM": "",
        "DEVICE": "networking.k8s.io/fast=net-irqxiyjoge",
        "IFINDEX": "9",
        "MAC": "0a:00:00:00:00:09",
        "MTU": "9000",
        "SPEED": "25000",
        "VF OF": "ens1#1",
        "GROUP": "17",
        "RDMA": "irdma0",
        "ALTNAMES": "data,x",
    }


def test_the_keys_for_programs_are_stable() -> None:
    document = json.loads(json.dumps(offers.document(FOUND)))
    assert set(document) == {"links", "problems"}
    data, physical, uplink, lent = document["links"]
    assert data == {
        "name": "Data.1",
        "device": "net-irqxiyjoge",
        "pool": "networking.k8s.io/fast",
        "frontend": "device-plugin",
        "reason": None,
        "state": "up",
        "lent": False,
        "holders": [],
        "claim": None,
        "ifindex": 9,
        "altnames": ["data", "x"],
        "alias": "\x1b",
        "kind": None,
        "linkType": "ether",
        "mac": "02:00:00:00:00:09",
        "permanentMac": "0a:00:00:00:00:09",
        "mtu": 9000,
        "up": True,
        "carrier": True,
        "speed": 25000,
        "addresses": ["192.0.2.1/24", "fe80::1/64", "2001:db8::1/64"],
        "driver": "iavf",
        "pci": {
            "address": "0000:03:10.1",
            "vendor": "8086",
            "device": "154c",
            "driver": "iavf",
            "numaNode": 0,
            "root": "pci0000:00",
            "iommuGroup": 17,
        },
        "parent": None,
        "vf": {"pf": "ens1", "pfAddress": "0000:03:00.0", "number": 1, "pfState": "down"},
        "pf": None,
        "rdma": "irdma0",
    }
    assert physical["pf"] == {"totalVfs": 8, "numVfs": 2, "eswitchMode": "legacy"}
    assert (uplink["device"], uplink["pool"], uplink["frontend"]) == (None, None, None)
    assert uplink["reason"] == "carries the IPv4 default route"
    assert (lent["state"], lent["lent"]) == ("attached", True)
    assert lent["holders"] == [{"container": LIVING.container, "pod": "default/web-0"}]


def test_what_claims_have_shows_beside_the_front_end() -> None:
    netdevice = dataclasses.replace(POOLS[1], frontend=Frontend.DRA)
    whose = ref(1, "nics")
    claims = Claimed(holders={"eth1": whose}, problems=("x.json: is not JSON",))
    found = offers.offers(VIEW, (POOLS[0], netdevice), claims)
    rows = {row["NAME"]: (row["FRONTEND"], row["CLAIM"]) for row in offers.rows(found.links)}
    assert rows["eth1"] == ("dra", "ns/nics")
    assert (rows["Data.1"], rows["eth0"]) == (("device-plugin", ""), ("", ""))
    assert found.problems[-1] == "x.json: is not JSON"
    lent = json.loads(json.dumps(offers.document(found)))["links"][-1]
    assert lent["frontend"] == "dra"
    assert lent["claim"] == {"namespace": "ns", "name": "nics", "uid": whose.uid}


def test_a_nic_that_was_attached_for_a_claim_is_the_claims_device() -> None:
    link = next(one.interface for one in FOUND.links if one.interface.name == "eth1")
    claims = Claimed(holders={"fast-0": ref()}, nics={link.identity_mac: "fast-0"})
    found = offers.offers(VIEW, POOLS, claims)
    [shown] = [one for one in found.links if one.interface == link]
    assert (shown.device, shown.claim) == ("fast-0", ref())


def test_who_has_no_dra_sees_no_column_of_it() -> None:
    assert FOUND.headings == offers.HEADINGS
    dra = tuple(dataclasses.replace(pool, frontend=Frontend.DRA) for pool in POOLS)
    assert offers.offers(VIEW, dra).headings == offers.CLAIMS
    # The pool is another's by now, and the claim still has the device.
    claims = Claimed(holders={"eth1": ref()})
    assert offers.offers(VIEW, POOLS, claims).headings == offers.CLAIMS


@pytest.mark.parametrize(
    ("flags", "operstate", "state"),
    [(1, "up", "up"), (1, "unknown", "unknown"), (0, "up", "down"), (1, "dormant", "dormant")],
)
def test_a_link_that_is_not_up_is_down(flags: int, operstate: str, state: str) -> None:
    link = Interface(ifindex=1, name="x", flags=flags, operstate=operstate)
    (offer,) = offers.offers(View(snapshot=Snapshot(interfaces=(link,))), ()).links
    assert offer.state == state


FUNCTION = Interface(
    ifindex=0,
    name="",
    driver="vfio-pci",
    pci=PciDevice(address="0000:03:10.2", driver="vfio-pci", iommu_group=18),
)


def test_a_function_without_a_link_is_shown_by_its_address() -> None:
    dpdk = Pool(
        name="dpdk",
        selectors=(Selector(drivers=("vfio-pci",)),),
        userspace=Userspace(driver="vfio-pci"),
    )
    view = View(snapshot=Snapshot(functions=(FUNCTION,)))
    (offered,) = offers.rows(offers.offers(view, (dpdk,)).links)
    assert (offered["NAME"], offered["STATE"], offered["POOL"], offered["GROUP"]) == (
        *("0000:03:10.2", "no link", "dpdk", "18"),
    )
    assert offered["DEVICE"] == "networking.k8s.io/dpdk=pci-0000-03-10-2"
    (refused,) = offers.rows(offers.offers(view, ()).links)
    assert refused["WHY NOT"].startswith("is no link: its driver is vfio-pci")


def test_links_that_are_made_are_shown_with_what_is_wrong_with_their_parent() -> None:
    creation = Creation(kind=CreatedKind.MACVLAN, parent="ens1", mode="bridge", count=1)
    shared = Pool(name="shared", create=creation)
    (made,) = offers.offers(View(snapshot=Snapshot()), (shared,)).links
    assert (made.name, made.device, made.pool) == ("shared-0", "shared-0", shared.kind)
    assert made.reason == "its parent ens1 is gone"
    view = View(
        snapshot=Snapshot(
            interfaces=(dataclasses.replace(PF, flags=1),), born=frozenset({"shared-0"})
        ),
        attachments=(dataclasses.replace(ATTACHED, device="shared-0"),),
    )
    _, lent = offers.offers(view, (shared,)).links
    assert (lent.reason, lent.state) == ("", "attached")
    (entry,) = [
        one
        for one in json.loads(json.dumps(offers.document(offers.offers(view, (shared,)))))["links"]
        if one["name"] == "shared-0"
    ]
    assert (entry["parent"], entry["lent"], entry["kind"]) == ("ens1", True, "macvlan")


def test_a_function_that_the_agent_bound_is_shown_as_what_it_was() -> None:
    record = FunctionRecord(
        device="pci-0000-03-10-2",
        address="0000:03:10.2",
        pool="dpdk",
        phase=Phase.BOUND,
        target="vfio-pci",
        driver="igbvf",
        link=Link(name="ens1v2", mac="02:00:00:00:00:02"),
    )
    view = View(snapshot=Snapshot(functions=(FUNCTION,)))
    bound = Bound(records={record.device: record}, problems=("pci-x: is cut in half",))
    found = offers.offers(offers.completed(view, bound), ())
    (row,) = offers.rows(found.links)
    assert (row["NAME"], row["DRIVER"], row["MAC"]) == ("ens1v2", "igbvf", "02:00:00:00:00:02")
    assert found.problems == ("pci-x: is cut in half",)
    assert offers.completed(view, Bound()) is view
