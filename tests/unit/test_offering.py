"""What each resource lists, and when a device leaves one. Pure."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import offering
from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.model import (
    Device,
    Frontend,
    Injection,
    Interface,
    Listed,
    Pool,
    Protection,
    Selector,
    Snapshot,
)
from netdevice_plugin.offering import InUse, Offering, Present, offer, remember

NET = Pool(name="net", selectors=(Selector(if_names=("eth*",)),))
FAST = Pool(name="fast", selectors=(Selector(if_names=("eth*",)),))
DRA = dataclasses.replace(NET, frontend=Frontend.DRA)
KIND, OTHER = NET.kind, FAST.kind


def link(name: str, ifindex: int = 7, *, carrier: bool = True, away: bool = False) -> Interface:
    return Interface(ifindex=ifindex, name=name, carrier=carrier, lent=away)


def lent(name: str) -> Interface:
    return link(name, away=True)


def record(name: str, phase: Phase = Phase.ATTACHED, error: str = "") -> Attachment:
    return Attachment(device=name, phase=phase, link=HostLink(name=name, ifindex=7), error=error)


def broken(name: str) -> AttachmentError:
    error = AttachmentError(f"{name}: cut in half")
    error.device = name
    return error


def used(serial: int = 1, *, known: bool = True, **by_pool: str) -> InUse:
    devices = {f"networking.k8s.io/{pool}": frozenset({name}) for pool, name in by_pool.items()}
    return InUse(devices=devices, serial=serial, known=known)


def present(*links: Interface, pools: tuple[Pool, ...] = (NET,), **more: Any) -> Present:
    return Present(snapshot=Snapshot(interfaces=links), pools=pools, **more)


def faults(found: Offering, kind: str = KIND) -> dict[str, str]:
    listing = found.listings.get(kind)
    return {one.device.name: one.fault for one in listing.devices} if listing else {}


def start(*links: Interface, **more: Any) -> Offering:
    return offer(present(*links, **more), Offering())


def test_a_pool_without_a_device_is_listed_empty() -> None:
    found = start()
    assert found.listings[KIND] == offering.Listing(pool=NET)


def test_a_device_is_listed_by_its_pool() -> None:
    assert faults(start(link("eth0"))) == {"eth0": ""}


def test_nothing_new_makes_the_same_objects() -> None:
    first = start(link("eth0"), link("eth1", 8))
    second = offer(present(link("eth0"), link("eth1", 8)), first)
    assert second.listings[KIND] is first.listings[KIND]


def test_a_link_that_is_gone_is_unhealthy_until_the_kubelet_says_that_no_pod_has_it() -> None:
    before = start(link("eth0"), in_use=used(1))
    gone = offer(present(in_use=used(1)), before)
    assert faults(gone) == {"eth0": "its link is gone"}
    still = offer(present(in_use=used(1)), gone)
    assert faults(still) == {"eth0": "its link is gone"}
    assert faults(offer(present(in_use=used(2)), still)) == {}


def test_a_link_that_is_gone_stays_unhealthy_while_a_pod_has_it() -> None:
    found = start(link("eth0"), in_use=used(1))
    for serial in range(1, 4):
        found = offer(present(in_use=used(serial, net="eth0")), found)
        assert faults(found) == {"eth0": "its link is gone"}
    found = offer(present(in_use=used(4)), found)
    assert faults(offer(present(in_use=used(5)), found)) == {}


@pytest.mark.parametrize("pools", [(NET,), (FAST,), ()], ids=["its pool", "another", "none"])
def test_a_lent_link_whose_hardware_is_pulled_out_is_unhealthy_and_stays_with_its_pod(
    pools: tuple[Pool, ...],
) -> None:
    notes: dict[str, Any] = {"attachments": (record("eth0"),), "in_use": used(1, net="eth0")}
    before = offer(present(lent("eth0"), **notes), start(link("eth0")))
    assert faults(before) == {"eth0": ""}
    pulled = dataclasses.replace(lent("eth0"), pulled=True)
    after = offer(present(pulled, pools=pools, **notes), before)
    assert faults(after) == {"eth0": "its hardware was pulled out"}


def test_a_kubelet_that_does_not_answer_takes_nothing_off_the_list() -> None:
    found = start(link("eth0"))
    for serial in range(1, 4):
        found = offer(present(in_use=used(serial, known=False)), found)
    assert faults(found) == {"eth0": "its link is gone"}


def test_a_link_that_is_back_is_healthy_at_once() -> None:
    gone = offer(present(), start(link("eth0")))
    found = offer(present(link("eth0", 9)), gone)
    assert faults(found) == {"eth0": ""}
    assert not found.doubtful


def test_a_device_of_a_pod_is_listed_even_if_nobody_has_seen_its_link() -> None:
    found = start(in_use=used(1, net="eth3"))
    (listed,) = found.listings[KIND].devices
    assert (listed.device.interface.name, listed.device.interface.ifindex) == ("eth3", 0)
    assert listed.fault == "its link is gone"


def test_a_link_on_its_way_home_is_healthy_though_the_kubelet_has_not_heard_of_it() -> None:
    has = used(1, net="eth0")
    before = start(lent("eth0"), attachments=(record("eth0"),), in_use=has)
    found = offer(present(in_use=has, now=1.0), before)
    assert faults(found) == {"eth0": ""}
    assert found.deadline == 1.0 + offering.HOMECOMING
    late = offer(present(in_use=has, now=2.5), found)
    assert faults(late) == {"eth0": "its link is gone"}


def test_a_device_moves_until_its_pool_lists_it() -> None:
    before = start(lent("eth0"), attachments=(record("eth0"),), in_use=used(1, net="eth0"))
    assert not before.moving
    pools = (FAST, NET)
    found = offer(present(link("eth0"), pools=pools, in_use=used(1, net="eth0")), before)
    assert found.moving == {"eth0"}
    found = offer(present(link("eth0"), pools=pools, in_use=used(2)), found)
    found = offer(present(link("eth0"), pools=pools, in_use=used(3)), found)
    assert faults(found, OTHER) == {"eth0": ""}
    assert not found.moving


def test_a_lent_link_is_healthy() -> None:
    found = start(lent("eth0"), attachments=(record("eth0"),), in_use=used(1, net="eth0"))
    assert faults(found) == {"eth0": ""}


@pytest.mark.parametrize(
    ("phase", "fault"),
    [
        (Phase.LOST, "it is lost: no such device"),
        (Phase.STRANDED, "it is home, but not as it was: no such device"),
        (Phase.ATTACHING, ""),
        (Phase.RETURNING, ""),
    ],
)
def test_a_link_in_trouble_is_unhealthy(phase: Phase, fault: str) -> None:
    trouble = record("eth0", phase, "no such device")
    assert faults(start(lent("eth0"), attachments=(trouble,))) == {"eth0": fault}


def test_a_link_of_a_container_that_is_no_pods_is_unhealthy() -> None:
    orphaned = {"eth0": "held by container x"}
    found = start(lent("eth0"), attachments=(record("eth0"),), orphaned=orphaned)
    assert faults(found) == {"eth0": "held by container x"}


def test_a_broken_record_makes_its_device_unhealthy_and_keeps_it() -> None:
    error = AttachmentError("eth0: cut short")
    error.device = "eth0"
    found = start(link("eth0"))
    for serial in range(1, 4):
        found = offer(present(broken=(error,), in_use=used(serial)), found)
        assert faults(found) == {"eth0": "eth0: cut short"}


def test_carrier_counts_only_where_the_pool_asks_for_it() -> None:
    down = link("eth0", carrier=False)
    picky = dataclasses.replace(NET, require_carrier=True)
    assert faults(start(down)) == {"eth0": ""}
    assert faults(start(down, pools=(picky,))) == {"eth0": "it has no carrier"}
    away = start(
        dataclasses.replace(down, lent=True), attachments=(record("eth0"),), pools=(picky,)
    )
    assert faults(away) == {"eth0": ""}


def test_a_link_that_becomes_an_uplink_is_unhealthy_and_then_gone() -> None:
    before = start(link("eth0"), in_use=used(1))
    uplink = Snapshot(
        interfaces=(link("eth0"),),
        protected=(Protection(ifindex=7, reason="carries a default route"),),
    )
    now = Present(snapshot=uplink, pools=(NET,), in_use=used(1))
    found = offer(now, before)
    assert faults(found) == {"eth0": "it carries a default route"}
    assert faults(offer(dataclasses.replace(now, in_use=used(2)), found)) == {}


def test_a_link_on_its_way_home_is_as_it_was_for_a_moment() -> None:
    away = start(lent("eth0"), attachments=(record("eth0"),))
    found = offer(present(now=10.0), away)
    assert faults(found) == {"eth0": ""}
    assert found.deadline == 10.0 + offering.HOMECOMING
    assert faults(offer(present(link("eth0"), now=10.1), found)) == {"eth0": ""}
    assert faults(offer(present(now=11.0), found)) == {"eth0": "its link is gone"}


def test_a_free_device_moves_to_another_pool_once_it_is_sure_that_no_pod_has_it() -> None:
    before = start(link("eth0"), in_use=used(1))
    both = (FAST, NET)
    moving = offer(present(link("eth0"), pools=both, in_use=used(1)), before)
    assert faults(moving) == {"eth0": "it moves to the pool fast"}
    assert faults(moving, OTHER) == {}
    moved = offer(present(link("eth0"), pools=both, in_use=used(2)), moving)
    assert faults(moved) == {}
    assert faults(moved, OTHER) == {"eth0": ""}


def test_a_device_in_use_stays_with_its_resource_when_the_pools_change() -> None:
    found = start(lent("eth0"), attachments=(record("eth0"),), in_use=used(1, net="eth0"))
    now = present(
        lent("eth0"), pools=(FAST,), attachments=(record("eth0"),), in_use=used(2, net="eth0")
    )
    found = offer(now, found)
    assert found.listings[KIND].retired
    assert faults(found) == {"eth0": ""}
    assert faults(found, OTHER) == {}
    found = offer(present(link("eth0"), pools=(FAST,), in_use=used(3)), found)
    found = offer(present(link("eth0"), pools=(FAST,), in_use=used(4)), found)
    assert KIND not in found.listings
    assert faults(found, OTHER) == {"eth0": ""}


def test_a_device_in_use_that_no_pool_selects_any_more_stays_healthy() -> None:
    before = start(lent("eth0"), attachments=(record("eth0"),))
    now = present(lent("eth0"), pools=(), attachments=(record("eth0"),), in_use=used(2, net="eth0"))
    assert faults(offer(now, before)) == {"eth0": ""}


@pytest.mark.parametrize("injection", list(Injection))
def test_what_is_listed_for_a_pod_alone_waits_for_the_kubelets_word(injection: Injection) -> None:
    pool = dataclasses.replace(NET, injection=injection)
    before = start(link("eth0"), pools=(pool,), in_use=used(1, net="eth0"))
    assert not before.moving
    gone = offer(present(pools=(pool,), in_use=used(1, net="eth0")), before)
    assert gone.moving == {"eth0"}
    found = offer(present(pools=(pool,), in_use=used(2)), gone)
    found = offer(present(pools=(pool,), in_use=used(3)), found)
    assert faults(found) == {}
    assert not found.moving


def test_a_pool_that_moves_to_dra_drains() -> None:
    before = start(lent("eth0"), link("eth1", 8), attachments=(record("eth0"),))
    now = present(
        lent("eth0"),
        link("eth1", 8),
        pools=(DRA,),
        attachments=(record("eth0"),),
        in_use=used(1, net="eth0"),
    )
    found = offer(now, before)
    assert faults(found) == {"eth0": "", "eth1": "it moves to DRA"}
    assert faults(found, DRA.key) == {}
    found = offer(dataclasses.replace(now, in_use=used(2, net="eth0")), found)
    assert faults(found) == {"eth0": ""}
    assert found.listings[KIND].retired
    assert faults(found, DRA.key) == {"eth1": ""}
    home = present(link("eth0"), link("eth1", 8), pools=(DRA,), in_use=used(3))
    found = offer(home, found)
    assert faults(found) == {"eth0": "it moves to DRA"}
    found = offer(dataclasses.replace(home, in_use=used(4)), found)
    assert KIND not in found.listings
    assert faults(found, DRA.key) == {"eth0": "", "eth1": ""}


def test_a_pool_that_moves_away_from_dra_keeps_what_claims_have() -> None:
    before = start(link("eth0"), link("eth1", 8), pools=(DRA,))
    assert faults(before, DRA.key) == {"eth0": "", "eth1": ""}
    held = InUse(devices={DRA.key: frozenset({"eth0"})}, serial=1, known=True)
    found = offer(present(link("eth0"), link("eth1", 8), in_use=held), before)
    assert faults(found, DRA.key) == {"eth0": ""}
    assert found.listings[DRA.key].pool.frontend is Frontend.DRA
    assert faults(found) == {"eth1": ""}
    assert found.moving == {"eth0"}
    found = offer(present(link("eth0"), link("eth1", 8), in_use=used(2)), found)
    assert DRA.key not in found.listings
    assert faults(found) == {"eth0": "", "eth1": ""}


def test_what_a_claim_has_is_listed_by_dra_after_a_restart_too() -> None:
    held = InUse(devices={DRA.key: frozenset({"eth0"})}, serial=1, known=True)
    assert faults(offer(present(link("eth0"), in_use=held), Offering()), DRA.key) == {"eth0": ""}


def test_a_link_of_dra_that_is_gone_is_not_listed_unless_a_claim_has_it() -> None:
    before = start(link("eth0"), link("eth1", 8), pools=(DRA,))
    held = InUse(devices={DRA.key: frozenset({"eth0"})}, serial=1, known=True)
    found = offer(present(pools=(DRA,), in_use=held), before)
    assert faults(found, DRA.key) == {"eth0": "its link is gone"}


def test_a_link_that_the_runtime_moved_is_healthy_as_long_as_a_pod_has_it() -> None:
    native = dataclasses.replace(NET, injection=Injection.NATIVE)
    found = start(link("eth0"), pools=(native,), in_use=used(1))
    found = offer(present(pools=(native,), in_use=used(2, net="eth0")), found)
    assert faults(found) == {"eth0": ""}
    found = offer(present(pools=(native,), in_use=used(3)), found)
    assert faults(offer(present(pools=(native,), in_use=used(4)), found)) == {}


def test_what_an_earlier_process_listed_is_where_it_was() -> None:
    before = remember({OTHER: ["eth0", "net-mv2gqma"]}, (NET,))
    now = present(lent("eth0"), attachments=(record("eth0"),))
    found = offer(now, before)
    assert faults(found, OTHER) == {"eth0": "", "net-mv2gqma": "its link is gone"}
    assert found.listings[OTHER].retired


def test_a_name_that_was_never_given_is_remembered_all_the_same() -> None:
    (listed,) = remember({KIND: ["net-0"]}, (NET,)).listings[KIND].devices
    assert listed == Listed(
        device=Device(name="net-0", pool="net", interface=Interface(ifindex=0, name="net-0"))
    )


NAMES = st.sampled_from(["eth0", "eth1", "eth2"])
WORLDS = st.builds(
    lambda here, away, serial, use, by, pools: (here - away, away, serial, use, by, pools),
    st.frozensets(NAMES),
    st.frozensets(NAMES),
    st.integers(0, 3),
    st.frozensets(NAMES),
    st.sampled_from(["net", "fast", "old"]),
    st.sampled_from([(), (NET,), (FAST,), (NET, FAST), (FAST, NET)]),
)


@given(st.lists(WORLDS, min_size=1, max_size=6))
def test_no_device_is_listed_twice_and_none_in_use_is_missing(worlds: list) -> None:  # type: ignore[type-arg]
    found = Offering()
    for turn, (here, away, serial, use, by, pools) in enumerate(worlds):
        kind = f"networking.k8s.io/{by}"
        in_use = InUse(devices={kind: use}, serial=turn + serial, known=serial > 0)
        links = [link(name, 10 + int(name[3])) for name in here]
        links += [dataclasses.replace(lent(name), ifindex=20 + int(name[3])) for name in away]
        now = present(
            *sorted(links, key=lambda one: one.ifindex),
            pools=pools,
            attachments=tuple(record(name) for name in sorted(away)),
            in_use=in_use,
            now=float(turn),
        )
        found = offer(now, found)
        names = [one.device.name for each in found.listings.values() for one in each.devices]
        assert len(names) == len(set(names))
        assert use <= set(faults(found, kind))
        healthy = {
            name for each in found.listings for name, why in faults(found, each).items() if not why
        }
        assert healthy <= here | away | set(found.homecoming)
        for each, listing in found.listings.items():
            assert all(one.device.pool == listing.pool.name for one in listing.devices), each


STRICT = dataclasses.replace(NET, require_carrier=True)
STATES = ("up", "down", "lent", "lost", "unreadable", "absent")
LINKS = {(name, up): link(name, carrier=up) for name in ("eth0", "eth1") for up in (True, False)}
AWAY = {name: lent(name) for name in ("eth0", "eth1")}
STEPS = st.one_of(
    st.tuples(st.sampled_from(["eth0", "eth1"]), st.sampled_from(STATES)),
    st.tuples(st.just("pools"), st.sampled_from([(NET,), (STRICT,), (FAST, NET)])),
    st.tuples(st.just("known"), st.booleans()),
)


@given(st.lists(STEPS, min_size=3, max_size=12))
def test_a_device_that_is_recognised_is_as_if_made_anew(steps: list) -> None:  # type: ignore[type-arg]
    found = anew = Offering()
    scene: dict[str, Any] = {"eth0": "up", "eth1": "up", "pools": (NET,), "known": True}
    for turn, (key, value) in enumerate(steps):
        scene[key] = value
        states = [(name, scene[name]) for name in ("eth0", "eth1")]
        now = present(
            *(
                AWAY[name] if state in ("lent", "lost") else LINKS[name, state != "down"]
                for name, state in states
                if state != "absent"
            ),
            pools=scene["pools"],
            attachments=tuple(
                record(name, Phase.LOST if state == "lost" else Phase.ATTACHED)
                for name, state in states
                if state in ("lent", "lost")
            ),
            broken=tuple(broken(name) for name, state in states if state == "unreadable"),
            in_use=InUse(serial=turn, known=scene["known"]),
            now=float(turn),
        )
        # Nothing of the copy is the very same object as anything that is offered.
        found, anew = offer(now, found), offer(now, copy.deepcopy(anew))
        assert found == anew
