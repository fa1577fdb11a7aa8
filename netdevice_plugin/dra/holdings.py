"""Which claim has which device, and who is in another's way. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netdevice_plugin.dra.claim import Allocation, ClaimRef
from netdevice_plugin.model import VIA_DRA


def owned(allocation: Allocation) -> frozenset[str]:
    """Name the devices that are a claim's own; what it has adminAccess to are not."""
    return frozenset(one.device for one in allocation.results if not one.admin)


def held(allocations: Iterable[Allocation]) -> dict[str, ClaimRef]:
    """Say whose each device is."""
    return {device: one.claim for one in allocations for device in sorted(owned(one))}


def in_use(allocations: Iterable[Allocation], driver: str) -> dict[str, frozenset[str]]:
    """List the devices that are claims' own, by `Pool.key`."""
    found: dict[str, set[str]] = {}
    for allocation in allocations:
        for one in allocation.results:
            if not one.admin:
                pool = one.pool.partition("/")[2]
                found.setdefault(f"{driver}/{pool}{VIA_DRA}", set()).add(one.device)
    return {key: frozenset(names) for key, names in found.items()}


def asked(allocations: Iterable[Allocation]) -> dict[str, str]:
    """Say for what ports may be attached, and the MAC of the NIC: empty until it is known."""
    return {
        request(one.claim, device): one.mac(device)
        for one in allocations
        for device in sorted(owned(one))
    }


def nics(allocations: Iterable[Allocation]) -> dict[str, str]:
    """Name the devices whose NICs were attached for claims, by MAC."""
    found = (pair for one in allocations for pair in one.macs if pair[0] in owned(one))
    return {mac: device for device, mac in found if mac}


def request(claim: ClaimRef, device: str) -> str:
    """Name what a port is attached for; no other claim, and no other device, has that name."""
    return f"{claim.uid}/{device}"


def in_the_way(wanted: Allocation, allocations: Iterable[Allocation]) -> list[Allocation]:
    """Find the other claims that have a device which one is to have."""
    devices = owned(wanted)
    return [
        one for one in allocations if one.claim.uid != wanted.claim.uid and owned(one) & devices
    ]
