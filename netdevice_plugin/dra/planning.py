"""The fewest writes that make the slices on the API server what they should be. Pure.

A consumer looks at the slices of a pool's newest generation, and at none until there are
as many of them as each says. So a change within slices needs no new generation; a slice
more or less, or a device that goes from one to another, needs all of them anew. Whoever
is stopped halfway, or finds that others have been at the slices, plans again from what
there is then. Slices of other nodes and drivers are never touched. Facts:
k8s.io/api/resource/v1, and the controller in k8s.io/dynamic-resource-allocation.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netdevice_plugin.dra import packing
from netdevice_plugin.dra.slices import WantedPool

Object = Mapping[str, Any]

_LAST_GENERATION = 2**63 - 1  # nothing can follow it: such a slice can only go
_MAX_NODE = 120  # characters of the node's name in the slice's: the server adds to it

# What Kubernetes has for a slice and a device, and we never set: somebody else did. What
# is not here, and is not ours, is of a later version, and is left as it is.
_UNUSED = frozenset({"allNodes", "nodeSelector", "perDeviceNodeSelection", "sharedCounters"})
_UNUSED_OF_DEVICE = frozenset(
    {
        *("allNodes", "allowMultipleAllocations", "attributes", "bindingConditions"),
        *("bindingFailureConditions", "bindsToNode", "capacity", "consumesCounters"),
        *("nodeName", "nodeSelector", "taints"),
    }
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The Node object that the slices belong to: when it goes, they go."""

    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Writes in the order that they have to be made in: deletes, updates, creates.

    All are v1. Deletes are objects as they were found; updates carry the
    resourceVersion that was found, creates a `generateName`.
    """

    deletes: tuple[Object, ...] = ()
    updates: tuple[Object, ...] = ()
    creates: tuple[Object, ...] = ()

    @property
    def writes(self) -> int:
        """How many requests it takes; 0 is nothing to do."""
        return len(self.deletes) + len(self.updates) + len(self.creates)


@dataclasses.dataclass(frozen=True, slots=True)
class _Slice:
    """What of a slice decides, and the slice itself."""

    raw: Object
    name: str
    generation: int
    count: int
    devices: Mapping[str, Object]
    dying: bool  # it was deleted, and waits for a finalizer: no write helps

    @classmethod
    def of(cls, raw: Object) -> _Slice:
        pool = raw["spec"]["pool"]
        return cls(
            raw=raw,
            name=raw["metadata"]["name"],
            generation=pool.get("generation", 0),
            count=pool.get("resourceSliceCount", 0),
            devices={one["name"]: one for one in raw["spec"].get("devices") or ()},
            dying="deletionTimestamp" in raw["metadata"],
        )


def plan(
    existing: Iterable[Object], wanted: Iterable[WantedPool], *, driver: str, node: Node
) -> Plan:
    """Plan the writes from the slices that there are (v1) to the pools that are wanted.

    A pool without devices is one empty slice, and one with devices keeps one that the last
    device has left; of a pool that is not wanted none is left.
    """
    found: defaultdict[str, list[_Slice]] = defaultdict(list)
    for raw in existing:
        spec = raw["spec"]
        if spec["driver"] == driver and spec.get("nodeName") == node.name:
            found[spec["pool"]["name"]].append(_Slice.of(raw))
    plans = [_Pool(found.pop(pool.name, []), pool, driver, node).plan() for pool in wanted]
    gone = [one for several in found.values() for one in several]
    plans.append(Plan(deletes=_deletes(gone)))
    return Plan(
        deletes=tuple(one for each in plans for one in each.deletes),
        updates=tuple(one for each in plans for one in each.updates),
        creates=tuple(one for each in plans for one in each.creates),
    )


def apart(plan: Plan, existing: Iterable[Object]) -> tuple[Object, ...]:
    """Find the updates that need not be made with the others: they change devices alone.

    All other writes of a plan are parts of a new generation, which nobody can use before
    it is complete.
    """
    before = {one["metadata"]["name"]: one["spec"]["pool"] for one in existing}
    anew = {one["spec"]["pool"]["name"] for one in (*plan.deletes, *plan.creates)}
    anew |= {
        one["spec"]["pool"]["name"]
        for one in plan.updates
        if one["spec"]["pool"] != before.get(one["metadata"]["name"])
    }
    return tuple(one for one in plan.updates if one["spec"]["pool"]["name"] not in anew)


def dropped(sent: Object, came_back: Object) -> frozenset[str]:
    """Name the fields of devices that the server answered a write of ours without.

    A server drops a field without a word where its feature gate is off: `taints`.
    """
    after = {one["name"]: one for one in came_back["spec"].get("devices") or ()}
    pairs = [
        (one, after[one["name"]])
        for one in sent["spec"].get("devices") or ()
        if one["name"] in after
    ]
    return frozenset(key for before, now in pairs for key in before if key not in now)


def _deletes(slices: Iterable[_Slice]) -> tuple[Object, ...]:
    return tuple(one.raw for one in slices if not one.dying)


class _Pool:
    """The steps of `plan` for one pool, with what they look up."""

    def __init__(
        self, slices: Sequence[_Slice], wanted: WantedPool, driver: str, node: Node
    ) -> None:
        self.slices = slices
        self.pool = wanted.name
        self.driver = driver
        self.node = node
        self.devices = {str(one["name"]): one for one in wanted.devices}
        usable = [one for one in slices if not one.dying and one.generation < _LAST_GENERATION]
        self.usable = sorted(usable, key=lambda one: (-one.generation, one.name))

    def plan(self) -> Plan:
        tainted = {name: bool(device.get("taints")) for name, device in self.devices.items()}
        packed = packing.pack([one.devices for one in self.usable], tainted)
        kept = {one.name: names for one, names in zip(self.usable, packed, strict=False) if names}
        new = packed[len(self.usable) :]
        if not new and (spare := self._spare(kept)):
            kept[spare.name] = ()
        elif not kept and not new:
            new = ((),)
        count = len(kept) + len(new)
        generation = self._generation(kept, new, count)
        updates = []
        for one in self.usable:
            if one.name in kept:
                changed = self._changed(one, kept[one.name], generation, count)
                updates += [changed] if changed != one.raw else []
        return Plan(
            deletes=_deletes(one for one in self.slices if one.name not in kept),
            updates=tuple(updates),
            creates=tuple(self._created(names, generation, count) for names in new),
        )

    def _spare(self, kept: Mapping[str, Sequence[str]]) -> _Slice | None:
        """Find an empty slice to keep, so that the next device more or less is one write.

        Else a pool with just as many devices as fit would be written as a whole each time.
        """
        empty = [one for one in self.usable if one.name not in kept]
        if kept:  # what is left of an older generation goes
            empty = [one for one in empty if one.generation == self.usable[0].generation]
        return next(iter(empty), None)

    def _generation(
        self, kept: Mapping[str, Sequence[str]], new: Sequence[Sequence[str]], count: int
    ) -> int:
        """Stay with the newest generation, if consumers see no nonsense between the writes."""
        known = [one for one in self.slices if one.generation < _LAST_GENERATION]
        newest = max((one.generation for one in known), default=0)
        current = [one for one in known if one.generation == newest]
        settled = all(one.count == count and not one.dying for one in current)
        if current and settled and not self._moved(current, kept, new):
            return newest
        return newest + 1

    def _moved(
        self,
        current: Sequence[_Slice],
        kept: Mapping[str, Sequence[str]],
        new: Sequence[Sequence[str]],
    ) -> bool:
        """Whether a device goes from one slice to another: it would be in none, or in both."""
        seen = {name for one in current for name in one.devices}
        before = {one.name: one.devices for one in self.usable}
        into = [(names, before[name]) for name, names in kept.items()]
        into += [(names, {}) for names in new]
        return any(name in seen and name not in had for names, had in into for name in names)

    def _changed(
        self, one: _Slice, names: Sequence[str], generation: int, count: int
    ) -> dict[str, Any]:
        """Make a slice what it should be; equal to what it is if it is that already."""
        spec = {key: value for key, value in one.raw["spec"].items() if key not in _UNUSED}
        spec["pool"] = {
            **spec["pool"],
            "generation": generation,
            "resourceSliceCount": count,
        }
        if names:
            spec["devices"] = [_device(self.devices[name], one.devices.get(name)) for name in names]
        elif spec.get("devices"):
            del spec["devices"]
        return {**one.raw, "metadata": self._owned(one.raw["metadata"]), "spec": spec}

    def _owned(self, metadata: Object) -> Object:
        """Have a slice belong to the node, and to no other controller."""
        owner = self._owner()
        references = metadata.get("ownerReferences") or []
        if any(one.items() >= owner.items() for one in references):
            return metadata
        others = [one for one in references if not one.get("controller") and one["kind"] != "Node"]
        return {**metadata, "ownerReferences": [*others, owner]}

    def _owner(self) -> dict[str, Any]:
        name, uid = self.node.name, self.node.uid
        return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": True}

    def _created(self, names: Sequence[str], generation: int, count: int) -> dict[str, Any]:
        pool = {"name": self.pool, "generation": generation, "resourceSliceCount": count}
        spec = {"driver": self.driver, "nodeName": self.node.name, "pool": pool}
        devices = {"devices": [dict(self.devices[name]) for name in names]} if names else {}
        prefix = self.node.name[:_MAX_NODE].rstrip("-.")
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {
                "generateName": f"{prefix}-{self.driver}-",
                "ownerReferences": [self._owner()],
            },
            "spec": {**spec, **devices},
        }


def _device(wanted: Object, before: Object | None) -> dict[str, Any]:
    """Say what is wanted of a device, with what is the server's.

    That is fields that nobody here knows, and since when a taint is there.
    """
    if before is None:
        return dict(wanted)
    kept = {key: value for key, value in before.items() if key not in _UNUSED_OF_DEVICE}
    made = {**kept, **wanted}
    if "taints" in wanted:
        known = before.get("taints") or ()
        made["taints"] = [_since(taint, known) for taint in wanted["taints"]]
    return made


def _since(taint: Object, known: Iterable[Object]) -> Object:
    mark = {key: value for key, value in taint.items() if key != "timeAdded"}
    return next((one for one in known if one.items() >= mark.items()), mark)
