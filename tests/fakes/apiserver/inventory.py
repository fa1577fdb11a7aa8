"""What there is to allocate on a node: the devices of complete pools. PURE."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from tests.fakes.apiserver.manifest import Manifest, at, items

Identity = tuple[str, str, str]  # driver, pool, device


@dataclasses.dataclass(frozen=True, eq=False)
class Device:
    """One that a claim may get."""

    driver: str
    pool: str
    published: Manifest
    bound: bool  # to this node, so that the claim is too

    @property
    def identity(self) -> Identity:
        """What it is called by."""
        return self.driver, self.pool, self.published["name"]

    def attribute(self, name: str) -> object:
        """Return a typed value by its full name; None if there is none of that name."""
        attributes = self.published.get("attributes") or {}
        found = attributes.get(name)
        if found is None:
            found = attributes.get(name.removeprefix(f"{self.driver}/"))
        return found


@dataclasses.dataclass(frozen=True)
class Inventory:
    """The devices in the order of preference, and the pools that cannot be used."""

    devices: tuple[Device, ...]
    unusable: tuple[str, ...]  # incomplete, or a name in it twice


def of_node(slices: Iterable[Manifest], node: Manifest) -> Inventory:
    """Take the pools' newest generations, as far as all of their slices are there."""
    pools: dict[tuple[str, str], list[Manifest]] = collections.defaultdict(list)
    for one in slices:
        spec = one["spec"]
        pools[spec["driver"], spec["pool"]["name"]].append(spec)
    devices: list[Device] = []
    unusable: list[str] = []
    for (driver, pool), specs in pools.items():
        newest = max(spec["pool"]["generation"] for spec in specs)
        current = [spec for spec in specs if spec["pool"]["generation"] == newest]
        found = [device for spec in current for device in _of_slice(spec, node)]
        names = [one["name"] for spec in current for one in items(spec, "devices")]
        complete = len(current) == current[0]["pool"]["resourceSliceCount"]
        if not complete or len(set(names)) != len(names):
            if any(_matches(spec, node) for spec in current):
                unusable.append(f"{driver}/{pool}")
        else:
            devices += found
    return Inventory(tuple(devices), tuple(unusable))


def _of_slice(spec: Manifest, node: Manifest) -> list[Device]:
    return [
        Device(spec["driver"], spec["pool"]["name"], device, not where.get("allNodes"))
        for device in items(spec, "devices")
        if _matches(where := device if spec.get("perDeviceNodeSelection") else spec, node)
    ]


def _matches(where: Manifest, node: Manifest) -> bool:
    if where.get("allNodes") or where.get("perDeviceNodeSelection"):
        return True
    if where.get("nodeName"):
        return bool(where["nodeName"] == node["metadata"]["name"])
    return fits(where.get("nodeSelector"), node)


def fits(selector: Manifest | None, node: Manifest) -> bool:
    """Tell whether a node selector means this node; none means every node."""
    if selector is None:
        return True
    labels = at(node, "metadata", "labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_term(one, labels) for one in items(term, "matchExpressions"))
        and all(_term(one, fields) for one in items(term, "matchFields"))
        and (term.get("matchExpressions") or term.get("matchFields"))
        for term in items(selector, "nodeSelectorTerms")
    )


def _term(term: Manifest, values: Mapping[str, str]) -> bool:
    value, operator = values.get(term["key"]), term["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return bool((value is not None) == (operator == "Exists"))
    return bool((value in items(term, "values")) == (operator == "In"))
