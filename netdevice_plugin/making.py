"""Devices that are no links yet: a pool makes them on a parent, each in the pod that gets it. Pure.

There are as many as the configuration says, whatever links there are. The parent's
loss is their fault, and takes none of them off the list.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netdevice_plugin.model import (
    Device,
    Interface,
    Made,
    Pool,
    Protection,
    Snapshot,
    device_name,
    pci_address_of,
)
from netdevice_plugin.provisioning import CreatedKind, Creation

_IFF_UP = 1
# Of a link's packets all are handed to links of one of these two, or to a master.
_HANDLERS = {"macvlan": "macvlan", "macvtap": "macvlan", "ipvlan": "ipvlan", "ipvtap": "ipvlan"}
_NAME_MAX = 15  # IFNAMSIZ, without its NUL


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A parent, and what its pool's devices have in common."""

    pool: Pool
    creation: Creation
    parent: Interface  # of one that is not here nothing but its name
    obstacle: str = ""  # why nothing can be made on it now, in words that follow its name
    problem: str = ""  # the same as a sentence, if the configuration is to blame

    @property
    def here(self) -> bool:
        """Whether there is such a link."""
        return bool(self.parent.ifindex)

    @property
    def fault(self) -> str:
        """The same of each device."""
        return self.obstacle and f"its parent {self.creation.parent} {self.obstacle}"


class Maker:
    """Makes the devices; those that are as they were in the last call are the very same objects."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Shared, list[Device]]] = {}

    def make(self, shared: Shared, born: frozenset[str]) -> Sequence[Device]:
        """List a pool's devices; `born` are those that are in a pod now."""
        known = self._known.get(shared.pool.name)
        if known and known[0].pool == shared.pool and known[0].parent == shared.parent:
            devices = known[1]
        else:
            devices = [_device(shared, number) for number in shared.creation.numbers]
        devices = [
            one if one.lent == (one.name in born) else dataclasses.replace(one, lent=not one.lent)
            for one in devices
        ]
        self._known[shared.pool.name] = shared, devices
        return devices

    def forget(self, pools: Iterable[Pool]) -> None:
        """Forget all pools but these."""
        names = {pool.name for pool in pools}
        self._known = {name: known for name, known in self._known.items() if name in names}


def parents(
    snapshot: Snapshot, pools: Iterable[Pool], protections: Mapping[int, Protection]
) -> tuple[Shared, ...]:
    """Find the parent of each pool that makes its links, and what is wrong with it."""
    found = []
    for pool in pools:
        if pool.create:
            link = _named(snapshot, pool.create.parent)
            obstacle, blame = _trouble(pool.create, link, snapshot, protections)
            found.append(
                Shared(
                    pool=pool,
                    creation=pool.create,
                    parent=_bare(link, pool.create.parent),
                    obstacle=obstacle,
                    problem=blame and f"pool {pool.name}: {blame}",
                )
            )
    return tuple(found)


def conflicts(several: Iterable[Shared]) -> Iterator[tuple[Shared, int | None, str]]:
    """Yield the pool that makes what an earlier one makes impossible: one number of it, or all."""
    vlans: dict[tuple[str, str, int], str] = {}
    handlers: dict[str, Shared] = {}
    for one in several:
        where = one.parent.name
        if one.creation.kind is CreatedKind.VLAN:
            for number in one.creation.numbers:
                first = vlans.setdefault((where, one.creation.protocol, number), one.pool.name)
                if first != one.pool.name:
                    yield one, number, f"VLAN {number} of {where} is made by the pool {first}"
            continue
        first_one = handlers.setdefault(where, one)
        if why := _excluded(first_one, one):
            yield one, None, f"{why}, and the pool {first_one.pool.name} makes such on {where}"


def taken(several: Iterable[Shared], snapshot: Snapshot) -> Iterator[tuple[Shared, int, str]]:
    """Yield the VLANs that cannot be made, as the host has them itself, by pool and number."""
    for one in several:
        if one.creation.kind is CreatedKind.VLAN and one.here:
            for link in _upper(snapshot, one.parent):
                protocol, number = link.vlan or ("", 0)
                if protocol == one.creation.protocol and number in one.creation.numbers:
                    yield one, number, f"VLAN {number} of {one.parent.name} is {link.name} already"


