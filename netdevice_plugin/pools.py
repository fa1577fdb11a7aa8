"""Who gets what: a snapshot and the pools make devices, and a reason for every other link. Pure."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from netdevice_plugin import making
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import (
    Device,
    Interface,
    PfRange,
    Pool,
    Protection,
    Selector,
    Snapshot,
    device_name,
    pci_device_name,
    representor,
)

_GLOB = re.compile(r"[*?[]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A link, or a function without one, that is not offered, and why: a line after its name."""

    interface: Interface
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Every link of a snapshot: in a pool as a device, or refused.

    `problems` says of each pool that names a link which has to stay on the host
    that it does. No such link is among the devices in any case.
    """

    devices: tuple[Device, ...] = ()  # by name, unique
    refusals: tuple[Refusal, ...] = ()  # by name of the link
    # Why a device that is listed cannot be had now, in one line, by its name.
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def of(self, pool: Pool) -> tuple[Device, ...]:
        """Pick a pool's devices."""
        return tuple(device for device in self.devices if device.pool == pool.name)

    def check(self) -> None:
        """Raise ConfigError if a pool names what it cannot have: for a start, not for later.

        While the agent runs a link may become an uplink, which is no reason to
        take all the others away.
        """
        if self.problems:
            lines = list(self.problems)
            if len(lines) > 1:
                lines.insert(0, f"{len(lines)} problems:")
            hint = "take the name out of the pool, or take from the link what keeps it"
            raise ConfigError("\n  ".join(lines), hint=hint)


class _Memory:
    """What the last assignment found of each link. It saves work, and changes no result."""

    def __init__(self) -> None:
        self._pools: tuple[Pool, ...] = ()
        self._known: dict[int, tuple[Interface, Protection | None, str, Device | Refusal]] = {}
        self.maker = making.Maker()

    def assign(
        self,
        snapshot: Snapshot,
        pools: tuple[Pool, ...],
        protections: Mapping[int, Protection],
        asked: Mapping[str, str],
    ) -> list[Device | Refusal]:
        """Judge each link by itself, but for those that are the very same as before."""
        before = self._known if pools == self._pools else {}
        found = {}
        for interface in (*snapshot.interfaces, *snapshot.functions):
            protection = None if interface.lent else protections.get(interface.ifindex)
            name = asked.get(interface.identity_mac.lower(), "") if asked else ""
            if name and protection and protection.namesake:
                protection = None  # it is not known by its name
            known = before.get(id(interface))
            if known is None or known[1:3] != (protection, name):
                known = (interface, protection, name, _judge(pools, interface, protection, name))
            found[id(interface)] = known  # which is nobody else's as long as we keep the link
        if pools != self._pools:
            self.maker.forget(pools)
        self._pools, self._known = pools, found
        return [verdict for *_, verdict in found.values()]


_memory = _Memory()


def assign(
    snapshot: Snapshot, pools: Sequence[Pool], asked: Mapping[str, str] | None = None
) -> Assignment:
    """Give each link to the first pool that selects it, or say why none has it.

    A link that must stay on the host is never given; one that looks like another
    program's only to a pool whose ifNames has its very name. A pool with a userspace
    driver has PCI functions, with or without a link. A pool that makes its links has
    all of them in any case; they have a `fault` while their parent does not do. Two links
    that would make one device (records made by hand can say so) are not both offered:
    the first by ifindex is. A link that is the same object as in the last call, under
    the same pools, takes no time. `asked` names the devices whose NICs were attached for
    claims, by MAC in lower case: such a NIC is that device, and nothing else to anybody.
    """
    pools = tuple(pools)
    protections = {one.ifindex: one for one in snapshot.protected}
    shared = making.parents(snapshot, pools, protections)
    for one in shared:  # what stands on it would be cut off
        known = protections.get(one.parent.ifindex)
        if one.here and not (known and known.hard):
            reason = f"is the parent of pool {one.pool.name}"
            protections[one.parent.ifindex] = Protection(ifindex=one.parent.ifindex, reason=reason)
    sorting = _Sorting()
    for verdict in _memory.assign(snapshot, pools, protections, asked or {}):
        sorting.take(verdict)
    if any(pool.userspace for pool in pools):
        sorting.keep_apart(snapshot)
    for one in shared:
        sorting.take_made(one, _memory.maker.make(one, snapshot.born), snapshot.bereft)
    for pool in pools:
        if pool.ports and pool.ports.on_demand:
            sorting.take_awaited(pool, pool.ports.max)
    for one, number, why in making.conflicts(shared):
        sorting.exclude(one, number, why)
    for one, vlan, why in making.taken(shared, snapshot):
        sorting.fault(one, vlan, why)
    return sorting.done(_problems(snapshot, pools, protections))


