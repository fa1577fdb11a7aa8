"""Create, replace, patch and delete: what every write goes through, whoever asks for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from tests.fakes.apiserver import gates, strategies, validation
from tests.fakes.apiserver.failure import Failure, bad_request
from tests.fakes.apiserver.kinds import CLAIMS, KINDS, NAMESPACES, NODES, PODS, Kind
from tests.fakes.apiserver.manifest import Manifest, copied, items
from tests.fakes.apiserver.selectors import Selector
from tests.fakes.apiserver.store import Key, Store, key_of

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, so that no words come out


class Guard(Protocol):
    """Who has a say in a write, beside the rules for everybody."""

    def admit(self, operation: str, new: Manifest | None, old: Manifest | None) -> None:
        """Raise to refuse it: admission policies."""

    def change_status(self, new: Manifest, old: Manifest) -> None:
        """Raise to refuse a claim's new status: the permissions of 1.36."""


class Nobody:
    """A guard that has no objections: tests act as the cluster itself."""

    def admit(self, operation: str, new: Manifest | None, old: Manifest | None) -> None:
        pass

    def change_status(self, new: Manifest, old: Manifest) -> None:
        pass


NOBODY = Nobody()


class Registry:
    """The objects and their rules. Every method answers with what is stored then."""

    def __init__(self, store: Store, gates_on: Callable[[], frozenset[str]]) -> None:
        self.store = store
        self._gates = gates_on
        self.collecting = True  # whether the garbage collector runs

    def get(self, kind: Kind, key: Key) -> Manifest:
        """Return an object, or 404."""
        found = self.store.get(kind, key)
        if found is None:
            raise kind.missing(key[1])
        return found

    def create(self, kind: Kind, manifest: Manifest, guard: Guard = NOBODY) -> Manifest:
        """Keep a new object (v1), or say why not."""
        if (manifest.get("metadata") or {}).get("resourceVersion"):
            raise Failure(500, "", "resourceVersion should not be set on objects to be created")
        made = strategies.for_create(kind, manifest)
        gates.drop(kind, self._gates(), made, None)
        with self.store.lock:
            self._name(kind, made["metadata"])
            self._require_namespace(kind, made)
            if failure := validation.of_create(kind, made, self._labels):
                raise failure
            guard.admit("CREATE", made, None)
            if self.store.get(kind, key_of(made)) is not None:
                raise kind.exists(made["metadata"]["name"])
            return self._keep(kind, made)

    def adopt(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Keep an object that is somebody else's already, with the uid that it has there."""
        with self.store.lock:
            metadata = {"creationTimestamp": strategies.now(), **manifest["metadata"]}
            return self._keep(kind, {**manifest, "metadata": metadata})

    def replace(
        self, kind: Kind, manifest: Manifest, guard: Guard = NOBODY, *, status: bool = False
    ) -> Manifest:
        """Put a new state (v1) in the place of the old one; with `status`, only of that half."""
        metadata = manifest.get("metadata") or {}
        with self.store.lock:
            old = self.get(kind, (metadata.get("namespace", ""), metadata["name"]))
            self._same(kind, metadata, old["metadata"])
            made = strategies.for_update(kind, manifest, old, status)
            gates.drop(kind, self._gates(), made, old)
            if failure := validation.of_update(kind, made, old, status, self._labels):
                raise failure
            if status and kind is CLAIMS:
                guard.change_status(made, old)
            guard.admit("UPDATE", made, old)
            return old if made == old else self._keep(kind, made)

    def patch(
        self, kind: Kind, key: Key, patch: Manifest, guard: Guard, *, status: bool = False
    ) -> Manifest:
        """Merge a patch (RFC 7396, v1) into an object, and go on as `replace` does."""
        with self.store.lock:
            made = _merged(self.get(kind, key), patch)
            if key_of(made) != key:
                raise bad_request("the name of the object does not match the name on the URL")
            return self.replace(kind, made, guard, status=status)

    def remove(
        self, kind: Kind, key: Key, options: Manifest | None = None, guard: Guard = NOBODY
    ) -> tuple[Manifest, bool]:
        """Take an object away, or let it wait for its finalizers; tells whether it is gone."""
        with self.store.lock:
            old = self.get(kind, key)
            for name, wanted in ((options or {}).get("preconditions") or {}).items():
                if wanted and (have := old["metadata"].get(name)) != wanted:
                    what = {"uid": "UID"}.get(name, "ResourceVersion")
                    why = f"Precondition failed: {what} in precondition: {wanted}, "
                    raise kind.conflict(key[1], why + f"{what} in object meta: {have}")
            guard.admit("DELETE", None, old)
            return self._end(kind, old, (options or {}).get("gracePeriodSeconds"))

    def sweep(self) -> None:
        """Collect what has lost all of its owners, as the garbage collector does in time."""
        with self.store.lock:
            orphans = [
                (kind, one)
                for kind in KINDS.values()
                for one in self.store.select(Selector(kind))
                if self._orphaned(one)
            ]
            for kind, one in orphans:
                self._end(kind, one, None)

    def _end(self, kind: Kind, old: Manifest, grace: int | None) -> tuple[Manifest, bool]:
        bound = kind is PODS and (old.get("spec") or {}).get("nodeName") and grace != 0
        if not bound and not items(old, "metadata", "finalizers"):
            last = self.store.drop(kind, key_of(old))
            if self.collecting and kind in (NODES, PODS):  # nothing else owns anything here
                self.sweep()
            return last, True
        if old["metadata"].get("deletionTimestamp"):
            return old, False
        made = copied(old)
        made["metadata"]["deletionTimestamp"] = strategies.now()
        made["metadata"]["deletionGracePeriodSeconds"] = (30 if grace is None else grace) * bool(
            bound
        )
        return self.store.put(kind, made), False

    def _keep(self, kind: Kind, made: Manifest) -> Manifest:
        kept = self.store.put(kind, made)
        metadata = kept["metadata"]
        leaving = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
        if (leaving and kind is not PODS) or (self.collecting and self._orphaned(kept)):
            self._end(kind, kept, None)
        return kept

    def _orphaned(self, manifest: Manifest) -> bool:
        owners = items(manifest, "metadata", "ownerReferences")
        return bool(owners) and not any(self._exists(manifest, owner) for owner in owners)

    def _exists(self, manifest: Manifest, owner: Manifest) -> bool:
        kind = next((k for k in KINDS.values() if k.kind == owner["kind"]), None)
        if kind is None:
            return True  # a DaemonSet, say: not our business
        namespace = manifest["metadata"].get("namespace", "") if kind.namespaced else ""
        found = self.store.get(kind, (namespace, owner["name"]))
        return found is not None and found["metadata"]["uid"] == owner["uid"]

    def _name(self, kind: Kind, metadata: Manifest) -> None:
        base = metadata.get("generateName")
        while base and not metadata.get("name"):
            name = base[:58] + "".join(secrets.choice(_ALPHABET) for _ in range(5))
            if self.store.get(kind, (metadata.get("namespace", ""), name)) is None:
                metadata["name"] = name

    def _require_namespace(self, kind: Kind, made: Manifest) -> None:
        if kind.namespaced:
            self.get(NAMESPACES, ("", made["metadata"].get("namespace", "")))

    def _labels(self, namespace: str) -> dict[str, str]:
        found = self.store.get(NAMESPACES, ("", namespace)) or {}
        labels: dict[str, str] = (found.get("metadata") or {}).get("labels") or {}
        return labels

    @staticmethod
    def _same(kind: Kind, new: Manifest, old: Manifest) -> None:
        uid, version = new.get("uid"), new.get("resourceVersion")
        if uid and uid != old["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
            )
            raise kind.conflict(old["name"], why)
        if version and version != old["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version"
            raise kind.conflict(old["name"], f"{why} and try again")


def _merged(target: Manifest, patch: Manifest) -> Manifest:
    made = dict(target)
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict):
            made[name] = _merged(made[name] if isinstance(made.get(name), dict) else {}, value)
        else:
            made[name] = value
    return made
