"""Links that are in a pod: invisible to netlink here, rebuilt from the mover's records.

To pools and CDI files a device must look the same while it is away, or a container
could not be started again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from netdevice_plugin.attachments import Attachment
from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import decode
from netdevice_plugin.inventory.source import SYSFS
from netdevice_plugin.inventory.sysfs import Sysfs, name_pfs
from netdevice_plugin.model import Address, Interface, Protection, Route, Snapshot

_IFF_RUNNING = 0x40
_IFF_LOWER_UP = 0x10000


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
    the same device. `now` is CLOCK_BOOTTIME in seconds: address lifetimes run on.
    """
    if not attachments:
        return snapshot
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if now is None else now
    reading = Sysfs(sysfs)
    lent = [rebuild(attachment, reading, now) for attachment in attachments]
    here = [one for one in snapshot.interfaces if not _recorded(one, attachments)]
    merged = sorted((*here, *lent), key=lambda one: (one.ifindex, one.lent))
    protected = _protected(snapshot, here, {one.name for one in lent})
    return Snapshot(interfaces=name_pfs(tuple(merged)), protected=protected)


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
        rdma=hardware.rdma,
        lent=True,
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
    return tuple(found)


def _aged(address: Address, elapsed: int) -> Address:
    def left(seconds: int | None) -> int | None:
        return None if seconds is None else max(0, seconds - elapsed)

    return dataclasses.replace(
        address, valid=left(address.valid), preferred=left(address.preferred)
    )


def _routes(attachment: Attachment) -> tuple[Route, ...]:
    found: list[Route] = []
    try:
        nexthops = decode.nexthops(attachment.nexthops)
    except InventoryError:
        nexthops = {}
    for body in attachment.routes:
        try:
            found.extend(decode.routes([body], nexthops).get(attachment.link.ifindex, ()))
        except InventoryError:
            continue
    return tuple(found)


def _recorded(interface: Interface, attachments: Iterable[Attachment]) -> bool:
    return any(_is_link_of(interface, attachment) for attachment in attachments)


def _is_link_of(interface: Interface, attachment: Attachment) -> bool:
    """Whether a link on the host is the one of a record.

    Hardware tells by itself. A virtual link may share its MAC with others (VLANs)
    or have had another in the pod, so that it must be where it was as well.
    """
    link = attachment.link
    pci = interface.pci.address if interface.pci else ""
    hardware = (interface.kind, pci, interface.permanent_mac)
    if hardware != (link.kind, link.pci, _mac(link.permanent_mac)):
        return False
    if interface.permanent_mac:
        return True
    named = interface.name in (link.name, attachment.pod_name)
    numbered = interface.ifindex in (link.ifindex, attachment.pod_ifindex)
    if interface.mac and interface.mac == link.mac:
        return named or numbered
    return named and numbered


def _protected(
    snapshot: Snapshot, here: Iterable[Interface], lent: Iterable[str]
) -> tuple[Protection, ...]:
    """Keep the protections of links that are still shown, and add namesakes of lent ones."""
    found = []
    for interface in here:
        protection = snapshot.protection(interface.ifindex)
        if interface.name in lent and not (protection and protection.hard):
            reason = f"has the name of {interface.name}, which is in a pod"
            protection = Protection(ifindex=interface.ifindex, reason=reason)
        if protection:
            found.append(protection)
    return tuple(found)
