"""The routes that matter, link by link, kept true by what the kernel tells. Pure.

The kernel does not tell all: IPv4 routes vanish with their link and with their source
address, a replaced route is not named, IPv6 routes grow together to one of several ways.
What it does not say follows here from what it says, or, where that is not certain, the
table is stale and has to be read anew. That happens to multipath routes, nexthop objects
and routes that differ in little, which links to lend seldom have.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from netdevice_plugin.inventory import routes
from netdevice_plugin.inventory.routes import Key, Nexthop
from netdevice_plugin.model import Route

Thing = TypeVar("Thing")

_SCOPE_HOST = 254


class RoutingTable:
    """All tables of both families.

    `stale` once it may be wrong: only a new one, of what the kernel lists then, is right.
    """

    def __init__(self, bodies: Iterable[bytes] = (), nexthops: Iterable[bytes] = ()) -> None:
        self.stale = False
        self._links: dict[int, dict[Key, tuple[Route, ...]]] = {}
        self._known: Counter[Key] = Counter()  # links that have a route with that key
        self._shared: set[Key] = set()  # what is told of one of its ways may be of all
        self._sources: Counter[str] = Counter()
        objects = routes.nexthops(nexthops)
        self._nexthops: set[int] = set()  # those that our routes go by
        for body in bodies:
            self._list(body, objects)

    def get(self, ifindex: int) -> tuple[Route, ...]:
        """What leaves through that link."""
        several = self._links.get(ifindex)
        return routes.ordered(itertools.chain(*several.values())) if several else ()

    def links(self) -> Iterable[int]:
        """The links that have any."""
        return self._links.keys()

    def told(self, body: bytes, *, replaced: bool) -> int:
        """Take in an RTM_NEWROUTE; returns the link whose routes changed, or 0.

        `replaced` says that it took the place of another (NLM_F_REPLACE).
        """
        if not routes.matters(body):
            # It may have taken the place of one of ours.
            self.stale |= replaced and routes.entry(body, {}).key in self._known
            return 0
        key, ways = self._ways(body)
        for way in ways:
            here = self._links.get(way.ifindex, {}).get(key)
            others = self._known[key] - bool(here)
            if here == ways and not (others and replaced):
                return 0
            # Only IPv6 has two routes with one key for the asking, and makes one of those
            # that have gateways.
            alone = replaced or way.family == 4 or way.gateway
            if here or (alone and others):
                self.stale = True
                return 0
            self._add(key, way)
            return way.ifindex
        return 0

    def withdrawn(self, body: bytes) -> int:
        """Take in an RTM_DELROUTE; returns the link whose routes changed, or 0."""
        if not routes.matters(body):
            return 0
        key, ways = self._ways(body)
        for way in ways:
            here = self._links.get(way.ifindex, {}).get(key)
            if here == ways:
                self._remove(key, way.ifindex)
                return way.ifindex
            # What we do not have went before the kernel got round to telling.
            self.stale |= here is not None
        return 0

    def nexthop(self, body: bytes) -> None:
        """Take in an RTM_NEWNEXTHOP or RTM_DELNEXTHOP."""
        self.stale |= routes.nexthop(body)[0] in self._nexthops

    def wavered(self, ifindex: int) -> None:
        """Note that a link went up or down or lost its carrier.

        Nexthop objects go with the carrier, and their routes with them.
        """
        self.stale |= any(key in self._shared for key in self._links.get(ifindex, ()))

    def down(self, ifindex: int) -> None:
        """Drop what goes when a link is set down: all but what never leaves the host."""
        self._drop(ifindex, lambda route: route.scope != _SCOPE_HOST)

    def unnumbered(self, ifindex: int) -> None:
        """Drop what goes with the last IPv4 address of a link: all of IPv4, wherever from."""
        self._drop(ifindex, lambda route: route.family == 4)

    def gone(self, ifindex: int) -> None:
        """Drop what goes with a link that is no longer here."""
        self._drop(ifindex, lambda _: True)

    def source_gone(self, address: str) -> None:
        """Note that an address was removed, once what was told with it has been taken in.

        IPv4 routes that have it as their source go with it, which older kernels do
        not say; IPv6 routes go on without, which none says.
        """
        self.stale |= address in self._sources

    def _ways(self, body: bytes) -> tuple[Key, tuple[Route, ...]]:
        """Decode a route and its ways: none, and all is stale, if the message may not say all."""
        found = routes.entry(body, {})
        if found.simple and found.key not in self._shared:
            return found.key, found.ways
        self.stale = True
        return found.key, ()

    def _list(self, body: bytes, objects: Mapping[int, Nexthop]) -> None:
        found = routes.entry(body, objects)
        if not found.simple:
            self._shared.add(found.key)
        for way in found.ways:
            self._add(found.key, way)
            if way.nexthop_id:
                top = objects.get(way.nexthop_id, Nexthop())
                self._nexthops.update((way.nexthop_id, *top.group))

    def _add(self, key: Key, way: Route) -> None:
        here = self._links.setdefault(way.ifindex, {})
        self._known[key] += key not in here
        here[key] = (*here.get(key, ()), way)
        if way.source:
            self._sources[way.source] += 1

    def _drop(self, ifindex: int, which: Callable[[Route], bool]) -> None:
        for key, ways in list(self._links.get(ifindex, {}).items()):
            if which(ways[0]):
                self.stale |= key in self._shared
                self._remove(key, ifindex)

    def _remove(self, key: Key, ifindex: int) -> None:
        here = self._links[ifindex]
        for way in here.pop(key):
            if way.source:
                _less(self._sources, way.source)
        _less(self._known, key)
        if not here:
            del self._links[ifindex]


def _less(counter: Counter[Thing], one: Thing) -> None:
    counter[one] -= 1
    if not counter[one]:
        del counter[one]
