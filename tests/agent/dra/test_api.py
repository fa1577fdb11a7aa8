"""Calls of an API server that answers what it should not, or in a way of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from netdevice_plugin.errors import ClusterError
from tests.agent.dra.reaching import reaching
from tests.agent.dra.scriptedserver import Request, Script, failure, reply, serving
from tests.agent.scripted import asynchronous

GROUP = {"versions": [{"version": "v1beta1"}, {"version": "v1"}, {"version": "v1alpha3"}]}
REF = ClaimRef(namespace="default", name="claim", uid="u1")
DRIVER, NODE = "networking.k8s.io", "worker-1"


def made_slice(name: str, **spec: object) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "7"},
        "spec": {
            "driver": DRIVER,
            "nodeName": NODE,
            "pool": {"name": f"{NODE}/p", "generation": 1, "resourceSliceCount": 1},
            "devices": [],
            **spec,
        },
    }


def claim(**more: object) -> dict[str, Any]:
    metadata = {"name": "claim", "namespace": "default", "uid": "u1", "resourceVersion": "3"}
    return {"metadata": metadata, "spec": {"devices": {"requests": []}}, **more}


def answering(answers: Mapping[str, object]) -> Script:
    """Answers by the end of the path; what is an int is a status."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        path = urlsplit(request.target).path
        if path == "/apis/resource.k8s.io":
            reply(writer, 200, answers.get("group", GROUP))
            return
        answer = answers.get(path.rsplit("/", 1)[1], 404)
        if isinstance(answer, int):
            reply(writer, answer, failure(answer, "no", name=path.rsplit("/", 1)[1]))
        else:
            reply(writer, 200, answer)

    return script


@contextlib.asynccontextmanager
async def asking(script: Script) -> AsyncIterator[Api]:
    async with serving(script) as server, Api(reaching(server.url)) as api:
        yield api


@asynchronous
async def test_the_newest_version_that_both_know_is_spoken() -> None:
    async with asking(answering({})) as api:
        assert await api.discover() == "v1"


@pytest.mark.parametrize(
    "group",
    [
        {},
        {"versions": None},
        {"versions": "v1"},
        {"versions": [1, {"version": ["v1"]}]},
        {"versions": [{"version": "v2"}]},
    ],
)
@asynchronous
async def test_a_server_without_a_version_that_is_known_has_dra_off(group: object) -> None:
    async with asking(answering({"group": group})) as api:
        with pytest.raises(ClusterError, match="none of resource") as caught:
            await api.discover()
        assert "DynamicResourceAllocation" in caught.value.hint


@asynchronous
async def test_a_server_without_the_group_has_dra_off() -> None:
    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, 404, b"404 page not found\n")

    async with asking(script) as api:
        with pytest.raises(ClusterError, match="has no resource"):
            await api.claim(REF)


GARBAGE = [b"", b"{", b"\xff", b"[1]", b"null", b"[" * 100_000, b'{"metadata": 7}', b"<html>"]


@pytest.mark.parametrize("body", GARBAGE, ids=repr)
@asynchronous
async def test_garbage_is_an_error_wherever_it_comes(body: bytes) -> None:
    async with asking(answering({"worker-1": body, "claim": body, "resourceslices": body})) as api:
        for call in (api.node("worker-1"), api.claim(REF)):
            with pytest.raises(UnreachableError, match="makes no sense"):
                await call
        if body not in (b'{"metadata": 7}',):  # a list of nothing
            with pytest.raises(UnreachableError, match="makes no sense"):
                await api.list_slices(DRIVER, NODE)


BAD = {
    "no pool": {"pool": None},
    "a generation of text": {"pool": {"name": "p", "generation": "1"}},
    "devices of text": {"devices": "x"},
    "a device without a name": {"devices": [{}]},
    "a device of text": {"devices": ["eth1"]},
    "basic of text": {"devices": [{"name": "x", "basic": "y"}]},
    "a driver of numbers": {"driver": 7},
}


