"""Which devices a container gets, as the kubelet's device manager chooses them. Pure.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager: devicesToAllocate and filterByAffinity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

Nodes = Mapping[str, tuple[int, ...]]  # NUMA nodes by device
Prefer = Callable[[frozenset[str], frozenset[str], int], frozenset[str]]
Order = Callable[[Iterable[str]], list[str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """The free devices by how well they fit the pod's NUMA nodes."""

    aligned: frozenset[str] = frozenset()
    unaligned: frozenset[str] = frozenset()
    rest: frozenset[str]


def affinity(free: frozenset[str], nodes: Nodes, needed: int) -> Affinity:
    """As with a topology manager: the lowest node that has enough, else all nodes."""
    placed = frozenset(device for device in free if nodes.get(device))
    if not placed:
        return Affinity(rest=free)
    aligned = placed
    for node in sorted({node for device in placed for node in nodes[device]}):
        here = frozenset(device for device in placed if node in nodes[device])
        if len(here) >= needed:
            aligned = here
            break
    return Affinity(aligned=aligned, unaligned=placed - aligned, rest=free - placed)


def choose(
    size: int, reusable: frozenset[str], free: Affinity, prefer: Prefer, order: Order
) -> list[str]:
    """Take so many devices: reusable ones, aligned ones, preferred ones, any.

    `prefer` asks the plugin; it is asked for the whole size, with what is chosen already
    as what must be included. `order` is what Go's sets have: none.
    """
    chosen: list[str] = []

    def enough(devices: Iterable[str]) -> bool:
        left = order(set(devices) - set(chosen))
        chosen.extend(left[: size - len(chosen)])
        return len(chosen) == size

    if enough(reusable):
        return chosen
    if size - len(chosen) < len(free.aligned):
        preferred = prefer(free.aligned | set(chosen), frozenset(chosen), size)
        _ = enough(preferred & free.aligned) or enough(free.aligned)
        return chosen
    if enough(free.aligned):
        return chosen
    available = free.aligned | free.unaligned | free.rest
    preferred = prefer(available | set(chosen), frozenset(chosen), size)
    _ = enough(preferred & available) or enough(free.unaligned) or enough(free.rest)
    return chosen
