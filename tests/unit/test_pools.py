from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import pools
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import (
    Interface,
    PciDevice,
    PfRange,
    Pool,
    Protection,
    Selector,
    Snapshot,
    VirtualFunction,
    device_name,
)

VETH = Interface(
    ifindex=5, name="eth1", altnames=("lan-side",), kind="veth", mac="02:00:00:00:00:05"
)
CARD = Interface(
    ifindex=6,
    name="ens1f0",
    mac="02:00:00:00:00:99",
    permanent_mac="02:00:00:00:00:06",
    driver="igb",
    pci=PciDevice(address="0000:03:00.0", vendor="8086", device="10c9", driver="igb"),
)
VF = Interface(
    ifindex=7,
    name="ens1f0v3",
    driver="virtio_net",
    pci=PciDevice(address="0000:03:10.3", vendor="8086", device="10ca", driver="virtio-pci"),
    vf=VirtualFunction(number=3, pf_address="0000:03:00.0", pf_name="ens1f0", pf_altnames=("wan",)),
)
LOOPBACK = Interface(ifindex=1, name="lo", link_type="loopback", flags=8)
LINKS = (LOOPBACK, VETH, CARD, VF)
ALL = Selector(if_names=("*",))


def pool(*selectors: Selector, name: str = "net") -> Pool:
    return Pool(name=name, selectors=selectors)


def offered(snapshot: Snapshot, *wanted: Pool) -> dict[str, str]:
    return {device.name: device.pool for device in pools.assign(snapshot, wanted).devices}


def reasons(snapshot: Snapshot, *wanted: Pool) -> dict[str, str]:
    refusals = pools.assign(snapshot, wanted).refusals
    return {refusal.interface.name: refusal.reason for refusal in refusals}


def guarded(interface: Interface, *, hard: bool) -> Snapshot:
    protection = Protection(ifindex=interface.ifindex, reason="is not yours", hard=hard)
    return Snapshot(interfaces=(interface,), protected=(protection,))


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        pytest.param(Selector(if_names=("eth1",)), {"eth1"}, id="name"),
        pytest.param(Selector(if_names=("lan-*",)), {"eth1"}, id="altname"),
        pytest.param(Selector(if_names=("ETH1",)), set(), id="case-counts"),
        pytest.param(Selector(if_names=("ens1f[0-3]*",)), {"ens1f0", "ens1f0v3"}, id="glob"),
        pytest.param(Selector(if_names=("ens1f?",)), {"ens1f0"}, id="question-mark"),
        pytest.param(Selector(if_names=("[!e]*",)), {"eth1", "lo"}, id="altname-by-negation"),
        pytest.param(Selector(pf_names=(PfRange(name="ens1f0"),)), {"ens1f0v3"}, id="pf"),
        pytest.param(Selector(pf_names=(PfRange(name="ens*"),)), {"ens1f0v3"}, id="pf-glob"),
        pytest.param(Selector(pf_names=(PfRange(name="w*"),)), {"ens1f0v3"}, id="pf-altname"),
        pytest.param(
            Selector(pf_names=(PfRange(name="ens1f0", vfs=((0, 1), (3, 3))),)),
            {"ens1f0v3"},
            id="vf-in-second-range",
        ),
        pytest.param(
            Selector(pf_names=(PfRange(name="ens1f0", vfs=((0, 2), (4, 9))),)),
            set(),
            id="vf-between-ranges",
        ),
        pytest.param(Selector(pci_addresses=("0000:03:00.0",)), {"ens1f0"}, id="pci"),
        pytest.param(Selector(vendors=("8086",)), {"ens1f0", "ens1f0v3"}, id="vendor"),
        pytest.param(Selector(devices=("10ca",)), {"ens1f0v3"}, id="device"),
        pytest.param(Selector(drivers=("virtio_net",)), {"ens1f0v3"}, id="driver-of-netdev"),
        pytest.param(Selector(drivers=("virtio-pci",)), {"ens1f0v3"}, id="driver-of-function"),
        pytest.param(Selector(kinds=("veth",)), {"eth1"}, id="kind"),
        pytest.param(Selector(kinds=("physical",)), {"ens1f0", "ens1f0v3"}, id="physical"),
        pytest.param(Selector(link_types=("loopback",)), {"lo"}, id="link-type"),
        pytest.param(Selector(macs=("02:00:00:00:00:99",)), {"ens1f0"}, id="mac"),
        pytest.param(Selector(macs=("02:00:00:00:00:06",)), {"ens1f0"}, id="permanent-mac"),
        pytest.param(Selector(vendors=("8086", "15b3"), devices=("10ca",)), {"ens1f0v3"}, id="and"),
        pytest.param(Selector(vendors=("15b3",), devices=("10ca",)), set(), id="and-fails"),
        pytest.param(Selector(), {"lo", "eth1", "ens1f0", "ens1f0v3"}, id="nothing-asked"),
    ],
)
def test_a_selector_takes_what_it_describes(selector: Selector, names: set[str]) -> None:
    assert {link.name for link in LINKS if pools.matches(selector, link)} == names


