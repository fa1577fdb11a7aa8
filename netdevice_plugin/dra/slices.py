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

_MAX_TAINT_VALUE = 63  # a label's value
_WRITTEN = ("name", "attributes", "taints")  # all that we ever say of a device


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WantedPool:
    """All devices of one pool on this node, by name; `problems` are lines for the log."""

    name: str  # "<node>/<pool>"
    devices: tuple[Json, ...] = ()
    problems: tuple[str, ...] = ()


def pool_name(node: str, pool: str) -> str:
    """Name a pool for slices and claims: device names are unique in a node only."""
    return f"{node}/{pool}"


def wanted(  # noqa: PLR0913 - all by name, and half of them with a default
    listings: Iterable[Listing],
    *,
    node: str,
    allocated: Collection[str],
    taints: bool,
    published: Mapping[str, Json] | None = None,
    standard_numa: bool = False,
) -> tuple[WantedPool, ...]:
    """Say what to publish of what is listed; pools of other front ends are left out.

    A device that a claim has (`allocated`) stays as it was `published`, to the letter:
    what its record does not tell, as the speed, must not come and go with every loan.
    `published` is what `remember` made of the last call. A device with a fault that no
    claim has gets a taint if the server knows `taints`, else it is left out. One in a
    pod that no claim accounts for keeps its attributes as well, and can have a taint.
    Of a retired pool only what claims have is left.
    """
    maker = _Maker(frozenset(allocated), taints, published or {}, standard_numa)
    mine = (listing for listing in listings if listing.pool.frontend is Frontend.DRA)
    return tuple(sorted((maker.pool(one, node) for one in mine), key=lambda pool: pool.name))


def remember(pools: Iterable[WantedPool]) -> dict[str, Json]:
    """Keep what was last published, for the next `wanted`."""
    return {_key(pool.name, device): device for pool in pools for device in pool.devices}


def recall(existing: Iterable[Json]) -> dict[str, Json]:
    """Find what an agent before this one published, in its slices (v1, of this node only)."""
    found: dict[str, Json] = {}
    for one in existing:
        spec = _mapping(one.get("spec"))
        pool = str(_mapping(spec.get("pool")).get("name"))
        devices = spec.get("devices")
        for device in devices if isinstance(devices, list) else ():
            found[_key(pool, device)] = {key: device[key] for key in _WRITTEN if key in device}
    return found


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _key(pool: str, device: Json) -> str:
    return f"{pool}/{device.get('name')}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Maker:
    allocated: frozenset[str]
    taints: bool
    published: Mapping[str, Json]
    standard_numa: bool

    def pool(self, listing: Listing, node: str) -> WantedPool:
        name = pool_name(node, listing.pool.name)
        devices: list[Json] = []
        problems: list[str] = []
        for one in sorted(listing.devices, key=lambda one: one.device.name):
            if self._is_shown(one, listing):
                made, lines = self._device(one, name, listing.pool.prefix)
                devices.append(made)
                problems.extend(lines)
        return WantedPool(name=name, devices=tuple(devices), problems=tuple(problems))

    def _is_shown(self, one: Listed, listing: Listing) -> bool:
        if one.device.name in self.allocated:
            return True
        return not listing.retired and (self.taints or not one.fault)

    def _device(self, one: Listed, pool: str, driver: str) -> tuple[Json, tuple[str, ...]]:
        """Make a device as the slice has it, with what was left out."""
        name = one.device.name
        before = self.published.get(f"{pool}/{name}")
        held = name in self.allocated
        if before is not None and held:
            return before if self.taints else _without_taints(before), ()
        found, problems = attributes.of(one.device, standard_numa=self.standard_numa)
        made: dict[str, object] = {"name": name, "attributes": found}
        if before is not None and one.device.lent:
            made["attributes"] = before.get("attributes", {})
        if one.fault and not held:
            made["taints"] = [_taint(one.fault, driver)]
        return made, problems


def _without_taints(device: Json) -> Json:
    return {key: value for key, value in device.items() if key != "taints"}


def _taint(fault: str, driver: str) -> dict[str, str]:
    """Say that no pod may have a device; the value is the beginning of the reason."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", re.split("[:,]", fault)[0])
    value = words[:_MAX_TAINT_VALUE].strip("-")
    return {"key": f"{driver}/unhealthy", "value": value, "effect": "NoSchedule"}
