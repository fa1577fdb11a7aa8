"""Which of the free devices go well together. Pure."""

from __future__ import annotations

import collections
import dataclasses
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from netdevice_plugin.model import Device


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a device sits: its NUMA node, and the physical function that it shares."""

    numa: int | None = None
    pf: str = ""  # PCI address; of a physical function its own


NOWHERE = Place()
_LEVELS = (operator.attrgetter("numa"), operator.attrgetter("pf"))


def place(device: Device) -> Place:
    """Say where a device sits: one that is to be made with its parent, a virtual one nowhere."""
    if device.pci is None:
        return NOWHERE
    vf = device.interface.vf
    return Place(device.pci.numa_node, vf.pf_address if vf else device.pci.address)


def prefer(
    available: Iterable[str], must: Iterable[str], size: int, places: Mapping[str, Place]
) -> tuple[str, ...]:
    """Choose `size` devices: those that must be in, then the same NUMA node, then the same PF.

    Of several nodes, and of several PFs, the one with the most chosen devices
    comes first, then the smallest that has all that are wanted, so that large ones
    stay whole; then the largest; then by name. Fewer are chosen if there are no
    more, more only if more must be in. The order of `available` does not matter.
    """
    chosen = list(dict.fromkeys(must))
    free = sorted(set(available).difference(chosen))
    _pack(free, chosen, size, places, _LEVELS)
    return tuple(chosen)


def _pack(
    free: Sequence[str],
    chosen: list[str],
    size: int,
    places: Mapping[str, Place],
    levels: Sequence[Callable[[Place], Hashable]],
) -> None:
    """Move devices from `free` to `chosen`, group by group, until there are `size`."""
    if not levels:
        chosen.extend(free[: max(0, size - len(chosen))])
        return
    groups: dict[Hashable, list[str]] = {}
    for name in free:
        groups.setdefault(levels[0](places.get(name, NOWHERE)), []).append(name)
    while groups and len(chosen) < size:
        near = collections.Counter(levels[0](places.get(name, NOWHERE)) for name in chosen)
        best = _best(groups, near, size - len(chosen))
        _pack(groups.pop(best), chosen, size, places, levels[1:])


def _best(
    groups: Mapping[Hashable, Sequence[str]], near: Mapping[Hashable, int], wanted: int
) -> Hashable:
    """Pick the group to take from next; `near` counts how many of each are chosen."""

    def rank(key: Hashable) -> tuple[int, bool, int, str]:
        have = len(groups[key])
        fits = have >= wanted
        return -near.get(key, 0), not fits, have if fits else -have, groups[key][0]

    return min(groups, key=rank)
