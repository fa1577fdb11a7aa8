"""Rules, neighbours, VRFs and VLANs as the command line has them."""

from __future__ import annotations

import pytest

from tests.c.build import Answer, Driver
from tests.c.test_args import ATTACH, good, refusal

RULE_TEXTS = ("from", "to")
RULE_NUMBERS = ("mark", "mask", "iif", "oif", "table", "priority")
ANY = dict.fromkeys(RULE_TEXTS, "") | dict.fromkeys(RULE_NUMBERS, 0)


def rule(answer: Answer) -> dict[str, str | int]:
    """The one rule as it was understood."""
    texts = {key: answer.texts(f"rule.{key}")[0] for key in RULE_TEXTS}
    return texts | {key: answer.number(f"rule.{key}") for key in RULE_NUMBERS}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("table 7", {"table": 7}),
        ("from 192.0.2.1 table 7", {"from": "192.0.2.1/32", "table": 7}),
        (" table  7   to 2001:db8::/32 ", {"to": "2001:db8::/32", "table": 7}),
        ("from 0.0.0.0/0 to 0.0.0.0/0 table 1", {"from": "0.0.0.0/0", "to": "0.0.0.0/0"}
         | {"table": 1}),
        ("fwmark 7 table 7", {"mark": 7, "mask": 2**32 - 1, "table": 7}),
        ("fwmark 0/255 table 7", {"mark": 0, "mask": 255, "table": 7}),
        ("iif self oif self table 4294967295 priority 4294967295",
         {"iif": 1, "oif": 1, "table": 2**32 - 1, "priority": 2**32 - 1}),
    ],
)  # fmt: skip
def test_a_rule_is_understood(mover: Driver, text: str, meant: dict[str, str | int]) -> None:
    assert rule(good(mover.options(*ATTACH, "--rule", text))) == ANY | meant


NETWORK = "is no network (as 198.51.100.0/24)"
WORDS = "is none of from, to, fwmark, iif, oif, table, priority"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "'' names no table"),
        ("from 192.0.2.1", "'from 192.0.2.1' names no table"),
        ("lookup 7", f"'lookup' {WORDS}"),
        ("not from 192.0.2.1 table 7", f"'not' {WORDS}"),
        ("from all table 7", f"'all' {NETWORK}"),
        ("from 192.0.2.1/33 table 7", f"'192.0.2.1/33' {NETWORK}"),
        ("to 192.0.2.1/24 table 7",
         "'192.0.2.1/24' is no network: it has bits beyond its prefix length"),
        ("from 192.0.2.1 to ::1 table 7", "'from 192.0.2.1 to ::1 table 7' mixes IPv4 and IPv6"),
        ("table", "'table' has nothing behind it"),
        ("table main", "'main' is not a number from 1 to 4294967295"),
        ("table 0", "'0' is not a number from 1 to 4294967295"),
        ("table 7 table 8", "'table' is there twice"),
        ("table 7 priority 0", "'0' is not a number from 1 to 4294967295"),
        ("table 7 fwmark 0x1", "'0x1' is not a number from 0 to 4294967295"),
        ("table 7 fwmark 1/0", "'0' is not a number from 1 to 4294967295"),
        ("table 7 fwmark 1/", "'' is not a number from 1 to 4294967295"),
        ("table 7 fwmark 1/2/3", "'2/3' is not a number from 1 to 4294967295"),
        ("table 7 iif eth0",
         "'eth0' is no link that a rule can name: only self, the link lent"),
    ],
)  # fmt: skip
def test_a_rule_that_is_wrong_says_where(mover: Driver, text: str, line: str) -> None:
    assert refusal(mover.options(*ATTACH, "--rule", text)) == f"--rule: {line}"


@pytest.mark.parametrize(
    ("text", "ip", "mac"),
    [
        ("192.0.2.9 lladdr 02:00:00:00:00:0A", "192.0.2.9/32", "02:00:00:00:00:0a"),
        ("fe80::1  lladdr  " + bytes(20).hex(":"), "fe80::1/128", bytes(20).hex(":")),
        ("proxy 2001:db8::9", "2001:db8::9/128", ""),
    ],
)
def test_a_neighbour_is_understood(mover: Driver, text: str, ip: str, mac: str) -> None:
    answer = good(mover.options(*ATTACH, "--neighbour", text))
    assert (answer.texts("neighbour.ip"), answer.texts("neighbour.mac")) == ([ip], [mac])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "'' is not an IP address"),
        ("proxy", "'' is not an IP address"),
        ("192.0.2.9", "'192.0.2.9' has no lladdr behind the address"),
        ("192.0.2.9 02:00:00:00:00:01",
         "'192.0.2.9 02:00:00:00:00:01' has no lladdr behind the address"),
        ("192.0.2.9 lladdr", "'' is not a MAC address"),
        ("192.0.2.9 lladdr 02:0", "'02:0' is not a MAC address"),
        ("192.0.2.9/24 lladdr 02:00:00:00:00:01", "'192.0.2.9/24' is not an IP address"),
        ("0.0.0.0 lladdr 02:00:00:00:00:01", "'0.0.0.0' is not the address of one host"),
        ("ff02::1 lladdr 02:00:00:00:00:01", "'ff02::1' is not the address of one host"),
        ("192.0.2.9 lladdr 02:00:00:00:00:01 nud stale", "'nud' is too much: nothing follows it"),
        ("proxy 192.0.2.9 dev eth0", "'dev' is too much: nothing follows it"),
    ],
)  # fmt: skip
def test_a_neighbour_that_is_wrong_says_where(mover: Driver, text: str, line: str) -> None:
    assert refusal(mover.options(*ATTACH, "--neighbour", text)) == f"--neighbour: {line}"


