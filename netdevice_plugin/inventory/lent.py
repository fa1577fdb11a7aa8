"""Links that are in a pod: invisible to netlink here, rebuilt from the mover's records.

To pools and CDI files a device must look the same while it is away, or a container
could not be started again.
"""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import decode, routes
from netdevice_plugin.inventory.pfs import name_pfs
from netdevice_plugin.inventory.source import SYSFS
from netdevice_plugin.inventory.sysfs import Sysfs
from netdevice_plugin.model import Address, Interface, Protection, Route, Snapshot

_IFF_RUNNING = 0x40
_IFF_LOWER_UP = 0x10000


class _Memory:
    """What the last merge rebuilt. It saves work, and changes no result."""

    def __init__(self) -> None:
        self._place = (0, SYSFS)  # the snapshot's reading, and where
        self._links: dict[str, tuple[Attachment, Interface]] = {}  # by device

    def recall(self, reading: int, sysfs: Path, attachment: Attachment) -> Interface | None:
        """The link of a record that is as it was; not one whose lifetimes have run on."""
        record, link = self._links.get(attachment.device, (None, None))
        if not reading or (reading, sysfs) != self._place or record != attachment or link is None:
            return None
        lasting = all(one.valid is None and one.preferred is None for one in link.addresses)
        return link if lasting else None

    def keep(
        self, reading: int, sysfs: Path, links: Iterable[tuple[Attachment, Interface]]
    ) -> None:
        """Remember these, and only these."""
        self._place = reading, sysfs
        self._links = {attachment.device: (attachment, link) for attachment, link in links}


_memory = _Memory()


def merge(
    snapshot: Snapshot,
    attachments: Sequence[Attachment],
    *,
    sysfs: Path = SYSFS,
    now: float | None = None,
) -> Snapshot:
    """Add the links that have a record, as they were on the host, marked as lent.

    A link on its way, or one that fell home under its pod's name, is not shown
    twice: its record replaces it, whatever its phase, until the mover removes that.
    A newcomer that took the name of a lent link is protected, because it would be
    the same device; but see `standing`. A link that was born in a pod is none of the
    host's: only its device is noted. `now` is CLOCK_BOOTTIME in seconds: address
    lifetimes run on. What is as it was in the last call is the very same object.
    """
    attachments = standing(snapshot, attachments)
    if not attachments:
        return snapshot
    born = [one for one in attachments if one.born]
    moved = [one for one in attachments if not one.born]
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if now is None else now
    reading, devices = snapshot.reading, Sysfs(sysfs)
    lent = (
        (_memory.recall(reading, sysfs, one) or rebuild(one, devices, now), one) for one in moved
    )
    index = _Index(moved)
    here = ((one, None) for one in snapshot.interfaces if not index.has(one))
    both = sorted((*here, *lent), key=_rank)
    merged = name_pfs(tuple(one for one, _ in both))
    pairs = zip(merged, both, strict=True)
    _memory.keep(reading, sysfs, ((record, one) for one, (_, record) in pairs if record))
    return dataclasses.replace(
        snapshot,
        interfaces=merged,
        protected=_protected(snapshot, merged),
        born=frozenset(one.device for one in born),
        bereft=_bereft(snapshot, born) if born else frozenset(),
    )


