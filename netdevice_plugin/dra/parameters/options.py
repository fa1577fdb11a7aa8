"""Parameters -> what follows the link's identity on the mover's command line.

The contract is docs/reference/mover.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from netdevice_plugin.dra.parameters.model import Neighbour, Parameters, Route, Rule, Vlan


def mover_options(parameters: Parameters) -> tuple[str, ...]:
    """Write options and values, each an argument of its own; nothing asked, nothing written."""
    return tuple(_words(parameters))


def _words(p: Parameters) -> Iterator[str]:
    if p.vlan:
        yield from ("--vlan", _vlan(p.vlan, p.interface_name))
    elif p.interface_name is not None:
        yield from ("--as", p.interface_name)
    if p.mtu is not None:
        yield from ("--mtu", str(p.mtu))
    if p.mac is not None:
        yield from ("--mac", p.mac)
    for address in p.addresses:
        yield from ("--address", address)
    if p.without_addresses:
        yield "--no-addresses"
    if p.vrf:
        yield from ("--vrf", f"{p.vrf.name} table {p.vrf.table}")
    yield from _routing(p)
    yield from _settings(p)


def _routing(p: Parameters) -> Iterator[str]:
    for route in p.routes:
        yield from ("--route", _route(route, p))
    if p.gateway:
        yield "--gateway"
    for rule in p.rules:
        yield from ("--rule", _rule(rule))
    for neighbour in p.neighbours:
        yield from ("--neighbour", _neighbour(neighbour))


def _settings(p: Parameters) -> Iterator[str]:
    for name, value in p.sysctls:
        yield from ("--sysctl", f"{name}={value}")
    for feature, on in p.ethtool.features:
        yield from ("--feature", f"{feature}={'on' if on else 'off'}")
    for ring, entries in p.ethtool.rings:
        yield from ("--ring", f"{ring}={entries}")
    for channel, count in p.ethtool.channels:
        yield from ("--channels", f"{channel}={count}")


def _vlan(vlan: Vlan, name: str | None) -> str:
    named = f" name {name}" if name is not None else ""
    protocol = "" if vlan.protocol == "802.1q" else f" protocol {vlan.protocol}"
    return f"{vlan.id}{named}{protocol}"


def _route(route: Route, p: Parameters) -> str:
    # Routes of a port belong into the table of its VRF, where nobody else looks.
    table = p.table_of(route) if p.vrf else route.table
    parts = (
        route.destination,
        route.gateway and f"via {route.gateway}",
        route.source and f"src {route.source}",
        "" if route.metric is None else f"metric {route.metric}",
        "" if table is None else f"table {table}",
        route.scope and f"scope {route.scope}",
        "onlink" if route.onlink else "",
    )
    return " ".join(part for part in parts if part)


def _rule(rule: Rule) -> str:
    mark, mask = rule.fwmark or (None, None)
    parts = (
        rule.source and f"from {rule.source}",
        rule.destination and f"to {rule.destination}",
        "" if mark is None else f"fwmark {mark}" + ("" if mask is None else f"/{mask}"),
        "iif self" if rule.incoming else "",
        "oif self" if rule.outgoing else "",
        f"table {rule.table}",
        "" if rule.priority is None else f"priority {rule.priority}",
    )
    return " ".join(part for part in parts if part)


def _neighbour(neighbour: Neighbour) -> str:
    if not neighbour.mac:
        return f"proxy {neighbour.address}"
    return f"{neighbour.address} lladdr {neighbour.mac}"
