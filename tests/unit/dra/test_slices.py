"""What is to be published of what is listed. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra import slices
from netdevice_plugin.dra.slices import WantedPool
from netdevice_plugin.model import Frontend, Interface, Listed, Pool
from netdevice_plugin.offering import Listing
from tests.unit.dra.listed import NIC, NODE, POOL, VETH, listed, listing

LENT = dataclasses.replace(NIC, speed=None, operstate="down", lent=True)
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def wanted(
    *listings: Listing,
    allocated: Collection[str] = (),
    taints: bool = True,
    published: slices.Memory | None = None,
) -> tuple[WantedPool, ...]:
    return slices.wanted(
        listings, node=NODE, allocated=allocated, taints=taints, published=published
    )


def only(*devices: Listed, **more: Any) -> Any:
    """What is published of the one device."""
    (pool,) = wanted(listing(*devices), **more)
    (found,) = pool.devices
    return found


def names(pool: WantedPool) -> list[object]:
    return [one["name"] for one in pool.devices]


def test_a_pool_is_named_after_its_node_and_its_devices_are_in_order() -> None:
    (pool,) = wanted(listing(listed("eth2"), listed("eth1")))
    assert pool.name == "worker-1/netdevice"
    assert names(pool) == ["eth1", "eth2"]
    assert not pool.problems


def test_a_pool_without_devices_is_wanted_as_well() -> None:
    assert wanted(listing()) == (WantedPool(name="worker-1/netdevice"),)


def test_pools_of_the_device_plugin_are_none_of_ours() -> None:
    other = dataclasses.replace(POOL, frontend=Frontend.DEVICE_PLUGIN)
    assert wanted(listing(listed("eth1"), pool=other)) == ()


def test_what_is_left_out_of_a_device_is_told() -> None:
    (pool,) = wanted(listing(listed(dataclasses.replace(VETH, alias="x" * 80))))
    assert pool.problems == ("eth1: attribute alias is left out: 80 bytes, at most 64 are allowed",)


def test_an_unhealthy_device_gets_a_taint_where_the_server_knows_them() -> None:
    found = only(listed("eth1", "it is lost: nowhere to be found"))
    assert found["taints"] == [
        {"key": "networking.k8s.io/unhealthy", "value": "it-is-lost", "effect": "NoSchedule"}
    ]


def test_an_unhealthy_device_is_left_out_where_the_server_knows_no_taints() -> None:
    (pool,) = wanted(listing(listed("eth1", "it has no carrier"), listed("eth2")), taints=False)
    assert names(pool) == ["eth2"]


@pytest.mark.parametrize("taints", [False, True])
def test_an_allocated_device_stays_whatever_its_fault(taints: bool) -> None:
    found = only(listed("eth1", "it is lost"), allocated={"eth1"}, taints=taints)
    assert found == only(listed("eth1"))


def test_an_allocated_device_stays_as_it_was_published() -> None:
    published = slices.remember(wanted(listing(listed(NIC))))
    found = only(listed(LENT), allocated={"ens5f1"}, published=published)
    assert found == only(listed(NIC))
    assert found != only(listed(LENT))


def test_a_device_is_described_anew_when_no_claim_has_it_any_more() -> None:
    published = slices.remember(wanted(listing(listed(NIC))))
    slower = dataclasses.replace(NIC, speed=1000)
    assert only(listed(slower), published=published) == only(listed(slower))


def test_a_device_in_a_pod_keeps_its_attributes_without_a_claim_too() -> None:
    published = slices.remember(wanted(listing(listed(NIC))))
    found = only(listed(LENT, "held by 17, which is no pod's"), published=published)
    assert found["attributes"] == only(listed(NIC))["attributes"]
    assert found["taints"][0]["value"] == "held-by-17"


def test_what_is_listed_as_before_is_the_same_object_and_what_has_changed_is_not() -> None:
    kept, changed = listed(NIC), listed("eth1")
    (first,) = wanted(listing(kept, changed))
    other = dataclasses.replace(changed, fault="it has no carrier")
    (second,) = wanted(listing(kept, other), published=slices.remember([first]))
    assert names(second) == names(first) == ["ens5f1", "eth1"]
    assert second.devices[0] is first.devices[0]
    assert second.devices[1] == only(other)


def test_a_fault_that_a_claim_hid_is_seen_when_the_claim_is_over() -> None:
    faulty = listed(NIC, "it is lost")
    published = slices.remember(wanted(listing(faulty), allocated={"ens5f1"}))
    assert only(faulty, published=published) == only(faulty)
    assert only(faulty)["taints"]


def test_a_device_is_not_taken_for_its_namesake_in_another_pool() -> None:
    published = slices.remember(
        wanted(listing(listed(NIC), pool=dataclasses.replace(POOL, name="fast")))
    )
    found = only(listed(LENT), allocated={"ens5f1"}, published=published)
    assert found == only(listed(LENT))


def test_taints_that_were_published_go_when_the_server_has_none() -> None:
    published = slices.remember(wanted(listing(listed(NIC, "it is lost"))))
    found = only(listed(NIC), allocated={"ens5f1"}, published=published, taints=False)
    assert found == only(listed(NIC))


def test_a_retired_pool_has_what_claims_have_and_nothing_else() -> None:
    (pool,) = wanted(listing(listed("eth1"), listed("eth2"), retired=True), allocated={"eth2"})
    assert names(pool) == ["eth2"]


def test_an_agent_recalls_what_the_one_before_published() -> None:
    (pool,) = wanted(listing(listed(NIC, "it is lost"), listed("eth1")))
    foreign = {"allowMultipleAllocations": True}
    devices = [{**one, **foreign} for one in pool.devices]
    existing: list[slices.Json] = [
        {"spec": {"pool": {"name": pool.name}, "devices": devices}},
        {"spec": {}},
    ]
    assert slices.recall(existing) == slices.remember([pool])


@given(st.text(min_size=1, max_size=200))
def test_any_reason_makes_a_taint_that_the_server_takes(fault: str) -> None:
    (taint,) = only(listed("eth1", fault))["taints"]
    assert taint["value"] == "" or _LABEL_VALUE.fullmatch(taint["value"])


@given(st.permutations(["eth1", "eth2", "eth3", "eth4"]))
def test_the_order_of_the_list_does_not_matter(order: list[str]) -> None:
    several = [Interface(ifindex=index, name=name) for index, name in enumerate(sorted(order))]
    by_name = {one.name: listed(one) for one in several}
    fast = listing(pool=Pool(name="fast", frontend=Frontend.DRA))
    made = wanted(listing(*(by_name[name] for name in order)), fast)
    assert made == wanted(fast, listing(*(by_name[name] for name in sorted(order))))


def test_a_pool_whose_name_no_server_takes_is_left_out() -> None:
    node = ".".join(["a" * 60] * 4) + "a"  # 244 characters
    long, fits = listing(), listing(pool=dataclasses.replace(POOL, name="fastnics"))
    found = slices.wanted([long, fits], node=node, allocated=(), taints=True)
    assert [pool.name for pool in found] == [f"{node}/fastnics"]
    assert slices.refused([fits], node=node) == ""
    told = slices.refused([fits, long], node=node)
    assert told.startswith("the pool netdevice is called aaa")
    assert told.endswith("254 characters, at most 253 are allowed")