@pytest.mark.parametrize(
    ("option", "text", "line"),
    [
        ("vrf", "", "'' cannot name a link"),
        ("vrf", "blue", "'blue' names no table"),
        ("vrf", "table 7", "'7' is none of table"),
        ("vrf", "sixteen-bytes-xx table 7", "'sixteen-bytes-xx' cannot name a link"),
        ("vrf", "default table 7", "'default' cannot name a link"),
        ("vrf", "blue table 0", "'0' is not a number from 1 to 4294967295"),
        ("vrf", "blue table 7 table 7", "'table' is there twice"),
        ("vlan", "", "'' is not a number from 1 to 4094"),
        ("vlan", "0", "'0' is not a number from 1 to 4094"),
        ("vlan", "4095", "'4095' is not a number from 1 to 4094"),
        ("vlan", "name x", "'name' is not a number from 1 to 4094"),
        ("vlan", "7 net1", "'net1' is none of name, protocol"),
        ("vlan", "7 name", "'name' has nothing behind it"),
        ("vlan", "7 name a/b", "'a/b' cannot name a link"),
        ("vlan", "7 name all", "'all' cannot name a link"),
        ("vlan", "7 protocol 802.1Q", "'802.1Q' is none of 802.1q, 802.1ad"),
    ],
)
def test_a_vrf_or_vlan_that_is_wrong_says_where(
    mover: Driver, option: str, text: str, line: str
) -> None:
    assert refusal(mover.options(*ATTACH, f"--{option}", text)) == f"--{option}: {line}"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("7", (7, b"net1.7", 0x8100)),
        ("4094 protocol 802.1ad", (4094, b"net1.4094", 0x88A8)),
        ("1 protocol 802.1q name v", (1, b"v", 0x8100)),
    ],
)
def test_a_vlan_is_understood(mover: Driver, text: str, meant: tuple[int, bytes, int]) -> None:
    answer = good(mover.options(*ATTACH, "--vlan", text, "--as", "net1"))
    assert (
        answer.number("vlan.id"),
        answer.text("vlan.name"),
        answer.number("vlan.protocol"),
    ) == meant


@pytest.mark.parametrize(
    ("text", "meant"),  # modes, flags and protocols as linux/if_link.h and if_ether.h have them
    [
        ("macvlan mode private", (b"macvlan", 1, 0)),
        ("macvlan mode vepa", (b"macvlan", 2, 0)),
        (" macvlan  mode bridge ", (b"macvlan", 4, 0)),
        ("macvlan mode passthru", (b"macvlan", 8, 0)),
        ("ipvlan mode l2", (b"ipvlan", 0, 0)),
        ("ipvlan mode l3 flag bridge", (b"ipvlan", 1, 0)),
        ("ipvlan flag private mode l3s", (b"ipvlan", 2, 1)),
        ("ipvlan mode l2 flag vepa", (b"ipvlan", 0, 2)),
        ("vlan id 7", (b"vlan", 7, 0x8100)),
        ("vlan protocol 802.1ad id 4094", (b"vlan", 4094, 0x88A8)),
    ],
)
def test_a_link_to_be_made_is_understood(
    mover: Driver, text: str, meant: tuple[bytes, int, int]
) -> None:
    answer = good(mover.options(*ATTACH, "--create", text, "--as", "net1"))
    kind = answer.text("create.kind")
    assert (kind, answer.number("create.number"), answer.number("create.flag")) == meant


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "'' is none of macvlan, ipvlan, vlan"),
        ("macvtap mode bridge", "'macvtap' is none of macvlan, ipvlan, vlan"),
        ("macvlan", "'macvlan' names no mode, or id"),
        ("macvlan mode", "'mode' has nothing behind it"),
        ("macvlan mode source", "'source' is none of private, vepa, bridge, passthru"),
        ("macvlan mode bridge flag vepa", "'flag' is none of mode"),
        ("macvlan mode bridge mode vepa", "'mode' is there twice"),
        ("ipvlan flag bridge", "'ipvlan flag bridge' names no mode, or id"),
        ("ipvlan mode bridge", "'bridge' is none of l2, l3, l3s"),
        ("ipvlan mode l2 flag l2", "'l2' is none of bridge, private, vepa"),
        ("vlan", "'vlan' names no mode, or id"),
        ("vlan 7", "'7' is none of id, protocol"),
        ("vlan id 0", "'0' is not a number from 1 to 4094"),
        ("vlan id 4095", "'4095' is not a number from 1 to 4094"),
        ("vlan id 7 protocol 802.1x", "'802.1x' is none of 802.1q, 802.1ad"),
    ],
)
def test_a_link_to_be_made_that_is_wrong_says_where(mover: Driver, text: str, line: str) -> None:
    assert refusal(mover.options(*ATTACH, "--as", "net1", "--create", text)) == f"--create: {line}"


def test_routes_without_a_table_go_to_the_vrfs(mover: Driver) -> None:
    routes = ("--route", "10.0.0.0/8", "--route", "10.1.0.0/16 table 254")
    answer = good(mover.options(*ATTACH, *routes, "--vrf", "blue table 10"))
    assert answer.all("route.table") == ["10", "254"]
