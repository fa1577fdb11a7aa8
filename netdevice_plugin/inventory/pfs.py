"""What virtual functions know of the physical one that they belong to. Pure."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping

from netdevice_plugin.model import Interface


def name_pfs(
    interfaces: tuple[Interface, ...], modes: Mapping[str, str] | None = None
) -> tuple[Interface, ...]:
    """Tell virtual functions of their PF's link, where that is in sight, and PFs their mode.

    Of several links on one PF (two ports on one function) the first is meant. `modes`
    are those of the eswitches, by PCI address; None leaves them as they are. What is as
    it should be is the very same object.
    """
    if not any([one.vf or one.pf for one in interfaces]):  # noqa: C419 - twice as fast
        return interfaces
    links = links_of(interfaces)
    told = tuple(
        [name_pf(_with_mode(one, modes), links) if one.vf or one.pf else one for one in interfaces]
    )
    return interfaces if all(map(operator.is_, told, interfaces)) else told


def links_of(interfaces: Iterable[Interface]) -> dict[str, Interface]:
    """Find the link of each physical function, by PCI address."""
    found: dict[str, Interface] = {}
    for one in interfaces:
        if one.pf and one.pci:
            found.setdefault(one.pci.address, one)
    return found


def name_pf(interface: Interface, pfs: Mapping[str, Interface]) -> Interface:
    """Tell a virtual function the names and the state of its PF's link."""
    vf = interface.vf
    if vf is None:
        return interface
    link = pfs.get(vf.pf_address)
    name = link.name if link else ""
    state = link.operstate if link and not link.lent else "unknown"  # in a pod nobody hears of it
    state = "" if state == "unknown" else state
    altnames = link.altnames if link else ()
    if (name, altnames, state) == (vf.pf_name, vf.pf_altnames, vf.pf_state):
        return interface
    told = dataclasses.replace(vf, pf_name=name, pf_altnames=altnames, pf_state=state)
    return dataclasses.replace(interface, vf=told)


def _with_mode(interface: Interface, modes: Mapping[str, str] | None) -> Interface:
    pf, pci = interface.pf, interface.pci
    if modes is None or pf is None or pci is None:
        return interface
    mode = modes.get(pci.address, "")
    if mode == pf.eswitch:
        return interface
    return dataclasses.replace(interface, pf=dataclasses.replace(pf, eswitch=mode))
