"""A request line, read as the API server reads it: a verb, a kind, a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import unquote

from tests.fakes.apiserver.auth import Attributes
from tests.fakes.apiserver.kinds import DRA, KINDS, Kind

_SUBRESOURCES = ("status",)


@dataclasses.dataclass(frozen=True)
class Info:
    """What is asked for; `kind` is None of what is no resource (or not served)."""

    verb: str
    path: str
    query: Mapping[str, str]
    kind: Kind | None = None
    version: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        """With its subresource, as rules and records name it; else the path."""
        if self.kind is None:
            return self.path
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    @property
    def attributes(self) -> Attributes:
        """What has to be permitted. A list of one name is that object, to the authorizer."""
        if self.kind is None:
            return Attributes(self.verb, path=self.path)
        selector = self.query.get("fieldSelector", "")
        name = self.name
        if not name and selector.startswith("metadata.name=") and "," not in selector:
            name = selector.partition("=")[2].removeprefix("=")
        return Attributes(self.verb, self.kind.group, self.resource, self.namespace, name)


def read(method: str, path: str, query: Mapping[str, str]) -> Info:
    """Tell what a request wants."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    plain = Info(method.lower(), path, query)
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return plain
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    kind = KINDS.get(rest[0])
    if kind is None or kind.group != group or len(rest) > 3 or group not in ("", DRA):
        return plain
    name = rest[1] if len(rest) > 1 else ""
    verb = _verb(method, bool(name), query)
    return Info(verb, path, query, kind, version, namespace, name, rest[2] if len(rest) > 2 else "")


def _verb(method: str, named: bool, query: Mapping[str, str]) -> str:
    if method in ("GET", "HEAD"):
        if query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if named else "list"
    if method == "DELETE":
        return "delete" if named else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())
