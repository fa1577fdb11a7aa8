"""Functions that we bound, as they were before: so they keep their place in the pools. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.model import Interface, Snapshot

_IFF_UP = 1


def merge(snapshot: Snapshot, records: Iterable[FunctionRecord]) -> Snapshot:
    """Complete each function without a link by its record, if it has one.

    Name, altnames, MAC, MTU and addresses are those of the link that it had, drivers
    those before: pools select by these. A function that has its link is as it is.
    """
    known = {record.address: record for record in records}
    if not known or not snapshot.functions:
        return snapshot
    functions = tuple(_complete(function, known) for function in snapshot.functions)
    return dataclasses.replace(snapshot, functions=functions)


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