@pytest.mark.parametrize("spec", BAD.values(), ids=BAD)
@asynchronous
async def test_a_slice_that_is_none_is_an_error(spec: dict[str, object]) -> None:
    listed = {"metadata": {"resourceVersion": "1"}, "items": [made_slice("a", **spec)]}
    async with asking(answering({"resourceslices": listed, "a": made_slice("a", **spec)})) as api:
        with pytest.raises(UnreachableError, match="makes no sense"):
            await api.list_slices(DRIVER, NODE)
        with pytest.raises(UnreachableError, match="makes no sense"):
            await api.slice("a")


@pytest.mark.parametrize(
    "found",
    [
        claim(status=7),
        claim(status={"devices": "x"}),
        claim(status={"devices": [1]}),
        claim(spec={"devices": {"requests": "x"}}),
        claim(spec={"devices": 7}),
        claim(spec=[]),
    ],
    ids=["status", "devices", "a device", "requests", "spec.devices", "spec"],
)
@asynchronous
async def test_a_claim_that_is_none_is_an_error(found: dict[str, Any]) -> None:
    async with asking(
        answering({"claim": found if found["spec"] else {**found, "spec": 7}})
    ) as api:
        with pytest.raises(UnreachableError, match="makes no sense"):
            await api.claim(REF)


@asynchronous
async def test_a_claim_of_another_uid_is_not_found() -> None:
    other = ClaimRef(namespace="default", name="claim", uid="u2")
    async with asking(answering({"claim": claim()})) as api:
        assert (await api.claim(REF))["metadata"]["uid"] == "u1"
        with pytest.raises(NotFoundError, match="another"):
            await api.claim(other)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, RefusedError, "token"),
        (403, ForbiddenError, "needs the verb get on resourceclaims"),
        (404, NotFoundError, ""),
        (409, ConflictError, ""),
        (410, ExpiredError, ""),
        (429, RefusedError, "asked again later"),
        (302, RefusedError, ""),
        (500, RefusedError, ""),
    ],
)
@asynchronous
async def test_each_error_is_of_its_sort_with_a_remedy(
    status: int, kind: type[RefusedError], said: str
) -> None:
    async with asking(answering({"claim": status})) as api:
        with pytest.raises(kind) as caught:
            await api.claim(REF)
    assert "get resourceclaims claim default/claim: no" in str(caught.value)
    assert caught.value.status == status
    assert said in caught.value.hint


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("7", {}, 7),
        ("999999999999", {}, 120),
        ("soon", {"retryAfterSeconds": 5}, 5),
        ("", {"retryAfterSeconds": -5}, 0),
        ("", {"retryAfterSeconds": "x"}, 0),
    ],
)
@asynchronous
async def test_a_wish_to_wait_is_taken_within_reason(
    header: str, details: dict[str, object], seconds: float
) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, 429, failure(429, "no", **details), f"Retry-After: {header}")

    async with asking(script) as api:
        with pytest.raises(RefusedError) as caught:
            await api.discover()
    assert caught.value.retry_after == seconds


@asynchronous
async def test_a_message_of_the_server_fits_on_a_line() -> None:
    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, 500, failure(500, "a\nb\0\x1b[31m" + "x" * 100_000))

    async with asking(script) as api:
        with pytest.raises(RefusedError) as caught:
            await api.discover()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


@asynchronous
async def test_a_list_comes_in_chunks() -> None:
    asked: list[dict[str, list[str]]] = []

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(request.target)
        if url.path == "/apis/resource.k8s.io":
            reply(writer, 200, GROUP)
            return
        asked.append(query := parse_qs(url.query))
        more = {} if "continue" in query else {"continue": "more"}
        name = "b" if "continue" in query else "a"
        foreign = made_slice("c", driver="gpu.example.com")
        body = {"metadata": {"resourceVersion": "5", **more}, "items": [made_slice(name), foreign]}
        reply(writer, 200, body)

    async with asking(script) as api:
        found = await api.list_slices(DRIVER, NODE)
    assert [one["metadata"]["name"] for one in found.slices] == ["a", "b"]
    assert found.position == "5"
    assert asked[1]["continue"] == ["more"]
    assert asked[0]["fieldSelector"] == asked[1]["fieldSelector"]


