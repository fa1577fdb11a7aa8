"""All links as the kernel has them: read once, then kept true by what it tells. Pure.

What a message does not say, or says too early (a link that is down or whose peer moves
away changes without one), is wanted: `wants` says what to read, `accept` takes it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import decode, pfs, sysfs, uplinks, wire
from netdevice_plugin.inventory.decode import AddressKey, Link
from netdevice_plugin.inventory.table import RoutingTable
from netdevice_plugin.model import Address, Interface, Snapshot

_NEWLINK, _DELLINK = 16, 17
_NEWADDR, _DELADDR = 20, 21
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEXTHOP, _DELNEXTHOP = 104, 105
_NLM_F_REPLACE = 0x100

_IFF_UP = 1
_WORKING = _IFF_UP | 0x40 | 0x10000  # and IFF_RUNNING, IFF_LOWER_UP

_readings = itertools.count(1)


class Listing(NamedTuple):
    """All that the kernel lists: bodies of RTM_NEW* messages."""

    links: Sequence[bytes] = ()
    addresses: Sequence[bytes] = ()
    routes: Sequence[bytes] = ()  # those that matter
    nexthops: Sequence[bytes] = ()  # if any of the routes goes by one


class Wants(NamedTuple):
    """What has to be read before the mirror is true."""

    links: tuple[int, ...] = ()
    devices: tuple[Link, ...] = ()  # to look up in sysfs what is under them
    routes: bool = False
    hardware: bool = False  # all devices are wanted then


class Hardware(NamedTuple):
    """What stands under no link, or only the whole can tell."""

    functions: Sequence[Interface] = ()  # that have none
    modes: Mapping[str, str] = {}  # of eswitches, by PCI address of the PF


class Found(NamedTuple):
    """What was wanted. A link that is no longer there is left out: that is told."""

    links: Sequence[bytes] = ()
    devices: Sequence[Interface] = ()
    routes: tuple[Sequence[bytes], Sequence[bytes]] | None = None  # and nexthops
    hardware: Hardware | None = None


class Mirror:
    """The links of one namespace.

    `broken` once it heard what makes no sense: start again with a new one. `touched`
    once it heard of a link: the kernel may have kept silent about another change to it.
    """

    def __init__(self, listing: Listing, node_addresses: Sequence[str] = ()) -> None:
        self.broken = False
        self.touched = False
        self.reading = next(_readings)
        self._guard = uplinks.Guard(node_addresses)
        self._links: dict[int, Link] = {}
        self._shown: dict[int, Interface] = {}  # with what is under them
        self._addresses: defaultdict[int, dict[AddressKey, Address]] = defaultdict(dict)
        self._routes = RoutingTable(listing.routes, listing.nexthops)
        self._above: dict[int, set[int]] = {}  # ports, upper links and peers
        self._abroad: set[int] = set()  # whose lower link is in another namespace
        self._unread: set[int] = set()
        self._undescribed: set[int] = set()
        self._unexamined = True  # the hardware as a whole
        self._hardware = Hardware()
        self._stirred: set[int] = set()  # whose addresses or routes changed
        self._lost: set[str] = set()  # addresses that were removed
        for body in listing.addresses:
            self._address(body, new=True)
        for body in listing.links:
            self._take(self._decode(body))
        self._stirred.clear()
        self._unread.clear()

    def hear(self, told: Sequence[bytes]) -> None:
        """Take in what reads of the socket gave, each."""
        try:
            for data in told:
                for message in wire.messages(data):
                    self._hear(message)
        except InventoryError:
            self.broken = True

    def devices_changed(self) -> None:
        """Look again at what is under the links: something was added, removed or bound."""
        self.reading = next(_readings)
        self._unexamined = True
        self._undescribed.update(i for i, link in self._links.items() if sysfs.has_device(link))

    def wants(self) -> Wants:
        """Say what to read now that what was told has been taken in."""
        for address in self._lost:
            self._routes.source_gone(address)
        self._lost.clear()
        self._stir()
        return Wants(
            tuple(sorted(self._unread)),
            tuple(self._links[i] for i in sorted(self._undescribed)),
            self._routes.stale,
            self._unexamined,
        )

    def accept(self, wants: Wants, found: Found) -> None:
        """Take what was wanted, before anything that was told since then."""
        for interface in found.devices:
            self._undescribed.discard(interface.ifindex)
            self._shown[interface.ifindex] = interface
        if found.hardware is not None:
            self._unexamined = False
            self._hardware = _alike(found.hardware, self._hardware)
        self._unread.difference_update(wants.links)
        for body in found.links:
            self._take(self._decode(body))
        if found.routes is not None:
            before, self._routes = self._routes, RoutingTable(*found.routes)
            several = {*before.links(), *self._routes.links()}
            self._stirred.update(i for i in several if before.get(i) != self._routes.get(i))

    def snapshot(self) -> Snapshot:
        """Show all links, those whose device has not been looked up as they were before.

        A link that is as it was in the last snapshot is the very same object.
        """
        self._stir()
        interfaces = self._name_pfs()
        return Snapshot(
            interfaces=interfaces,
            protected=self._guard.protect(interfaces),
            functions=self._functions(interfaces),
            reading=self.reading,
        )

    def resemble(self, other: Mirror) -> None:
        """Show the objects of another mirror where they are equal."""
        self._stir()
        self._hardware = _alike(self._hardware, other._hardware)
        self._name_pfs()
        for ifindex, mine in self._shown.items():
            theirs = other._shown.get(ifindex)
            if theirs == mine:
                self._shown[ifindex] = theirs
                if self._links[ifindex].interface is mine:
                    self._links[ifindex] = self._links[ifindex]._replace(interface=theirs)

    def _name_pfs(self) -> tuple[Interface, ...]:
        """List what is shown by ifindex, and tell VFs the name of their PF."""
        ordered = tuple(map(self._shown.__getitem__, sorted(self._shown)))
        named = pfs.name_pfs(ordered, self._hardware.modes)
        if named is not ordered:
            self._shown.update((interface.ifindex, interface) for interface in named)
        return named

    def _functions(self, interfaces: tuple[Interface, ...]) -> tuple[Interface, ...]:
        """Show the functions without a link; it may have come since they were read."""
        if not self._hardware.functions:
            return ()
        linked = {one.pci.address for one in interfaces if one.pci}
        links = pfs.links_of(interfaces)
        named = [pfs.name_pf(one, links) for one in self._hardware.functions]
        self._hardware = self._hardware._replace(functions=named)
        return tuple(one for one in named if one.pci and one.pci.address not in linked)

    def _hear(self, message: wire.Message) -> None:
        kind, flags, body = message
        if kind in (_NEWLINK, _DELLINK):
            self.touched = True
            self._link(body, gone=kind == _DELLINK)
        elif kind in (_NEWADDR, _DELADDR):
            self._address(body, new=kind == _NEWADDR)
        elif kind == _NEWROUTE:
            self._stirred.add(self._routes.told(body, replaced=bool(flags & _NLM_F_REPLACE)))
        elif kind == _DELROUTE:
            self._stirred.add(self._routes.withdrawn(body))
        elif kind in (_NEWNEXTHOP, _DELNEXTHOP):
            self._routes.nexthop(body)
        else:
            self.broken = True

    def _link(self, body: bytes, *, gone: bool) -> None:
        family, ifindex, flags = decode.subject(body)
        if family:  # what a bridge or a protocol has to say
            return
        if gone:
            self._gone(ifindex)
            return
        if not flags & _IFF_UP:
            self._routes.down(ifindex)
        link = self._decode(body)
        if link.interface.mtu:
            self._take(link)
        else:  # wireless drivers tell their news in messages that say nothing else
            self._unread.add(ifindex)

    def _decode(self, body: bytes) -> Link:
        """Decode a link with what it has now."""
        ifindex = decode.subject(body)[1]
        return decode.link(body, self._addresses_of(ifindex), self._routes.get(ifindex))

    def _take(self, link: Link) -> None:
        new = link.interface
        ifindex = new.ifindex
        known = self._links.get(ifindex)
        self._links[ifindex] = link
        self._unread.discard(ifindex)
        self._stirred.discard(ifindex)
        if sysfs.has_device(link):
            self._undescribed.add(ifindex)
        else:
            self._shown[ifindex] = new
        self._relate(known.interface if known else None, new)

    def _relate(self, old: Interface | None, new: Interface) -> None:
        """Find out which other links changed with this one without a word of their own."""
        if old is None:
            # What stands on a link elsewhere may stand on this one, come from there.
            self._unread |= self._abroad
        elif (old.flags ^ new.flags) & _WORKING:
            self._routes.wavered(new.ifindex)
        peer = self._links.get(new.lower or 0) if new.kind in uplinks.PEERED else None
        if peer and peer.interface.lower != new.ifindex:
            self._unread.add(peer.interface.ifindex)
        self._stand(old, new)

    def _stand(self, old: Interface | None, new: Interface | None) -> None:
        """Note on which links that one stands now, and no longer."""
        if old:
            for place in (old.lower, old.master):
                self._above.get(place or 0, set()).discard(old.ifindex)
            self._abroad.discard(old.ifindex)
        if new:
            for place in filter(None, (new.lower, new.master)):
                self._above.setdefault(place, set()).add(new.ifindex)
            if new.peer_netnsid is not None and new.kind not in uplinks.PEERED:
                self._abroad.add(new.ifindex)

    def _gone(self, ifindex: int) -> None:
        for stack in (self._unread, self._undescribed, self._stirred):
            stack.discard(ifindex)
        self._lost.update(one.address for one in self._addresses.pop(ifindex, {}).values())
        self._routes.gone(ifindex)
        self._shown.pop(ifindex, None)
        link = self._links.pop(ifindex, None)
        if link:
            self._stand(link.interface, None)
            # Its peer may have stayed, and who stood on it when it moved away.
            self._unread.update(self._above.pop(ifindex, ()))

    def _address(self, body: bytes, *, new: bool) -> None:
        decoded = decode.address(body)
        if decoded is None:
            return
        ifindex, address = decoded
        self._stirred.add(ifindex)
        if new:
            self._addresses[ifindex][decode.address_key(address)] = address
            return
        left = self._addresses[ifindex]
        if left.pop(decode.address_key(address), None):
            self._lost.add(address.address)
            if address.family == 4 and not any(one.family == 4 for one in left.values()):
                self._routes.unnumbered(ifindex)

    def _addresses_of(self, ifindex: int) -> tuple[Address, ...]:
        several = self._addresses.get(ifindex)
        return decode.ordered(several.values()) if several else ()

    def _stir(self) -> None:
        """Give the links whose addresses or routes changed what they have now."""
        for ifindex in self._stirred & self._links.keys():
            link, shown = self._links[ifindex], self._shown.get(ifindex)
            addresses, routes = self._addresses_of(ifindex), self._routes.get(ifindex)
            bare = dataclasses.replace(link.interface, addresses=addresses, routes=routes)
            self._links[ifindex] = link._replace(interface=bare)
            if shown is link.interface:
                self._shown[ifindex] = bare
            elif shown:
                self._shown[ifindex] = dataclasses.replace(
                    shown, addresses=addresses, routes=routes
                )
        self._stirred.clear()


def _alike(mine: Hardware, theirs: Hardware) -> Hardware:
    """Show the objects that were there before where they are equal."""
    known = {one.pci: one for one in theirs.functions}

    def same(one: Interface) -> Interface:
        other = known.get(one.pci)
        return other if other is not None and _bare(other) == _bare(one) else one

    return mine._replace(functions=[same(one) for one in mine.functions])


def _bare(function: Interface) -> Interface:
    """Without what its PF's link says."""
    return pfs.name_pf(function, {})
