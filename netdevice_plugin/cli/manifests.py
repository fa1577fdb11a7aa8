"""Claims, templates and classes in manifests: where they have what is asked of devices.

No more of an object is looked at than is needed for that; a shape that is not
Kubernetes' is passed by, since Kubernetes tells of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from netdevice_plugin.yamlnode import Node, Problem, join

_GROUP = "resource.k8s.io/"
DEVICES = {  # where a kind has what is asked of devices
    "ResourceClaim": ("spec", "devices"),
    "ResourceClaimTemplate": ("spec", "spec", "devices"),
    "DeviceClass": ("spec",),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A request, or one of its alternatives."""

    name: str  # "main", or "main/sub"
    node: Node
    path: str
    device_class: str = ""
    count: int = 1
    admin: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """One object with parameters, in the file that it was read from."""

    file: str
    node: Node
    kind: str
    prefix: str = ""  # of paths: "items[0]" in a List

    @property
    def name(self) -> str:
        """The object's name, or the beginning of it."""
        for key in ("name", "generateName"):
            found = text_of(below(self.node, "metadata", key))
            if found:
                return found
        return ""

    @property
    def devices(self) -> tuple[Node, str]:
        """What is asked of devices, and its path."""
        keys = DEVICES[self.kind]
        path = self.prefix
        for key in keys:
            path = join(path, key)
        return below(self.node, *keys) or Node({}, self.node.line), path


def objects(file: str, node: Node, problems: list[Problem], path: str = "") -> Iterator[Manifest]:
    """Find those of interest in a document, and in the lists in it."""
    kind = text_of(below(node, "kind"))
    if not isinstance(node.value, dict):
        text = f"must be a Kubernetes object, not {node.describe()}"
        problems.append(Problem(node.line, path, text))
    elif kind == "List":
        for member, place in members(node, path, "items"):
            yield from objects(file, member, problems, place)
    elif kind in DEVICES and text_of(below(node, "apiVersion")).startswith(_GROUP):
        yield Manifest(file, node, kind, path)


def requests_of(manifest: Manifest) -> Iterator[Asked]:
    """List requests, alternatives each by itself; v1beta1 has no `exactly`."""
    devices, path = manifest.devices
    for node, place in members(devices, path, "requests"):
        name = text_of(below(node, "name"))
        alternatives = members(node, place, "firstAvailable")
        for inner, where in alternatives:
            yield _request(f"{name}/{text_of(below(inner, 'name'))}", inner, inner, where)
        if not alternatives:
            yield _request(name, node, below(node, "exactly") or node, place)


def _request(name: str, node: Node, details: Node, path: str) -> Asked:
    count = below(details, "count")
    admin = below(details, "adminAccess")
    return Asked(
        name=name,
        node=node,
        path=path,
        device_class=text_of(below(details, "deviceClassName")),
        count=count.value if count and isinstance(count.value, int) else 1,
        admin=admin is not None and admin.value is True,
    )


def below(node: Node, *keys: str) -> Node | None:
    """Find what is below keys, if mappings lead there."""
    found: Node | None = node
    for key in keys:
        if found is None or not isinstance(found.value, dict):
            return None
        found = found.value.get(key)
    return found


def members(node: Node, path: str, key: str) -> list[tuple[Node, str]]:
    """List what is in a list below a key, with paths; what is no list has no members."""
    found = below(node, key)
    members = found.value if found and isinstance(found.value, list) else []
    place = join(path, key)
    return [(member, f"{place}[{index}]") for index, member in enumerate(members)]


def text_of(node: Node | None) -> str:
    """Take a text; what is none is empty."""
    return node.value if node and isinstance(node.value, str) else ""
