"""What JSON says, as it was read: the one place where nobody knows the types.

Objects are kept, checked and converted as plain dictionaries, since fields that we do not
know have to be seen as well. What is in the store is never changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]  # a JSON object


def at(manifest: Manifest, *path: str) -> Any:  # the leaf has whatever type it was sent with
    """Return what stands at a path, None where there is nothing."""
    found: Any = manifest
    for step in path:
        if not isinstance(found, dict) or found.get(step) is None:
            return None
        found = found[step]
    return found


def items(manifest: Manifest, *path: str) -> list[Any]:
    """Return the list at a path, an empty one where there is nothing."""
    return at(manifest, *path) or []


def copied(manifest: Manifest) -> Manifest:
    """Return one that may be changed."""
    made: Manifest = _copied(manifest)
    return made


def _copied(value: Any) -> Any:
    """Copy what JSON can say: many times as fast as copy.deepcopy, which minds cycles."""
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def requests_of(spec: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield every exact request and alternative of a claim's spec (v1), with its full name."""
    for request in items(spec, "devices", "requests"):
        if request.get("exactly") is not None:
            yield request["name"], request["exactly"]
        for alternative in request.get("firstAvailable") or []:
            yield f"{request['name']}/{alternative['name']}", alternative
