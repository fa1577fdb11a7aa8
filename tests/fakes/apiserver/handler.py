"""HTTP: from a request to an answer. Everything here runs in the server's loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from aiohttp import web

from tests.fakes.apiserver import auth, codec, discovery, listing, requests, selectors
from tests.fakes.apiserver.auth import Rbac, Tokens, User
from tests.fakes.apiserver.breaking import reset
from tests.fakes.apiserver.failure import Failure, bad_request
from tests.fakes.apiserver.faults import Asked, Book, Fault, Faults
from tests.fakes.apiserver.kinds import DRA
from tests.fakes.apiserver.manifest import Manifest
from tests.fakes.apiserver.policy import Policies
from tests.fakes.apiserver.registry import Registry
from tests.fakes.apiserver.requests import Info
from tests.fakes.apiserver.selectors import Selector
from tests.fakes.apiserver.settings import Settings
from tests.fakes.apiserver.watching import Hub, Subscription

_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_PATIENCE = 0.05  # seconds between looks at whether something that hangs still has to


class _Guard:
    """What a user's write has to pass beside the rules."""

    def __init__(self, handler: Handler, user: User, info: Info) -> None:
        self._handler, self._user, self._info = handler, user, info

    def admit(self, operation: str, new: Manifest | None, old: Manifest | None) -> None:
        self._handler.policies.admit(operation, self._info, self._user, new, old)

    def change_status(self, new: Manifest, old: Manifest) -> None:
        if "DRAResourceClaimGranularStatusAuthorization" in self._handler.settings.gates_on:
            auth.check_claim_status(self._handler.rbac, self._user, self._info.verb, new, old)


