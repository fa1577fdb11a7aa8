"""Which device goes into which slice: the one that it is in, as long as that can be. Pure.

A change of one device is then the write of one slice, and no new generation of all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

LIMIT = 128  # devices of a slice
LIMIT_TAINTED = 64  # if any of them has a taint


@dataclasses.dataclass(slots=True)
class _Bin:
    """A slice that is being filled."""

    names: set[str]
    tainted: bool = False

    def takes(self, tainted: bool) -> bool:
        limit = LIMIT_TAINTED if tainted or self.tainted else LIMIT
        return len(self.names) < limit

    def add(self, name: str, tainted: bool) -> None:
        self.names.add(name)
        self.tainted |= tainted


def pack(
    current: Sequence[Collection[str]], wanted: Mapping[str, bool]
) -> tuple[tuple[str, ...], ...]:
    """Divide devices by name among slices: first the current ones, in their order, then new ones.

    `wanted` says of each device whether it has a taint. A device stays in the first slice
    that has it, unless that would be too full; then as few leave it as possible. A slice
    that nothing is left of is empty in the result. Without any slice to start from there
    are as few as there can be.
    """
    bins = _stay(current, wanted)
    placed = {name for one in bins for name in one.names}
    loose = (name for name in wanted if name not in placed)
    for name in sorted(loose, key=lambda name: (not wanted[name], name)):
        tainted = wanted[name]
        fitting = [one for one in bins if one.takes(tainted)]
        if not fitting:
            fitting = [_Bin(set())]
            bins += fitting
        min(fitting, key=lambda one: one.tainted is not tainted).add(name, tainted)
    return tuple(tuple(sorted(one.names)) for one in bins)


def _stay(current: Sequence[Collection[str]], wanted: Mapping[str, bool]) -> list[_Bin]:
    bins = []
    seen: set[str] = set()
    for several in current:
        names = {name for name in several if name in wanted and name not in seen}
        seen |= names
        names -= _overflow(names, wanted)
        bins.append(_Bin(names, any(wanted[name] for name in names)))
    return bins


def _overflow(names: Collection[str], wanted: Mapping[str, bool]) -> set[str]:
    """Choose who leaves a slice that is too full: those with a taint if they are the fewer."""
    tainted = sorted(name for name in names if wanted[name])
    plain = sorted(name for name in names if not wanted[name])
    excess = len(names) - LIMIT_TAINTED
    if tainted and excess > 0 and len(tainted) > excess:
        room = max(0, LIMIT_TAINTED - len(tainted))
        return {*tainted[LIMIT_TAINTED:], *plain[room:]}
    if tainted and excess > 0:
        return {*tainted, *plain[LIMIT:]}
    return set(plain[LIMIT:])
