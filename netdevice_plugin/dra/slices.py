"""What our ResourceSlices are to say: the devices of each pool, in the shape of v1. Pure.

The slices that they go into are `packing`'s, and the writes that it takes `planning`'s.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping

from netdevice_plugin.dra import attributes
from netdevice_plugin.model import Frontend, Listed
from netdevice_plugin.offering import Listing

Json = Mapping[str, object]

MAX_POOL_NAME = 253  # characters, all ASCII
_MAX_TAINT_VALUE = 63  # a label's value
_WRITTEN = ("name", "attributes", "taints")  # all that we ever say of a device


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """What a slice says of a device, and what that was made of: with the same it is the same."""

    device: Json
    problems: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    listed: Listed | None = dataclasses.field(default=None, compare=False)


Memory = Mapping[str, Mapping[str, Published]]  # by pool, by device


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WantedPool:
    """All devices of one pool on this node, by name; `problems` are lines for the log."""

    name: str  # "<node>/<pool>"
    devices: tuple[Json, ...] = ()
    problems: tuple[str, ...] = ()
    memory: Mapping[str, Published] = dataclasses.field(default_factory=dict, compare=False)


def pool_name(node: str, pool: str) -> str:
    """Name a pool for slices and claims: device names are unique in a node only."""
    return f"{node}/{pool}"


def wanted(
    listings: Iterable[Listing],
    *,
    node: str,
    allocated: Collection[str],
    taints: bool,
    published: Memory | None = None,
) -> tuple[WantedPool, ...]:
    """Say what to publish of what is listed; pools of other front ends are left out.

    A device that a claim has (`allocated`) stays as it was `published`, to the letter:
    what its record does not tell, as the speed, must not come and go with every loan.
    `published` is what `remember` made of the last call. A device with a fault that no
    claim has gets a taint if the server knows `taints`, else it is left out. One in a
    pod that no claim accounts for keeps its attributes as well, and can have a taint.
    Of a retired pool only what claims have is left; one that is `refused` is left out.
    What is listed by the same object as in the last call is the same object in the
    result, which took no time.
    """
    maker = _Maker(frozenset(allocated), taints, published or {})
    mine = (one for one in listings if one.pool.frontend is Frontend.DRA and _fits(one, node))
    return tuple(sorted((maker.pool(one, node) for one in mine), key=lambda pool: pool.name))


def refused(listings: Iterable[Listing], *, node: str) -> str:
    """Say why a pool cannot be in slices at all, of the first such; empty if all can.

    The server would answer 422, to the slices of that pool for ever.
    """
    for one in listings:
        if one.pool.frontend is Frontend.DRA and not _fits(one, node):
            name = pool_name(node, one.pool.name)
            return (
                f"the pool {one.pool.name} is called {name} in slices: {len(name)} characters, "
                f"at most {MAX_POOL_NAME} are allowed"
            )
    return ""


def _fits(listing: Listing, node: str) -> bool:
    return len(pool_name(node, listing.pool.name)) <= MAX_POOL_NAME


def remember(pools: Iterable[WantedPool]) -> Memory:
    """Keep what was last published, for the next `wanted`."""
    return {pool.name: pool.memory for pool in pools}


def recall(existing: Iterable[Json]) -> Memory:
    """Find what an agent before this one published, in its slices (v1, of this node only)."""
    found: dict[str, dict[str, Published]] = {}
    for one in existing:
        spec = _mapping(one.get("spec"))
        pool = str(_mapping(spec.get("pool")).get("name"))
        devices = spec.get("devices")
        for device in devices if isinstance(devices, list) else ():
            said = Published({key: device[key] for key in _WRITTEN if key in device})
            found.setdefault(pool, {})[device.get("name")] = said
    return found


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


@dataclasses.dataclass(frozen=True, slots=True)
class _Maker:
    allocated: frozenset[str]
    taints: bool
    published: Memory

    def pool(self, listing: Listing, node: str) -> WantedPool:
        name = pool_name(node, listing.pool.name)
        before = self.published.get(name, {})
        made = {
            one.device.name: self._device(one, before.get(one.device.name), listing.pool.prefix)
            for one in sorted(listing.devices, key=lambda one: one.device.name)
            if self._is_shown(one, listing)
        }
        return WantedPool(
            name=name,
            devices=tuple(one.device for one in made.values()),
            problems=tuple(line for one in made.values() for line in one.problems),
            memory=made,
        )

    def _is_shown(self, one: Listed, listing: Listing) -> bool:
        if one.device.name in self.allocated:
            return True
        return not listing.retired and (self.taints or not one.fault)

    def _device(self, one: Listed, before: Published | None, driver: str) -> Published:
        """Make a device as the slice has it, with what was left out."""
        held = one.device.name in self.allocated
        if before and held:
            return before if self.taints else _without_taints(before)
        if before and before.listed is one:
            return before
        found, problems = attributes.of(one.device)
        made: dict[str, object] = {"name": one.device.name, "attributes": found}
        if before and one.device.lent:
            made["attributes"] = before.device.get("attributes", {})
        if one.fault and not held:
            made["taints"] = [_taint(one.fault, driver)]
        return Published(made, problems, None if held else one)


def _without_taints(one: Published) -> Published:
    if "taints" not in one.device:
        return one
    return Published({key: value for key, value in one.device.items() if key != "taints"})


def _taint(fault: str, driver: str) -> dict[str, str]:
    """Say that no pod may have a device; the value is the beginning of the reason."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", re.split("[:,]", fault)[0])
    value = words[:_MAX_TAINT_VALUE].strip("-")
    return {"key": f"{driver}/unhealthy", "value": value, "effect": "NoSchedule"}
