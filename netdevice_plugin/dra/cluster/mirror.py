"""Our slices as the API server has them: what was listed, watched, and written by ourselves. Pure.

A watch is behind: it tells of our own writes after their answers, and of what was before
them. So what came back from a write counts until the watch has come as far.
"""

from __future__ import annotations

from collections.abc import Iterable

from netdevice_plugin.dra.cluster.answers import Object
from netdevice_plugin.dra.cluster.api import Event


class Mirror:
    """The slices by name, kept true by `replace`, `apply`, `wrote` and `deleted`."""

    def __init__(self) -> None:
        self._slices: dict[str, Object] = {}
        self._deleted: set[str] = set()  # by uid: ours, of which the watch may still tell
        self._writing = False
        self._unsure: list[Event] = []  # came while we wrote: of us, or of somebody else?
        self._own: set[tuple[str, str]] = set()  # uid and resourceVersion of what we wrote

    @property
    def slices(self) -> tuple[Object, ...]:
        """All of them, by name."""
        return tuple(self._slices[name] for name in sorted(self._slices))

    @property
    def devices(self) -> int:
        """How many devices are in them."""
        return sum(len(one["spec"].get("devices") or ()) for one in self._slices.values())

    def replace(self, slices: Iterable[Object]) -> None:
        """Take a list for the truth."""
        self._slices = {one["metadata"]["name"]: one for one in slices}
        self._deleted.clear()

    def apply(self, event: Event) -> bool:
        """Note what a watch tells; say whether somebody else did that for sure.

        While we write, the watch may tell of a write before its answer comes: ask `settle`.
        """
        if event.slice is None or not self._note(event.kind, event.slice):
            return False
        if self._writing:
            self._unsure.append(event)
        return not self._writing

    def begin(self) -> None:
        """Writes of ours are to come."""
        self._writing = True
        self._own.clear()

    def settle(self) -> tuple[Event, ...]:
        """Our writes are over: return what was told meanwhile of others."""
        self._writing = False
        unsure, self._unsure = self._unsure, []
        return tuple(one for one in unsure if _mark(one) not in self._own)

    def wrote(self, one: Object) -> None:
        """Note what came back from a create or an update of ours, or from looking again."""
        metadata = one["metadata"]
        self._own.add((metadata["uid"], metadata["resourceVersion"]))
        went = (event.slice for event in self._unsure if event.kind == "DELETED")
        if not any(each and each["metadata"]["uid"] == metadata["uid"] for each in went):
            self._note("MODIFIED", one)

    def deleted(self, one: Object) -> None:
        """Note that we deleted a slice."""
        metadata = one["metadata"]
        mark = (metadata["uid"], "")
        self._slices.pop(metadata["name"], None)
        self._own.add(mark)
        if mark not in map(_mark, self._unsure):
            self._deleted.add(metadata["uid"])

    def _note(self, kind: str, one: Object) -> bool:
        """Take it in, if it is news."""
        name, uid = one["metadata"]["name"], one["metadata"]["uid"]
        known = self._slices.get(name)
        same = known is not None and known["metadata"]["uid"] == uid
        if kind == "DELETED":
            ours = uid in self._deleted
            self._deleted.discard(uid)
            if same:
                del self._slices[name]
            return same or (self._writing and not ours)
        if uid in self._deleted or (same and known and not _is_newer(one, known)):
            return False
        self._slices[name] = one
        return True


def _mark(event: Event) -> tuple[str, str]:
    metadata = event.slice["metadata"] if event.slice else {}
    version = "" if event.kind == "DELETED" else metadata.get("resourceVersion", "")
    return metadata.get("uid", ""), version


def _is_newer(one: Object, known: Object) -> bool:
    """Compare two states of an object: resourceVersions are numbers that grow.

    Where they are not, which Kubernetes allows, anything else than what is known is newer.
    """
    new, old = (str(each["metadata"]["resourceVersion"]) for each in (one, known))
    if new.isascii() and new.isdigit() and old.isascii() and old.isdigit():
        return int(new[:40]) > int(old[:40])
    return new != old