@asynchronous
async def test_a_list_without_end_ends() -> None:
    count = 0

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        items = [made_slice(f"s{count}-{number}") for number in range(100)]
        group = urlsplit(request.target).path == "/apis/resource.k8s.io"
        metadata = {"resourceVersion": "5", "continue": "more"}
        reply(writer, 200, GROUP if group else {"metadata": metadata, "items": items})

    async with asking(script) as api:
        with pytest.raises(RefusedError, match="more than 1024 slices"):
            await api.list_slices(DRIVER, NODE)


@asynchronous
async def test_a_server_that_cannot_select_by_driver_is_asked_by_node() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if urlsplit(request.target).path == "/apis/resource.k8s.io":
            reply(writer, 200, GROUP)
        elif "spec.driver" in request.target:
            reply(writer, 400, failure(400, "field label not supported: spec.driver"))
        else:
            foreign = made_slice("f", driver="gpu.example.com")
            items = [made_slice("a"), foreign]
            reply(writer, 200, {"metadata": {"resourceVersion": "1"}, "items": items})

    async with asking(script) as api:
        found = await api.list_slices(DRIVER, NODE)
        assert [one["metadata"]["name"] for one in found.slices] == ["a"]
        assert "spec.nodeName" in parse_qs(api._query(DRIVER, NODE, {}))["fieldSelector"][0]


def watch_of(*events: object) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if urlsplit(request.target).path == "/apis/resource.k8s.io":
            reply(writer, 200, GROUP)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for event in events:
            data = event if isinstance(event, bytes) else json.dumps(event).encode()
            writer.write(data + b"\n")
        writer.close()

    return script


async def watched(*events: object) -> list[tuple[str, str]]:
    async with (
        asking(watch_of(*events)) as api,
        api.watch_slices(DRIVER, NODE, "1", 5) as found,
    ):
        return [(event.kind, event.position) async for event in found]


@asynchronous
async def test_a_watch_tells_of_ours_and_of_how_far_it_is() -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    foreign = made_slice("f", driver="gpu.example.com")
    assert await watched(
        {"type": "ADDED", "object": made_slice("a")},
        {"type": "ADDED", "object": foreign},
        bookmark,
        {"type": "DELETED", "object": made_slice("a")},
    ) == [("ADDED", "7"), ("BOOKMARK", "9"), ("DELETED", "7")]


@asynchronous
async def test_an_expired_position_is_told_in_the_watch() -> None:
    with pytest.raises(ExpiredError):
        await watched({"type": "ERROR", "object": failure(410, "too old resource version")})


@pytest.mark.parametrize(
    "event",
    [
        b"{",
        {"type": "ADDED"},
        {"type": "ADDED", "object": {}},
        {"type": "GREETING", "object": made_slice("a")},
        {"type": ["ADDED"], "object": made_slice("a")},
        {"type": "ERROR", "object": {"code": "x", "message": 7, "details": 7}},
    ],
    ids=repr,
)
@asynchronous
async def test_nonsense_in_a_watch_is_an_error(event: object) -> None:
    with pytest.raises(ClusterError):
        await watched(event)


@asynchronous
async def test_a_delete_is_of_that_very_slice_and_one_that_is_gone_is_fine() -> None:
    asked: list[Request] = []

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "DELETE":
            asked.append(request)
            reply(writer, 404, failure(404, "not found", name="a"))
        else:
            reply(writer, 200, GROUP)

    async with asking(script) as api:
        await api.delete_slice("a", uid="u", resource_version="7")
    preconditions = {"uid": "u", "resourceVersion": "7"}
    assert asked[0].json["preconditions"] == preconditions


@asynchronous
async def test_a_delete_where_the_version_is_gone_is_an_error_and_discovered_anew() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "DELETE":
            reply(writer, 404, b"404 page not found\n")
        else:
            reply(writer, 200, GROUP)

    async with asking(script) as api:
        with pytest.raises(NotFoundError):
            await api.delete_slice("a", uid="u")
        assert api.version == ""
