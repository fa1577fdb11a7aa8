"""What the fields of a request are together: what excludes, needs or completes what.

Only known once class and claim are put together. What the link itself decides is
in `fitting`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from netdevice_plugin.dra.parameters.model import MAIN_TABLE, Parameters, Route
from netdevice_plugin.dra.parameters.words import family_of
from netdevice_plugin.yamlnode import Node, Problem, join

IPV6_MTU = 1280  # RFC 8200, 5: the kernel has no IPv6 on a link with less
_IPV6_METRIC = 1024  # what the kernel makes of none (IP6_RT_PRIO_USER)
_SAY_IT = "say it by a route: {destination: default, gateway: ADDRESS}"


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where each field stands that counts, and where its problems go."""

    of: Mapping[str, tuple[Node, str]]
    problems: list[Problem]

    def report(self, key: str, text: str, index: int | None = None, inner: str = "") -> None:
        """Note a problem of a field, or of a member of its list, or of a key in that."""
        node, path = self.of[key]
        if index is not None and isinstance(node.value, list):
            node, path = node.value[index], f"{path}[{index}]"
            if inner and isinstance(node.value, dict):
                node, path = node.value.get(inner, node), join(path, inner)
        self.problems.append(Problem(node.line, path, text))


def complete(parameters: Parameters, places: Places) -> Parameters:
    """Check the fields together, and add the default routes that `gateway` stands for."""
    _check_addresses(parameters, places)
    _check_names(parameters, places)
    _check_routes(parameters, places)
    if parameters.mac and parameters.vf.mac not in (None, parameters.mac):
        places.report(
            "vf", f"mac: the link's own is to be another, {parameters.mac}: leave one out"
        )
    if parameters.gateway:
        routes = tuple(_default_routes(parameters, places))
        return dataclasses.replace(parameters, routes=parameters.routes + routes)
    _check_no_default_route(parameters, places)
    return parameters


def route_problems(
    routes: Sequence[Route], own: Collection[str], near: Iterable[str]
) -> Iterator[tuple[int, str, str]]:
    """Say which routes the kernel would refuse on a link with these addresses and networks.

    Yields (index, key, reason). A route's gateway may be behind an earlier route
    without one, as in iproute2: the mover adds them in the order given.
    """
    networks = [ipaddress.ip_interface(text).network for text in near]
    for index, route in enumerate(routes):
        if route.source and route.source not in own and not _is_link_local(route.source):
            yield index, "source", f"{route.source} is no address of the link"
        if not route.gateway:
            if not route.is_default:
                networks.append(ipaddress.ip_network(route.destination))
            continue
        gateway = ipaddress.ip_address(route.gateway)
        reached = route.onlink or gateway.is_link_local or any(gateway in n for n in networks)
        if route.gateway in own:
            yield index, "gateway", f"{route.gateway} is the link's own address"
        elif not reached:
            text = "is in no network of the link's addresses; is onlink: true meant?"
            yield index, "gateway", f"{route.gateway} {text}"


def _is_link_local(address: str) -> bool:
    return ipaddress.ip_address(address).is_link_local


def _check_addresses(parameters: Parameters, places: Places) -> None:
    if parameters.keep_host_addresses and parameters.addresses:
        text = "excludes addresses, which stand in place of the host's"
        places.report("keepHostAddresses", text)
    elif parameters.keep_host_addresses and parameters.vlan:
        text = "excludes vlan: the host's addresses are of the network without a tag"
        places.report("keepHostAddresses", text)
    for index, address in enumerate(parameters.addresses):
        if family_of(address) == 4:
            continue
        if parameters.mtu is not None and parameters.mtu < IPV6_MTU:
            text = f"{address} needs an mtu of {IPV6_MTU} at least"
            places.report("addresses", text, index)
        if ("ipv6/conf/disable_ipv6", 1) in parameters.sysctls:
            text = f"{address} excludes net.ipv6.conf.disable_ipv6: 1"
            places.report("addresses", text, index)


def _check_names(parameters: Parameters, places: Places) -> None:
    if parameters.vrf and parameters.vrf.name == parameters.interface_name:
        places.report("vrf", f"{parameters.vrf.name!r} is the interfaceName too")


def _check_routes(parameters: Parameters, places: Places) -> None:
    first: dict[tuple[object, ...], int] = {}
    for index, route in enumerate(parameters.routes):
        destination = "default" if route.is_default else route.destination
        metric = route.metric or (_IPV6_METRIC if route.family == 6 else 0)
        place = (route.family, destination, parameters.table_of(route), metric)
        other = first.setdefault(place, index)
        if other != index:
            text = f"is in the place of routes[{other}]: same destination, table and metric"
            places.report("routes", text, index)
    if parameters.addresses or parameters.without_addresses:
        own = {address.partition("/")[0] for address in parameters.addresses}
        for index, key, text in route_problems(parameters.routes, own, parameters.addresses):
            places.report("routes", text, index, key)


def _is_pods_default(parameters: Parameters, route: Route) -> bool:
    return route.is_default and parameters.table_of(route) == MAIN_TABLE


def _check_no_default_route(parameters: Parameters, places: Places) -> None:
    for index, route in enumerate(parameters.routes):
        if _is_pods_default(parameters, route):
            text = "would take the place of the pod's default route: gateway: true asks for that"
            places.report("routes", text, index, "destination")


def _default_routes(parameters: Parameters, places: Places) -> Iterator[Route]:
    """Make the default routes that nobody has written; none where any is written."""
    if parameters.vrf:
        text = "excludes vrf, whose table has a default route of its own: write it in routes"
        places.report("gateway", text)
        return
    if any(_is_pods_default(parameters, route) for route in parameters.routes):
        return
    hops = _first_of_each_family(parameters.addresses)
    if not hops:
        places.report("gateway", f"has no next hop without addresses; {_SAY_IT}")
    for address in hops:
        network = address.network
        hop = network.network_address + 1
        if network.num_addresses < 4 or hop == address.ip:
            places.report("gateway", f"has no next hop in {address}; {_SAY_IT}")
        else:
            yield Route(destination="default", gateway=str(hop))


def _first_of_each_family(
    addresses: Sequence[str],
) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    found: dict[int, ipaddress.IPv4Interface | ipaddress.IPv6Interface] = {}
    for address in map(ipaddress.ip_interface, addresses):
        if not address.is_link_local:
            found.setdefault(address.version, address)
    return list(found.values())