def test_an_absent_attribute_is_never_the_one_asked_for() -> None:
    bare = Interface(ifindex=9, name="x", kind="tun")
    for selector in (Selector(drivers=("",)), Selector(macs=("",)), Selector(vendors=("",))):
        assert not pools.matches(selector, bare)


def test_any_selector_of_a_pool_suffices() -> None:
    wanted = pool(Selector(if_names=("eth1",)), Selector(vendors=("8086",)))
    assert set(offered(Snapshot(interfaces=LINKS), wanted)) == {"eth1", "ens1f0", "ens1f0v3"}


def test_a_pool_without_selectors_takes_nothing() -> None:
    assert offered(Snapshot(interfaces=LINKS), pool()) == {}


def test_the_first_pool_that_selects_a_link_has_it() -> None:
    first, second = pool(Selector(kinds=("veth",)), name="virtual"), pool(ALL, name="rest")
    found = offered(Snapshot(interfaces=LINKS), first, second)
    assert found == {"eth1": "virtual", "ens1f0": "rest", "ens1f0v3": "rest", "lo": "rest"}
    assert set(offered(Snapshot(interfaces=LINKS), second, first).values()) == {"rest"}


def test_devices_of_one_pool_are_picked_by_pool() -> None:
    first, second = pool(Selector(kinds=("veth",)), name="virtual"), pool(ALL, name="rest")
    assignment = pools.assign(Snapshot(interfaces=LINKS), (first, second))
    assert [device.name for device in assignment.of(first)] == ["eth1"]
    assert [device.name for device in assignment.of(second)] == ["ens1f0", "ens1f0v3", "lo"]


def test_a_link_that_no_pool_selects_is_told_so() -> None:
    assert reasons(Snapshot(interfaces=(VETH,)), pool(Selector(if_names=("eth2",)))) == {
        "eth1": "no pool selects it"
    }


def test_a_glob_passes_an_uplink_by_without_complaint() -> None:
    snapshot = guarded(VETH, hard=True)
    assignment = pools.assign(snapshot, (pool(ALL), pool(Selector(if_names=("eth[1]",)))))
    assert assignment.devices == ()
    assert assignment.problems == ()
    assert [refusal.reason for refusal in assignment.refusals] == ["is not yours"]
    assignment.check()


@pytest.mark.parametrize("name", ["eth1", "lan-side"])
def test_a_pool_that_names_an_uplink_is_an_error_with_the_reason(name: str) -> None:
    assignment = pools.assign(guarded(VETH, hard=True), (pool(Selector(if_names=(name,))),))
    assert assignment.devices == ()
    assert assignment.problems == (f"pool net: {name} cannot be offered: it is not yours",)
    with pytest.raises(ConfigError, match="it is not yours") as caught:
        assignment.check()
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_every_named_uplink_is_reported_at_once() -> None:
    kept = (Protection(ifindex=5, reason="is five"), Protection(ifindex=6, reason="is six"))
    snapshot = Snapshot(interfaces=LINKS, protected=kept)
    assignment = pools.assign(snapshot, (pool(Selector(if_names=("eth1", "ens1f0"))),))
    assert len(assignment.problems) == 2
    with pytest.raises(ConfigError, match=r"(?s)2 problems:.*is five.*is six"):
        assignment.check()


def test_a_name_on_an_uplink_that_other_conditions_exclude_is_no_error() -> None:
    selector = Selector(if_names=("eth1",), kinds=("macvlan",))
    assert pools.assign(guarded(VETH, hard=True), (pool(selector),)).problems == ()


def test_the_link_of_another_program_is_offered_only_to_a_pool_that_names_it() -> None:
    snapshot = guarded(VETH, hard=False)
    assert offered(snapshot, pool(ALL), pool(Selector(kinds=("veth",)))) == {}
    assert reasons(snapshot, pool(ALL)) == {"eth1": "is not yours; no pool names it"}
    named = pool(Selector(if_names=("*", "eth1")), name="named")
    assert offered(snapshot, pool(ALL), named) == {"eth1": "named"}
    assert pools.assign(snapshot, (named,)).problems == ()


def test_a_name_in_another_selector_that_does_not_match_gives_no_leave() -> None:
    wanted = pool(ALL, Selector(if_names=("eth1",), kinds=("macvlan",)))
    assert offered(guarded(VETH, hard=False), wanted) == {}


def test_a_lent_link_stays_a_device_of_its_pool() -> None:
    lent = dataclasses.replace(VETH, lent=True)
    assignment = pools.assign(Snapshot(interfaces=(lent,)), (pool(ALL),))
    assert [(device.name, device.lent) for device in assignment.devices] == [("eth1", True)]


