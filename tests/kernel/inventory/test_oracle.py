"""An independent decoder, pyroute2, must see in the same namespace what we see."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from netdevice_plugin import inventory
from netdevice_plugin.inventory.routes import ROUTING_DAEMONS
from netdevice_plugin.model import Snapshot
from tests.kernel.inventory import scene
from tests.kernel.scratch import netns

pyroute2 = pytest.importorskip("pyroute2")

Message = Any  # pyroute2 has no types
Both = tuple[Snapshot, tuple[list[Message], list[Message], list[Message]]]
FOREVER = 0xFFFFFFFF
FAMILIES = {2: 4, 10: 6}


def ask() -> tuple[list[Message], list[Message], list[Message]]:
    with pyroute2.IPRoute() as ipr:
        return list(ipr.link("dump")), list(ipr.addr("dump")), list(ipr.route("dump"))


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with netns("host") as host:
        scene.build(host)
        yield host.call(ask_both)


def ask_both() -> Both:
    """Ask both until nothing changed meanwhile: the kernel settles carriers at its leisure."""
    for _ in range(100):
        before, told = inventory.snapshot(), ask()
        if before == inventory.snapshot():
            return before, told
    raise AssertionError("the namespace never stood still")


def attribute(message: Message, name: str, default: Any = None) -> Any:
    value = message.get_attr(name)
    return default if value is None else value


def test_links_are_the_same(both: Both) -> None:
    snapshot, (links, _, _) = both
    ours = {
        i.ifindex: (
            os.fsencode(i.name),
            i.altnames,
            i.kind,
            i.mac,
            i.mtu,
            i.flags,
            i.operstate,
            i.carrier,
            i.alias,
            i.master,
            i.peer_netnsid,
        )
        for i in snapshot.interfaces
    }
    assert ours == {link["index"]: told(link) for link in links}


def told(link: Message) -> tuple[object, ...]:
    info = attribute(link, "IFLA_LINKINFO", {"attrs": []})
    names = attribute(link, "IFLA_PROP_LIST", {"attrs": []})
    mac = attribute(link, "IFLA_ADDRESS", "")
    return (
        os.fsencode(attribute(link, "IFLA_IFNAME")),
        tuple(value for _, value in names["attrs"]),
        dict(info["attrs"]).get("IFLA_INFO_KIND", ""),
        mac if mac.strip("0:") else "",
        attribute(link, "IFLA_MTU"),
        link["flags"],
        attribute(link, "IFLA_OPERSTATE").lower(),
        bool(link["flags"] & 1 and attribute(link, "IFLA_CARRIER")),
        attribute(link, "IFLA_IFALIAS", ""),
        attribute(link, "IFLA_MASTER"),
        attribute(link, "IFLA_LINK_NETNSID"),
    )


def test_addresses_are_the_same(both: Both) -> None:
    snapshot, (_, addresses, _) = both
    ours = sorted(
        (
            i.ifindex,
            a.family,
            a.address,
            a.prefix,
            a.peer,
            a.broadcast,
            a.label,
            a.scope,
            a.flags & ~0x40,
            a.metric,
            a.valid is None,
            a.preferred is None,
        )
        for i in snapshot.interfaces
        for a in i.addresses
    )
    assert ours == sorted(address_told(a) for a in addresses)


def address_told(a: Message) -> tuple[Any, ...]:
    far = attribute(a, "IFA_ADDRESS")
    own = attribute(a, "IFA_LOCAL", far)
    times = attribute(a, "IFA_CACHEINFO")
    return (
        a["index"],
        FAMILIES[a["family"]],
        own,
        a["prefixlen"],
        far if far != own else "",
        attribute(a, "IFA_BROADCAST", ""),
        attribute(a, "IFA_LABEL", ""),
        a["scope"],
        attribute(a, "IFA_FLAGS") & ~0x40,  # tentative: ends meanwhile
        attribute(a, "IFA_RT_PRIORITY", 0),
        times["ifa_valid"] == FOREVER,
        times["ifa_preferred"] == FOREVER,
    )


def test_routes_are_the_same(both: Both) -> None:
    snapshot, (_, _, routes) = both
    ours = sorted(
        (
            r.ifindex,
            r.family,
            r.destination,
            r.gateway,
            r.source,
            r.table,
            r.metric,
            r.protocol,
            r.scope,
        )
        for i in snapshot.interfaces
        for r in i.routes
    )
    wanted = [r for r in routes if r["type"] == 1 and r["proto"] not in ROUTING_DAEMONS]
    assert ours == sorted(one for r in wanted for one in route_told(r))


def route_told(r: Message) -> Iterable[tuple[Any, ...]]:
    destination = f"{attribute(r, 'RTA_DST')}/{r['dst_len']}" if r["dst_len"] else "default"
    ways = attribute(r, "RTA_MULTIPATH") or [r]
    for way in ways:
        via = attribute(way, "RTA_VIA", {"addr": ""})["addr"]
        yield (
            way["oif"] if way is not r else attribute(r, "RTA_OIF"),
            FAMILIES[r["family"]],
            destination,
            attribute(way, "RTA_GATEWAY", via),
            attribute(r, "RTA_PREFSRC", ""),
            attribute(r, "RTA_TABLE"),
            attribute(r, "RTA_PRIORITY", 0),
            r["proto"],
            r["scope"],
        )
