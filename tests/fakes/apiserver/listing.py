"""A list at a resourceVersion, whole or in pieces."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping

from tests.fakes.apiserver.failure import bad_request, gone, too_large_version
from tests.fakes.apiserver.manifest import Manifest
from tests.fakes.apiserver.selectors import Selector
from tests.fakes.apiserver.store import Store, key_of

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


@dataclasses.dataclass(frozen=True)
class Page:
    """Some of a list, and its metadata."""

    items: list[Manifest]
    metadata: Manifest


def number(query: Mapping[str, str], name: str) -> int:
    """Read a query parameter that is a number; 0 where there is none."""
    text = query.get(name) or "0"
    if not text.isdecimal():
        raise bad_request(f"invalid {name}: {text!r} is not a number")
    return int(text)


def page(store: Store, selector: Selector, namespace: str, query: Mapping[str, str]) -> Page:
    """Answer a list.

    Odd on purpose: with resourceVersion=0 the limit is ignored, as the watch cache does.

    Raises:
        Failure: 400; 410 for what is forgotten; 504 for what is in the future.
    """
    with store.lock:
        limit, token = number(query, "limit"), query.get("continue", "")
        wanted, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
        if token:
            return _continued(store, selector, namespace, token, limit)
        version = number(query, "resourceVersion")
        if match and not wanted:
            raise bad_request(
                "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        if version > store.revision:
            raise too_large_version(version, store.revision)
        exact = match == "Exact" or (version and limit and not match)
        if exact and version < store.compacted:
            raise gone(f"The resourceVersion for the provided list is too old: {version}")
        if exact:
            found = store.select_at(version, selector, namespace)
            return _cut(found, limit, version, selector)
        found = store.select(selector, namespace)
        return _cut(found, 0 if wanted == "0" else limit, store.revision, selector)


def _cut(found: list[Manifest], limit: int, version: int, selector: Selector) -> Page:
    metadata: Manifest = {"resourceVersion": str(version)}
    if limit and len(found) > limit:
        last = key_of(found[limit - 1])
        token = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": last})
        metadata["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
        if not selector:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return Page(found, metadata)


def _continued(store: Store, selector: Selector, namespace: str, token: str, limit: int) -> Page:
    try:
        said = json.loads(base64.urlsafe_b64decode(token))
        version, start = int(said["rv"]), tuple(said["start"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    if version < store.compacted:
        raise gone(_EXPIRED)
    found = store.select_at(version, selector, namespace)
    return _cut([one for one in found if key_of(one) > start], limit, version, selector)
