"""Who was given what: in memory, and in the checkpoint that the next run reads.

k8s.io/kubernetes pkg/kubelet/cm/devicemanager/pod_devices.go.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping

from tests.fakes.kubelet import checkpoint
from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.checkpoint import Entry


class Ledger:
    """The allocations of one run; `active` tells the pods that are not over, by uid."""

    def __init__(
        self, directory: pathlib.Path, changes: Changes, active: Callable[[], frozenset[str]]
    ) -> None:
        self._directory = directory
        self._changes = changes
        self._active = active
        self._alive = True
        entries, self.resources = checkpoint.read(directory)
        self._entries = {(e.pod, e.container, e.resource): e for e in entries}
        self.ready = False  # the pods of before are admitted again: what is left over may go

    def find(self, pod: str, container: str, resource: str) -> Entry | None:
        """What a container has of a resource."""
        with self._changes.lock:
            return self._entries.get((pod, container, resource))

    def of(self, pod: str, container: str) -> list[Entry]:
        """All that a container has."""
        with self._changes.lock:
            return [e for e in self._entries.values() if (e.pod, e.container) == (pod, container)]

    def active(self) -> list[Entry]:
        """What pods have that are not over."""
        with self._changes.lock:
            pods = self._active()
            return [entry for entry in self._entries.values() if entry.pod in pods]

    def taken(self, resource: str) -> frozenset[str]:
        """The devices of a resource that some container has."""
        with self._changes.lock:
            entries = [e for e in self._entries.values() if e.resource == resource]
        return frozenset(name for entry in entries for name in entry.ids)

    def is_active(self, pod: str) -> bool:
        """Whether a pod is still one that may have devices."""
        return pod in self._active()

    def put(self, entry: Entry) -> None:
        """Remember an allocation."""
        with self._changes.lock:
            self._entries[entry.pod, entry.container, entry.resource] = entry
            self._changes.tell()

    def forget_inactive(self) -> None:
        """Free what pods have that are over; the file keeps it until it is next written."""
        with self._changes.lock:
            if self.ready:
                active = self._active()
                self._entries = {key: e for key, e in self._entries.items() if e.pod in active}

    def write(self, registered: Mapping[str, Iterable[str]]) -> None:
        """Write the checkpoint, with the healthy devices by resource."""
        with self._changes.lock:
            if self._alive:
                checkpoint.write(self._directory, self._entries.values(), registered)

    def close(self) -> None:
        """The run is over: nothing more is written."""
        with self._changes.lock:
            self._alive = False