def _excluded(first: Shared, second: Shared) -> str:
    """Say what keeps the two off one parent, which hands its packets to one of them."""
    if first is second:
        return ""
    kinds = first.creation.kind, second.creation.kind
    modes = first.creation.mode, second.creation.mode
    if kinds[0] is not kinds[1]:
        return f"{kinds[1].value} does not go with {kinds[0].value}"
    if "passthru" in modes:
        return "a macvlan in mode passthru has its parent for itself"
    if kinds[0] is CreatedKind.IPVLAN and modes[0] != modes[1]:
        return f"all ipvlans of a parent have one mode, not {modes[1]} beside {modes[0]}"
    return ""


@functools.lru_cache(maxsize=1024)
def awaited(pool: str, number: int) -> Device:
    """Make a device whose NIC is attached for the claim that gets it; that one is its MAC's.

    Of the link nothing is known but that it will be one that a pod can use.
    """
    link = Interface(ifindex=0, name=pod_name(pool, number), carrier=True)
    return Device(name=made_name(pool, number), pool=pool, interface=link, on_demand=True)


def pod_name(pool: str, number: int) -> str:
    """Name a link in the pod: as its device, but in what room there is for the name of a link."""
    name = f"{pool.lower()}-{number}"
    if len(name) <= _NAME_MAX:
        return name
    # No two pools of a node are to give one name: all that is cut off is in the digits.
    digest = hashlib.sha256(pool.lower().encode()).hexdigest()
    return f"{pool.lower()[:5]}{digest[:5]}-{number}"


def made_name(pool: str, number: int) -> str:
    """Name a device that is to be made: a DNS label, and no PCI function's."""
    name = f"{pool.lower()}-{number}"
    if not pci_address_of(name) and (encoded := device_name(name)) and len(encoded) <= 63:
        return encoded
    return device_name(pod_name(pool, number))


def _device(shared: Shared, number: int) -> Device:
    parent, creation = shared.parent, shared.creation
    link = Interface(
        ifindex=0,
        name=pod_name(shared.pool.name, number),
        kind=creation.kind.value,
        link_type=parent.link_type,
        mtu=parent.mtu,
        flags=parent.flags & _IFF_UP,
        operstate=parent.operstate,
        carrier=parent.carrier,
        speed=parent.speed,
        lower=parent.ifindex or None,
    )
    made = Made(creation=creation, number=number, parent=parent)
    name = made_name(shared.pool.name, number)
    return Device(name=name, pool=shared.pool.name, interface=link, made=made)


def _named(snapshot: Snapshot, name: str) -> Interface | None:
    """Find a link by name or altname; one that is in a pod only if no other has the name."""
    found = [one for one in snapshot.interfaces if one.name == name]
    found = found or [one for one in snapshot.interfaces if name in one.altnames]
    return min(found, key=lambda one: one.lent, default=None)


def _bare(link: Interface | None, name: str) -> Interface:
    """Take of a parent what its children have to do with: addresses come and go."""
    if link is None:
        return Interface(ifindex=0, name=name)
    return dataclasses.replace(link, addresses=(), routes=())


def _trouble(
    creation: Creation,
    link: Interface | None,
    snapshot: Snapshot,
    protections: Mapping[int, Protection],
) -> tuple[str, str]:
    """Say why nothing can be made on a parent, and again if that is a mistake of the pool."""
    if link is None:
        return "is gone", ""
    if link.lent:
        return "is in a pod", ""
    protection = protections.get(link.ifindex)
    if protection and protection.uplink and not creation.allow_uplink:
        reason = f"{protection.reason}; allowUplink: true shares it all the same"
        return reason, f"{creation.parent} cannot be a parent: it {reason}"
    if link.master is not None:
        above = next((one.name for one in snapshot.interfaces if one.ifindex == link.master), "")
        return f"is a port of {above or 'another link'}", ""
    return _unfit(link) or _occupied(creation, _upper(snapshot, link)), ""


def _unfit(link: Interface) -> str:
    if link.link_type != "ether":
        return f"is of type {link.link_type}, and not Ethernet"
    return "" if link.up else "is down"


def _upper(snapshot: Snapshot, parent: Interface) -> list[Interface]:
    """List the host's own links that stand on a parent."""
    return [one for one in snapshot.interfaces if one.lower == parent.ifindex and not one.lent]


def _occupied(creation: Creation, upper: Iterable[Interface]) -> str:
    """Say which link of the host has the parent's packets handed to it, if that is in the way."""
    wanted, alone = _HANDLERS.get(creation.kind.value), creation.mode == "passthru"
    for one in upper:
        handler = _HANDLERS.get(one.kind)
        if wanted and handler and (alone or handler != wanted):
            what = f"{wanted} in mode {creation.mode}" if alone else wanted
            return f"has {one.name}, a {one.kind}, beside which there can be no {what}"
    return ""
