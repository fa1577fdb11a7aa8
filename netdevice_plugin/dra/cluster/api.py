"""The API server as the agent needs it: a node, our slices, claims. One method, one wish.

All objects are in the shape of resource.k8s.io/v1, whatever version the server has. No
call retries but where nothing can have happened; who calls decides about the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlencode

from lightkube import SingleConfig

from netdevice_plugin import __version__
from netdevice_plugin.dra import versions
from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.cluster import answers
from netdevice_plugin.dra.cluster.answers import Object
from netdevice_plugin.dra.cluster.bounds import Limits
from netdevice_plugin.dra.cluster.errors import ConflictError, NotFoundError, RefusedError
from netdevice_plugin.dra.cluster.transport import Answer, Client
from netdevice_plugin.errors import ClusterError

_CHUNK = 32  # slices in one answer
_MAX_SLICES = 1024  # more of one driver on one node are not ours: it is the wrong answer
_ATTEMPTS = 5  # at changing what others change as well
_GRACE = 30.0  # seconds that a watch may last longer than it was asked to

_DISABLED = (
    "DynamicResourceAllocation has to be on: it is from Kubernetes 1.34, and needs its feature "
    "gate and --runtime-config=resource.k8s.io/v1beta1=true before"
)


class Listed(NamedTuple):
    """The slices of a node, and the version of the whole that a watch goes on from."""

    slices: tuple[Object, ...]
    position: str


class Event(NamedTuple):
    """A change of one slice; BOOKMARK has none, and only says how far the watch is."""

    kind: str  # ADDED, MODIFIED, DELETED, BOOKMARK
    slice: Object | None
    position: str


class Api:
    """Calls of one API server; for one event loop. Every method raises ClusterError."""

    def __init__(self, config: SingleConfig, limits: Limits | None = None) -> None:
        self._client = Client(config, agent=f"netdevice-plugin/{__version__}", limits=limits)
        self._version = ""
        self._by_driver = True  # whether slices can be selected by spec.driver

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()

    @property
    def version(self) -> str:
        """The version of resource.k8s.io that is spoken; empty until it is discovered."""
        return self._version

    async def discover(self) -> str:
        """Find the newest version of resource.k8s.io that both sides know."""
        what = f"get {versions.GROUP}"
        try:
            found = answers.read(await self._client.call("GET", f"/apis/{versions.GROUP}"), what)
        except NotFoundError as error:
            raise ClusterError("the API server has no resource.k8s.io", hint=_DISABLED) from error
        listed = found.get("versions")
        served = [
            one.get("version")
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, dict)
        ]
        for version in versions.VERSIONS:
            if version in served:
                self._version = version
                return version
        known = ", ".join(versions.VERSIONS)
        raise ClusterError(f"the API server has none of resource.k8s.io {known}", hint=_DISABLED)

    async def node(self, name: str) -> str:
        """Return the uid of a Node; raises NotFoundError."""
        what = f"get nodes {name}"
        answer = await self._client.call("GET", f"/api/v1/nodes/{quote(name, safe='')}")
        found = answers.checked(answers.read(answer, what), what)
        return str(found["metadata"]["uid"])

    async def claim(self, ref: ClaimRef) -> Object:
        """Read a claim; raises NotFoundError if there is none of that name, or it is another."""
        return await self._claim(ref, "GET", _claim_path(ref))

    async def list_slices(self, driver: str, node: str, *, cached: bool = False) -> Listed:
        """List the slices that a driver has on a node.

        `cached` asks for what the server has in memory: cheap, and maybe a moment old.
        """
        found: dict[str, Object] = {}
        query = {"limit": str(_CHUNK), **({"resourceVersion": "0"} if cached else {})}
        while True:
            what = "list resourceslices"
            version = await self._known()
            page = await self._page(version, driver, node, query)
            for one in answers.items(page, what):
                if _is_of(slice_ := _slice(one, what, version), driver, node):
                    found[slice_["metadata"]["name"]] = slice_
            metadata = page.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            following = metadata.get("continue")
            if not following or not isinstance(following, str):
                return Listed(tuple(found.values()), str(metadata.get("resourceVersion") or "0"))
            if len(found) > _MAX_SLICES:
                raise RefusedError(f"more than {_MAX_SLICES} slices of {driver} on {node}")
            query = {"limit": str(_CHUNK), "continue": following}

    @contextlib.asynccontextmanager
    async def watch_slices(
        self, driver: str, node: str, position: str, seconds: float
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Follow them from a position on, for so long; entered once the server has agreed.

        Raises ExpiredError when the position is too old: list again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": position,
            "timeoutSeconds": str(max(1, int(seconds))),
        }
        version = await self._known()
        target = f"{_slices_path(version)}?{self._query(driver, node, query)}"
        async with self._client.stream(target) as stream:
            if stream.status != 200:
                answer = await stream.answer()
                self._notice(answer, "")
                raise answers.refusal(answer, "watch resourceslices")
            yield _events(stream.lines(seconds + _GRACE), driver, node, version)

    async def slice(self, name: str) -> Object:
        """Read a slice; raises NotFoundError."""
        version, what = await self._known(), f"get resourceslices {name}"
        answer = await self._client.call("GET", f"{_slices_path(version)}/{quote(name, safe='')}")
        self._notice(answer, name)
        return _slice(answers.read(answer, what), what, version)

    async def create_slice(self, made: Object) -> Object:
        """Create a slice; return it as the server keeps it."""
        version = await self._known()
        path, what = _slices_path(version), "create resourceslices"
        return await self._write("POST", path, made, what, version)

    async def update_slice(self, made: Object) -> Object:
        """Replace a slice; raises ConflictError unless it still has `metadata.resourceVersion`."""
        version, name = await self._known(), str(made["metadata"]["name"])
        path = f"{_slices_path(version)}/{quote(name, safe='')}"
        return await self._write("PUT", path, made, f"update resourceslices {name}", version)

    async def delete_slice(self, name: str, *, uid: str, resource_version: str = "") -> None:
        """Delete that very slice, if it is as it was; one that is gone is fine."""
        version = await self._known()
        wanted = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": wanted}
        path = f"{_slices_path(version)}/{quote(name, safe='')}"
        answer = await self._client.call("DELETE", path, _encode(body))
        self._notice(answer, name)
        if answer.status not in (200, 202) and not (
            answer.status == 404 and answers.names(answer, name)
        ):
            raise answers.refusal(answer, f"delete resourceslices {name}")

    async def update_claim_status(
        self, ref: ClaimRef, change: Callable[[Sequence[Object]], Sequence[Object] | None]
    ) -> bool:
        """Replace `status.devices` of a claim by what `change` makes of it; None leaves it.

        All else stays as it is, of other drivers too. What others write meanwhile has the
        change made again. Says whether anything was written; raises NotFoundError.
        """
        for attempt in range(_ATTEMPTS):
            claim = await self._claim(ref, "GET", _claim_path(ref))
            status = claim.get("status") or {}
            devices = change(tuple(status.get("devices") or ()))
            if devices is None:
                return False
            changed = {**claim, "status": {**status, "devices": list(devices)}}
            try:
                await self._claim(ref, "PUT", f"{_claim_path(ref)}/status", changed)
            except ConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311
            else:
                return True
        raise AssertionError

    async def _known(self) -> str:
        return self._version or await self.discover()

    async def _claim(self, ref: ClaimRef, method: str, path: str, made: Object = {}) -> Object:  # noqa: B006
        what = f"{'get' if method == 'GET' else 'update'} {_claim_resource(path)} {ref}"
        version = await self._known()
        answer = await self._ask(method, path, version, made)
        if answer.status == 404 and not answers.names(answer, ref.name):
            # Not the claim is gone but its version: the control plane was upgraded.
            version = await self.discover()
            answer = await self._ask(method, path, version, made)
        found = answers.checked_claim(answers.read(answer, what), what)
        if found["metadata"]["uid"] != ref.uid:
            raise NotFoundError(f"{ref} is gone: the one of that name is another", status=404)
        return versions.from_wire(found, version)

    async def _ask(self, method: str, path: str, version: str, made: Object) -> Answer:
        body = _encode(versions.to_wire(made, version)) if made else b""
        return await self._client.call(method, f"/apis/{versions.GROUP}/{version}{path}", body)

    async def _page(self, version: str, driver: str, node: str, query: Mapping[str, str]) -> Object:
        target = f"{_slices_path(version)}?{self._query(driver, node, query)}"
        answer = await self._client.call("GET", target)
        self._notice(answer, "")
        if answer.status == 400 and self._by_driver:
            self._by_driver = False  # an old server that cannot select by it
            return await self._page(version, driver, node, query)
        return answers.read(answer, "list resourceslices")

    def _query(self, driver: str, node: str, more: Mapping[str, str]) -> str:
        fields = [f"spec.nodeName={node}", *([f"spec.driver={driver}"] if self._by_driver else [])]
        return urlencode({"fieldSelector": ",".join(fields), **more})

    async def _write(self, method: str, path: str, made: Object, what: str, version: str) -> Object:
        body = _encode(versions.to_wire(made, version))
        answer = await self._client.call(method, path, body)
        self._notice(answer, str(made["metadata"].get("name")))
        return _slice(answers.read(answer, what), what, version)

    def _notice(self, answer: Answer, name: str) -> None:
        """Have the version discovered again if the one that we speak is not there any more."""
        if answer.status == 404 and not (name and answers.names(answer, name)):
            self._version = ""


async def _events(
    lines: AsyncIterator[bytes], driver: str, node: str, version: str
) -> AsyncIterator[Event]:
    what = "watch resourceslices"
    async for line in lines:
        found = answers.decode(line, what)
        kind, body = found.get("type"), found.get("object")
        metadata = body.get("metadata") if isinstance(body, dict) else None
        if not isinstance(body, dict):
            raise answers.nonsense(f"{what}: object", "is missing")
        if kind == "ERROR":
            raise answers.of_status(body, what)
        if kind == "BOOKMARK":
            position = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
            yield Event(kind, None, str(position or ""))
        elif kind not in ("ADDED", "MODIFIED", "DELETED"):
            raise answers.nonsense(f"{what}: type", "is not known")
        elif _is_of(one := _slice(body, what, version), driver, node):
            yield Event(kind, one, str(one["metadata"]["resourceVersion"]))


def _slice(found: object, what: str, version: str) -> Object:
    return versions.from_wire(answers.checked_slice(found, what), version)


def _slices_path(version: str) -> str:
    return f"/apis/{versions.GROUP}/{version}/resourceslices"


def _claim_path(ref: ClaimRef) -> str:
    namespace, name = (quote(one, safe="") for one in (ref.namespace, ref.name))
    return f"/namespaces/{namespace}/resourceclaims/{name}"


def _claim_resource(path: str) -> str:
    return "resourceclaims/status" if path.endswith("/status") else "resourceclaims"


def _is_of(one: Object, driver: str, node: str) -> bool:
    spec: Mapping[str, Any] = one["spec"]
    return spec.get("driver") == driver and spec.get("nodeName") == node


def _encode(made: Object) -> bytes:
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False).encode()