def standing(snapshot: Snapshot, attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """The records that say something of their device still.

    Not that of a NIC which is lost, and which nobody holds, once the host has one in its
    slot: under its name the same one or another, as the mover finds out when that is lent,
    and drops the record; or the same one, however it is called now; or one without a driver
    that would make a link. One that has the name it had in the pod was not plugged again:
    the mover has to make it what it was.
    """
    if not any(_is_over(one) for one in attachments):
        return tuple(attachments)
    here = [one for one in snapshot.interfaces if one.pci and not one.lent]
    bare = {one.pci.address for one in snapshot.functions if one.pci}
    return tuple(
        one
        for one in attachments
        if not _is_over(one)
        or not (one.link.pci in bare or any(_replaces(interface, one) for interface in here))
    )


def _replaces(interface: Interface, attachment: Attachment) -> bool:
    if interface.pci is None or interface.pci.address != attachment.link.pci:
        return False
    if interface.name == _names(attachment)[0]:
        return True
    return interface.name != attachment.pod_name and _is_link_of(interface, attachment)


def _is_over(attachment: Attachment) -> bool:
    return attachment.phase is Phase.LOST and not attachment.holders


def _bereft(snapshot: Snapshot, born: Iterable[Attachment]) -> frozenset[str]:
    """Name the devices that ended in their pods, as the kernel removes links with their parent.

    Another one may have its name by now, and never its ifindex.
    """
    here = {one.ifindex for one in snapshot.interfaces}
    return frozenset(
        one.device for one in born if one.spec.ifindex and one.spec.ifindex not in here
    )


def _rank(one: tuple[Interface, Attachment | None]) -> tuple[int, bool]:
    return one[0].ifindex, one[0].lent


def rebuild(attachment: Attachment, sysfs: Sysfs, now: float) -> Interface:
    """Describe the link of a record as it was on the host.

    What a record does not hold (master, peer, speed) is as in a link that has
    none. Messages in it that make no sense are left out: they only serve display
    here, and the mover, which puts them back, judges them itself.
    """
    link = attachment.link
    hardware = sysfs.function(link.pci)
    elapsed = max(0, int(now) - attachment.recorded) if attachment.recorded is not None else 0
    name, altnames = _names(attachment)
    rdma = hardware.rdma or link.rdma  # one that went with the link is not shown here
    return Interface(
        ifindex=link.ifindex,
        name=name,
        altnames=altnames,
        kind=link.kind,
        link_type=decode.link_type(1 if link.type is None else link.type),
        mac=_mac(link.mac),
        permanent_mac=_mac(link.permanent_mac),
        mtu=link.mtu or 0,
        flags=link.flags,
        operstate="up" if link.flags & _IFF_RUNNING else "down",
        carrier=bool(link.flags & _IFF_LOWER_UP),
        alias=link.alias,
        addresses=_addresses(attachment.addresses, elapsed),
        routes=_routes(attachment),
        driver=hardware.driver,
        pci=hardware.pci,
        pf=hardware.pf,
        vf=hardware.vf,
        rdma=rdma,
        rdma_nodes=hardware.rdma_nodes if rdma else (),
        lent=True,
        pulled=bool(link.pci) and not hardware.present,
    )


def _names(attachment: Attachment) -> tuple[str, tuple[str, ...]]:
    """Name a link as its CDI file does, or the device would be gone from there.

    The host may have renamed it since: the mover finds it by its MAC.
    """
    link = attachment.link
    name = attachment.spec.link or link.name
    return name, tuple(one for one in (*link.altnames, link.name) if one != name)


def _mac(text: str) -> str:
    """Write a recorded MAC as a snapshot does, which has none for all zeros."""
    return text if text.strip("0:") else ""


def _addresses(bodies: Iterable[bytes], elapsed: int) -> tuple[Address, ...]:
    found = []
    for body in bodies:
        try:
            decoded = decode.address(body)
        except InventoryError:
            continue
        if decoded:
            found.append(_aged(decoded[1], elapsed))
    return decode.ordered(found)


def _aged(address: Address, elapsed: int) -> Address:
    def left(seconds: int | None) -> int | None:
        return None if seconds is None else max(0, seconds - elapsed)

    return dataclasses.replace(
        address, valid=left(address.valid), preferred=left(address.preferred)
    )


def _routes(attachment: Attachment) -> tuple[Route, ...]:
    found: list[Route] = []
    try:
        nexthops = routes.nexthops(attachment.nexthops)
    except InventoryError:
        nexthops = {}
    for body in attachment.routes:
        try:
            found.extend(routes.by_link([body], nexthops).get(attachment.link.ifindex, ()))
        except InventoryError:
            continue
    return routes.ordered(found)


class _Index:
    """The records that a link on the host may be of, found without a look at each."""

    def __init__(self, attachments: Iterable[Attachment]) -> None:
        self._candidates: defaultdict[str | int, list[Attachment]] = defaultdict(list)
        for one in attachments:
            link = one.link
            marks: set[str | int | None] = {
                link.name,
                one.pod_name,
                link.ifindex,
                one.pod_ifindex,
                link.permanent_mac,
            }
            for mark in marks:
                if mark:
                    self._candidates[mark].append(one)

    def has(self, interface: Interface) -> bool:
        """Whether a link on the host is that of a record."""
        marks = (interface.name, interface.ifindex, interface.permanent_mac)
        found = (self._candidates.get(mark, ()) for mark in marks if mark in self._candidates)
        return any(_is_link_of(interface, one) for several in found for one in several)


def _is_link_of(interface: Interface, attachment: Attachment) -> bool:
    """Whether a link on the host is the one of a record.

    Hardware tells by itself, but for virtual functions whose drivers call whatever MAC
    they have the permanent one. A virtual link may share its MAC with others (VLANs)
    or have had another in the pod, so that it must be where it was as well.
    """
    link = attachment.link
    pci = interface.pci.address if interface.pci else ""
    if (interface.kind, pci) != (link.kind, link.pci):
        return False
    if interface.permanent_mac != _mac(link.permanent_mac):
        return interface.vf is not None and interface.permanent_mac == interface.mac
    if interface.permanent_mac:
        return True
    named = interface.name in (link.name, attachment.pod_name)
    numbered = interface.ifindex in (link.ifindex, attachment.pod_ifindex)
    if interface.mac and interface.mac == link.mac:
        return named or numbered
    return named and numbered


def _protected(snapshot: Snapshot, merged: Sequence[Interface]) -> tuple[Protection, ...]:
    """Keep the protections of links that are still shown, and add namesakes of lent ones."""
    lent = {one.name for one in merged if one.lent}
    here = {one.ifindex for one in merged if not one.lent}
    found = {one.ifindex: one for one in snapshot.protected if one.ifindex in here}
    for one in merged:
        if one.name in lent and not one.lent:
            known = found.get(one.ifindex)
            if known is None or not known.hard:
                reason = f"has the name of {one.name}, which is in a pod"
                kept = Protection(ifindex=one.ifindex, reason=reason, namesake=known is None)
                found[one.ifindex] = kept
    return tuple(found[ifindex] for ifindex in sorted(found))
