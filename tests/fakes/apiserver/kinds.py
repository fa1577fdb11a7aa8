"""The kinds that are served, and what differs between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.fakes.apiserver.failure import Failure, Problem
from tests.fakes.apiserver.manifest import Manifest, at

DRA = "resource.k8s.io"
STORED = "v1"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A row of the table; `fields` are those that a field selector may name beyond metadata."""

    plural: str
    kind: str
    group: str = ""
    namespaced: bool = False
    status: bool = False  # has the subresource: each write leaves the other half alone
    generation: bool = False  # metadata.generation counts the changes of spec
    fields: tuple[str, ...] = ()
    short: tuple[str, ...] = ()

    @property
    def resource(self) -> str:
        """With its group, as messages name it: "resourceslices.resource.k8s.io"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """As discovery names it."""
        return self.kind.lower()

    def api_version(self, version: str) -> str:
        """Group and version, as manifests have it."""
        return f"{self.group}/{version}" if self.group else version

    def selectable(self, manifest: Manifest) -> Mapping[str, str]:
        """Return the values that field selectors are held against."""
        names = ("metadata.name", *(["metadata.namespace"] if self.namespaced else []))
        return {name: str(at(manifest, *name.split(".")) or "") for name in (*names, *self.fields)}

    def missing(self, name: str) -> Failure:
        """404 for an object of this kind."""
        message = f'{self.resource} "{name}" not found'
        return Failure(404, "NotFound", message, details=self.details(name))

    def exists(self, name: str) -> Failure:
        """409 for a name that is taken."""
        message = f'{self.resource} "{name}" already exists'
        return Failure(409, "AlreadyExists", message, details=self.details(name))

    def conflict(self, name: str, why: str) -> Failure:
        """409 for a change that was made from an old state."""
        message = f'Operation cannot be fulfilled on {self.resource} "{name}": {why}'
        return Failure(409, "Conflict", message, details=self.details(name))

    def invalid(self, name: str, problems: list[Problem]) -> Failure:
        """422 with every field that is wrong."""
        said = "; ".join(str(problem) for problem in problems)
        said = f"[{said}]" if len(problems) > 1 else said
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        causes = [{"reason": p.reason, "message": p.text, "field": p.field} for p in problems]
        details = {**self.details(name), "kind": self.kind, "causes": causes}
        return Failure(422, "Invalid", f'{kind} "{name}" is invalid: {said}', details=details)

    def details(self, name: str) -> Manifest:
        """Which object a Status is about."""
        said = {"name": name, "group": self.group, "kind": self.plural}
        return {key: value for key, value in said.items() if value}


SLICES = Kind(
    "resourceslices", "ResourceSlice", DRA, generation=True, fields=("spec.nodeName", "spec.driver")
)
CLAIMS = Kind("resourceclaims", "ResourceClaim", DRA, namespaced=True, status=True)
TEMPLATES = Kind("resourceclaimtemplates", "ResourceClaimTemplate", DRA, namespaced=True)
CLASSES = Kind("deviceclasses", "DeviceClass", DRA, generation=True)
NODES = Kind("nodes", "Node", status=True, fields=("spec.unschedulable",), short=("no",))
NAMESPACES = Kind("namespaces", "Namespace", status=True, fields=("status.phase",), short=("ns",))
PODS = Kind(
    "pods",
    "Pod",
    namespaced=True,
    status=True,
    short=("po",),
    fields=("spec.nodeName", "spec.schedulerName", "status.phase"),
)

KINDS = {k.plural: k for k in (SLICES, CLAIMS, TEMPLATES, CLASSES, NODES, NAMESPACES, PODS)}


def of(manifest: Manifest) -> Kind:
    """Return the kind that a manifest says it is."""
    group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
    for kind in KINDS.values():
        if (kind.group, kind.kind) == (group, manifest.get("kind")):
            return kind
    raise LookupError(f"no kind {manifest.get('apiVersion')} {manifest.get('kind')} is served")