def test_a_newcomer_with_the_number_of_a_lent_link_does_not_protect_that() -> None:
    lent = dataclasses.replace(VETH, lent=True)
    newcomer = Interface(ifindex=5, name="uplink")
    snapshot = Snapshot(
        interfaces=(newcomer, lent), protected=(Protection(ifindex=5, reason="is an uplink"),)
    )
    assert offered(snapshot, pool(ALL)) == {"eth1": "net"}


def test_a_newcomer_with_the_name_of_a_lent_link_is_no_mistake_of_the_pool() -> None:
    lent = dataclasses.replace(VETH, lent=True)
    newcomer = Interface(ifindex=9, name="eth1")
    snapshot = Snapshot(
        interfaces=(lent, newcomer), protected=(Protection(ifindex=9, reason="has its name"),)
    )
    assignment = pools.assign(snapshot, (pool(Selector(if_names=("eth1",))),))
    assert [device.interface for device in assignment.devices] == [lent]
    assert assignment.problems == ()


def test_two_links_that_would_make_one_device_are_not_both_offered() -> None:
    twin = dataclasses.replace(VETH, ifindex=8, lent=True)
    assignment = pools.assign(Snapshot(interfaces=(VETH, twin)), (pool(ALL),))
    assert [device.interface for device in assignment.devices] == [VETH]
    assert [refusal.interface for refusal in assignment.refusals] == [twin]
    assert "eth1" in assignment.refusals[0].reason


def test_a_name_that_no_cdi_file_can_hold_is_refused() -> None:
    odd = Interface(ifindex=3, name="eth\udcff")
    assert offered(Snapshot(interfaces=(odd, VETH)), pool(ALL)) == {"eth1": "net"}
    assert "not UTF-8" in reasons(Snapshot(interfaces=(odd,)), pool(ALL))[odd.name]


def test_no_pool_means_no_device_and_a_reason_for_every_link() -> None:
    assignment = pools.assign(Snapshot(interfaces=LINKS), ())
    assert assignment.devices == ()
    assert len(assignment.refusals) == len(LINKS)


def test_a_link_that_did_not_change_is_the_very_same_device() -> None:
    before = pools.assign(Snapshot(interfaces=LINKS), (pool(ALL),)).devices
    other = dataclasses.replace(VETH, mtu=9000)
    links = tuple(other if one is VETH else one for one in LINKS)
    after = pools.assign(Snapshot(interfaces=links), (pool(ALL),)).devices
    assert [a is b for a, b in zip(before, after, strict=True)] == [
        one.name != "eth1" for one in after
    ]


names = st.text("abEé._:-1net", min_size=1, max_size=15)
links = st.builds(Interface, ifindex=st.integers(1, 50), name=names)


@given(st.lists(links, max_size=12, unique_by=(lambda one: one.ifindex, lambda one: one.name)))
def test_every_link_is_a_device_or_refused_and_order_does_not_matter(
    found: list[Interface],
) -> None:
    wanted = (pool(Selector(if_names=("*1*",))), pool(Selector(if_names=("a*",)), name="second"))
    assignment = pools.assign(Snapshot(interfaces=tuple(found)), wanted)
    assert len(assignment.devices) + len(assignment.refusals) == len(found)
    assert [one.name for one in assignment.devices] == sorted(
        one.name for one in assignment.devices
    )
    assert pools.assign(Snapshot(interfaces=tuple(reversed(found))), wanted) == assignment


@given(names, names)
def test_two_links_never_share_a_device_name(one: str, other: str) -> None:
    assert (device_name(one) == device_name(other)) == (one == other)


kept = st.builds(
    Protection,
    ifindex=st.sampled_from([one.ifindex for one in LINKS]),
    reason=st.just("is kept"),
    hard=st.booleans(),
)
questions = st.tuples(
    st.lists(st.sampled_from(LINKS), unique=True),
    st.lists(kept, max_size=3, unique_by=lambda one: one.ifindex),
    st.lists(
        st.sampled_from([pool(ALL), pool(Selector(kinds=("veth",)), name="virtual")]), max_size=2
    ),
)


@given(st.lists(questions, max_size=6))
def test_an_answer_does_not_depend_on_what_was_asked_before(
    several: list[tuple[list[Interface], list[Protection], list[Pool]]],
) -> None:
    asked = [
        (Snapshot(interfaces=tuple(found), protected=_in_order(protected)), wanted)
        for found, protected, wanted in several
    ]
    answers = [pools.assign(*question) for question in asked]
    for answer, (snapshot, wanted) in zip(answers, asked, strict=True):
        unknown = tuple(dataclasses.replace(one) for one in snapshot.interfaces)
        assert pools.assign(dataclasses.replace(snapshot, interfaces=unknown), wanted) == answer


def _in_order(protected: list[Protection]) -> tuple[Protection, ...]:
    return tuple(sorted(protected, key=lambda one: one.ifindex))
