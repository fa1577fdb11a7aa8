"""Whatever is asked ends in options that the mover documents, or in an error of ours."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from netdevice_plugin.dra.claim import Opaque
from netdevice_plugin.dra.parameters import (
    Parameters,
    check,
    check_all,
    mover_options,
    names_in_pod,
    of_request,
    sysctls,
)
from netdevice_plugin.errors import ParameterError
from netdevice_plugin.model import Interface
from tests.unit.dra.parameters import RESULT, device, entry, opaque
from tests.unit.dra.test_parameters import SCHEMA, VALID, VALIDATOR

_IP = r"([0-9.]{7,15}|[0-9a-f:.]{2,45})"
_CIDR = rf"{_IP}/[0-9]{{1,3}}"
_MAC = r"([0-9a-f]{2}:){5}[0-9a-f]{2}"
_LONG_MAC = r"([0-9a-f]{2}:){19}[0-9a-f]{2}"
_N = r"[0-9]{1,10}"
_NAME = r"[!-~]{1,15}"
# docs/reference/mover.md; None is a flag.
GRAMMAR = {
    "--as": _NAME,
    "--mtu": _N,
    "--mac": _MAC,
    "--address": _CIDR,
    "--no-addresses": None,
    "--route": rf"(default|{_CIDR})( via {_IP})?( src {_IP})?( metric {_N})?( table {_N})?"
    r"( scope (global|link|host))?( onlink)?",
    "--gateway": None,
    "--rule": rf"(from {_CIDR} )?(to {_CIDR} )?(fwmark {_N}(/{_N})? )?(iif self )?(oif self )?"
    rf"table {_N}( priority {_N})?",
    "--neighbour": rf"({_IP} lladdr ({_MAC}|{_LONG_MAC})|proxy {_IP})",
    "--vrf": rf"{_NAME} table {_N}",
    "--vlan": rf"[0-9]{{1,4}}( name {_NAME})?( protocol 802\.1ad)?",
    "--sysctl": r"ipv[46]/(conf|neigh)/[a-z0-9_]+=-?[0-9]{1,10}",
    "--feature": r"[a-z0-9-]{1,31}=(on|off)",
    "--ring": rf"(rx|rx-mini|rx-jumbo|tx)={_N}",
    "--channels": rf"(rx|tx|other|combined)={_N}",
}
REPEATED = {"--address", "--route", "--rule", "--neighbour", "--sysctl", "--feature"}
REPEATED |= {"--ring", "--channels"}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)  # surrogates too
    | st.sampled_from(["192.0.2.1/24", "default", "::/0", "02:00:00:00:00:01", "802.1q", "::1"])
)
known = sorted(
    {
        *SCHEMA["properties"],
        *(key for inner in SCHEMA["$defs"].values() for key in inner.get("properties", ())),
        *("id", "name", "features", "rings", "combined", "rx-gro", "net.ipv4.conf.rp_filter"),
        *("dhcp", "dhcpHook"),
    }
)
keys = st.sampled_from(known) | st.text(max_size=10)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=25,
)

numbers = st.sampled_from([1, 5, 256, 4094])
hosts = st.ip_addresses(network="192.0.2.0/28").map(str) | st.ip_addresses(
    network="2001:db8::/124"
).map(str)
cidrs = st.builds(lambda host, length: f"{host}/{length}", hosts, st.sampled_from([24, 28, 32]))
networks = st.sampled_from(
    ["default", "0.0.0.0/0", "::/0", "10.0.0.0/8", "192.0.2.3/32", "2001:db8:1::/48"]
)
macs = st.sampled_from(["02:00:00:00:00:0A", "0a:00:00:00:00:01"])
names = st.sampled_from(["net1", "n" * 15, "a.b", "blue"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of these keys."""
    return st.fixed_dictionaries({}, optional=fields)


