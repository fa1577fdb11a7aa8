"""Which links stay on the host, and why. Pure.

A node that gives its uplink away is lost, so these rules know no exception: a link
that carries a default route or the node's address, and all that it stands on or that
stands on it. What only looks like another program's link can be had by naming it.
"""

from __future__ import annotations

import re
import socket
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import Interface, Protection

# Kinds that refuse to leave their network namespace; from 6.15 on the kernel says so itself.
_IMMOVABLE = frozenset(("bridge", "bond", "team", "vrf", "batadv", "hsr"))

_PEERED = frozenset(("veth", "netkit"))

_OTHERS = re.compile(
    r"""
      (?:cni|docker|podman|nerdctl|cilium|lxc|cali|flannel|kube-|nodelocaldns|virbr|lxdbr
        |antrea-|ovn-k8s-|ovs-|br-int|br-ex|genev_sys|vxlan_sys|gre_sys|weave|vethwe|datapath$|vxlan-6784$
        |wg-v6\.cali|wireguard\.cali|vxlan(?:-v6)?\.calico|bpf(?:in|out)\.cali|egress\.calico
        |cbr0$|tunl0$|ip6tnl0$|sit0$|gre0$|gretap0$|erspan0$
      ).*
    | br-[0-9a-f]{12}           # a Docker network
    | veth[0-9a-f]{7,8}         # CNI's bridge and ptp plugins, Docker
    | (?:eni|gke|azv)[0-9a-f]+  # pods' ends in the clouds' own plugins
    """,
    re.VERBOSE,
)


def protect(
    interfaces: Sequence[Interface], node_addresses: Sequence[str] = ()
) -> tuple[Protection, ...]:
    """Say which links are not offered, at most one reason for each, by ifindex.

    The reason is one plain line, the most telling of those that hold. Raises
    ConfigError if a node address is none.
    """
    found: dict[int, Protection] = {}
    hard = _uplinks(interfaces, [_canonical(text) for text in node_addresses])
    for reasons, strict in ((hard, True), (_stuck(interfaces), True), (_others(interfaces), False)):
        for ifindex, reason in reasons:
            found.setdefault(ifindex, Protection(ifindex=ifindex, reason=reason, hard=strict))
    return tuple(found[ifindex] for ifindex in sorted(found))


def _canonical(text: str) -> str:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except (OSError, ValueError):
            continue
    raise ConfigError(f"node address {text[:60]!r} is no IP address")


def _uplinks(
    interfaces: Sequence[Interface], node_addresses: Sequence[str]
) -> Iterable[tuple[int, str]]:
    """List loopback, the uplinks themselves, and all that is stacked with one of them."""
    reasons = {
        interface.ifindex: "is the loopback device"
        if interface.loopback
        else _default_route(interface) or _node_address(interface, node_addresses)
        for interface in interfaces
    }
    return _closure(interfaces, {ifindex: text for ifindex, text in reasons.items() if text})


def _default_route(interface: Interface) -> str:
    route = next((route for route in interface.routes if route.is_default), None)
    if route is None:
        return ""
    where = "" if route.table == 254 else f" of table {route.table}"
    return f"carries the IPv{route.family} default route{where}"


def _node_address(interface: Interface, node_addresses: Sequence[str]) -> str:
    own = {address.address for address in interface.addresses}
    address = next((address for address in node_addresses if address in own), "")
    return address and f"has the node's address {address}"


def _closure(interfaces: Sequence[Interface], roots: dict[int, str]) -> Iterable[tuple[int, str]]:
    """Walk masters and lower links both ways from the uplinks, nearest first."""
    names = {interface.ifindex: interface.name for interface in interfaces}
    neighbours = _neighbours(interfaces)
    seen = dict(roots)
    queue = deque(roots)
    while queue:
        ifindex = queue.popleft()
        yield ifindex, seen[ifindex]
        for other, relation in neighbours[ifindex]:
            if other in names and other not in seen:
                seen[other] = f"{relation} {names[ifindex]}, which {seen[ifindex]}"
                queue.append(other)


def _neighbours(interfaces: Sequence[Interface]) -> defaultdict[int, list[tuple[int, str]]]:
    """For each link, the links stacked with it, and what those are to it."""
    found: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for interface in interfaces:
        if interface.master:
            found[interface.master].append((interface.ifindex, "is a port of"))
            found[interface.ifindex].append((interface.master, "is the master of"))
        if interface.lower and interface.kind in _PEERED:
            found[interface.lower].append((interface.ifindex, "is the peer of"))
        elif interface.lower:
            found[interface.lower].append((interface.ifindex, "is stacked on"))
            found[interface.ifindex].append((interface.lower, "is below"))
    return found


def _stuck(interfaces: Sequence[Interface]) -> Iterable[tuple[int, str]]:
    """Yield what cannot be moved, or would leave a link that belongs to it, or it to, behind.

    A macvlan whose parent moves hears no more until it is set up again, and a vxlan is
    destroyed; the mover refuses them as well.
    """
    names = {interface.ifindex: interface.name for interface in interfaces}
    uppers = {i.lower: i.name for i in reversed(interfaces) if i.kind not in _PEERED}
    for interface in interfaces:
        if interface.master:
            master = names.get(interface.master, f"link {interface.master}")
            yield interface.ifindex, f"is a port of {master}"
        elif interface.immovable or interface.kind in _IMMOVABLE:
            kind = interface.kind or "link of its kind"
            yield interface.ifindex, f"is a {kind}, which cannot leave its network namespace"
        elif interface.ifindex in uppers:
            upper = uppers[interface.ifindex]
            yield interface.ifindex, f"is used by {upper}, which stands on it and would be cut off"


def _others(interfaces: Sequence[Interface]) -> Iterable[tuple[int, str]]:
    """Yield what looks like the link of a CNI or another program."""
    for interface in interfaces:
        if _OTHERS.fullmatch(interface.name):
            yield interface.ifindex, "has the name of a container network's own link"
        elif interface.kind in _PEERED and interface.peer_netnsid is not None:
            yield (
                interface.ifindex,
                "has its peer in another network namespace, as a pod's link has",
            )
