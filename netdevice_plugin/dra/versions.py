"""One shape for all versions of resource.k8s.io: that of v1. Pure.

v1beta2 differs by its name alone. v1beta1 has all of a device but its name in `basic`,
and a claim's request flat where v1 has `exactly`. What a claim was given, and its
status, are alike in all. Nothing that is not known here is lost on the way. Facts:
k8s.io/api/resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

GROUP = "resource.k8s.io"
VERSIONS = ("v1", "v1beta2", "v1beta1")  # the best first

Object = Mapping[str, Any]

# What v1beta1 has of a request beside its details.
_OF_REQUEST = ("name", "exactly", "firstAvailable")


def from_wire(wire: Object, version: str) -> dict[str, Any]:
    """Make an object of the API server's into what it would be in v1.

    A ResourceSlice or a ResourceClaim, from a list (without a kind) as from a watch;
    anything else only gets another apiVersion.
    """
    if version == "v1beta1":
        wire = _devices_with(wire, _device_from_v1beta1, _request_from_v1beta1)
    return _named(wire, "v1")


def to_wire(made: Object, version: str) -> dict[str, Any]:
    """Make an object in v1's shape into one of the server's version: undoes `from_wire`."""
    if version == "v1beta1":
        made = _devices_with(made, _device_to_v1beta1, _request_to_v1beta1)
    return _named(made, version)


def _named(one: Object, version: str) -> dict[str, Any]:
    if "apiVersion" not in one:
        return dict(one)
    return {**one, "apiVersion": f"{GROUP}/{version}"}


_Change = Callable[[Object], dict[str, Any]]


def _devices_with(one: Object, device: _Change, request: _Change) -> Object:
    """Change the devices of a slice, or the requests of a claim."""
    spec = one.get("spec", {})
    devices = spec.get("devices")
    if isinstance(devices, list):
        return {**one, "spec": {**spec, "devices": [device(each) for each in devices]}}
    requests = devices.get("requests") if isinstance(devices, Mapping) else None
    if isinstance(requests, list):
        changed = {**devices, "requests": [request(each) for each in requests]}
        return {**one, "spec": {**spec, "devices": changed}}
    return one


def _device_from_v1beta1(device: Object) -> dict[str, Any]:
    rest = {key: value for key, value in device.items() if key != "basic"}
    return {**rest, **device.get("basic", {})}


def _device_to_v1beta1(device: Object) -> dict[str, Any]:
    basic = {key: value for key, value in device.items() if key != "name"}
    return {"name": device["name"], "basic": basic}


def _request_from_v1beta1(request: Object) -> dict[str, Any]:
    kept = {key: value for key, value in request.items() if key in _OF_REQUEST}
    details = {key: value for key, value in request.items() if key not in _OF_REQUEST}
    return {**kept, "exactly": details} if details else kept


def _request_to_v1beta1(request: Object) -> dict[str, Any]:
    kept = {key: value for key, value in request.items() if key != "exactly"}
    return {**kept, **request.get("exactly", {})}