routes = st.builds(
    lambda must, may: {**must, **may},
    st.fixed_dictionaries({"destination": networks}),
    some(gateway=hosts, source=hosts, table=numbers, metric=numbers, onlink=st.just(True))
    | some(scope=st.sampled_from(["global", "link", "host"])),
)
rules = st.builds(
    lambda must, may: {**must, **may},
    st.fixed_dictionaries({"table": numbers}),
    some(**{"from": networks, "to": networks, "fwmark": numbers | st.just("0x1/0xf")})
    | some(iif=st.just(True), oif=st.just(True), priority=numbers),
)
neighbours = st.builds(
    lambda address, how: {"address": address, **how},
    hosts,
    st.builds(lambda mac: {"mac": mac}, macs) | st.just({"proxy": True}),
)
plausible = some(
    interfaceName=names,
    mtu=st.sampled_from([68, 1280, 1500, 9000, 65535]),
    mac=macs,
    addresses=st.lists(cidrs, max_size=3, unique_by=lambda text: text.partition("/")[0]),
    keepHostAddresses=st.booleans(),
    gateway=st.booleans(),
    routes=st.lists(routes, max_size=2),
    rules=st.lists(rules, max_size=2),
    neighbours=st.lists(neighbours, max_size=2),
    vrf=st.fixed_dictionaries({"name": names, "table": numbers}),
    vlan=st.fixed_dictionaries({"id": numbers}, optional={"protocol": st.just("802.1ad")}),
    sysctls=st.dictionaries(
        st.sampled_from(sorted(sysctls.ALLOWED)), st.integers(0, 1), max_size=3
    ),
    port=st.dictionaries(st.sampled_from(["network", "subnet"]), st.text(max_size=3), max_size=2),
    vf=some(
        mac=macs,
        vlan=numbers,
        qos=st.integers(0, 7),
        trust=st.booleans(),
        linkState=st.sampled_from(["auto", "enable"]),
        maxTxRate=numbers,
    ),
    ethtool=some(
        features=st.dictionaries(st.sampled_from(["rx-gro", "tx-x"]), st.booleans()),
        rings=some(rx=numbers, rxMini=numbers, tx=numbers),
        channels=some(combined=numbers, other=numbers),
    ),
)
ETH1 = Interface(ifindex=7, name="eth1", mac="02:00:00:00:00:07", mtu=1500)


def taken(configs: list[Opaque]) -> Parameters | None:
    """What entries ask for; None where they are refused."""
    try:
        return of_request(configs, RESULT)
    except ParameterError:
        return None


def follows_the_grammar(options: tuple[str, ...]) -> bool:
    """Whether options are as documented, and none is there twice that may not be."""
    words, seen = list(options), []
    while words:
        option = words.pop(0)
        form = GRAMMAR[option]
        seen.append(option)
        if form is not None and not re.fullmatch(form, words.pop(0)):
            return False
    return all(seen.count(option) == 1 for option in seen if option not in REPEATED)


@given(anything)
@example({"interfaceName": "\ud800"})
@example({"mtu": float("nan"), "vlan": {"id": float("inf")}})
@example({"sysctls": {"\ud800": 10**100}})
@example({"addresses": ["\u0663/\u0661"]})
def test_any_json_is_taken_or_refused(value: Any) -> None:
    fields = value if isinstance(value, dict) else {"routes": value}
    parameters = taken([opaque(entry(**fields))])
    if parameters is not None:
        assert follows_the_grammar(mover_options(parameters))


@given(st.dictionaries(keys, anything, max_size=3))
def test_anything_may_be_in_the_place_of_parameters(value: dict[str, Any]) -> None:
    assert taken([opaque(value)]) is None or VALIDATOR.is_valid(value)


@given(st.lists(st.tuples(plausible, st.booleans()), min_size=1, max_size=2))
@example([(fields, True) for fields, _ in VALID.values()][:8])
def test_what_is_taken_makes_options_of_the_documented_grammar(
    entries: list[tuple[dict[str, Any], bool]],
) -> None:
    configs = [opaque(entry(**fields), from_class=of_class) for fields, of_class in entries]
    parameters = taken(configs)
    if parameters is None:
        return
    assert follows_the_grammar(mover_options(parameters))
    assert all(VALIDATOR.is_valid(config.parameters) for config in configs)
    try:
        check(parameters, device(ETH1), "here")
        check_all([(RESULT, parameters, ETH1)])
    except ParameterError:
        return
    assert all(len(name) <= 15 for name in names_in_pod(parameters, ETH1))


@given(plausible)
def test_an_entry_twice_asks_for_the_same_as_once(fields: dict[str, Any]) -> None:
    once = taken([opaque(entry(**fields))])
    assert taken([opaque(entry(**fields), from_class=True), opaque(entry(**fields))]) == once


def test_each_example_follows_the_grammar() -> None:
    asked = [taken([opaque(entry(**fields))]) for fields, _ in VALID.values()]
    told = [mover_options(parameters) for parameters in asked if parameters]
    assert len(told) == len(VALID)
    assert all(follows_the_grammar(options) for options in told)
    assert {word for options in told for word in options if word in GRAMMAR} >= {*GRAMMAR} - {
        "--gateway"
    }


def test_what_is_not_in_the_grammar_is_found() -> None:
    assert not follows_the_grammar(("--mtu", "x"))
    assert not follows_the_grammar(("--mtu", "1400", "--mtu", "1400"))
