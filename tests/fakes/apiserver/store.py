"""What the server remembers: objects by name, one counter for all, and how they became so.

It is etcd and the watch cache in one. Every object in it is shared with whoever has read
it, and must not be changed in place.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable, Iterable

from tests.fakes.apiserver.kinds import Kind
from tests.fakes.apiserver.manifest import Manifest, at
from tests.fakes.apiserver.selectors import Selector

Key = tuple[str, str]  # namespace and name


@dataclasses.dataclass(frozen=True)
class Event:
    """A change: `after` is None where an object went; `before` is None where it came."""

    revision: int
    kind: Kind
    before: Manifest | None
    after: Manifest | None

    @property
    def object(self) -> Manifest:
        """The newer state; of one that went, its last, with the revision of its end."""
        if self.after is not None:
            return self.after
        assert self.before is not None
        metadata = {**self.before["metadata"], "resourceVersion": str(self.revision)}
        return {**self.before, "metadata": metadata}

    @property
    def nodes(self) -> set[str]:
        """The nodes that it concerns."""
        return {node_of(one) for one in (self.before, self.after) if one is not None}

    def told(self, selector: Selector) -> tuple[str, Manifest] | None:
        """What it is for who sees matching objects only: its type, and the object.

        One that matches no longer is DELETED as it was when it did, at this revision.
        """
        was, is_ = selector.matches(self.before), selector.matches(self.after)
        if is_:
            return "MODIFIED" if was else "ADDED", self.object
        return ("DELETED", dataclasses.replace(self, after=None).object) if was else None


class Store:
    """Objects, and the events of which they are the sum; under one lock."""

    def __init__(self, history: int = 100_000) -> None:
        self.lock = threading.RLock()
        self.listeners: list[Callable[[Event], None]] = []  # told with the lock held
        self.revision = 1000  # a cluster that has just been made is not at 1 either
        self.compacted = self.revision  # the oldest revision that can still be asked for
        self._history = history
        self._events: collections.deque[Event] = collections.deque()
        self._objects: dict[str, dict[Key, Manifest]] = collections.defaultdict(dict)
        self._by_node: dict[tuple[str, str], set[Key]] = collections.defaultdict(set)

    def get(self, kind: Kind, key: Key) -> Manifest | None:
        """Return an object, None where there is none."""
        return self._objects[kind.plural].get(key)

    def select(self, selector: Selector, namespace: str = "") -> list[Manifest]:
        """Return what matches, in the order of names."""
        with self.lock:
            mine = self._objects[selector.kind.plural]
            keys: Iterable[Key] = mine
            if selector.node:
                keys = self._by_node[selector.kind.plural, selector.node]
            found = [key for key in keys if selector.matches(mine[key])]
            return [mine[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def put(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Keep a new state of an object, whose resourceVersion is set here."""
        with self.lock:
            self.revision += 1
            metadata = {**manifest["metadata"], "resourceVersion": str(self.revision)}
            kept = {**manifest, "metadata": metadata}
            key = key_of(kept)
            before = self._objects[kind.plural].get(key)
            self._objects[kind.plural][key] = kept
            self._record(Event(self.revision, kind, before, kept), key)
            return kept

    def drop(self, kind: Kind, key: Key) -> Manifest:
        """Forget an object; returns its last state."""
        with self.lock:
            self.revision += 1
            event = Event(self.revision, kind, self._objects[kind.plural].pop(key), None)
            self._record(event, key)
            return event.object

    def since(self, revision: int, kind: Kind) -> list[Event]:
        """Return what has changed after a revision; it has to be one that is remembered."""
        with self.lock:
            newer: list[Event] = []
            for event in reversed(self._events):
                if event.revision <= revision:
                    break
                newer.append(event)
            newer.reverse()
            return [event for event in newer if event.kind is kind]

    def select_at(self, revision: int, selector: Selector, namespace: str) -> list[Manifest]:
        """Return what matched at a revision; it has to be one that is remembered."""
        with self.lock:
            then = dict(self._objects[selector.kind.plural])
            for event in reversed(self._events):
                if event.revision <= revision:
                    break
                if event.kind is selector.kind:
                    then.pop(key_of(event.object), None)
                    if event.before is not None:
                        then[key_of(event.before)] = event.before
            return [
                then[key]
                for key in sorted(then)
                if selector.matches(then[key]) and (not namespace or key[0] == namespace)
            ]

    def compact(self) -> None:
        """Forget how it came to be; whoever asks for it is told 410."""
        with self.lock:
            self._events.clear()
            self.compacted = self.revision

    def _record(self, event: Event, key: Key) -> None:
        for manifest, change in ((event.before, set.discard), (event.after, set.add)):
            if manifest is not None and (node := node_of(manifest)):
                change(self._by_node[event.kind.plural, node], key)
        self._events.append(event)
        if len(self._events) > self._history:
            self.compacted = self._events.popleft().revision
        for listener in self.listeners:
            listener(event)


def key_of(manifest: Manifest) -> Key:
    """Return where an object is kept."""
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def node_of(manifest: Manifest) -> str:
    """Return the node that an object is bound to, if any."""
    return at(manifest, "spec", "nodeName") or ""
