"""What a client learns before it asks: groups, their versions, and the resources of each."""

from __future__ import annotations

from tests.fakes.apiserver.kinds import DRA, KINDS, Kind
from tests.fakes.apiserver.manifest import Manifest

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

_DEPRECATED = {"v1beta1": (35, 38), "v1beta2": (36, 39)}


def document(path: str, versions: tuple[str, ...], minor: int) -> Manifest | None:
    """Return what stands at a path, None for nothing; `versions` are resource.k8s.io's."""
    path = path.rstrip("/")
    known: Manifest = {
        "/version": _version(minor),
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/api/v1": _resources("", "v1"),
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    }
    if versions:
        known["/apis"]["groups"] = [_group(versions)]
        known[f"/apis/{DRA}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(versions)}
    for version in versions:
        known[f"/apis/{DRA}/{version}"] = _resources(DRA, version)
    return known.get(path)


def deprecation(kind: Kind, version: str, minor: int) -> list[str]:
    """Return the warning that comes with every answer in an old version."""
    since, until = _DEPRECATED.get(version, (99, 99))
    if kind.group != DRA or minor < since:
        return []
    old, new = (f"{kind.api_version(one)} {kind.kind}" for one in (version, "v1"))
    return [f"{old} is deprecated in v1.{since}+, unavailable in v1.{until}+; use {new}"]


def _version(minor: int) -> Manifest:
    said = {"major": "1", "minor": str(minor), "gitVersion": f"v1.{minor}.0"}
    return {**said, "platform": "linux/amd64"}


def _group(versions: tuple[str, ...]) -> Manifest:
    known = [{"groupVersion": f"{DRA}/{version}", "version": version} for version in versions]
    return {"name": DRA, "versions": known, "preferredVersion": known[0]}


def _resources(group: str, version: str) -> Manifest:
    found = []
    for kind in KINDS.values():
        if kind.group == group:
            row: Manifest = {
                "name": kind.plural,
                "singularName": kind.singular,
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": _VERBS,
            }
            found.append({**row, "shortNames": list(kind.short)} if kind.short else row)
            if kind.status:
                status = f"{kind.plural}/status"
                found.append(
                    {**row, "name": status, "singularName": "", "verbs": ["get", "patch", "update"]}
                )
    said = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": said, "resources": found}