class _Sorting:
    """Devices and refusals as they come together."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._refusals: list[Refusal] = []
        self._faults: dict[str, str] = {}
        self._problems: list[str] = []

    def take(self, verdict: Device | Refusal) -> None:
        """Take what was found of one link."""
        if isinstance(verdict, Refusal):
            self._refusals.append(verdict)
        elif verdict is not self._devices.setdefault(verdict.name, verdict):
            reason = f"would be the device {verdict.name}, which another link is already"
            self._refuse(verdict, reason)

    def keep_apart(self, snapshot: Snapshot) -> None:
        """Take back functions that several links are on: a driver of ours would end them all."""
        functions = [device for device in self._devices.values() if device.userspace]
        links = [one for one in snapshot.interfaces if one.pci]
        count = Counter(one.pci.address for one in links if one.pci)
        for device in functions:
            if device.pci and count[device.pci.address] > 1:
                del self._devices[device.name]
                name, mine = device.interface.name, device.pci.address
                others = (one.name for one in links if one.pci and one.pci.address == mine)
                other = next((one for one in others if one != name), name)
                self._refuse(device, f"shares its PCI function with {other}")

    def take_made(
        self, shared: making.Shared, devices: Iterable[Device], bereft: Collection[str]
    ) -> None:
        """Take the devices of a pool that makes its links; `bereft` are without the parent."""
        if shared.problem:
            self._problems.append(shared.problem)
        for device in devices:
            other = self._devices.get(device.name)
            if other and other.lent:  # it has the name until it is home
                continue
            if other:
                reason = f"would be the device {device.name}, which pool {device.pool} makes"
                self._refuse(other, reason)
            self._devices[device.name] = device
            if shared.fault:
                self._faults[device.name] = shared.fault
            elif device.name in bereft:
                self._faults[device.name] = "it ended with the parent that it was made on"

    def take_awaited(self, pool: Pool, count: int) -> None:
        """Take the devices of a pool whose NICs are yet to be attached; the others are there."""
        for number in range(count):
            device = making.awaited(pool.name, number)
            other = self._devices.get(device.name)
            if other and (other.on_demand or other.lent):
                continue
            if other:
                self._refuse(other, f"would be the device {device.name} of pool {pool.name}")
            self._devices[device.name] = device

    def exclude(self, shared: making.Shared, number: int | None, why: str) -> None:
        """Fault one link of a pool, or all, that another pool makes impossible."""
        self._problems.append(f"pool {shared.pool.name}: {why}")
        for one in shared.creation.numbers if number is None else (number,):
            self.fault(shared, one, why)

    def fault(self, shared: making.Shared, number: int, why: str) -> None:
        """Note why one link of a pool cannot be had, if nothing worse is noted of it."""
        self._faults.setdefault(making.made_name(shared.pool.name, number), why)

    def done(self, problems: Iterable[str]) -> Assignment:
        """Put all in order."""
        return Assignment(
            devices=tuple(self._devices[name] for name in sorted(self._devices)),
            refusals=tuple(sorted(self._refusals, key=lambda one: one.interface.name)),
            faults=self._faults,
            problems=(*problems, *self._problems),
        )

    def _refuse(self, device: Device, reason: str) -> None:
        self._refusals.append(Refusal(interface=device.interface, reason=reason))


def _judge(
    pools: Iterable[Pool], interface: Interface, protection: Protection | None, asked: str
) -> Device | Refusal:
    pool, obstacle = _first(pools, interface, protection)
    if pool is None:
        reason = obstacle or _why_not(interface, protection)
        return Refusal(interface=interface, reason=reason)
    if asked:
        return Device(
            name=asked, pool=pool.name, interface=interface, lent=interface.lent, on_demand=True
        )
    if pool.ports and pool.ports.on_demand:
        return Refusal(interface=interface, reason="is no port that a claim has asked for")
    if pool.userspace and interface.pci:
        name = pci_device_name(interface.pci.address)
        return Device(name=name, pool=pool.name, interface=interface, driver=pool.userspace.driver)
    if not _is_utf8(interface.name):
        reason = "has a name that is not UTF-8, as all that is in a CDI file must be"
        return Refusal(interface=interface, reason=reason)
    name = device_name(interface.name)
    return Device(name=name, pool=pool.name, interface=interface, lent=interface.lent)


def matches(selector: Selector, interface: Interface) -> bool:
    """Whether a link has all that the selector asks for; an empty selector takes every link."""
    pci = interface.pci
    return (
        _any_glob(selector.if_names, interface)
        and _any_vf(selector.pf_names, interface)
        and _any(selector.pci_addresses, pci.address if pci else "")
        and _any(selector.vendors, pci.vendor if pci else "")
        and _any(selector.devices, pci.device if pci else "")
        and _any(selector.drivers, interface.driver, pci.driver if pci else "")
        and _any(selector.kinds, interface.kind or ("" if interface.loopback else "physical"))
        and _any(selector.link_types, interface.link_type)
        and _any(selector.macs, interface.mac, interface.permanent_mac)
    )


def _any(wanted: tuple[str, ...], *found: str) -> bool:
    return not wanted or any(text and text in wanted for text in found)


def _any_glob(globs: tuple[str, ...], interface: Interface) -> bool:
    if not globs or not interface.name:  # a function without a link has none
        return not globs
    names = (interface.name, *interface.altnames)
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in names)


def _any_vf(pfs: tuple[PfRange, ...], interface: Interface) -> bool:
    vf = interface.vf
    if not pfs or vf is None:
        return not pfs
    meant = (
        pf.name
        for pf in pfs
        if pf.vfs is None or any(low <= vf.number <= high for low, high in pf.vfs)
    )
    names = (vf.pf_name, *vf.pf_altnames)
    return any(fnmatch.fnmatchcase(name, glob) for glob in meant for name in names)


def _first(
    pools: Iterable[Pool], interface: Interface, protection: Protection | None
) -> tuple[Pool | None, str]:
    """Find the first pool that selects a link and can have it, or why the first could not."""
    obstacle = ""
    if protection and protection.hard:
        return None, obstacle
    for pool in pools:
        if not any(
            matches(selector, interface) and not (protection and not _names(selector, interface))
            for selector in pool.selectors
        ):
            continue
        why = _no_function(interface, pool) if pool.userspace else _no_link(interface)
        if not why:
            return pool, ""
        obstacle = obstacle or why
    return None, obstacle


def _no_link(function: Interface) -> str:
    """Say why a pool of links cannot have a function that has none."""
    if not function.unlinked:
        return ""
    what = f"its driver is {function.driver}" if function.driver else "it has no driver"
    return f"is no link: {what}, and only a pool with `driver` can offer it"


def _no_function(interface: Interface, pool: Pool) -> str:
    """Say why a program in a pod cannot have the function that a link is on."""
    if interface.pci is None:
        return f"is no PCI function, as the pool {pool.name} needs"
    if interface.lent:
        return f"is in a pod as a link; it is the pool {pool.name}'s when it is home"
    if representor(interface.port):
        return "stands for another function, and is none itself"
    if interface.pf and interface.pf.num_vfs:
        return f"has {interface.pf.num_vfs} virtual functions, which would go with its driver"
    return ""


def _names(selector: Selector, interface: Interface) -> str:
    """The name by which the selector asks for just this link; empty if it is not by name."""
    own = (interface.name, *interface.altnames)
    return next((name for name in selector.if_names if name in own and not _GLOB.search(name)), "")


def _why_not(interface: Interface, protection: Protection | None) -> str:
    if protection is None:
        return _no_link(interface) or "no pool selects it"
    return protection.reason if protection.hard else f"{protection.reason}; no pool names it"


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _problems(
    snapshot: Snapshot, pools: Iterable[Pool], protections: Mapping[int, Protection]
) -> Iterator[str]:
    """Find what pools name and cannot have.

    A newcomer with the name of a lent link is no mistake of the pool, which means
    the lent one.
    """
    wanted = [
        (pool, selector)
        for pool in pools
        for selector in pool.selectors
        if any(not _GLOB.search(name) for name in selector.if_names)
    ]
    if not wanted:
        return
    hard = {ifindex: one for ifindex, one in protections.items() if one.hard}
    kept = [one for one in snapshot.interfaces if one.ifindex in hard and not one.lent]
    lent = {interface.name for interface in snapshot.interfaces if interface.lent}
    for pool, selector in wanted:
        for interface in kept:
            name = _names(selector, interface)
            if name and name not in lent and matches(selector, interface):
                reason = hard[interface.ifindex].reason
                yield f"pool {pool.name}: {name} cannot be offered: it {reason}"
