"""What the cluster itself does: objects made, changed and taken away by tests.

Watchers see it. Nobody is asked for permission, and what is wrong with a manifest is an
error of the test, unknown fields too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from tests.fakes.apiserver import codec, kinds
from tests.fakes.apiserver.kinds import KINDS, NODES, SLICES, Kind
from tests.fakes.apiserver.manifest import Manifest, copied
from tests.fakes.apiserver.registry import Registry
from tests.fakes.apiserver.selectors import parse
from tests.fakes.apiserver.store import Event

TIMEOUT = 20.0  # seconds; a loaded machine is slow


class Cluster:
    """The objects, by the plural of their kind. Everything that it returns is the caller's."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changed = threading.Condition(registry.store.lock)
        registry.store.listeners.append(self._tell)
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object, whose apiVersion may be any that is known; Failure if it cannot be."""
        kind, made = _decoded(manifest)
        return copied(self._registry.create(kind, made))

    def apply(self, manifest: Manifest) -> Manifest | None:
        """Create an object or put it in the place of the one there is; None of unknown kinds."""
        try:
            kind, made = _decoded(manifest)
        except LookupError:
            return None
        key = made["metadata"].get("namespace", ""), made["metadata"]["name"]
        if self._registry.store.get(kind, key) is None:
            return copied(self._registry.create(kind, made))
        return copied(self._registry.replace(kind, made))

    def get(self, plural: str, name: str, namespace: str = "") -> Manifest:
        """Return an object (v1); Failure 404 where there is none."""
        return copied(self._registry.get(KINDS[plural], (namespace, name)))

    def objects(self, plural: str, namespace: str = "", *, fields: str = "") -> list[Manifest]:
        """Return the objects (v1) of a kind, in the order of their names."""
        selector = parse(KINDS[plural], "v1", fields, "")
        return [copied(one) for one in self._registry.store.select(selector, namespace)]

    def update(self, manifest: Manifest, *, status: bool = False) -> Manifest:
        """Put an object in the place of the one there is; Failure 409 from an old state."""
        kind, made = _decoded(manifest)
        return copied(self._registry.replace(kind, made, status=status))

    @contextlib.contextmanager
    def edit(
        self, plural: str, name: str, namespace: str = "", *, status: bool = False
    ) -> Iterator[Manifest]:
        """Change an object in a `with` statement, with nobody else in between."""
        with self._registry.store.lock:
            made = self.get(plural, name, namespace)
            yield made
            self._registry.replace(KINDS[plural], made, status=status)

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        """Take an object away; one that has finalizers stays, with a deletionTimestamp."""
        self._registry.remove(KINDS[plural], (namespace, name))

    def delete_all(self, plural: str, *, fields: str = "") -> int:
        """Take away what matches; returns how many there were."""
        with self._registry.store.lock:
            found = self.objects(plural, fields=fields)
            for one in found:
                self.delete(plural, one["metadata"]["name"], one["metadata"].get("namespace", ""))
            return len(found)

    def wait(
        self, look: Callable[[], object], what: str | Callable[[], str], seconds: float = TIMEOUT
    ) -> None:
        """Return once something is so; it is asked after every change, with the lock held."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not look():
                left = deadline - time.monotonic()
                if left <= 0:
                    said = what if isinstance(what, str) else what()
                    raise AssertionError(f"not within {seconds:.0f} s: {said}")
                self._changed.wait(left)

    # Nodes and slices, as the kubelet and the node's owner treat them

    def add_node(self, name: str, **labels: str) -> Manifest:
        """Make a node."""
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}
        return self.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})

    def slices(self, node: str = "", driver: str = "") -> list[Manifest]:
        """Return ResourceSlices (v1), all or those of a node and a driver."""
        terms = [f"spec.nodeName={node}"] * bool(node) + [f"spec.driver={driver}"] * bool(driver)
        return self.objects(SLICES.plural, fields=",".join(terms))

    def wipe_slices(self, node: str, driver: str = "") -> int:
        """Delete a node's slices, as the kubelet does at its start; or a driver's on it."""
        terms = [f"spec.nodeName={node}"] + [f"spec.driver={driver}"] * bool(driver)
        return self.delete_all(SLICES.plural, fields=",".join(terms))

    def remove_node(self, name: str) -> None:
        """Take a node away, and with it what it owns."""
        self.delete(NODES.plural, name)

    def _tell(self, _: Event) -> None:
        self._changed.notify_all()


def _decoded(manifest: Manifest) -> tuple[Kind, Manifest]:
    kind = kinds.of(manifest)
    version = manifest["apiVersion"].rpartition("/")[2]
    made, _ = codec.decode(kind, version, manifest, [], "Strict")
    made.setdefault("metadata", {})
    if kind.namespaced:
        made["metadata"].setdefault("namespace", "default")
    return kind, made
