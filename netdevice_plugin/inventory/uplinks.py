"""Which links stay on the host, and why. Pure.

A node that gives its uplink away is lost, so these rules know no exception: a link
that carries a default route or the node's address, and all that it stands on or that
stands on it. What only looks like another program's link can be had by naming it, and a
physical function that has virtual ones, too.
"""

from __future__ import annotations

import re
import socket
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import Interface, Protection

# Kinds that refuse to leave their network namespace; from 6.15 on the kernel says so itself.
_IMMOVABLE = frozenset(("bridge", "bond", "team", "vrf", "batadv", "hsr"))

PEERED = frozenset(("veth", "netkit"))


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


class Facts(NamedTuple):
    """What the rules have to know of one link."""

    ifindex: int
    name: str
    uplink: str  # why it is one itself; empty if it is none
    stuck: str  # why it cannot be moved
    others: str  # why it looks like another program's, or others depend on it
    master: int | None
    lower: int | None
    peered: bool  # `lower` is its peer


def protect(
    interfaces: Iterable[Interface], node_addresses: Sequence[str] = ()
) -> tuple[Protection, ...]:
    """Say which links are not offered, at most one reason for each, by ifindex.

    The reason is one plain line, the most telling of those that hold. Raises
    ConfigError if a node address is none.
    """
    return Guard(node_addresses).protect(interfaces)


class Guard:
    """Says so again and again: what did not change since the last time costs next to nothing.

    Raises ConfigError if a node address is none.
    """

    def __init__(self, node_addresses: Sequence[str] = ()) -> None:
        self._node_addresses = [_canonical(text) for text in node_addresses]
        self._seen: dict[int, Interface] = {}
        self._facts: dict[int, Facts] = {}
        self._notable: dict[int, Facts] = {}  # those that a rule may be about
        self._protected: tuple[Protection, ...] = ()

    def protect(self, interfaces: Iterable[Interface]) -> tuple[Protection, ...]:
        """As the function of that name."""
        seen = {interface.ifindex: interface for interface in interfaces}
        before, self._seen = self._seen, seen
        news = [one for i, one in seen.items() if before.get(i) is not one]
        gone = before.keys() - seen.keys()
        changed = [self._change(one.ifindex, self._fact(one)) for one in news]
        changed += [self._change(ifindex, None) for ifindex in gone]
        if any(changed):
            links = [self._notable[ifindex] for ifindex in sorted(self._notable)]
            self._protected = _decide(links, self._facts)
        return self._protected

    def _change(self, ifindex: int, fact: Facts | None) -> bool:
        """Note the facts about a link; whether they are news."""
        if self._facts.get(ifindex) == fact:
            return False
        self._notable.pop(ifindex, None)
        if fact is None:
            del self._facts[ifindex]
            return True
        self._facts[ifindex] = fact
        if any(fact[2:7]):
            self._notable[ifindex] = fact
        return True

    def _fact(self, interface: Interface) -> Facts:
        uplink = "is the loopback device" if interface.loopback else ""
        return Facts(
            interface.ifindex,
            interface.name,
            uplink or _default_route(interface) or _node_address(interface, self._node_addresses),
            _stuck(interface),
            _others(interface),
            interface.master,
            interface.lower,
            interface.kind in PEERED,
        )


def _decide(links: Sequence[Facts], known: Mapping[int, Facts]) -> tuple[Protection, ...]:
    """Apply the rules to the links that one may be about, in order of their ifindex."""
    found: dict[int, Protection] = {}
    soft = ((link.ifindex, link.others) for link in links if link.others)
    for reasons, strict, uplink in (
        (_closure(links, known), True, True),
        (_kept(links, known), True, False),
        (soft, False, False),
    ):
        for ifindex, reason in reasons:
            if ifindex not in found:
                found[ifindex] = Protection(
                    ifindex=ifindex, reason=reason, hard=strict, uplink=uplink
                )
    return tuple(found[ifindex] for ifindex in sorted(found))


def _canonical(text: str) -> str:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except (OSError, ValueError):
            continue
    raise ConfigError(f"node address {text[:60]!r} is no IP address")


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


def _stuck(interface: Interface) -> str:
    if not interface.immovable and interface.kind not in _IMMOVABLE:
        return ""
    return f"is a {interface.kind or 'link of its kind'}, which cannot leave its network namespace"


def _others(interface: Interface) -> str:
    """Say what makes it look like the link of a CNI or another program, or who depends on it.

    Who has a physical function, and NET_ADMIN there, sets all its virtual ones up and down.
    """
    if _OTHERS.fullmatch(interface.name):
        return "has the name of a container network's own link"
    if interface.kind in PEERED and interface.peer_netnsid is not None:
        return "has its peer in another network namespace, as a pod's link has"
    if interface.pf and interface.pf.num_vfs:
        return "has virtual functions, which it rules"
    return ""


def _closure(links: Sequence[Facts], known: Mapping[int, Facts]) -> Iterator[tuple[int, str]]:
    """Walk masters and lower links both ways from the uplinks, nearest first."""
    seen = {link.ifindex: link.uplink for link in links if link.uplink}
    neighbours = _neighbours(links)
    queue = deque(seen)
    while queue:
        ifindex = queue.popleft()
        yield ifindex, seen[ifindex]
        for other, relation in neighbours.get(ifindex, ()):
            if other in known and other not in seen:
                seen[other] = f"{relation} {known[ifindex].name}, which {seen[ifindex]}"
                queue.append(other)


def _neighbours(links: Iterable[Facts]) -> dict[int, list[tuple[int, str]]]:
    """For each link, the links stacked with it, and what those are to it."""
    found: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for link in links:
        if link.master:
            found[link.master].append((link.ifindex, "is a port of"))
            found[link.ifindex].append((link.master, "is the master of"))
        if link.lower and link.peered:
            found[link.lower].append((link.ifindex, "is the peer of"))
        elif link.lower:
            found[link.lower].append((link.ifindex, "is stacked on"))
            found[link.ifindex].append((link.lower, "is below"))
    return found


def _kept(links: Sequence[Facts], known: Mapping[int, Facts]) -> Iterator[tuple[int, str]]:
    """Yield what cannot be moved, or would leave a link that belongs to it, or it to, behind.

    A macvlan whose parent moves hears no more until it is set up again, and a vxlan is
    destroyed; the mover refuses them as well.
    """
    uppers = {link.lower: link.name for link in reversed(links) if link.lower and not link.peered}
    for link in links:
        if link.master:
            master = known[link.master].name if link.master in known else f"link {link.master}"
            yield link.ifindex, f"is a port of {master}"
        elif link.stuck:
            yield link.ifindex, link.stuck
    for lower, upper in uppers.items():
        if lower in known:
            yield lower, f"is used by {upper}, which stands on it and would be cut off"
