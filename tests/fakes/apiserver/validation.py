"""Which rules an object is held against, at its creation and at each change."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.apiserver import claimrules, rules, slicerules
from tests.fakes.apiserver.failure import Failure
from tests.fakes.apiserver.kinds import CLAIMS, CLASSES, SLICES, TEMPLATES, Kind
from tests.fakes.apiserver.manifest import Manifest, items, requests_of
from tests.fakes.apiserver.rules import Problems

ADMIN_LABEL = "resource.kubernetes.io/admin-access"
Labels = Callable[[str], dict[str, str]]  # of a namespace


def of_create(kind: Kind, manifest: Manifest, labels: Labels) -> Failure | None:
    """Say what is wrong with a new object."""
    problems = Problems()
    _metadata(problems, manifest["metadata"])
    if kind is SLICES:
        slicerules.check(problems, manifest, None)
    elif kind is CLASSES:
        claimrules.check_class(problems, manifest.get("spec") or {})
    elif kind is CLAIMS:
        claimrules.check_spec(problems, manifest["spec"])
        _admin(problems, manifest, labels)
    elif kind is TEMPLATES:
        claimrules.check_spec(problems, manifest["spec"].get("spec") or {}, "spec.spec")
    return _verdict(kind, manifest, problems)


def of_update(
    kind: Kind, manifest: Manifest, old: Manifest, status: bool, labels: Labels
) -> Failure | None:
    """Say what is wrong with a changed object."""
    problems = Problems()
    _metadata(problems, manifest["metadata"])
    if kind is SLICES:
        slicerules.check(problems, manifest, old)
    elif kind is CLASSES:
        claimrules.check_class(problems, manifest.get("spec") or {})
    elif kind is CLAIMS and status:
        claimrules.check_status(problems, manifest, old)
        _admin_status(problems, manifest, old, labels)
    elif kind in (CLAIMS, TEMPLATES) and manifest["spec"] != old["spec"]:
        problems.invalid("spec", {}, "field is immutable")
    return _verdict(kind, manifest, problems)


def _verdict(kind: Kind, manifest: Manifest, problems: Problems) -> Failure | None:
    return kind.invalid(manifest["metadata"].get("name", ""), problems) if problems else None


def _metadata(problems: Problems, metadata: Manifest) -> None:
    if not metadata.get("name"):
        problems.required("metadata.name", "name or generateName is required")
    else:
        rules.subdomain(problems, "metadata.name", metadata["name"])
    for name, value in (metadata.get("labels") or {}).items():
        rules.label_name(problems, "metadata.labels", name)
        rules.label_value(problems, "metadata.labels", value)
    annotations = metadata.get("annotations") or {}
    for name in annotations:
        rules.label_name(problems, "metadata.annotations", name.lower())
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > 256 * 1024:
        problems.too_long("metadata.annotations", 256 * 1024)
    owners = items(metadata, "ownerReferences")
    for index, owner in enumerate(owners):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                where = f"metadata.ownerReferences[{index}].{name}"
                problems.invalid(where, "", "must not be empty")
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        problems.invalid(
            "metadata.ownerReferences", [], "Only one reference can have Controller set"
        )


def _admin(problems: Problems, claim: Manifest, labels: Labels) -> None:
    wanted = any(request.get("adminAccess") for _, request in requests_of(claim["spec"]))
    _labelled(problems, wanted, "spec.devices.requests", claim, labels)


def _admin_status(problems: Problems, claim: Manifest, old: Manifest, labels: Labels) -> None:
    path = ("status", "allocation", "devices", "results")
    had, has = (any(r.get("adminAccess") for r in items(c, *path)) for c in (old, claim))
    _labelled(problems, has and not had, ".".join(path), claim, labels)


def _labelled(
    problems: Problems, wanted: bool, where: str, claim: Manifest, labels: Labels
) -> None:
    if wanted and labels(claim["metadata"].get("namespace", "")).get(ADMIN_LABEL) != "true":
        said = f"requires the `{ADMIN_LABEL}: true` label on the containing namespace"
        problems.forbidden(f"{where}.adminAccess", f"admin access to devices {said}")
