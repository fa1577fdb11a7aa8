"""The API server of the tests: lists and watches, and what goes wrong with them."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator

import pytest

from tests.agent.apiclient import DRA, SLICES, Client, nic, slice_of
from tests.fakes.apiserver import ApiServer, Manifest, Settings

NODE1 = "fieldSelector=spec.nodeName%3Dnode1"
FAST = Settings(versions=("v1", "v1beta1"), bookmarks=0.05)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def client(server: ApiServer) -> Client:
    return Client(server)


def named(name: str, node: str = "node1", *devices: Manifest) -> Manifest:
    return {**slice_of(node, *devices), "metadata": {"name": name, "labels": {"node": node}}}


def take(events: Iterator[Manifest], count: int) -> list[tuple[str, str]]:
    """The next events: their types, and the names of their objects."""
    return [
        (event["type"], event["object"]["metadata"].get("name", ""))
        for event in itertools.islice(events, count)
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("", ["a", "b", "c"], id="all"),
        pytest.param(NODE1, ["a", "c"], id="node"),
        pytest.param(f"{NODE1},spec.driver%3Dother", [], id="node and driver"),
        pytest.param("fieldSelector=spec.nodeName!%3Dnode1", ["b"], id="not the node"),
        pytest.param("fieldSelector=metadata.name%3Db", ["b"], id="name"),
        pytest.param("labelSelector=node%3Dnode2", ["b"], id="label"),
        pytest.param("labelSelector=node%20in%20(node2,x),node", ["b"], id="label in a set"),
        pytest.param("labelSelector=!node", [], id="no label"),
    ],
)
def test_a_list_has_what_is_selected(
    server: ApiServer, client: Client, query: str, names: list[str]
) -> None:
    for name, node in (("c", "node1"), ("a", "node1"), ("b", "node2")):
        server.cluster.create(named(name, node))
    body = client.get(f"{SLICES}?{query}").body
    assert [one["metadata"]["name"] for one in body["items"]] == names
    assert (body["kind"], body["apiVersion"]) == ("ResourceSliceList", "resource.k8s.io/v1")
    assert not any("kind" in one for one in body["items"])


@pytest.mark.parametrize("selector", ["spec.pool.name%3Dx", "spec.foo%3Dx", "nonsense"])
def test_what_cannot_be_selected_by_is_400(client: Client, selector: str) -> None:
    assert client.get(f"{SLICES}?fieldSelector={selector}").status == 400


def test_a_list_in_pieces_is_of_one_moment(server: ApiServer, client: Client) -> None:
    for index in range(5):
        server.cluster.create(named(f"s{index}"))
    first = client.get(f"{SLICES}?limit=2").body
    assert first["metadata"]["remainingItemCount"] == 3
    server.cluster.delete("resourceslices", "s3")
    server.cluster.create(named("s9"))
    names = [one["metadata"]["name"] for one in first["items"]]
    token = first["metadata"]["continue"]
    while token:
        body = client.get(f"{SLICES}?limit=2&continue={token}").body
        names += [one["metadata"]["name"] for one in body["items"]]
        assert body["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        token = body["metadata"].get("continue")
    assert names == ["s0", "s1", "s2", "s3", "s4"]
    assert len(client.get(f"{SLICES}?limit=2&resourceVersion=0").body["items"]) == 5, "the cache"


def test_what_is_forgotten_is_gone(server: ApiServer, client: Client) -> None:
    for index in range(3):
        server.cluster.create(named(f"s{index}"))
    metadata = client.get(f"{SLICES}?limit=2").body["metadata"]
    server.cluster.create(named("other"))
    server.compact()
    answer = client.get(f"{SLICES}?limit=2&continue={metadata['continue']}")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    version = metadata["resourceVersion"]
    exact = f"{SLICES}?resourceVersion={version}&resourceVersionMatch=Exact"
    assert client.get(exact).status == 410
    assert client.get(f"{SLICES}?resourceVersion={version}").status == 200, "not older than"


def test_the_future_is_not_known_yet(client: Client) -> None:
    answer = client.get(f"{SLICES}?resourceVersion=999999")
    assert (answer.status, answer.headers["Retry-After"]) == (504, "1")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_a_watch_goes_on_from_a_list(server: ApiServer, client: Client) -> None:
    server.cluster.create(named("old"))
    listed = client.get(f"{SLICES}?{NODE1}").body["metadata"]["resourceVersion"]
    server.cluster.create(named("missed"))
    events = client.watch(f"{SLICES}?watch=1&{NODE1}&resourceVersion={listed}")
    server.cluster.create(named("foreign", "node2"))
    with server.cluster.edit("resourceslices", "old") as made:
        made["spec"]["devices"] = [nic("eth9")]
    server.cluster.delete("resourceslices", "old")
    assert take(events, 3) == [("ADDED", "missed"), ("MODIFIED", "old"), ("DELETED", "old")]


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
def test_a_watch_from_nowhere_begins_with_what_there_is(
    server: ApiServer, client: Client, version: str
) -> None:
    server.cluster.create(named("a"))
    server.cluster.create(named("b"))
    events = client.watch(f"{SLICES}?watch=true{version}")
    server.cluster.create(named("c"))
    assert take(events, 3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


def test_a_watch_can_stream_the_list(server: ApiServer, client: Client) -> None:
    server.cluster.create(named("a"))
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = client.watch(f"{SLICES}?watch=1&{query}")
    added, end = itertools.islice(events, 2)
    assert (added["type"], end["type"]) == ("ADDED", "BOOKMARK")
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert client.get(f"{SLICES}?watch=1&sendInitialEvents=true").status == 422


def test_who_leaves_a_selection_is_deleted_from_it(server: ApiServer, client: Client) -> None:
    server.cluster.create(named("a"))
    events = client.watch(f"{SLICES}?watch=1&labelSelector=node%3Dnode1")
    for labels in ({}, {"node": "node1"}):
        with server.cluster.edit("resourceslices", "a") as made:
            made["metadata"]["labels"] = labels
    added, deleted, again = itertools.islice(events, 3)
    assert [one["type"] for one in (added, deleted, again)] == ["ADDED", "DELETED", "ADDED"]
    assert deleted["object"]["metadata"]["labels"] == {"node": "node1"}, "as it matched last"
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in (added, deleted)]
    assert versions[0] < versions[1]


def test_the_last_state_has_the_version_of_its_end(server: ApiServer, client: Client) -> None:
    made = server.cluster.create(named("a"))
    events = client.watch(f"{SLICES}?watch=1&resourceVersion={server.store.revision}")
    server.cluster.delete("resourceslices", "a")
    last = next(events)["object"]
    assert int(last["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert last["spec"] == made["spec"]


def test_bookmarks_come_by_themselves_and_when_asked_for() -> None:
    with ApiServer(FAST) as server:
        client = Client(server)
        path = f"{SLICES}?watch=1&allowWatchBookmarks=true&resourceVersion={server.store.revision}"
        events = client.watch(path)
        server.cluster.add_node("node1")
        marks = [next(events)["object"]["metadata"] for _ in range(2)]
        assert marks[1]["resourceVersion"] == str(server.store.revision)
        beta = path.replace("/v1/", "/v1beta1/")
        assert next(client.watch(beta))["object"]["apiVersion"] == "resource.k8s.io/v1beta1"


def test_without_asking_there_are_no_bookmarks() -> None:
    with ApiServer(FAST) as server:
        events = Client(server).watch(f"{SLICES}?watch=1")
        server.send_bookmarks()
        server.cluster.create(named("a"))
        assert take(events, 1) == [("ADDED", "a")]


def test_a_watch_ends_in_time(client: Client) -> None:
    assert list(client.watch(f"{SLICES}?watch=1&timeoutSeconds=1")) == []


@pytest.mark.parametrize("by_http", [False, True])
def test_a_watch_from_what_is_forgotten_is_gone(by_http: bool) -> None:
    with ApiServer(Settings(gone_by_http=by_http)) as server:
        client, old = Client(server), server.store.revision
        server.cluster.create(named("a"))
        server.compact()
        path = f"{SLICES}?watch=1&resourceVersion={old}"
        if by_http:
            assert client.get(path).status == 410
        else:
            (event,) = client.watch(path)
            assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
            assert event["object"]["reason"] == "Expired"


def test_history_has_an_end() -> None:
    with ApiServer(Settings(history=10)) as server:
        old = server.store.revision
        for index in range(20):
            server.cluster.create(named(f"s{index}"))
        (event,) = Client(server).watch(f"{SLICES}?watch=1&resourceVersion={old}")
        assert event["object"]["code"] == 410


def test_watches_are_cut(server: ApiServer, client: Client) -> None:
    events = client.watch(f"{SLICES}?watch=1")
    server.cut_watches()
    assert list(events) == []
    events = client.watch(f"{SLICES}?watch=1")
    server.cut_watches(abruptly=True)
    with pytest.raises((OSError, http.client.HTTPException)):
        list(events)


def test_events_get_lost(server: ApiServer, client: Client) -> None:
    events = client.watch(f"{SLICES}?watch=1")
    server.deafen()
    server.cluster.create(named("lost"))
    server.deafen(False)
    server.cluster.create(named("seen"))
    assert take(events, 1) == [("ADDED", "seen")]
    assert len(client.get(SLICES).body["items"]) == 2


def test_who_is_gone_watches_no_more(server: ApiServer, client: Client) -> None:
    events = client.watch(f"{SLICES}?watch=1")
    server.cluster.create(named("a"))
    assert take(events, 1) == [("ADDED", "a")]
    assert server.watches == 1
    assert server.book.find("watch")[0].code == 200
    events.close()
    server.book.wait(lambda: server.watches == 0)


def test_claims_of_a_namespace_are_watched(server: ApiServer, client: Client) -> None:
    for namespace in ("one", "two"):
        server.cluster.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
    events = client.watch(f"{DRA}/namespaces/two/resourceclaims?watch=1")
    for namespace in ("one", "two"):
        metadata = {"name": f"in-{namespace}", "namespace": namespace}
        spec: Manifest = {"devices": {}}
        kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
        server.cluster.create({**kind, "metadata": metadata, "spec": spec})
    assert take(events, 1) == [("ADDED", "in-two")]
