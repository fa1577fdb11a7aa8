"""Who gets what: a snapshot and the pools make devices, and a reason for every other link. Pure."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence

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
)

_GLOB = re.compile(r"[*?[]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A link that is not offered, and why, in one line that follows its name."""

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
            hint = "take the name out of the pool's ifNames, or take from the link what keeps it"
            raise ConfigError("\n  ".join(lines), hint=hint)


class _Memory:
    """What the last assignment found of each link. It saves work, and changes no result."""

    def __init__(self) -> None:
        self._pools: tuple[Pool, ...] = ()
        self._known: dict[int, tuple[Interface, Protection | None, Device | Refusal]] = {}

    def assign(self, snapshot: Snapshot, pools: tuple[Pool, ...]) -> list[Device | Refusal]:
        """Judge each link by itself, but for those that are the very same as before."""
        before = self._known if pools == self._pools else {}
        protections = {one.ifindex: one for one in snapshot.protected}
        found = {}
        for interface in snapshot.interfaces:
            protection = None if interface.lent else protections.get(interface.ifindex)
            known = before.get(id(interface))
            if known is None or known[1] != protection:
                known = (interface, protection, _judge(pools, interface, protection))
            found[id(interface)] = known  # which is nobody else's as long as we keep the link
        self._pools, self._known = pools, found
        return [verdict for _, _, verdict in found.values()]


_memory = _Memory()


def assign(snapshot: Snapshot, pools: Sequence[Pool]) -> Assignment:
    """Give each link to the first pool that selects it, or say why none has it.

    A link that must stay on the host is never given; one that looks like another
    program's only to a pool whose ifNames has its very name. Two links that would
    make one device (records made by hand can say so) are not both offered: the
    first by ifindex is. A link that is the same object as in the last call, under
    the same pools, takes no time.
    """
    devices: dict[str, Device] = {}
    refusals: list[Refusal] = []
    for verdict in _memory.assign(snapshot, tuple(pools)):
        if isinstance(verdict, Refusal):
            refusals.append(verdict)
        elif verdict is not devices.setdefault(verdict.name, verdict):
            reason = f"would be the device {verdict.name}, which another link is already"
            refusals.append(Refusal(interface=verdict.interface, reason=reason))
    return Assignment(
        devices=tuple(devices[name] for name in sorted(devices)),
        refusals=tuple(sorted(refusals, key=lambda refusal: refusal.interface.name)),
        problems=tuple(_problems(snapshot, pools)),
    )


def _judge(
    pools: Iterable[Pool], interface: Interface, protection: Protection | None
) -> Device | Refusal:
    pool = _first(pools, interface, protection)
    if pool is None:
        return Refusal(interface=interface, reason=_why_not(protection))
    if not _is_utf8(interface.name):
        reason = "has a name that is not UTF-8, as all that is in a CDI file must be"
        return Refusal(interface=interface, reason=reason)
    name = device_name(interface.name)
    return Device(name=name, pool=pool.name, interface=interface, lent=interface.lent)


def matches(selector: Selector, interface: Interface) -> bool:
    """Whether a link has all that the selector asks for; an empty selector takes every link."""
    pci = interface.pci
    return (
        _any_glob(selector.if_names, (interface.name, *interface.altnames))
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


def _any_glob(globs: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in names)


def _any_vf(pfs: tuple[PfRange, ...], interface: Interface) -> bool:
    vf = interface.vf
    if not pfs or vf is None:
        return not pfs
    return any(
        fnmatch.fnmatchcase(vf.pf_name, pf.name)
        and (pf.vfs is None or any(low <= vf.number <= high for low, high in pf.vfs))
        for pf in pfs
    )


def _first(
    pools: Iterable[Pool], interface: Interface, protection: Protection | None
) -> Pool | None:
    if protection and protection.hard:
        return None
    for pool in pools:
        for selector in pool.selectors:
            if matches(selector, interface) and not (
                protection and not _names(selector, interface)
            ):
                return pool
    return None


def _names(selector: Selector, interface: Interface) -> str:
    """The name by which the selector asks for just this link; empty if it is not by name."""
    own = (interface.name, *interface.altnames)
    return next((name for name in selector.if_names if name in own and not _GLOB.search(name)), "")


def _why_not(protection: Protection | None) -> str:
    if protection is None:
        return "no pool selects it"
    return protection.reason if protection.hard else f"{protection.reason}; no pool names it"


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _problems(snapshot: Snapshot, pools: Iterable[Pool]) -> Iterator[str]:
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
    hard = {one.ifindex: one for one in snapshot.protected if one.hard}
    kept = [one for one in snapshot.interfaces if one.ifindex in hard and not one.lent]
    lent = {interface.name for interface in snapshot.interfaces if interface.lent}
    for pool, selector in wanted:
        for interface in kept:
            name = _names(selector, interface)
            if name and name not in lent and matches(selector, interface):
                reason = hard[interface.ifindex].reason
                yield f"pool {pool.name}: {name} cannot be offered: it {reason}"
