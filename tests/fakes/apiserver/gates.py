"""Feature gates: what is behind one that is off is dropped without a word.

A field that is in use already stays, as the real server has it, so that turning a gate off
does not change what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tests.fakes.apiserver.kinds import CLAIMS, CLASSES, SLICES, TEMPLATES, Kind
from tests.fakes.apiserver.manifest import Manifest, items, requests_of

# Of a 1.36 server; what was off before is in `of_release`.
ON = frozenset(
    {
        "DRAAdminAccess",
        "DRAConsumableCapacity",
        "DRADeviceBindingConditions",
        "DRADeviceTaints",
        "DRAExtendedResource",
        "DRAPartitionableDevices",
        "DRAPrioritizedList",
        "DRAResourceClaimDeviceStatus",
        "DRAResourceClaimGranularStatusAuthorization",
    }
)
SINCE = {
    "DRAAdminAccess": 34,
    "DRAConsumableCapacity": 36,
    "DRADeviceBindingConditions": 36,
    "DRADeviceTaints": 36,
    "DRAExtendedResource": 36,
    "DRAListTypeAttributes": 99,  # alpha
    "DRAPartitionableDevices": 36,
    "DRAPrioritizedList": 34,
    "DRAResourceClaimDeviceStatus": 33,
    "DRAResourceClaimGranularStatusAuthorization": 36,
}
Place = tuple[Manifest, str]  # a mapping and the name of the field in it


def of_release(minor: int) -> frozenset[str]:
    """Return the gates that are on by default in 1.<minor>."""
    return frozenset(gate for gate, since in SINCE.items() if since <= minor)


def drop(kind: Kind, gates: frozenset[str], manifest: Manifest, old: Manifest | None) -> None:
    """Take out of an object (in place) what this server does not offer."""
    for gate, places in _PLACES.get(kind, {}).items():
        if gate not in gates and not (old is not None and any(_set(places(old)))):
            for where, name in places(manifest):
                where.pop(name, None)


def _set(places: Iterable[Place]) -> Iterator[bool]:
    return (where.get(name) not in (None, [], {}) for where, name in places)


def _devices(*names: str) -> Callable[[Manifest], Iterator[Place]]:
    def places(manifest: Manifest) -> Iterator[Place]:
        for device in items(manifest, "spec", "devices"):
            yield from ((device, name) for name in names)

    return places


def _requests(*names: str) -> Callable[[Manifest], Iterator[Place]]:
    def places(manifest: Manifest) -> Iterator[Place]:
        for _, request in requests_of(_claim_spec(manifest)):
            yield from ((request, name) for name in names)
        for result in items(manifest, "status", "allocation", "devices", "results"):
            yield from ((result, name) for name in names)

    return places


def _claim_spec(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest.get("spec") or {}
    return spec.get("spec") or {} if manifest["kind"] == TEMPLATES.kind else spec


def _lists(manifest: Manifest) -> Iterator[Place]:
    for device in items(manifest, "spec", "devices"):
        for attribute in (device.get("attributes") or {}).values():
            yield from ((attribute, name) for name in ("bools", "ints", "strings", "versions"))


def _alternatives(manifest: Manifest) -> Iterator[Place]:
    for request in items(_claim_spec(manifest), "devices", "requests"):
        yield request, "firstAvailable"


def _consumable(manifest: Manifest) -> Iterator[Place]:
    yield from _requests("capacity", "shareID", "consumedCapacity")(manifest)
    for constraint in items(_claim_spec(manifest), "devices", "constraints"):
        yield constraint, "distinctAttribute"


def _counters(manifest: Manifest) -> Iterator[Place]:
    spec = manifest.get("spec") or {}
    yield from ((spec, name) for name in ("sharedCounters", "perDeviceNodeSelection"))
    names = ("consumesCounters", "nodeName", "nodeSelector", "allNodes")
    yield from _devices(*names)(manifest)


_BINDING = ("bindsToNode", "bindingConditions", "bindingFailureConditions")
_CLAIM: dict[str, Callable[[Manifest], Iterator[Place]]] = {
    "DRAAdminAccess": _requests("adminAccess"),
    "DRADeviceTaints": _requests("tolerations"),
    "DRAConsumableCapacity": _consumable,
    "DRADeviceBindingConditions": _requests(*_BINDING),
    "DRAPrioritizedList": _alternatives,
}
_PLACES: dict[Kind, dict[str, Callable[[Manifest], Iterator[Place]]]] = {
    SLICES: {
        "DRADeviceTaints": _devices("taints"),
        "DRADeviceBindingConditions": _devices(*_BINDING),
        "DRAConsumableCapacity": _devices("allowMultipleAllocations"),
        "DRAPartitionableDevices": _counters,
        "DRAListTypeAttributes": _lists,
    },
    CLAIMS: {
        **_CLAIM,
        "DRAResourceClaimDeviceStatus": lambda claim: iter(
            [(claim.get("status") or {}, "devices")]
        ),
    },
    TEMPLATES: _CLAIM,
    CLASSES: {
        "DRAExtendedResource": lambda c: iter([(c.get("spec") or {}, "extendedResourceName")])
    },
}
