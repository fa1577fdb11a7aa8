"""What the entries of a request are together, and against the link that it was given."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters import (
    InvalidParametersError,
    Parameters,
    check,
    check_all,
    mover_options,
    names_in_pod,
    of_request,
    pod_name,
)
from netdevice_plugin.model import Address, Injection, Interface, VirtualFunction
from netdevice_plugin.provisioning import VfSettings
from tests.unit.dra.parameters import RESULT, decoded, device, entry, opaque, problems, problems_of

ETH1 = Interface(
    ifindex=7,
    name="eth1",
    mac="02:00:00:00:00:07",
    mtu=1500,
    addresses=(Address(family=4, address="192.0.2.10", prefix=24),),
)
V4 = ["192.0.2.10/24"]


def options(**fields: object) -> list[str]:
    return list(mover_options(decoded(**fields)))


def route(destination: str = "198.51.100.0/24", **keys: object) -> dict[str, object]:
    return {"destination": destination, **keys}


# Entries


def test_nothing_asked_is_nothing_told() -> None:
    assert of_request([], RESULT) == Parameters()
    assert mover_options(Parameters()) == ()


def test_a_claim_overrides_its_class_field_by_field_whatever_the_order() -> None:
    claim = opaque(entry(mtu=1400, addresses=["192.0.2.7/24"]))
    defaults = entry(mtu=9000, interfaceName="net1", addresses=V4, gateway=True)
    of_class = opaque(defaults, from_class=True)
    for configs in ([of_class, claim], [claim, of_class]):
        merged = of_request(configs, RESULT)
        assert (merged.mtu, merged.interface_name) == (1400, "net1")
        assert merged.addresses == ("192.0.2.7/24",)
        assert merged.gateway


def test_what_a_class_says_is_taken_back() -> None:
    defaults = entry(addresses=V4, gateway=True, keepHostAddresses=False)
    of_class = opaque(defaults, from_class=True)
    claim = opaque(entry(addresses=[], gateway=False, keepHostAddresses=True))
    assert of_request([of_class, claim], RESULT) == Parameters(keep_host_addresses=True)


def test_maps_are_united_key_by_key() -> None:
    below = entry(
        sysctls={"net.ipv4.conf.rp_filter": 0, "net.ipv4.conf.forwarding": 1},
        ethtool={"features": {"rx-gro": False}, "rings": {"rx": 64}},
    )
    above = entry(
        sysctls={"net.ipv4.conf.rp_filter": 2},
        ethtool={"features": {"rx-lro": False}, "rings": {"rx": 128, "tx": 256}},
    )
    below["vf"] = {"vlan": 5, "qos": 3, "trust": True}
    above["vf"] = {"vlan": 6, "trust": False, "maxTxRate": 9}
    below["port"], above["port"] = {"a": "1", "b": "1"}, {"b": "2"}
    merged = of_request([opaque(below, from_class=True), opaque(above)], RESULT)
    assert merged.port == (("a", "1"), ("b", "2"))
    assert merged.vf == VfSettings(vlan=6, qos=3, trust=False, max_tx_rate=9)
    assert merged.sysctls == (("ipv4/conf/forwarding", 1), ("ipv4/conf/rp_filter", 2))
    assert merged.ethtool.features == (("rx-gro", False), ("rx-lro", False))
    assert merged.ethtool.rings == (("rx", 128), ("tx", 256))


@pytest.mark.parametrize(
    ("requests", "applies"),
    [
        ((), True),
        (("nic",), True),
        (("nic/fast",), True),
        (("nic/slow",), False),
        (("other",), False),
        (("other", "nic"), True),
        (("ni",), False),
    ],
)
def test_an_entry_is_for_the_requests_that_it_names(
    requests: tuple[str, ...], applies: bool
) -> None:
    result = Result(request="nic/fast", pool="n/p", device="eth1")
    merged = of_request([opaque(entry(mtu=1400), *requests)], result)
    assert merged.mtu == (1400 if applies else None)


def test_the_later_of_two_entries_counts() -> None:
    configs = [opaque(entry(mtu=1400, gateway=False)), opaque(entry(mtu=1300), "nic")]
    assert of_request(configs, RESULT).mtu == 1300


def test_a_problem_is_in_the_entry_that_has_it() -> None:
    configs = [
        opaque(entry(mtu=0), place="c[0]", from_class=True),
        opaque(entry(mtu=1400, vlan={"id": 0}), place="c[1]"),
        opaque(entry(mtu="x"), "other", place="c[2]"),
    ]
    assert [line.partition(": ")[0] for line in problems_of(configs)] == [
        "c[0].mtu",
        "c[1].vlan.id",
    ]


def test_fields_that_exclude_each_other_are_in_the_entry_that_counts() -> None:
    configs = [
        opaque(entry(addresses=V4), place="c[0]", from_class=True),
        opaque(entry(keepHostAddresses=True), place="c[1]"),
    ]
    (problem,) = problems_of(configs)
    assert problem.startswith("c[1].keepHostAddresses: excludes addresses")


# Fields together

TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "host's addresses and others": (
        {"addresses": V4, "keepHostAddresses": True},
        "keepHostAddresses: excludes addresses",
    ),
    "two MACs": (
        {"mac": "02:00:00:00:00:02", "vf": {"mac": "02:00:00:00:00:01"}},
        "vf: mac: the link's own is to be another, 02:00:00:00:00:02",
    ),
    "host's addresses on a VLAN": (
        {"vlan": {"id": 5}, "keepHostAddresses": True},
        "keepHostAddresses: excludes vlan",
    ),
    "mtu too small for IPv6": (
        {"mtu": 1279, "addresses": [*V4, "2001:db8::1/64"]},
        "addresses[1]: 2001:db8::1/64 needs an mtu of 1280 at least",
    ),
    "IPv6 switched off": (
        {"addresses": ["2001:db8::1/64"], "sysctls": {"net.ipv6.conf.disable_ipv6": 1}},
        "addresses[0]: 2001:db8::1/64 excludes net.ipv6.conf.disable_ipv6: 1",
    ),
    "VRF of the link's name": (
        {"interfaceName": "blue", "vrf": {"name": "blue", "table": 9}},
        "vrf: 'blue' is the interfaceName too",
    ),
    "gateway out of reach": (
        {"addresses": V4, "routes": [route(gateway="203.0.113.1")]},
        "routes[0].gateway: 203.0.113.1 is in no network of the link's addresses",
    ),
    "gateway without an address": (
        {"keepHostAddresses": False, "routes": [route(gateway="203.0.113.1")]},
        "routes[0].gateway: 203.0.113.1 is in no network",
    ),
    "gateway behind a later route": (
        {
            "addresses": ["192.0.2.10/32"],
            "routes": [route(gateway="203.0.113.1"), route("203.0.113.1/32")],
        },
        "routes[0].gateway: 203.0.113.1 is in no network",
    ),
    "gateway is the link": (
        {"addresses": V4, "routes": [route(gateway="192.0.2.10", onlink=True)]},
        "routes[0].gateway: 192.0.2.10 is the link's own address",
    ),
    "source of another": (
        {"addresses": V4, "routes": [route(source="192.0.2.11")]},
        "routes[0].source: 192.0.2.11 is no address of the link",
    ),
    "one place twice": (
        {"routes": [route("10.0.0.0/8", table=254), route("10.0.0.0/8", scope="link")]},
        "routes[1]: is in the place of routes[0]: same destination, table and metric",
    ),
    "one place twice in IPv6": (
        {"routes": [route("2001:db8::/32"), route("2001:db8::/32", metric=1024)]},
        "routes[1]: is in the place of routes[0]",
    ),
    "default route unasked": (
        {"addresses": V4, "routes": [route("default", gateway="192.0.2.1")]},
        "routes[0].destination: would take the place of the pod's default route: gateway: true",
    ),
    "default route as a network": (
        {"routes": [route("::/0")]},
        "routes[0].destination: would take the place of the pod's default route",
    ),
    "gateway of a VRF": (
        {"gateway": True, "addresses": V4, "vrf": {"name": "blue", "table": 9}},
        "gateway: excludes vrf",
    ),
    "gateway from nothing": ({"gateway": True}, "gateway: has no next hop without addresses"),
    "gateway from link-local": (
        {"gateway": True, "addresses": ["fe80::7/64"]},
        "gateway: has no next hop without addresses",
    ),
    "gateway from the first itself": (
        {"gateway": True, "addresses": ["192.0.2.1/24"]},
        "gateway: has no next hop in 192.0.2.1/24; say it by a route: {destination: default",
    ),
}


@pytest.mark.parametrize(
    "address", ["192.0.2.2/31", "192.0.2.2/32", "2001:db8::2/127", "2001:db8::2/128"]
)
def test_a_network_without_room_for_a_gateway_asks_for_a_route(address: str) -> None:
    (problem,) = problems(gateway=True, addresses=[address])
    assert problem.startswith(f"p.gateway: has no next hop in {address}; say it by a route")


@pytest.mark.parametrize("case", TOGETHER)
def test_fields_that_do_not_go_together_are_refused(case: str) -> None:
    fields, text = TOGETHER[case]
    (problem,) = problems(**fields)
    assert problem.startswith(f"p.{text}")


def test_a_gateway_may_be_behind_an_earlier_route_onlink_or_link_local() -> None:
    decoded(
        addresses=["192.0.2.10/32", "2001:db8::1/128"],
        routes=[
            route("203.0.113.1/32", scope="link"),
            route(gateway="203.0.113.1"),
            route("10.0.0.0/8", gateway="10.9.9.9", onlink=True),
            route("2001:db8:1::/48", gateway="fe80::1", source="fe80::7"),
        ],
    )


def test_the_next_hop_is_the_first_address_of_each_familys_first_network() -> None:
    addresses = ["fe80::7/64", "192.0.2.77/26", "2001:db8::7/64", "198.51.100.9/24"]
    assert options(gateway=True, addresses=addresses)[-5:] == [
        *("--route", "default via 192.0.2.65"),
        *("--route", "default via 2001:db8::1"),
        "--gateway",
    ]


def test_a_default_route_that_is_written_is_the_only_one() -> None:
    routes = [route("default", gateway="192.0.2.254", metric=5)]
    found = options(gateway=True, addresses=[*V4, "2001:db8::7/64"], routes=routes)
    assert found[-3:] == ["--route", "default via 192.0.2.254 metric 5", "--gateway"]


def test_a_default_route_of_another_table_needs_no_gateway() -> None:
    routes = [route("default", gateway="192.0.2.1", table=100)]
    found = options(addresses=V4, routes=routes)
    assert found[-2:] == ["--route", "default via 192.0.2.1 table 100"]


def test_routes_of_a_vrf_go_into_its_table() -> None:
    routes = [route("default", gateway="192.0.2.1"), route("10.0.0.0/8", table=254)]
    found = options(addresses=V4, routes=routes, vrf={"name": "blue", "table": 9})
    assert found[2:] == [
        *("--vrf", "blue table 9"),
        *("--route", "default via 192.0.2.1 table 9"),
        *("--route", "10.0.0.0/8 table 254"),
    ]


def test_a_vlan_has_no_address_of_the_hosts() -> None:
    assert options(vlan={"id": 5}) == ["--vlan", "5", "--no-addresses"]
    named = options(vlan={"id": 5, "protocol": "802.1ad"}, interfaceName="net1", addresses=V4)
    assert named == ["--vlan", "5 name net1 protocol 802.1ad", "--address", V4[0]]


def test_every_field_is_told_as_the_mover_reads_it() -> None:
    neighbours = [{"address": "192.0.2.1", "mac": "02:00:00:00:00:01"}]
    assert options(
        interfaceName="net1",
        mtu=1400,
        mac="0a:00:00:00:00:01",
        addresses=V4,
        routes=[route(gateway="192.0.2.1", source="192.0.2.10", metric=0, table=7, onlink=True)],
        rules=[
            {"from": "192.0.2.0/24", "to": "10.0.0.0/8", "fwmark": "0x1/0xf", "table": 7},
            {"iif": True, "oif": True, "fwmark": 3, "table": 7, "priority": 9},
        ],
        neighbours=[*neighbours, {"address": "192.0.2.9", "proxy": True}],
        sysctls={"net.ipv4.conf.rp_filter": 2},
        ethtool={"features": {"rx-gro": False}, "rings": {"rxMini": 1}, "channels": {"rx": 2}},
    ) == [
        *("--as", "net1", "--mtu", "1400", "--mac", "0a:00:00:00:00:01"),
        *("--address", "192.0.2.10/24"),
        *("--route", "198.51.100.0/24 via 192.0.2.1 src 192.0.2.10 metric 0 table 7 onlink"),
        *("--rule", "from 192.0.2.0/24 to 10.0.0.0/8 fwmark 1/15 table 7"),
        *("--rule", "fwmark 3 iif self oif self table 7 priority 9"),
        *("--neighbour", "192.0.2.1 lladdr 02:00:00:00:00:01"),
        *("--neighbour", "proxy 192.0.2.9"),
        *("--sysctl", "ipv4/conf/rp_filter=2"),
        *("--feature", "rx-gro=off", "--ring", "rx-mini=1", "--channels", "rx=2"),
    ]


# The link


def refused(interface: Interface = ETH1, **fields: object) -> list[str]:
    with pytest.raises(InvalidParametersError) as caught:
        check(decoded(**fields), device(interface), "here")
    return list(caught.value.problems)


def changed(**changes: Any) -> Interface:
    return Interface(**{"ifindex": 7, "name": "eth1", "mtu": 1500, **changes})


LINKS: dict[str, tuple[Interface, dict[str, Any], str]] = {
    "mac of infiniband": (
        changed(link_type="infiniband"),
        {"mac": "02:00:00:00:00:01"},
        "mac: the link is of type infiniband",
    ),
    "neighbour of another length": (
        ETH1,
        {"neighbours": [{"address": "192.0.2.1", "mac": ":".join(["0a"] * 20)}]},
        "neighbours[0].mac: is not as long as the link's (02:00:00:00:00:07)",
    ),
    "neighbour where there are no macs": (
        changed(link_type="none"),
        {"neighbours": [{"address": "192.0.2.1", "mac": "02:00:00:00:00:01"}]},
        "neighbours[0].mac: is not as long as the link's (None)",
    ),
    "small mtu of the host's": (
        changed(mtu=1000),
        {"addresses": ["2001:db8::1/64"]},
        "mtu: IPv6 addresses need 1280 at least, and this is 1000",
    ),
    "small mtu and the host's address": (
        changed(addresses=(Address(family=6, address="2001:db8::1", prefix=64),)),
        {"mtu": 1000},
        "mtu: IPv6 addresses need 1280",
    ),
    "vrf of the link's name": (ETH1, {"vrf": {"name": "eth1", "table": 9}}, "vrf: 'eth1' is the"),
    "gateway out of the host's reach": (
        ETH1,
        {"routes": [route(gateway="203.0.113.1")]},
        "routes[0].gateway: 203.0.113.1 is in no network",
    ),
    "source that the host has not": (
        ETH1,
        {"routes": [route(source="203.0.113.1")]},
        "routes[0].source: 203.0.113.1 is no address of the link",
    ),
    "vf that is none": (ETH1, {"vf": {"trust": True}}, "vf: the device is no virtual function"),
    "mac of an ipvlan": (
        changed(kind="ipvlan"),
        {"mac": "02:00:00:00:00:01"},
        "mac: an ipvlan has that of its parent",
    ),
    "vlan on an ipvlan": (
        changed(kind="ipvlan"),
        {"vlan": {"id": 5}},
        "vlan: an ipvlan bears none",
    ),
    "vlan on a tunnel": (
        changed(link_type="none"),
        {"vlan": {"id": 5}},
        "vlan: the link is of type none",
    ),
    "vlan of the link's name": (
        ETH1,
        {"vlan": {"id": 5}, "interfaceName": "eth1"},
        "interfaceName: eth1 is the name of the link below the VLAN",
    ),
    "vlan with too long a name": (
        changed(name="enp129s0f1np1"),
        {"vlan": {"id": 100}},
        "vlan: 'enp129s0f1np1.100' has more than 15 bytes; give an interfaceName",
    ),
}


@pytest.mark.parametrize("case", LINKS)
def test_what_the_link_cannot_be_is_refused(case: str) -> None:
    interface, fields, text = LINKS[case]
    (problem,) = refused(interface, **fields)
    assert problem.startswith(f"here: {text}")


def test_what_the_link_can_be_is_taken() -> None:
    routes = [route(gateway="192.0.2.1", source="192.0.2.10")]
    check(decoded(routes=routes, mtu=1000, mac="02:00:00:00:00:01"), device(ETH1), "here")
    peer = Address(family=4, address="192.0.2.10", prefix=32, peer="203.0.113.1")
    check(
        decoded(routes=[route(gateway="203.0.113.1")]), device(changed(addresses=(peer,))), "here"
    )


def test_of_a_runtimes_link_only_the_name_can_be_asked() -> None:
    check(decoded(interfaceName="net1"), device(ETH1), "here", Injection.NATIVE)
    asked = decoded(interfaceName="net1", mtu=1400, keepHostAddresses=False)
    with pytest.raises(InvalidParametersError) as caught:
        check(asked, device(ETH1), "here", Injection.NATIVE)
    assert [line.partition(" cannot be")[0] for line in caught.value.problems] == [
        "here: mtu:",
        "here: keepHostAddresses:",
    ]


def test_a_virtual_function_can_have_what_only_such_have() -> None:
    vf = device(changed(vf=VirtualFunction(number=3, pf_address="0000:03:00.0")))
    check(decoded(vf={"trust": True}, mac="02:00:00:00:00:01"), vf, "here")


@pytest.mark.parametrize(
    ("asked", "of_pool"),
    [
        ({"minTxRate": 200}, VfSettings(max_tx_rate=100)),
        ({"maxTxRate": 9}, VfSettings(min_tx_rate=10)),
    ],
)
def test_rates_of_claim_and_pool_have_to_go_together(
    asked: dict[str, int], of_pool: VfSettings
) -> None:
    vf = device(changed(vf=VirtualFunction(number=3, pf_address="0000:03:00.0")))
    with pytest.raises(InvalidParametersError, match="one of them is the pool's") as caught:
        check(decoded(vf=asked), vf, "here", vf=of_pool)
    assert caught.value.problems[0].startswith("here: vf: minTxRate, ")
    check(decoded(vf=asked), vf, "here", vf=VfSettings(max_tx_rate=0))
    check(Parameters(), vf, "here", vf=of_pool)  # the pool's own are none of a claim's business


def test_a_link_that_is_to_be_made_has_no_mac_yet_and_may_have_neighbours() -> None:
    made = device(changed(kind="macvlan", ifindex=0, mac=""))
    check(decoded(neighbours=[{"address": "192.0.2.1", "mac": "02:00:00:00:00:01"}]), made, "here")


def test_of_a_userspace_device_nothing_of_a_link_can_be_asked() -> None:
    vf = changed(vf=VirtualFunction(number=3, pf_address="0000:03:00.0"))
    function = dataclasses.replace(device(vf), name="pci-0000-03-10-3")
    check(decoded(vf={"mac": "02:00:00:00:00:01", "vlan": 7}), function, "here")
    with pytest.raises(InvalidParametersError) as caught:
        check(decoded(interfaceName="net1", mtu=1400, vf={"vlan": 7}), function, "here")
    assert caught.value.problems == (
        "here: interfaceName: cannot be had of a userspace device, which has no link in the pod; "
        "vf can",
        "here: mtu: cannot be had of a userspace device, which has no link in the pod; vf can",
    )
    plain = dataclasses.replace(device(ETH1), name="pci-0000-03-10-3")
    with pytest.raises(InvalidParametersError, match="here: vf: the device is no virtual"):
        check(decoded(vf={"vlan": 7}), plain, "here")


def test_of_a_runtimes_link_no_vf_can_be_asked() -> None:
    vf = device(changed(vf=VirtualFunction(number=3, pf_address="0000:03:00.0")))
    with pytest.raises(InvalidParametersError, match="vf: cannot be had from a pool with inj"):
        check(decoded(vf={"vlan": 7}), vf, "here", Injection.NATIVE)


def test_names_in_the_pod() -> None:
    assert pod_name(Parameters(), ETH1) == "eth1"
    assert pod_name(decoded(interfaceName="net1"), ETH1) == "net1"
    assert names_in_pod(decoded(vlan={"id": 5}), ETH1) == ("eth1", "eth1.5")
    assert pod_name(decoded(vlan={"id": 5}, interfaceName="net1"), ETH1) == "net1"


# Several devices of one claim


def devices(*asked: Parameters) -> list[tuple[Result, Parameters, Interface]]:
    return [
        (
            Result(request="nic", pool="n/p", device=f"eth{index}"),
            parameters,
            Interface(ifindex=index, name=f"eth{index}"),
        )
        for index, parameters in enumerate(asked, 1)
    ]


def test_two_devices_that_differ_are_taken() -> None:
    blue = {"name": "blue", "table": 9}
    first = decoded(vlan={"id": 5}, vrf=blue, addresses=V4)
    second = decoded(vlan={"id": 5}, vrf=blue, addresses=["192.0.2.11/24"])
    check_all(devices(first, second, Parameters()))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"interfaceName": "net1"}, "interfaceName: net1"),
        ({"addresses": V4}, "addresses: 192.0.2.10"),
        ({"mac": "02:00:00:00:00:01"}, "mac: 02:00:00:00:00:01"),
        (
            {"gateway": True, "routes": [route("default")]},
            "gateway: the default route of IPv4",
        ),
    ],
)
def test_what_two_links_of_a_pod_cannot_share_is_refused(
    fields: dict[str, object], text: str
) -> None:
    with pytest.raises(InvalidParametersError) as caught:
        check_all(devices(decoded(**fields), decoded(**fields)))
    (problem,) = caught.value.problems
    other = "is that of request nic, device eth1 too"
    assert problem == f"request nic, device eth2: {text} {other}"


def test_a_vrf_has_one_table() -> None:
    first, second = (decoded(vrf={"name": "blue", "table": table}) for table in (9, 10))
    with pytest.raises(InvalidParametersError, match="vrf: 'blue' has table 9 for another device"):
        check_all(devices(first, second))
