"""What a write does beside what it says: defaults, counters, halves that it may not touch."""

from __future__ import annotations

import datetime
import uuid

from tests.fakes.apiserver.kinds import CLAIMS, SLICES, TEMPLATES, Kind
from tests.fakes.apiserver.manifest import Manifest, copied, items, requests_of

_SYSTEM = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


def now() -> str:
    """The time as objects have it: whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def for_create(kind: Kind, manifest: Manifest) -> Manifest:
    """Return a new object as it is stored, without its resourceVersion."""
    made = defaulted(kind, manifest)
    metadata = made["metadata"]
    for name in (*_SYSTEM, "managedFields", "selfLink", "resourceVersion"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    if kind.generation:
        metadata["generation"] = 1
    if kind is CLAIMS:
        made["status"] = {}
    return made


def for_update(kind: Kind, manifest: Manifest, old: Manifest, status: bool) -> Manifest:
    """Return an object as it replaces the old one."""
    made = defaulted(kind, manifest)
    metadata = made["metadata"]
    for name in ("managedFields", "selfLink"):
        metadata.pop(name, None)
    for name in _SYSTEM:
        metadata.pop(name, None)
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    if kind.status:
        other = "spec" if status else "status"
        made.pop(other, None)
        if other in old:
            made[other] = old[other]
    if status:  # not even labels, finalizers or owners
        made["metadata"] = old["metadata"]
    if status and kind is CLAIMS:
        _drop_deallocated(made, old)
    if kind.generation and made.get("spec") != old.get("spec"):
        metadata["generation"] += 1
    return made


def defaulted(kind: Kind, manifest: Manifest) -> Manifest:
    """Return a copy with what a decoder fills in."""
    made = copied(manifest)
    made["metadata"] = made.get("metadata") or {}
    if kind in (SLICES, CLAIMS, TEMPLATES):
        made["spec"] = made.get("spec") or {}
    if kind is CLAIMS:
        made["status"] = made.get("status") or {}
    if kind is SLICES:
        made["spec"].setdefault("pool", {}).setdefault("generation", 0)
        for device in items(made, "spec", "devices"):
            for taint in device.get("taints") or []:
                taint.setdefault("timeAdded", now())
    if kind in (CLAIMS, TEMPLATES):
        spec = made["spec"]
        for _, request in requests_of((spec.get("spec") or {}) if kind is TEMPLATES else spec):
            _default_request(request)
    return made


def _default_request(request: Manifest) -> None:
    mode = request.setdefault("allocationMode", "ExactCount")
    if mode == "ExactCount" and not request.get("count"):
        request["count"] = 1
    for toleration in request.get("tolerations") or []:
        toleration.setdefault("operator", "Equal")


def _drop_deallocated(made: Manifest, old: Manifest) -> None:
    """Take out what is said of devices that the claim had and has no longer."""
    lost = _allocated(old) - _allocated(made)
    devices = items(made, "status", "devices")
    kept = [d for d in devices if (d.get("driver"), d.get("pool"), d.get("device")) not in lost]
    if devices and not kept:
        del made["status"]["devices"]
    elif devices:
        made["status"]["devices"] = kept


def _allocated(claim: Manifest) -> set[tuple[str, str, str]]:
    results = items(claim, "status", "allocation", "devices", "results")
    return {(r["driver"], r["pool"], r["device"]) for r in results}
