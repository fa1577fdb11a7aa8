"""One object in the versions that it can be had in; the store has v1.

v1beta1 nests a device's data in `basic` and has an exact request's fields flat in the
request; v1beta2 differs from v1 in its name only. Written from the API's types, apart from
what the product does, so that neither repeats the other's mistakes.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.apiserver.kinds import CLAIMS, SLICES, STORED, TEMPLATES, Kind
from tests.fakes.apiserver.manifest import Manifest, copied, items

EXACT = (
    "deviceClassName",
    "selectors",
    "allocationMode",
    "count",
    "adminAccess",
    "tolerations",
    "capacity",
)


def to_stored(kind: Kind, version: str, manifest: Manifest) -> Manifest:
    """Return a v1 object of one in another version."""
    made = copied(manifest)
    made["apiVersion"] = kind.api_version(STORED)
    if version == "v1beta1":
        _reshape(kind, made, _flat_device, _exact_request)
    return made


def to_wire(kind: Kind, version: str, manifest: Manifest) -> Manifest:
    """Return a v1 object in another version; the same one if there is nothing to do."""
    if manifest.get("apiVersion") == kind.api_version(version):
        return manifest
    made = copied(manifest)
    made["apiVersion"] = kind.api_version(version)
    if version == "v1beta1":
        _reshape(kind, made, _basic_device, _flat_request)
    return made


Reshape = Callable[[Manifest], Manifest]


def _reshape(kind: Kind, made: Manifest, device: Reshape, request: Reshape) -> None:
    for spec in _specs(kind, made):
        if kind is SLICES and items(spec, "devices"):
            spec["devices"] = [device(one) for one in spec["devices"]]
        elif kind is not SLICES and items(spec, "devices", "requests"):
            spec["devices"]["requests"] = [request(one) for one in spec["devices"]["requests"]]


def _specs(kind: Kind, manifest: Manifest) -> list[Manifest]:
    spec = manifest.get("spec") or {}
    if kind is TEMPLATES:
        return [spec.get("spec") or {}]
    return [spec] if kind in (SLICES, CLAIMS) else []


def _flat_device(device: Manifest) -> Manifest:
    rest = {name: value for name, value in device.items() if name != "basic"}
    return {**rest, **(device.get("basic") or {})}


def _basic_device(device: Manifest) -> Manifest:
    basic = {name: value for name, value in device.items() if name != "name"}
    return {"name": device["name"], "basic": basic}


def _exact_request(request: Manifest) -> Manifest:
    exact = {name: value for name, value in request.items() if name in EXACT}
    rest = {name: value for name, value in request.items() if name not in EXACT}
    return {**rest, "exactly": exact} if exact else rest


def _flat_request(request: Manifest) -> Manifest:
    rest = {name: value for name, value in request.items() if name != "exactly"}
    return {**rest, **(request.get("exactly") or {})}
