"""Functions that we bound, as they were before: so they keep their place in the pools. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.model import Interface, Snapshot

_IFF_UP = 1
_NOTHING = Snapshot()


def merge(
    snapshot: Snapshot, records: Iterable[FunctionRecord], last: Snapshot = _NOTHING
) -> Snapshot:
    """Complete each function without a link by its record, if it has one.

    Name, altnames, MAC, MTU and addresses are those of the link that it had, drivers
    those before: pools select by these. A function that has its link is as it is. One
    that is in neither is between two drivers, or pulled, and is shown as it was in
    `last`, the merged snapshot before this one: a pod may be about to have it. What the
    mover has on record of a link on one, which was lost, is of no more use.
    """
    known = {record.address: record for record in records}
    if not known:
        return snapshot
    interfaces = tuple(
        one for one in snapshot.interfaces if not (one.lent and _address(one) in known)
    )
    missing = known.keys() - _addresses(interfaces) - _addresses(snapshot.functions)
    between = [
        dataclasses.replace(one, ifindex=0, routes=(), master=None, lower=None, carrier=False)
        for one in (*last.interfaces, *last.functions)
        if one.pci and one.pci.address in missing
    ]
    functions = [_complete(one, known) for one in (*snapshot.functions, *between)]
    functions.sort(key=_address)
    return dataclasses.replace(snapshot, interfaces=interfaces, functions=tuple(functions))


def is_awaited(record: FunctionRecord, snapshot: Snapshot) -> bool:
    """Whether the link of a function that is home again is not in a snapshot yet."""
    return record.link is not None and record.address not in _addresses(snapshot.interfaces)


def _address(function: Interface) -> str:
    return function.pci.address if function.pci else ""


def _addresses(interfaces: Iterable[Interface]) -> set[str]:
    return {one.pci.address for one in interfaces if one.pci}


def _complete(function: Interface, known: dict[str, FunctionRecord]) -> Interface:
    record = known.get(function.pci.address) if function.pci else None
    if record is None or function.pci is None:
        return function
    pci = dataclasses.replace(function.pci, driver=record.driver)
    link = record.link
    if link is None:
        return dataclasses.replace(function, pci=pci, driver=record.driver)
    return dataclasses.replace(
        function,
        pci=pci,
        driver=link.driver or record.driver,
        name=link.name,
        altnames=link.altnames,
        mac=link.mac,
        permanent_mac=link.permanent_mac,
        mtu=link.mtu,
        flags=_IFF_UP if link.up else 0,
        addresses=link.addresses,
    )
