"""One entry of parameters as a tree -> Parameters, or every problem with its field.

Each field by itself: what fields are together, only all entries of a request can
tell (`together`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from netdevice_plugin import fields, provisions
from netdevice_plugin.dra.parameters import sysctls, words
from netdevice_plugin.dra.parameters.model import (
    Ethtool,
    Neighbour,
    Parameters,
    Route,
    Rule,
    Vlan,
    Vrf,
)
from netdevice_plugin.provisioning import VfSettings
from netdevice_plugin.sections import SUGGESTIONS, Section
from netdevice_plugin.yamlnode import Node, Problem, join, shorten

API_VERSION = "netdevice.networking.k8s.io/v1alpha1"
KIND = "NetDeviceParameters"

MAX_ITEMS = 64  # of every list and map but sysctls: what the mover holds
MAX_PORT = 16
MTU = (68, 65_535)  # RFC 791; ETH_MAX_MTU
_U32 = 2**32 - 1
_TABLE = (1, _U32)
_LOCAL_TABLE = 255
_RINGS = {"rx": "rx", "rxMini": "rx-mini", "rxJumbo": "rx-jumbo", "tx": "tx"}
_CHANNELS = {"rx": "rx", "tx": "tx", "other": "other", "combined": "combined"}
_NO_DHCP = (
    "DHCP is not supported: give `addresses` and `routes`, or run a DHCP client in the pod "
    "with `keepHostAddresses: false`"
)

_T = TypeVar("_T")
_H = TypeVar("_H", bound=Hashable)


def read(node: Node, path: str, problems: list[Problem]) -> Parameters:
    """Read an entry. What is returned counts for nothing once `problems` has got more."""
    section = Section(node, path, problems)
    _identity(section)
    parameters = Parameters(
        interface_name=section.text("interfaceName", words.link_name, None),
        mtu=section.number("mtu", MTU, None),
        mac=section.text("mac", words.mac, None),
        addresses=_addresses(section),
        keep_host_addresses=section.flag("keepHostAddresses", fallback=None),
        routes=_each(section, "routes", _route, lambda route: route),
        rules=_each(section, "rules", _rule, lambda rule: rule),
        neighbours=_each(section, "neighbours", _neighbour, lambda n: (n.address, bool(n.mac))),
        vrf=_vrf(section.part("vrf")),
        vlan=_vlan(section.part("vlan")),
        sysctls=_sysctls(section),
        ethtool=_ethtool(section.part("ethtool")),
        gateway=section.flag("gateway", fallback=False),
        vf=_vf(section.part("vf")),
        port=_port(section.part("port")),
    )
    for key in ("dhcp", "dhcpHook"):
        section.refuse(key, _NO_DHCP)
    section.finish()
    return parameters


def _identity(section: Section) -> None:
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        section.require(key, f"is missing; it is {expected}")
        node, path = section.take(key)
        if node and node.value != expected:
            section.report(node, path, f"must be {expected}, not {node.describe()}")


def _addresses(section: Section) -> tuple[str, ...]:
    found: list[str] = []
    first: dict[str, str] = {}
    for node, path in _members(section, "addresses"):
        text = section.read(node, path, words.address)
        if text is None:
            continue
        other = first.setdefault(text.partition("/")[0], path)
        if other != path:
            section.report(node, path, f"{text} is the address of {other} too")
        found.append(text)
    return tuple(found)


def _each(
    section: Section, key: str, read_one: Callable[[Section], _H], same: Callable[[_H], Hashable]
) -> tuple[_H, ...]:
    """Read a list of mappings, no two of which may be the same to the kernel."""
    found: list[_H] = []
    first: dict[Hashable, str] = {}
    for node, path in _members(section, key):
        known = len(section.problems)
        part = Section(node, path, section.problems)
        if not isinstance(node.value, dict):
            continue
        item = read_one(part)
        part.finish()
        other = first.setdefault(same(item), path) if len(section.problems) == known else path
        if other != path:
            section.report(node, path, f"is the same as {other}")
        found.append(item)
    return tuple(found)


def _members(section: Section, key: str) -> Iterable[tuple[Node, str]]:
    members = section.nodes(key)
    if len(members) > MAX_ITEMS:
        node, path = members[MAX_ITEMS]
        section.report(node, path, f"is one too many; there may be {MAX_ITEMS}")
    return members[:MAX_ITEMS]


def _route(section: Section) -> Route:
    section.require("destination", "is missing; a network, or default")
    route = Route(
        destination=section.text("destination", words.destination, "default"),
        gateway=section.text("gateway", words.host, ""),
        source=section.text("source", words.host, ""),
        table=_table(section, None),
        scope=section.text("scope", words.scope, ""),
        metric=section.number("metric", (0, _U32), None),
        onlink=section.flag("onlink", fallback=False),
    )
    ends = (route.destination, route.gateway, route.source)
    if len({words.family_of(text) for text in ends if text not in ("", "default")}) > 1:
        section.report(section.node, section.path, "mixes IPv4 and IPv6")
    if route.onlink and not route.gateway:
        section.complain("onlink", "has no meaning without a gateway")
    if route.scope not in ("", "global") and (route.gateway or route.family == 6):
        section.complain("scope", "is global for a route with a gateway, and for IPv6")
    return route


def _rule(section: Section) -> Rule:
    section.require("table", "is missing")
    rule = Rule(
        source=section.text("from", words.network, ""),
        destination=section.text("to", words.network, ""),
        fwmark=_mark(section),
        incoming=_this_link(section, "iif"),
        outgoing=_this_link(section, "oif"),
        table=_table(section, 1),
        priority=section.number("priority", (1, _U32), None),
    )
    ends = [text for text in (rule.source, rule.destination) if text]
    if len({words.family_of(text) for text in ends}) > 1:
        section.report(section.node, section.path, "mixes IPv4 and IPv6")
    if not {"from", "to", "fwmark", "iif", "oif"} & section.items.keys():
        text = "is for every packet of the pod; say which: from, to, fwmark, iif or oif"
        section.report(section.node, section.path, text)
    return rule


def _mark(section: Section) -> tuple[int, int | None] | None:
    node, path = section.take("fwmark")
    if node and isinstance(node.value, int):
        value = section.count(node, path, (0, _U32))
        return None if value is None else (value, None)
    return section.text("fwmark", words.mark, None)


def _this_link(section: Section, key: str) -> bool:
    node, path = section.take(key)
    if node is None:
        return False
    if node.value is not True:
        section.report(node, path, f"must be true, which is this link, not {node.describe()}")
    return True


def _table(section: Section, fallback: _T) -> int | _T:
    found = section.number("table", _TABLE, fallback)
    if found == _LOCAL_TABLE:
        section.complain("table", "255 is the kernel's own, for local addresses")
    return found


def _neighbour(section: Section) -> Neighbour:
    section.require("address", "is missing")
    found = Neighbour(
        address=section.text("address", words.host, ""),
        mac=section.text("mac", words.any_mac, ""),
    )
    proxy = section.flag("proxy", fallback=None)
    if proxy is False:
        section.complain("proxy", "is true or not there")
    if ("mac" in section.items) == ("proxy" in section.items):
        section.report(section.node, section.path, "must have either mac, or proxy: true")
    return found


def _vrf(section: Section | None) -> Vrf | None:
    if section is None:
        return None
    section.require("name", "is missing")
    section.require("table", "is missing")
    found = Vrf(name=section.text("name", words.link_name, ""), table=_table(section, 0))
    if found.table in (253, 254):
        section.complain("table", f"{found.table} is the pod's own; a VRF has one to itself")
    section.finish()
    return found


def _vlan(section: Section | None) -> Vlan | None:
    if section is None:
        return None
    section.require("id", "is missing")
    found = Vlan(
        id=section.number("id", (1, 4094), 1),
        protocol=section.text("protocol", words.protocol, "802.1q"),
    )
    section.finish()
    return found


def _vf(section: Section | None) -> VfSettings:
    if section is None:
        return VfSettings()
    mac = section.text("mac", words.mac, None)
    found = dataclasses.replace(provisions.vf_settings(section), mac=mac)
    section.finish()
    return found


def _port(section: Section | None) -> tuple[tuple[str, str], ...]:
    """Read what is the provider's affair: texts, of which it refuses what it does not know."""
    if section is None:
        return ()
    found: dict[str, str] = {}
    items = list(section.items.items())
    if len(items) > MAX_PORT:
        section.report(section.node, section.path, f"has more than {MAX_PORT}")
    for key, node in items[:MAX_PORT]:
        place = f"{section.path}[{shorten(key)}]"
        try:
            name = fields.port_parameter(key)
        except ValueError as error:
            section.report(node, place, f"the key {error}")
            continue
        value = section.read(node, place, words.port_value)
        if value is not None:
            found[name] = value
    return tuple(sorted(found.items()))


