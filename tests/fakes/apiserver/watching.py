"""Watches: who is told of which event, from the revision that they know.

The store tells the hub with its lock held, from whatever thread; the streams are served in
the server's loop.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Mapping

from tests.fakes.apiserver.failure import Failure, gone
from tests.fakes.apiserver.kinds import Kind
from tests.fakes.apiserver.listing import number
from tests.fakes.apiserver.manifest import Manifest
from tests.fakes.apiserver.selectors import Selector
from tests.fakes.apiserver.store import Event, Store

Told = tuple[str, Manifest]  # a watch event's type and its object (v1)
INITIAL_END = "k8s.io/initial-events-end"


class Subscription:
    """One watch. `take` is of the loop; `tell` may be called from anywhere."""

    def __init__(self, selector: Selector, namespace: str, bookmarks: bool) -> None:
        self.selector, self.namespace, self.bookmarks = selector, namespace, bookmarks
        self._told: collections.deque[Told] = collections.deque()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self.ended = ""  # "cleanly" or "abruptly", when somebody has cut it

    def tell(self, *told: Told) -> None:
        """Let it have some more events."""
        self._told.extend(told)
        self._loop.call_soon_threadsafe(self._wake.set)

    def end(self, how: str) -> None:
        """Let the stream end; what is in it is not sent any more."""
        self.ended = how
        self._loop.call_soon_threadsafe(self._wake.set)

    async def take(self, seconds: float) -> list[Told]:
        """Return what has come, at the latest when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return []
        self._wake.clear()
        told = []
        while self._told:
            told.append(self._told.popleft())
        return told

    def see(self, event: Event) -> None:
        """Let it have an event, if that is one for it."""
        if self.namespace and event.object["metadata"].get("namespace", "") != self.namespace:
            return
        if told := event.told(self.selector):
            self.tell(told)


class Hub:
    """Every watch that is open, by kind and by the node that it is restricted to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[tuple[str, str], set[Subscription]] = collections.defaultdict(set)
        self.deaf = False  # events get lost, while watches stay open
        self.changed: Callable[[], None] = lambda: None  # told when a watch begins or ends
        store.listeners.append(self._publish)

    def __iter__(self) -> collections.abc.Iterator[Subscription]:
        with self._store.lock:
            return iter([s for subscriptions in self._open.values() for s in subscriptions])

    def open(self, selector: Selector, namespace: str, query: Mapping[str, str]) -> Subscription:
        """Begin a watch, with what its client has missed in it already.

        Raises:
            Failure: 410 (the caller decides whether as HTTP or as an ERROR event), 422.
        """
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        subscription = Subscription(selector, namespace, bookmarks)
        with self._store.lock:
            self._begin(subscription, query)
            self._open[selector.kind.plural, selector.node].add(subscription)
        self.changed()
        return subscription

    def close(self, subscription: Subscription) -> None:
        """Forget a watch."""
        selector = subscription.selector
        with self._store.lock:
            self._open[selector.kind.plural, selector.node].discard(subscription)
        self.changed()

    def bookmark(self, kind: Kind, **annotations: str) -> Told:
        """Make a bookmark of now: an object with nothing but a resourceVersion."""
        metadata: Manifest = {
            "resourceVersion": str(self._store.revision),
            "creationTimestamp": None,
        }
        if annotations:
            metadata["annotations"] = annotations
        made = {"kind": kind.kind, "apiVersion": kind.api_version("v1"), "metadata": metadata}
        return "BOOKMARK", made

    def send_bookmarks(self) -> None:
        """Send one to whoever takes them, now."""
        with self._store.lock:
            for subscription in self:
                if subscription.bookmarks:
                    subscription.tell(self.bookmark(subscription.selector.kind))

    def _begin(self, subscription: Subscription, query: Mapping[str, str]) -> None:
        selector, wanted = subscription.selector, query.get("resourceVersion", "")
        initial, match = query.get("sendInitialEvents"), query.get("resourceVersionMatch", "")
        if (initial is None) != (not match) or (match and match != "NotOlderThan"):
            raise _forbidden(selector.kind)
        version = number(query, "resourceVersion")
        streamed = initial in ("true", "1")
        if streamed or (initial is None and wanted in ("", "0")):
            found = self._store.select(selector, subscription.namespace)
            subscription.tell(*(("ADDED", one) for one in found))
            if streamed and subscription.bookmarks:
                subscription.tell(self.bookmark(selector.kind, **{INITIAL_END: "true"}))
        elif wanted and version < self._store.compacted:
            oldest = self._store.compacted
            raise gone(f"too old resource version: {version} ({oldest})")
        elif version:
            for event in self._store.since(version, selector.kind):
                subscription.see(event)

    def _publish(self, event: Event) -> None:
        if self.deaf:
            return
        for node in event.nodes | {""}:
            for subscription in self._open.get((event.kind.plural, node), ()):
                subscription.see(event)


def _forbidden(kind: Kind) -> Failure:
    text = "sendInitialEvents and resourceVersionMatch=NotOlderThan go together"
    causes = [{"reason": "FieldValueForbidden", "message": text, "field": "resourceVersionMatch"}]
    message = f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: {text}'
    return Failure(422, "Invalid", message, details={"kind": kind.kind, "causes": causes})