class Handler:
    """Answers every request; whatever is raised becomes a Status."""

    def __init__(self, settings: Settings, registry: Registry, hub: Hub) -> None:
        self.settings, self.registry, self.hub = settings, registry, hub
        self.tokens, self.rbac, self.policies = Tokens(), Rbac(), Policies()
        self.faults, self.book = Faults(), Book()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, as faults will have it."""
        info = requests.read(request.method, request.path, request.query)
        user, failure = self._who(request)
        page = self.book.begin(
            Asked(
                time.monotonic(),
                info.verb,
                info.resource,
                info.name,
                request.query_string,
                user.name,
            )
        )
        fault = self.faults.pick(info.verb, info.resource)
        try:
            if fault is not None:
                await self._suffer(fault, request)
            if failure is not None:
                raise failure
            if not self.rbac.allows(user, info.attributes):
                raise info.attributes.refusal(user)
            response = await self._answer(
                request, info, user, lambda code: self.book.end(page, code)
            )
        except Failure as refused:
            response = _failed(refused)
        if fault is not None and fault.lost:
            _break(request)
        self.book.end(page, response.status)
        return response

    def _who(self, request: web.BaseRequest) -> tuple[User, Failure | None]:
        try:
            return self.tokens.who(request.headers.get("Authorization")), None
        except Failure as failure:
            return auth.ANONYMOUS, failure

    async def _suffer(self, fault: Fault, request: web.BaseRequest) -> None:
        await asyncio.sleep(fault.delay)
        while fault.hang and self.faults.holds(fault):
            await asyncio.sleep(_PATIENCE)
        if fault.reset:
            _break(request)
        if fault.code:
            raise _made_up(fault)

    async def _answer(
        self, request: web.BaseRequest, info: Info, user: User, began: Callable[[int], None]
    ) -> web.StreamResponse:
        settings = self.settings
        if info.kind is None:
            found = discovery.document(info.path, settings.versions, settings.minor)
            if found is None and info.path in ("/healthz", "/livez", "/readyz"):
                return web.Response(text="ok")
            if found is None or info.verb != "get":
                raise _not_served()
            return _json(found)
        served = settings.versions if info.kind.group == DRA else ("v1",)
        status_alone = info.subresource == "status" and info.kind.status
        if info.version not in served or (info.subresource and not status_alone):
            raise _not_served()
        if info.verb == "watch":
            return await self._watch(request, info, began)
        response = await self._serve(request, info, user)
        _warn(response, discovery.deprecation(info.kind, info.version, settings.minor))
        return response

    async def _serve(self, request: web.BaseRequest, info: Info, user: User) -> web.Response:
        assert info.kind is not None
        kind, key = info.kind, (info.namespace, info.name)
        if info.verb == "get":
            return _object(info, self.registry.get(kind, key))
        if info.verb == "list":
            return self._list(info)
        guard = _Guard(self, user, info)
        if info.verb in ("delete", "deletecollection"):
            return await self._delete(request, info, guard)
        if info.verb == "patch":
            return await self._patch(request, info, guard)
        if info.verb not in ("create", "update"):
            raise Failure(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        manifest, warnings = await self._body(request, info)
        if info.verb == "create":
            _dry(info)
            made = self.registry.create(kind, manifest, guard)
            return _object(info, made, 201, warnings)
        _dry(info)
        made = self.registry.replace(kind, manifest, guard, status=bool(info.subresource))
        return _object(info, made, 200, warnings)

    async def _body(self, request: web.BaseRequest, info: Info) -> tuple[Manifest, list[str]]:
        """Read an object, which has to be what the path says."""
        assert info.kind is not None
        media = request.content_type
        if media not in (_JSON, "application/octet-stream"):  # octet-stream: no header at all
            raise _media(media, _JSON)
        level = info.query.get("fieldValidation", "")
        sent = codec.parse(await request.read())
        manifest, warnings = codec.decode(info.kind, info.version, *sent, level or "Warn")
        metadata = manifest.setdefault("metadata", {})
        _same_place(info, metadata)
        return manifest, warnings

    async def _patch(self, request: web.BaseRequest, info: Info, guard: _Guard) -> web.Response:
        """Merge patches in v1 alone; server-side apply, JSON and strategic patches are 415."""
        assert info.kind is not None
        if request.content_type != _MERGE or info.version != "v1":
            raise _media(request.content_type, _MERGE)
        _dry(info)
        patch, _ = codec.parse(await request.read())
        merged, warnings = codec.decode(info.kind, "v1", patch, [])
        for name in ("apiVersion", "kind"):
            merged.pop(name, None)
        key, status = (info.namespace, info.name), bool(info.subresource)
        made = self.registry.patch(info.kind, key, _nulls(patch, merged), guard, status=status)
        return _object(info, made, 200, warnings)

    async def _delete(self, request: web.BaseRequest, info: Info, guard: _Guard) -> web.Response:
        assert info.kind is not None
        body = await request.read()
        options = codec.parse(body)[0] if body else {}
        if "gracePeriodSeconds" in info.query:
            options.setdefault(
                "gracePeriodSeconds", listing.number(info.query, "gracePeriodSeconds")
            )
        if info.verb == "delete":
            old, gone = self.registry.remove(info.kind, (info.namespace, info.name), options, guard)
            if not gone or info.kind.group == DRA:  # those of DRA answer with the object
                return _object(info, old)
            details = {**info.kind.details(info.name), "uid": old["metadata"]["uid"]}
            body_ = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": details,
            }
            return _json(body_)
        found = self.registry.store.select(_selector(info), info.namespace)
        ended = []
        for one in found:
            key = one["metadata"].get("namespace", ""), one["metadata"]["name"]
            ended.append(self.registry.remove(info.kind, key, options, guard)[0])
        return _listed(info, ended, {"resourceVersion": str(self.registry.store.revision)})

    def _list(self, info: Info) -> web.Response:
        page = listing.page(self.registry.store, _selector(info), info.namespace, info.query)
        return _listed(info, page.items, page.metadata)

    async def _watch(
        self, request: web.BaseRequest, info: Info, began: Callable[[int], None]
    ) -> web.StreamResponse:
        assert info.kind is not None
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        _warn(response, discovery.deprecation(info.kind, info.version, self.settings.minor))
        try:
            subscription = self.hub.open(_selector(info), info.namespace, info.query)
        except Failure as failure:
            if failure.code != 410 or self.settings.gone_by_http:
                raise
            await response.prepare(request)
            await response.write(codec.dumps({"type": "ERROR", "object": failure.status()}) + b"\n")
            return response
        try:
            await response.prepare(request)
            began(200)
            await self._stream(response, subscription, info)
        finally:
            self.hub.close(subscription)
        if subscription.ended == "abruptly":
            _break(request)
        return response

    async def _stream(
        self, response: web.StreamResponse, subscription: Subscription, info: Info
    ) -> None:
        clock = asyncio.get_running_loop().time
        assert info.kind is not None
        end = clock() + (
            listing.number(info.query, "timeoutSeconds") or self.settings.watch_timeout
        )
        mark = clock() + self.settings.bookmarks
        while not subscription.ended and clock() < end:
            told = await subscription.take(max(0, min(end, mark) - clock()))
            if clock() >= min(end, mark) and subscription.bookmarks and not told:
                told = [self.hub.bookmark(info.kind)]
                mark = clock() + self.settings.bookmarks
            if told and not subscription.ended:
                await response.write(b"".join(_event(info, *one) for one in told))


def _same_place(info: Info, metadata: Manifest) -> None:
    """Fill in what the path says, and refuse a body that says otherwise."""
    assert info.kind is not None
    if info.kind.namespaced:
        if metadata.setdefault("namespace", info.namespace) != info.namespace:
            why = "the namespace of the provided object does not match"
            raise bad_request(f"{why} the namespace sent on the request")
    elif metadata.get("namespace"):
        raise bad_request("namespace not allowed on this type")
    if info.name and metadata.setdefault("name", info.name) != info.name:
        why = f"the name of the object ({metadata['name']}) does not match"
        raise bad_request(f"{why} the name on the URL ({info.name})")


def _event(info: Info, type_: str, manifest: Manifest) -> bytes:
    assert info.kind is not None
    body = codec.encode(info.kind, info.version, manifest)
    return b'{"type":"%s","object":%s}\n' % (type_.encode(), body)


def _selector(info: Info) -> Selector:
    assert info.kind is not None
    fields, labels = info.query.get("fieldSelector", ""), info.query.get("labelSelector", "")
    if info.name and info.verb == "watch":  # an old way to watch one object
        fields = f"metadata.name={info.name}"
    return selectors.parse(info.kind, info.version, fields, labels)


def _nulls(patch: Manifest, decoded: Manifest) -> Manifest:
    """Put the nulls of a patch, which decoding drops, back."""
    made = dict(decoded)
    for name, value in patch.items():
        if value is None:
            made[name] = None
        elif isinstance(value, dict) and isinstance(made.get(name), dict):
            made[name] = _nulls(value, made[name])
    return made


def _dry(info: Info) -> None:
    if info.query.get("dryRun"):
        raise bad_request("this server has no dryRun")


def _object(
    info: Info, manifest: Manifest, code: int = 200, warnings: Iterable[str] = ()
) -> web.Response:
    assert info.kind is not None
    body = codec.encode(info.kind, info.version, manifest)
    response = web.Response(body=body, status=code, content_type=_JSON)
    _warn(response, warnings)
    return response


def _warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')


def _listed(info: Info, found: list[Manifest], metadata: Manifest) -> web.Response:
    assert info.kind is not None
    head = {"kind": f"{info.kind.kind}List", "apiVersion": info.kind.api_version(info.version)}
    start = codec.dumps({**head, "metadata": metadata})[:-1]
    body = b",".join(codec.encode(info.kind, info.version, one, typed=False) for one in found)
    return web.Response(body=start + b',"items":[' + body + b"]}", content_type=_JSON)


def _json(document: Manifest) -> web.Response:
    return web.Response(body=codec.dumps(document), content_type=_JSON)


def _failed(failure: Failure) -> web.Response:
    headers = {"Retry-After": str(failure.retry_after)} if failure.retry_after else {}
    body = codec.dumps(failure.status())
    return web.Response(body=body, status=failure.code, content_type=_JSON, headers=headers)


def _made_up(fault: Fault) -> Failure:
    reasons = {
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
        504: "Timeout",
    }
    message = {429: "Too many requests, please try again later."}.get(
        fault.code, "made up by a test"
    )
    return Failure(fault.code, reasons.get(fault.code, ""), message, retry_after=fault.retry_after)


def _not_served() -> Failure:
    return Failure(404, "NotFound", "the server could not find the requested resource")


def _media(have: str, want: str) -> Failure:
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {want}"
    )
    return Failure(415, "UnsupportedMediaType", f"{message} (not {have})")


def _break(request: web.BaseRequest) -> None:
    """End the connection with a reset, and the handler with it."""
    reset(request.transport)
    raise asyncio.CancelledError
