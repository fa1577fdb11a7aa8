"""What one entry says, field by field: what is taken, and what is refused with which words."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from netdevice_plugin.dra import parameters as package
from netdevice_plugin.dra.parameters import (
    Ethtool,
    InvalidParametersError,
    Neighbour,
    Parameters,
    Route,
    Rule,
    Vlan,
    Vrf,
    of_request,
    sysctls,
)
from netdevice_plugin.provisioning import LinkState, VfSettings
from tests.unit.dra.parameters import RESULT, decoded, entry, opaque, problems, problems_of

SCHEMA = json.loads(
    Path(package.__file__).parents[1].joinpath("parameters.schema.json").read_text()
)
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)

Fields = dict[str, Any]
V4 = {"addresses": ["192.0.2.10/24"]}


def route(**keys: object) -> Fields:
    return {**V4, "routes": [{"destination": "198.51.100.0/24", **keys}]}


def rule(**keys: object) -> Fields:
    return {"rules": [{"table": 100, **keys}]}


def neighbour(**keys: object) -> Fields:
    return {"neighbours": [{"address": "192.0.2.1", **keys}]}


VALID: dict[str, tuple[Fields, Parameters]] = {
    "nothing": ({}, Parameters()),
    "name": ({"interfaceName": "net.1-a_b"}, Parameters(interface_name="net.1-a_b")),
    "longest name": ({"interfaceName": "n" * 15}, Parameters(interface_name="n" * 15)),
    "least mtu": ({"mtu": 68}, Parameters(mtu=68)),
    "largest mtu": ({"mtu": 65535}, Parameters(mtu=65535)),
    "mac": ({"mac": "0A:00:00:00:00:01"}, Parameters(mac="0a:00:00:00:00:01")),
    "addresses": (
        {"addresses": ["192.0.2.10/24", "2001:DB8:0::10/64"]},
        Parameters(addresses=("192.0.2.10/24", "2001:db8::10/64")),
    ),
    "no addresses": ({"keepHostAddresses": False}, Parameters(keep_host_addresses=False)),
    "host's addresses": ({"keepHostAddresses": True}, Parameters(keep_host_addresses=True)),
    "addresses in place of the host's": (
        {**V4, "keepHostAddresses": False},
        Parameters(addresses=("192.0.2.10/24",), keep_host_addresses=False),
    ),
    "route": (
        route(gateway="192.0.2.1", source="192.0.2.10", table=100, metric=0, onlink=True),
        Parameters(
            addresses=("192.0.2.10/24",),
            routes=(
                Route(
                    destination="198.51.100.0/24",
                    gateway="192.0.2.1",
                    source="192.0.2.10",
                    table=100,
                    metric=0,
                    onlink=True,
                ),
            ),
        ),
    ),
    "scope": (
        route(scope="host"),
        Parameters(
            addresses=("192.0.2.10/24",),
            routes=(Route(destination="198.51.100.0/24", scope="host"),),
        ),
    ),
    "rule": (
        rule(**{"from": "192.0.2.0/24", "to": "0.0.0.0/0", "iif": True, "oif": True}, priority=5),
        Parameters(
            rules=(
                Rule(
                    table=100,
                    source="192.0.2.0/24",
                    destination="0.0.0.0/0",
                    incoming=True,
                    outgoing=True,
                    priority=5,
                ),
            )
        ),
    ),
    "mark": (rule(fwmark=16), Parameters(rules=(Rule(table=100, fwmark=(16, None)),))),
    "mark and mask": (
        rule(fwmark="0x10/0xFF"),
        Parameters(rules=(Rule(table=100, fwmark=(16, 255)),)),
    ),
    "neighbour": (
        neighbour(mac="02:00:00:00:00:0A"),
        Parameters(neighbours=(Neighbour(address="192.0.2.1", mac="02:00:00:00:00:0a"),)),
    ),
    "infiniband neighbour": (
        neighbour(mac=":".join(["0a"] * 20)),
        Parameters(neighbours=(Neighbour(address="192.0.2.1", mac=":".join(["0a"] * 20)),)),
    ),
    "proxy": (neighbour(proxy=True), Parameters(neighbours=(Neighbour(address="192.0.2.1"),))),
    "vrf": (
        {"vrf": {"name": "blue", "table": 2**32 - 1}},
        Parameters(vrf=Vrf(name="blue", table=2**32 - 1)),
    ),
    "vlan": ({"vlan": {"id": 4094}}, Parameters(vlan=Vlan(id=4094))),
    "vf": (
        {"vf": {"mac": "02:00:00:00:00:0A", "vlan": 100, "qos": 7, "protocol": "802.1AD"}},
        Parameters(vf=VfSettings(mac="02:00:00:00:00:0a", vlan=100, qos=7, protocol="802.1ad")),
    ),
    "vf switches": (
        {"vf": {"vlan": 0, "spoofChk": False, "trust": True, "linkState": "enable"}},
        Parameters(
            vf=VfSettings(vlan=0, spoof_check=False, trust=True, link_state=LinkState.ENABLE)
        ),
    ),
    "vf rates": (
        {"vf": {"minTxRate": 10, "maxTxRate": 0}},
        Parameters(vf=VfSettings(min_tx_rate=10, max_tx_rate=0)),
    ),
    "port": (
        {"port": {"network": "blue net", "a.b_c-D": "x" * 255}},
        Parameters(port=(("a.b_c-D", "x" * 255), ("network", "blue net"))),
    ),
    "service vlan": (
        {"vlan": {"id": 1, "protocol": "802.1ad"}},
        Parameters(vlan=Vlan(id=1, protocol="802.1ad")),
    ),
    "sysctls": (
        {"sysctls": {"net.ipv6.conf.keep_addr_on_down": -1, "net.ipv4.neigh.app_solicit": 3}},
        Parameters(sysctls=(("ipv4/neigh/app_solicit", 3), ("ipv6/conf/keep_addr_on_down", -1))),
    ),
    "ethtool": (
        {
            "ethtool": {
                "features": {"tx-tcp-segmentation": False, "rx-gro": True},
                "rings": {"rx": 512, "rxMini": 1, "rxJumbo": 2, "tx": 0},
                "channels": {"combined": 4, "rx": 1, "tx": 2, "other": 1},
            }
        },
        Parameters(
            ethtool=Ethtool(
                features=(("rx-gro", True), ("tx-tcp-segmentation", False)),
                rings=(("rx", 512), ("rx-jumbo", 2), ("rx-mini", 1), ("tx", 0)),
                channels=(("combined", 4), ("other", 1), ("rx", 1), ("tx", 2)),
            )
        ),
    ),
    "empty": (
        {"addresses": [], "routes": [], "rules": [], "neighbours": [], "sysctls": {}}
        | {"ethtool": {"features": {}, "rings": {}, "channels": {}}, "gateway": False},
        Parameters(),
    ),
}


@pytest.mark.parametrize("case", VALID)
def test_what_a_field_says_is_taken(case: str) -> None:
    fields, expected = VALID[case]
    assert decoded(**fields) == expected
    VALIDATOR.validate(entry(**fields))


NAME = "must be 1 to 15 plain characters"
NUMBER = "must be a whole number from"
HOST = "must be an IPv4 or IPv6 address, without a prefix length"
INVALID: dict[str, tuple[Fields, str, str]] = {
    "unknown key": ({"mtus": 1}, "mtus", "unknown key (did you mean mtu?)"),
    "case": ({"interfacename": "a"}, "interfacename", "unknown key (did you mean interfaceName?)"),
    "other kind": ({"kind": "Claim"}, "kind", "must be NetDeviceParameters, not the text 'Claim'"),
    "other version": ({"apiVersion": "v2"}, "apiVersion", "must be netdevice.networking.k8s.io/v1"),
    "version is a number": ({"apiVersion": 1}, "apiVersion", "must be netdevice.networking.k8s.io"),
    "dhcp": ({"dhcp": True}, "dhcp", "DHCP is not supported: give `addresses` and `routes`, or"),
    "no dhcp": ({"dhcp": False}, "dhcp", "DHCP is not supported"),
    "dhcp hook": ({"dhcpHook": {"path": "/x"}}, "dhcpHook", "DHCP is not supported"),
    "name too long": ({"interfaceName": "n" * 16}, "interfaceName", NAME),
    "no name": ({"interfaceName": ""}, "interfaceName", NAME),
    "name with a slash": ({"interfaceName": "a/b"}, "interfaceName", NAME),
    "name with a colon": ({"interfaceName": "a:b"}, "interfaceName", NAME),
    "name with a space": ({"interfaceName": "a b"}, "interfaceName", NAME),
    "name with a newline": ({"interfaceName": "a\n"}, "interfaceName", NAME),
    "name with NUL": ({"interfaceName": "a\0"}, "interfaceName", NAME),
    "name with a percent sign": ({"interfaceName": "net%d"}, "interfaceName", NAME),
    "name like an option": ({"interfaceName": "-a"}, "interfaceName", NAME),
    "name of more bytes": ({"interfaceName": "é" * 8}, "interfaceName", NAME),
    "name is a dot": ({"interfaceName": "."}, "interfaceName", "is taken"),
    "name is two dots": ({"interfaceName": ".."}, "interfaceName", "is taken"),
    "loopback": ({"interfaceName": "lo"}, "interfaceName", "is taken"),
    "name of settings": ({"interfaceName": "all"}, "interfaceName", "is taken"),
    "name is a number": ({"interfaceName": 1}, "interfaceName", "must be text, not the number 1"),
    "name is null": ({"interfaceName": None}, "interfaceName", "must be text, not nothing"),
    "mtu too small": ({"mtu": 67}, "mtu", f"{NUMBER} 68 to 65535"),
    "mtu too large": ({"mtu": 65536}, "mtu", NUMBER),
    "mtu is a truth value": ({"mtu": True}, "mtu", NUMBER),
    "mtu is text": ({"mtu": "1500"}, "mtu", NUMBER),
    "mtu is broken": ({"mtu": 1500.5}, "mtu", NUMBER),
    "multicast mac": ({"mac": "01:00:00:00:00:00"}, "mac", "must be the address of one station"),
    "zero mac": ({"mac": "00:00:00:00:00:00"}, "mac", "must be the address of one station"),
    "short mac": ({"mac": "02:00:00:00:00"}, "mac", "must be a MAC address like"),
    "long mac": ({"mac": ":".join(["0a"] * 20)}, "mac", "must be a MAC address like"),
    "addresses is text": ({"addresses": "192.0.2.1/24"}, "addresses", "must be a list, not the"),
    "no prefix": ({"addresses": ["192.0.2.1"]}, "addresses[0]", "must be an address with its"),
    "netmask": ({"addresses": ["192.0.2.1/255.255.255.0"]}, "addresses[0]", "must be an address"),
    "long prefix": ({"addresses": ["192.0.2.1/33"]}, "addresses[0]", "must be an address with"),
    "zone": ({"addresses": ["fe80::1%eth0/64"]}, "addresses[0]", "must be an address with"),
    "multicast": ({"addresses": ["224.0.0.1/24"]}, "addresses[0]", "must be an address that"),
    "loopback address": ({"addresses": ["127.0.0.1/8"]}, "addresses[0]", "must be an address that"),
    "everything": ({"addresses": ["192.0.2.1/0"]}, "addresses[0]", "must be an address that"),
    "address twice": (
        {"addresses": ["192.0.2.1/24", "192.0.2.1/32"]},
        "addresses[1]",
        "192.0.2.1/32 is the address of p.addresses[0] too",
    ),
    "65 addresses": (
        {"addresses": [f"192.0.2.{n}/24" for n in range(1, 66)]},
        "addresses[64]",
        "is one too many; there may be 64",
    ),
    "yes": ({"keepHostAddresses": "yes"}, "keepHostAddresses", "must be true or false, not the"),
    "route is text": ({"routes": ["default"]}, "routes[0]", "must be a mapping of keys, not the"),
    "no destination": ({"routes": [{}]}, "routes[0].destination", "is missing"),
    "host bits": (
        {"routes": [{"destination": "192.0.2.1/24"}]},
        "routes[0].destination",
        "'192.0.2.1/24' has bits beyond its prefix length; 192.0.2.0/24 is the network",
    ),
    "destination without prefix": (
        {"routes": [{"destination": "192.0.2.0"}]},
        "routes[0].destination",
        "'192.0.2.0' must be a network with its prefix length, like 198.51.100.0/24 (or default)",
    ),
    "gateway with prefix": (route(gateway="192.0.2.1/24"), "routes[0].gateway", HOST),
    "gateway with zone": (route(gateway="fe80::1%eth0"), "routes[0].gateway", HOST),
    "gateway is multicast": (
        route(gateway="224.0.0.1"),
        "routes[0].gateway",
        "must be the address",
    ),
    "gateway is unspecified": (
        route(gateway="::"),
        "routes[0].gateway",
        "must be the address",
    ),
    "two families": (route(gateway="2001:db8::1"), "routes[0]", "mixes IPv4 and IPv6"),
    "table 0": (route(table=0), "routes[0].table", NUMBER),
    "table of the kernel": (route(table=255), "routes[0].table", "255 is the kernel's own"),
    "table too large": (route(table=2**32), "routes[0].table", NUMBER),
    "table by name": (route(table="main"), "routes[0].table", NUMBER),
    "scope unknown": (route(scope="site"), "routes[0].scope", "must be global, link or host"),
    "scope of a gateway": (
        route(gateway="192.0.2.1", scope="link"),
        "routes[0].scope",
        "is global",
    ),
    "negative metric": (route(metric=-1), "routes[0].metric", NUMBER),
    "onlink alone": (route(onlink=True), "routes[0].onlink", "has no meaning without a gateway"),
    "route twice": (
        {"routes": [{"destination": "10.0.0.0/8"}] * 2},
        "routes[1]",
        "is the same as p.routes[0]",
    ),
    "rule without condition": (rule(), "rules[0]", "is for every packet of the pod; say which"),
    "rule without table": ({"rules": [{"iif": True}]}, "rules[0].table", "is missing"),
    "rule by name": (rule(iif="eth0"), "rules[0].iif", "must be true, which is this link, not the"),
    "rule not by name": (rule(oif=False), "rules[0].oif", "must be true, which is this link"),
    "rule of two families": (
        rule(**{"from": "192.0.2.0/24", "to": "2001:db8::/32"}),
        "rules[0]",
        "mixes IPv4 and IPv6",
    ),
    "mark too large": (rule(fwmark=2**32), "rules[0].fwmark", NUMBER),
    "mark too large as text": (
        rule(fwmark="4294967296"),
        "rules[0].fwmark",
        "must be a mark of 32",
    ),
    "mark is true": (rule(fwmark=True), "rules[0].fwmark", NUMBER),
    "mark is a word": (rule(fwmark="blue"), "rules[0].fwmark", "must be a mark of 32 bits"),
    "mask without the mark": (rule(fwmark="0x10/0x01"), "rules[0].fwmark", "has a mask that does"),
    "empty mask": (rule(fwmark="0/0"), "rules[0].fwmark", "has a mask that does"),
    "priority of the kernel": (rule(fwmark=1, priority=0), "rules[0].priority", NUMBER),
    "neighbour of nothing": (neighbour(), "neighbours[0]", "must have either mac, or proxy: true"),
    "neighbour of both": (
        neighbour(mac="02:00:00:00:00:01", proxy=True),
        "neighbours[0]",
        "must have either mac, or proxy: true",
    ),
    "no proxy": (neighbour(proxy=False), "neighbours[0].proxy", "is true or not there"),
    "vrf by name alone": ({"vrf": {"name": "blue"}}, "vrf.table", "is missing"),
    "vrf is text": ({"vrf": "blue"}, "vrf", "must be a mapping of keys, not the text 'blue'"),
    "vrf in main": ({"vrf": {"name": "a", "table": 254}}, "vrf.table", "254 is the pod's own"),
    "vlan 0": ({"vlan": {"id": 0}}, "vlan.id", f"{NUMBER} 1 to 4094"),
    "vlan 4095": ({"vlan": {"id": 4095}}, "vlan.id", NUMBER),
    "vf multicast": ({"vf": {"mac": "01:00:00:00:00:01"}}, "vf.mac", "of one station"),
    "vf vlan 4095": ({"vf": {"vlan": 4095}}, "vf.vlan", f"{NUMBER} 0 to 4094"),
    "vf qos 8": ({"vf": {"vlan": 1, "qos": 8}}, "vf.qos", NUMBER),
    "vf qos of nothing": ({"vf": {"vlan": 0, "qos": 1}}, "vf.qos", "is of a VLAN"),
    "vf protocol alone": ({"vf": {"protocol": "802.1q"}}, "vf.protocol", "is of a VLAN"),
    "vf trust as word": ({"vf": {"trust": "on"}}, "vf.trust", "must be true or false"),
    "vf link state": ({"vf": {"linkState": "up"}}, "vf.linkState", "must be auto"),
    "vf rate": ({"vf": {"maxTxRate": -1}}, "vf.maxTxRate", NUMBER),
    "vf unknown": ({"vf": {"spoofchk": True}}, "vf.spoofchk", "did you mean spoofChk"),
    "vf list": ({"vf": []}, "vf", "must be a mapping"),
    "port list": ({"port": []}, "port", "must be a mapping"),
    "port number": ({"port": {"vlan": 7}}, "port['vlan']", "must be text, not"),
    "port nothing": ({"port": {"network": ""}}, "port['network']", "1 to 255 printable"),
    "port long": ({"port": {"network": "x" * 256}}, "port['network']", "1 to 255 printable"),
    "port control": ({"port": {"network": "a\nb"}}, "port['network']", "1 to 255 printable"),
    "port key": ({"port": {"a b": "c"}}, "port['a b']", "the key must begin with a letter"),
    "port many": ({"port": dict.fromkeys(map("a{}".format, range(17)), "b")}, "port", "than 16"),
    "vlan without number": ({"vlan": {}}, "vlan.id", "is missing"),
    "vlan protocol": ({"vlan": {"id": 1, "protocol": "802.1Q"}}, "vlan.protocol", "must be 802.1q"),
    "sysctl with the link": (
        {"sysctls": {"net.ipv4.conf.eth0.rp_filter": 1}},
        "sysctls['net.ipv4.conf.eth0.rp_filter']",
        "is written without the name of the link: net.ipv4.conf.rp_filter",
    ),
    "sysctl misspelt": (
        {"sysctls": {"net.ipv4.conf.rpfilter": 1}},
        "sysctls['net.ipv4.conf.rpfilter']",
        "is not a setting that a claim may change (did you mean net.ipv4.conf.rp_filter?)",
    ),
    "sysctl of the pod": (
        {"sysctls": {"kernel.panic": 1}},
        "sysctls['kernel.panic']",
        "is not a setting that a claim may change",
    ),
    "sysctl climbing": (
        {"sysctls": {"net.ipv4.conf/../../x": 1}},
        "sysctls['net.ipv4.conf/../../x']",
        "is not a setting that a claim may change",
    ),
    "sysctl out of bounds": (
        {"sysctls": {"net.ipv4.conf.rp_filter": 3}},
        "sysctls['net.ipv4.conf.rp_filter']",
        f"{NUMBER} 0 to 2",
    ),
    "sysctl as text": (
        {"sysctls": {"net.ipv4.conf.rp_filter": "1"}},
        "sysctls['net.ipv4.conf.rp_filter']",
        NUMBER,
    ),
    "feature by ethtool's word": (
        {"ethtool": {"features": {"generic-receive-offload": False}}},
        "ethtool.features.generic-receive-offload",
        "is ethtool's word; the kernel's is rx-gro",
    ),
    "feature with a sign": (
        {"ethtool": {"features": {"rx=gro": False}}},
        "ethtool.features.'rx=gro'",
        "must be the kernel's name of a feature, like rx-gro",
    ),
    "feature too long": (
        {"ethtool": {"features": {"x" * 32: False}}},
        f"ethtool.features.{'x' * 32}",
        "must be the kernel's name of a feature",
    ),
    "feature by number": (
        {"ethtool": {"features": {"rx-gro": 0}}},
        "ethtool.features.rx-gro",
        "must be true or false, not the number 0",
    ),
    "65 features": (
        {"ethtool": {"features": {f"x{n}": True for n in range(65)}}},
        "ethtool.features",
        "has more than 64",
    ),
    "ring unknown": (
        {"ethtool": {"rings": {"rx-mini": 1}}},
        "ethtool.rings.rx-mini",
        "unknown key",
    ),
    "ring negative": ({"ethtool": {"rings": {"rx": -1}}}, "ethtool.rings.rx", NUMBER),
    "channels": ({"ethtool": {"channels": {"tx": 65536}}}, "ethtool.channels.tx", NUMBER),
    "ethtool unknown": ({"ethtool": {"speed": 1}}, "ethtool.speed", "unknown key"),
    "gateway is an address": ({"gateway": "192.0.2.1"}, "gateway", "must be true or false, not"),
}
# Duplicates, bits beyond prefixes and marks beyond 32 bits are more than a schema can tell.
NOT_IN_SCHEMA = {
    *("address twice", "everything", "host bits", "long prefix", "loopback address", "multicast"),
    *("gateway is multicast", "gateway is unspecified", "two families", "scope of a gateway"),
    *("route twice", "rule of two families", "mark too large as text", "mask without the mark"),
    "empty mask",
    "name with a newline",  # Python's "$", which is not ECMA's, matches before it
}


@pytest.mark.parametrize("case", INVALID)
def test_what_is_wrong_with_a_field_is_said_with_its_place(case: str) -> None:
    fields, place, text = INVALID[case]
    (problem,) = problems(**fields)
    assert problem.startswith(f"p.{place}: ")
    assert text in problem
    assert VALIDATOR.is_valid(entry(**fields)) == (case in NOT_IN_SCHEMA)


def test_every_problem_is_named_at_once() -> None:
    fields = {"mtu": 0, "routes": [{"destination": "x", "gatewy": 1}, 7], "vlan": {"id": 0}}
    assert [line.partition(": ")[0] for line in problems(**fields)] == [
        "p.mtu",
        "p.routes[0].destination",
        "p.routes[0].gatewy",
        "p.routes[1]",
        "p.vlan.id",
    ]


@pytest.mark.parametrize("missing", ["apiVersion", "kind"])
def test_version_and_kind_are_demanded(missing: str) -> None:
    parameters = entry()
    del parameters[missing]
    (problem,) = problems_of([opaque(parameters)])
    assert problem.startswith(f"p.{missing}: is missing; it is ")
    assert not VALIDATOR.is_valid(parameters)


def test_more_than_kubernetes_takes_is_refused() -> None:
    sizes = {"features": {f"x{n}": True for n in range(64)}}
    (problem,) = problems(ethtool=sizes, interfaceName="é" * 5000)
    assert problem.startswith("p: has 10")
    assert problem.endswith("bytes as JSON, and Kubernetes takes 10240")


def test_thousands_of_problems_take_no_time_and_no_page() -> None:
    began = time.process_time()
    found = problems(sysctls={f"x{n}": 0 for n in range(700)}, **{f"x{n}": 0 for n in range(400)})
    assert time.process_time() - began < 1  # the agent does nothing else meanwhile
    assert len(found) == 1100
    with pytest.raises(InvalidParametersError, match=r"; and 390 more$"):
        of_request([opaque(entry(**{f"x{n}": 0 for n in range(400)}))], RESULT)


def test_deep_nesting_is_refused_however_deep() -> None:
    deep: object = {}
    for _ in range(900):
        deep = [deep]
    assert problems(routes=deep)[0] == "p: is nested more than 8 levels deep"


def test_what_json_cannot_hold_is_refused() -> None:
    assert problems(mtu=b"1500")[0].startswith("p: \"b'1500'\" is no JSON")


def test_a_setting_is_in_the_schema_if_it_is_allowed() -> None:
    shown = SCHEMA["properties"]["sysctls"]["properties"]
    bounds = {name: (value["minimum"], value["maximum"]) for name, value in shown.items()}
    assert bounds == sysctls.ALLOWED


def test_the_error_fits_a_terminal_and_a_pods_event() -> None:
    with pytest.raises(InvalidParametersError) as caught:
        of_request([opaque(entry(mtu=0, vlan=1))], RESULT)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert "claim check" in caught.value.hint
