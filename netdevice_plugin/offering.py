"""What each resource lists: the pools' devices, and those that pods still have. Pure.

A device in use stays with the resource that gave it out, whatever the configuration
says by now, or capacity would fall below use and the device could be given to a second
pod by its new pool. A device that is not offered any more is listed as unhealthy until
it is sure that no pod has it: the kubelet may have given it out a moment ago.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping

from netdevice_plugin import pools
from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.model import (
    VIA_DRA,
    Device,
    Frontend,
    Injection,
    Interface,
    Listed,
    PciDevice,
    Pool,
    Snapshot,
    device_name,
    interface_name,
    pci_address_of,
    pci_device_name,
)
from netdevice_plugin.pools import Assignment
from netdevice_plugin.provisioning import Node

LEAVING = "its port is about to be detached"  # unless a claim is given it after all
HOMECOMING = 1.0  # seconds in which the link of a record that is gone must show up


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """What pods and claims have by resource, as of the `serial`th time that the kubelet was asked.

    `known` says whether there was an answer at all, `asked` when that was, of
    `time.monotonic`. Without a kubelet nothing is in use, and `serial` counts nothing.
    """

    devices: Mapping[str, frozenset[str]] = dataclasses.field(
        default_factory=dict
    )  # by key of the pool: names of devices
    serial: int = 0
    known: bool = False
    asked: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The devices of one resource, by name; `retired` if no pool offers them any more."""

    pool: Pool
    devices: tuple[Listed, ...] = ()
    retired: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """All resources by key of their pool, and what has to be asked or looked at again."""

    listings: Mapping[str, Listing] = dataclasses.field(default_factory=dict)
    # Since which answer it has been asked whether a pod has the device: its serial.
    doubtful: Mapping[str, int] = dataclasses.field(default_factory=dict)
    # Devices that a resource lists though its pool does not offer them, or not any more: they
    # go, to another resource maybe, when no pod has them.
    moving: frozenset[str] = frozenset()
    # Until when (monotonic seconds) the link of a record that is gone may be on its way.
    homecoming: Mapping[str, float] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def deadline(self) -> float | None:
        """When it has to be made again even if nothing happens."""
        return min(self.homecoming.values(), default=None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """All that an offering is made from, as it is now."""

    snapshot: Snapshot  # with lent links: lent.merge
    attachments: tuple[Attachment, ...] = ()
    broken: tuple[AttachmentError, ...] = ()  # records that cannot be read
    pools: tuple[Pool, ...] = ()
    in_use: InUse = InUse()
    # Lent devices whose container is no pod's, and that reason, by device.
    orphaned: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Why devices cannot be had that are in order as far as their link tells, by device.
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Devices whose NICs were attached for claims, by MAC in lower case.
    asked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # The device nodes of a userspace device, as far as they are known now.
    nodes: Callable[[Device], tuple[Node, ...]] = lambda _: ()
    now: float = 0.0  # monotonic seconds


def offer(present: Present, before: Offering) -> Offering:
    """Say what each resource lists now, given what it listed before.

    A resource that a pool stands for is always there, if with no device; a retired one
    as long as a pod has something of it.
    """
    return _Maker(present, before).make()


def remember(known: Mapping[str, Iterable[str]], pools: Iterable[Pool]) -> Offering:
    """Make the offering that an earlier process left: the names in its CDI files, by key.

    What becomes of them is for the first real one to say; each is doubtful until then.
    """
    configured = {pool.key: pool for pool in pools}
    listings = {}
    for kind, names in known.items():
        pool = configured.get(kind) or retired_pool(kind)
        devices = tuple(Listed(device=_absent(name, pool)) for name in sorted(set(names)))
        listings[kind] = Listing(pool=pool, devices=devices, retired=kind not in configured)
    return Offering(listings=listings)


def retired_pool(key: str) -> Pool:
    """Make the pool that stands for a resource which the configuration does not have."""
    prefix, _, name = key.removesuffix(VIA_DRA).rpartition("/")
    frontend = Frontend.DRA if key.endswith(VIA_DRA) else Frontend.DEVICE_PLUGIN
    return Pool(name=name, prefix=prefix, frontend=frontend)


def _absent(name: str, pool: Pool) -> Device:
    """Describe a device of which nothing but its name is known."""
    if address := pci_address_of(name):
        function = Interface(ifindex=0, name="", pci=PciDevice(address=address))
        return Device(name=name, pool=pool.name, interface=function)
    try:
        link = interface_name(name)
    except ValueError:  # a name that we never give
        link = name
    return Device(name=name, pool=pool.name, interface=Interface(ifindex=0, name=link))


class _Maker:
    """The steps of `offer`, with what they look up."""

    def __init__(self, present: Present, before: Offering) -> None:
        self.present = present
        self.before = before
        self.assignment: Assignment = pools.assign(present.snapshot, present.pools, present.asked)
        self.offered = {device.name: device for device in self.assignment.devices}
        self.configured = {pool.key: pool for pool in present.pools}
        self.kinds = {pool.name: pool.key for pool in present.pools}
        self.records = {one.device: one for one in present.attachments}
        self.broken = {error.device: error for error in present.broken if error.device}
        self.listed = {
            one.device.name: (kind, one)
            for kind, listing in before.listings.items()
            for one in listing.devices
        }
        self.faults = {**present.faults, **self.assignment.faults}
        self.noted = self.records.keys() | self.broken.keys() | self.faults.keys()
        self.same = {  # resources whose pool is as it was, and has links
            kind
            for kind, listing in before.listings.items()
            if self.configured.get(kind) == listing.pool and not listing.pool.userspace
        }
        self.used = {name: kind for kind, names in present.in_use.devices.items() for name in names}
        self.doubtful: dict[str, int] = {}
        self.kept: dict[str, str] = {}  # devices that no pool offers, by all names of the hardware
        self.moving: set[str] = set()
        self.homecoming: dict[str, float] = {}

    def make(self) -> Offering:
        found: dict[str, dict[str, Listed]] = {kind: {} for kind in self.configured}
        for name in (*self.listed, *self.used):
            if name not in self.offered and (kind := self._kept(name)):
                if name in self.used and name not in self.records:
                    self.moving.add(name)  # nothing but the kubelet tells of its end
                kept = found.setdefault(kind, {})[name] = self._unoffered(name, kind)
                self._claim(kept.device)
        for name, device in self.offered.items():
            wanted = self.kinds[device.pool]
            kind = self._kind(name, wanted)
            if kind != wanted:
                self.moving.add(name)
            found.setdefault(kind, {})[name] = self._listed(name, kind, device)
        return Offering(
            listings={kind: self._listing(kind, devices) for kind, devices in found.items()},
            doubtful=self.doubtful,
            moving=frozenset(self.moving),
            homecoming=self.homecoming,
            problems=self.assignment.problems,
        )

    def _claim(self, kept: Device) -> None:
        """Note that a device which no pool offers may be a pod's, whatever its hardware is called.

        A function has one name as a link, and another as a userspace device.
        """
        self.kept[kept.name] = kept.name
        if kept.interface.pci:
            self.kept[pci_device_name(kept.interface.pci.address)] = kept.name

    def _elsewhere(self, device: Device) -> str:
        """Say under which other name a pod may have the hardware of a device."""
        if not self.kept or device.interface.pci is None:
            return ""
        kept = (self.kept.get(name) for name in self._names(device.interface))
        other = next(filter(None, kept), "")
        return other and f"it is still listed as {other}, which a pod may have"

    def _listing(self, kind: str, devices: dict[str, Listed]) -> Listing:
        pool = self.configured.get(kind)
        ordered = tuple(devices[name] for name in sorted(devices))
        made = Listing(pool=pool or retired_pool(kind), devices=ordered, retired=pool is None)
        last = self.before.listings.get(kind)
        return last if last == made else made

    def _kind(self, name: str, wanted: str) -> str:
        """Say which resource lists a device that a pool offers.

        The one that lent it, as long as that is so or may be so.
        """
        if using := self.used.get(name):
            return using
        kind = self.listed[name][0] if name in self.listed else wanted
        if kind == wanted or not (name in self.records or self._in_doubt(name, kind)):
            return wanted
        return kind

    def _kept(self, name: str) -> str:
        """Say which resource still lists a device that no pool offers; empty is none."""
        using = self.used.get(name, "")
        if name not in self.listed:
            return using
        kind, last = self.listed[name]
        if name in self.records or name in self.broken:
            return using or kind
        if last.device.lent and not last.device.made and self._comes_home(name):
            return using or kind
        return using or (kind if self._in_doubt(name, kind) else "")

    def _comes_home(self, name: str) -> bool:
        """Whether the link of a record that is gone is yet to be seen on the host."""
        until = self.before.homecoming.get(name, self.present.now + HOMECOMING)
        if until <= self.present.now:
            return False
        self.homecoming[name] = until
        return True

    def _in_doubt(self, name: str, kind: str) -> bool:
        """Whether the kubelet has not been asked yet, since it was not to give it out any more.

        Of DRA's nothing is: no claim gets a device without our word, given at that time.
        """
        if kind.endswith(VIA_DRA):
            return False
        in_use = self.present.in_use
        since = self.before.doubtful.get(name, in_use.serial)
        if in_use.known and in_use.serial > since:
            return False
        self.doubtful[name] = since
        return True

    def _listed(self, name: str, kind: str, device: Device) -> Listed:
        last = self.listed.get(name)
        if last and last[1].device is device and self._is_plain(device, kind) and not last[1].fault:
            return last[1]  # as are nearly all, when one of thousands has changed
        pool = self.configured.get(kind) or retired_pool(kind)
        device = self._completed(device, pool)
        return self._same(name, Listed(device=device, fault=self._fault(device, pool)))

    def _completed(self, device: Device, pool: Pool) -> Device:
        """Say of a device which pool lists it, and what nodes it has."""
        nodes = self.present.nodes(device) if device.userspace else ()
        if (device.pool, device.nodes) == (pool.name, nodes):
            return device
        return dataclasses.replace(device, pool=pool.name, nodes=nodes)

    def _is_plain(self, device: Device, kind: str) -> bool:
        """Whether only its link can give a device a fault that it did not have."""
        alone = not self.kept or device.interface.pci is None
        return kind in self.same and device.name not in self.noted and alone

    def _fault(self, device: Device, pool: Pool) -> str:
        if device.name in self.doubtful:
            target = self.offered[device.name].pool
            return "it moves to DRA" if target == pool.name else f"it moves to the pool {target}"
        if error := self.broken.get(device.name):
            return str(error)
        fault = self.faults.get(device.name) or self._elsewhere(device)
        if record := self.records.get(device.name):
            trouble = _trouble(record) or _pulled(device.interface)
            return trouble or self.present.orphaned.get(device.name, fault)
        missing = pool.require_carrier and not device.interface.carrier
        return fault or ("it has no carrier" if missing else "")

    def _unoffered(self, name: str, kind: str) -> Listed:
        """List a device that no pool offers, as it was, and say why no pod may have it."""
        pool = self.configured.get(kind) or retired_pool(kind)
        here = self._here.get(name)
        last = self.listed.get(name)
        device = last[1].device if last else _absent(name, pool)
        if name in self.homecoming and last:
            as_it_was = dataclasses.replace(device, pool=pool.name)
            return self._same(name, Listed(device=as_it_was, fault=last[1].fault))
        if here:
            device = Device(name=name, pool=pool.name, interface=here, lent=here.lent)
        elif device.lent != (lent := name in self.present.snapshot.born):
            device = dataclasses.replace(device, lent=lent)
        device = self._completed(device, pool)
        return self._same(name, Listed(device=device, fault=self._why(name, here, pool)))

    @functools.cached_property
    def _here(self) -> dict[str, Interface]:
        """The links and functions on the host, by all names that a device of theirs can have."""
        refused = (one.interface for one in self.assignment.refusals)
        offered = (one.interface for one in self.assignment.devices if not one.made)
        return {name: one for one in (*offered, *refused) for name in self._names(one)}

    def _names(self, interface: Interface) -> tuple[str, ...]:
        """Name the devices that a link or function can be: one if a claim asked for its port."""
        asked = self.present.asked.get(interface.identity_mac.lower())
        return (asked,) if asked else _names(interface)

    def _why(self, name: str, here: Interface | None, pool: Pool) -> str:
        if error := self.broken.get(name):
            return str(error)
        fault = self.faults.get(name, "")
        if record := self.records.get(name):
            trouble = _trouble(record) or (_pulled(here) if here else "")
            return trouble or self.present.orphaned.get(name, fault)
        return fault or self._lack(name, here, pool)

    def _lack(self, name: str, here: Interface | None, pool: Pool) -> str:
        """Say what a device lacks that is in order otherwise: its link, or a pool."""
        last = self.listed.get(name)
        if here is None and not (last and last[1].device.made):
            # Without a mover there is no record: a link that the runtime moved is just away.
            gone = "its function is gone" if pci_address_of(name) else "its link is gone"
            return "" if pool.injection is Injection.NATIVE else gone
        protection = self.present.snapshot.protection_of(here) if here else None
        if protection and protection.hard:
            return f"it {protection.reason}"
        # A change of the configuration takes nothing from a pod that has it.
        return "" if name in self.used else "no pool selects it any more"

    def _same(self, name: str, made: Listed) -> Listed:
        """Return what was listed before if it is equal: others recognise it by that."""
        last = self.listed.get(name)
        return last[1] if last and last[1] == made else made


def _names(interface: Interface) -> tuple[str, ...]:
    """Name the devices that a link or function can be: a function has no name as a link."""
    pci = (pci_device_name(interface.pci.address),) if interface.pci else ()
    return (*pci, device_name(interface.name)) if interface.name else pci


def _trouble(record: Attachment) -> str:
    if record.phase is Phase.LOST:
        return f"it is lost: {record.error or 'its link is nowhere to be found'}"
    if record.phase is Phase.STRANDED:
        return f"it is home, but not as it was: {record.error}"
    return ""


def _pulled(link: Interface) -> str:
    """Say so of a lent link whose hardware is gone: it is not in its pod any more, nor anywhere."""
    return "its hardware was pulled out" if link.pulled else ""