def _sysctls(section: Section) -> tuple[tuple[str, int], ...]:
    part = section.part("sysctls")
    found: dict[str, int] = {}
    for key, node in part.items.items() if part else ():
        place = join(section.path, "sysctls") + f"[{shorten(key)}]"
        bounds = sysctls.ALLOWED.get(key)
        if bounds is None:
            suggest = len(section.problems) < SUGGESTIONS
            section.report(node, place, sysctls.why_not(key, suggest=suggest))
            continue
        value = section.count(node, place, bounds)
        if value is not None:
            found[sysctls.path(key)] = value
    return tuple(sorted(found.items()))


def _ethtool(section: Section | None) -> Ethtool:
    if section is None:
        return Ethtool()
    found = Ethtool(
        features=_features(section),
        rings=_numbers(section.part("rings"), _RINGS, (0, _U32)),
        channels=_numbers(section.part("channels"), _CHANNELS, (0, 65_535)),
    )
    section.finish()
    return found


def _features(section: Section) -> tuple[tuple[str, bool], ...]:
    part = section.part("features")
    found: dict[str, bool] = {}
    items = list(part.items.items()) if part else []
    if part and len(items) > MAX_ITEMS:
        section.report(part.node, part.path, f"has more than {MAX_ITEMS}")
    for key, node in items[:MAX_ITEMS]:
        place = join(join(section.path, "features"), key)
        try:
            name = words.feature(key)
        except ValueError as error:
            section.report(node, place, str(error))
            continue
        value = section.truth(node, place)
        if value is not None:
            found[name] = value
    return tuple(sorted(found.items()))


def _numbers(
    section: Section | None, names: dict[str, str], bounds: tuple[int, int]
) -> tuple[tuple[str, int], ...]:
    if section is None:
        return ()
    found = {name: section.number(key, bounds, None) for key, name in names.items()}
    section.finish()
    return tuple(sorted((name, value) for name, value in found.items() if value is not None))
