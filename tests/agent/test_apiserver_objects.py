"""The API server of the tests: what becomes of objects, over HTTP."""

from __future__ import annotations

import dataclasses
import ssl
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.apiclient import (
    DRA,
    SLICES,
    Client,
    allocation,
    claim,
    class_,
    nic,
    request,
    result,
    slice_of,
)
from tests.fakes.apiserver import ApiServer, Manifest, Settings, release

ALL = Settings(minor=34, versions=("v1", "v1beta2", "v1beta1"))
CLAIMS = f"{DRA}/namespaces/default/resourceclaims"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(ALL) as running:
        running.cluster.add_node("node1")
        yield running


@pytest.fixture
def client(server: ApiServer) -> Client:
    return Client(server)


@pytest.mark.parametrize(
    ("settings", "preferred"),
    [
        pytest.param(release(36), "v1", id="1.36"),
        pytest.param(release(33), "v1beta2", id="1.33"),
        pytest.param(release(32), "v1beta1", id="1.32"),
    ],
)
def test_discovery_says_what_is_served(settings: Settings, preferred: str) -> None:
    with ApiServer(settings) as server:
        client = Client(server)
        (group,) = client.get("/apis").body["groups"]
        assert group["preferredVersion"]["version"] == preferred
        resources = client.get(f"/apis/resource.k8s.io/{preferred}").body["resources"]
        served = {one["name"] for one in resources}
        assert {"resourceslices", "resourceclaims", "resourceclaims/status"} <= served
        off = "v1" if preferred != "v1" else "v1beta1"
        assert client.get(f"/apis/resource.k8s.io/{off}/resourceslices").status == 404


def test_without_dra_there_is_no_group() -> None:
    with ApiServer(Settings(versions=())) as server:
        assert Client(server).get("/apis").body["groups"] == []
        assert Client(server).get("/apis/resource.k8s.io").status == 404


def test_an_object_gets_what_the_server_gives(client: Client) -> None:
    made = client.post(SLICES, slice_of())
    assert made.status == 201
    metadata = made.body["metadata"]
    assert metadata["name"].startswith("node1-")
    assert metadata["generation"] == 1
    assert {"uid", "resourceVersion", "creationTimestamp"} <= set(metadata)
    assert client.get(f"{SLICES}/{made.name}").body == made.body


def test_only_a_change_of_the_spec_counts(client: Client) -> None:
    made = client.post(SLICES, slice_of()).body
    path = f"{SLICES}/{made['metadata']['name']}"
    same = client.put(path, made).body
    assert same["metadata"] == made["metadata"], "what changes nothing is not written"
    labelled = client.put(path, {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}})
    assert labelled.body["metadata"]["generation"] == 1
    assert labelled.body["metadata"]["resourceVersion"] > made["metadata"]["resourceVersion"]
    changed = {**labelled.body, "spec": {**made["spec"], "devices": [nic("eth1")]}}
    assert client.put(path, changed).body["metadata"]["generation"] == 2


def test_a_write_from_an_old_state_is_a_conflict(client: Client) -> None:
    made = client.post(SLICES, slice_of()).body
    path = f"{SLICES}/{made['metadata']['name']}"
    newer = client.put(path, {**made, "spec": {**made["spec"], "devices": [nic("eth1")]}})
    assert newer.status == 200
    refused = client.put(path, made)
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in refused.body["message"]
    del made["metadata"]["resourceVersion"]
    assert client.put(path, made).status == 200, "unconditional"


def test_a_write_to_another_object_of_the_name_is_a_conflict(client: Client) -> None:
    made = client.post(SLICES, slice_of()).body
    made["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    answer = client.put(f"{SLICES}/{made['metadata']['name']}", made)
    assert answer.status == 409
    assert "Precondition failed: UID" in answer.body["message"]


@pytest.mark.parametrize("path", ["spec.driver", "spec.nodeName", "spec.pool.name"])
def test_what_a_slice_is_of_cannot_change(client: Client, path: str) -> None:
    made = client.post(SLICES, slice_of()).body
    *parents, leaf = path.split(".")
    where: Any = made
    for parent in parents:
        where = where[parent]
    where[leaf] = "other"
    answer = client.put(f"{SLICES}/{made['metadata']['name']}", made)
    assert answer.status == 422
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == [path]


def test_what_is_not_there_is_404_and_what_is_there_already_409(client: Client) -> None:
    missing = client.get(f"{SLICES}/none")
    assert missing.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'resourceslices.resource.k8s.io "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "group": "resource.k8s.io", "kind": "resourceslices"},
        "code": 404,
    }
    one = {**slice_of(), "metadata": {"name": "one"}}
    assert client.put(f"{SLICES}/one", one).status == 404
    assert client.post(SLICES, one).status == 201
    again = client.post(SLICES, one)
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")


def test_unknown_fields_are_dropped_with_a_warning(client: Client) -> None:
    made = client.post(SLICES, slice_of("node1", {"name": "eth0", "colour": "red"}))
    assert made.status == 201
    assert made.headers["Warning"] == '299 - "unknown field \\"spec.devices[0].colour\\""'
    assert made.body["spec"]["devices"] == [{"name": "eth0"}]
    strict = client.post(f"{SLICES}?fieldValidation=Strict", slice_of("n", {"x": 1}))
    assert strict.status == 400
    assert 'unknown field "spec.devices[0].x"' in strict.body["message"]
    silent = client.post(f"{SLICES}?fieldValidation=Ignore", slice_of("n", {"name": "a", "x": 1}))
    assert (silent.status, silent.headers["Warning"]) == (201, None)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        pytest.param(b"{", "unrecognized", id="truncated"),
        pytest.param(b"[1]", "object", id="a list"),
        pytest.param(b'{"spec": {"driver": 5}}', "cannot unmarshal number", id="wrong type"),
        pytest.param(b'{"spec": {"pool": {"generation": 1e30}}}', "unmarshal", id="huge"),
        pytest.param(b'{"kind": "Pod", "apiVersion": "v1"}', "expected resource", id="kind"),
        pytest.param(
            b'{"spec": {"devices": [{"capacity": {"a": {"value": "much"}}}]}}',
            "quantities",
            id="quantity",
        ),
        pytest.param(b'{"metadata": {"creationTimestamp": "yesterday"}}', "RFC 3339", id="time"),
        pytest.param(b"[" * 100_000, "unrecognized", id="deep"),
    ],
)
def test_what_cannot_be_read_is_400(client: Client, raw: bytes, said: str) -> None:
    answer = client.ask("POST", SLICES, raw=raw)
    assert answer.status == 400
    assert said in answer.body["message"]


def test_bodies_are_bounded(client: Client) -> None:
    assert client.ask("POST", SLICES, raw=b" " * (3 * 2**20 + 1)).status == 413
    large = client.ask("POST", SLICES, raw=b'{"a": "' + b"x" * 2**21 + b'"}')
    assert "etcdserver: request is too large" in large.body["message"]


@pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])
def test_an_object_can_be_had_in_every_version(client: Client, version: str) -> None:
    device: Manifest = {"attributes": {"ifName": {"string": "eth0"}}}
    shaped = {"basic": device} if version == "v1beta1" else device
    sent = slice_of("node1", {"name": "eth0", **shaped})
    sent["apiVersion"] = f"resource.k8s.io/{version}"
    path = f"/apis/resource.k8s.io/{version}/resourceslices"
    made = client.post(path, sent)
    assert (made.status, made.headers["Warning"]) == (201, None)
    assert made.body["apiVersion"] == f"resource.k8s.io/{version}"
    assert made.body["spec"]["devices"] == sent["spec"]["devices"]
    assert client.get(f"{SLICES}/{made.name}").body["spec"]["devices"] == [
        {"name": "eth0", **device}
    ]


def test_old_versions_come_with_a_warning() -> None:
    with ApiServer(dataclasses.replace(ALL, minor=36)) as server:
        client = Client(server)
        for version, since in (("v1beta1", "1.35"), ("v1beta2", "1.36")):
            path = f"/apis/resource.k8s.io/{version}/resourceslices"
            assert f"deprecated in v{since}+" in client.get(path).headers["Warning"]
        assert client.get(SLICES).headers["Warning"] is None


def test_requests_are_flat_in_v1beta1(server: ApiServer, client: Client) -> None:
    server.cluster.create(claim("one", request(count=2)))
    flat = client.get(CLAIMS.replace("/v1/", "/v1beta1/") + "/one").body
    (found,) = flat["spec"]["devices"]["requests"]
    assert found == {
        "name": "nic",
        "deviceClassName": "nic",
        "allocationMode": "ExactCount",
        "count": 2,
    }
    flat["metadata"] = {"name": "two", "namespace": "default"}
    assert client.post(CLAIMS.replace("/v1/", "/v1beta1/"), flat).status == 201
    one, two = (server.cluster.get("resourceclaims", name, "default") for name in ("one", "two"))
    assert one["spec"] == two["spec"]


def test_a_status_is_written_alone(server: ApiServer, client: Client) -> None:
    server.cluster.create(claim("one"))
    path = f"{CLAIMS}/one"
    made = client.get(path).body
    assert made["status"] == {}
    made["status"] = {"allocation": allocation()}
    made["spec"]["devices"]["requests"][0]["exactly"]["count"] = 5
    made["metadata"]["labels"] = {"a": "b"}
    written = client.put(f"{path}/status", made).body
    assert written["status"] == made["status"]
    assert written["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1
    assert "labels" not in written["metadata"]
    written["status"] = {}
    written["metadata"]["labels"] = {"a": "b"}
    kept = client.put(path, written).body
    assert (kept["status"], kept["metadata"]["labels"]) == (made["status"], {"a": "b"})
    kept["spec"]["devices"]["requests"] = []
    assert client.put(path, kept).status == 422, "the spec is immutable"


def test_the_status_of_a_device_goes_with_it(server: ApiServer) -> None:
    server.cluster.create(claim("one"))
    with server.cluster.edit("resourceclaims", "one", "default", status=True) as made:
        made["status"]["allocation"] = allocation()
    with server.cluster.edit("resourceclaims", "one", "default", status=True) as made:
        device = {name: value for name, value in result().items() if name != "request"}
        made["status"]["devices"] = [{**device, "networkData": {"interfaceName": "net1"}}]
    with server.cluster.edit("resourceclaims", "one", "default", status=True) as made:
        del made["status"]["allocation"]
    assert server.cluster.get("resourceclaims", "one", "default")["status"] == {}


def test_merge_patches_are_served_and_no_others(server: ApiServer, client: Client) -> None:
    server.cluster.create(claim("one"))
    path, merge = f"{CLAIMS}/one", "application/merge-patch+json"
    patched = client.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, media=merge)
    assert patched.body["metadata"]["labels"] == {"a": "b"}
    cleared = client.ask("PATCH", path, {"metadata": {"labels": None}}, media=merge)
    assert "labels" not in cleared.body["metadata"]
    assert client.ask("PATCH", path, {}, media="application/apply-patch+yaml").status == 415
    assert client.ask("POST", SLICES, {}, media="application/yaml").status == 415


def test_a_delete_can_have_conditions(client: Client) -> None:
    made = client.post(SLICES, slice_of()).body
    path, uid = f"{SLICES}/{made['metadata']['name']}", made["metadata"]["uid"]
    refused = client.delete(path, {"preconditions": {"uid": "other"}})
    assert refused.status == 409
    assert f"UID in object meta: {uid}" in refused.body["message"]
    assert client.delete(path, {"preconditions": {"uid": uid}}).status == 200
    assert client.delete(path).status == 404


def test_a_collection_is_deleted_by_a_selector(server: ApiServer, client: Client) -> None:
    for node in ("node1", "node1", "node2"):
        server.cluster.create(slice_of(node))
    gone = client.delete(f"{SLICES}?fieldSelector=spec.nodeName%3Dnode1")
    assert len(gone.body["items"]) == 2
    assert [one["spec"]["nodeName"] for one in server.cluster.slices()] == ["node2"]


def test_a_slice_goes_with_its_node(server: ApiServer, client: Client) -> None:
    node = client.get("/api/v1/nodes/node1").body
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": node["metadata"]["uid"]}
    owned = slice_of()
    owned["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    client.post(SLICES, owned)
    client.post(SLICES, slice_of())
    server.cluster.remove_node("node1")
    assert len(server.cluster.slices("node1")) == 1
    server.cluster.add_node("node1")
    assert client.post(SLICES, owned).status == 201
    assert len(server.cluster.slices("node1")) == 1, "of a node with another uid: collected"


def test_finalizers_hold_an_object(server: ApiServer, client: Client) -> None:
    held = claim("one")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    server.cluster.create(held)
    waiting = client.delete(f"{CLAIMS}/one").body
    assert waiting["metadata"]["deletionTimestamp"]
    with server.cluster.edit("resourceclaims", "one", "default") as made:
        made["metadata"]["finalizers"] = []
    assert client.get(f"{CLAIMS}/one").status == 404


@pytest.mark.parametrize(
    ("manifest", "path", "gate"),
    [
        pytest.param(
            slice_of("n", {"name": "a", "taints": [{"key": "x", "effect": "NoSchedule"}]}),
            ("spec", "devices", 0, "taints"),
            "DRADeviceTaints",
            id="taints",
        ),
        pytest.param(
            class_("a", extendedResourceName="example.com/nic"),
            ("spec", "extendedResourceName"),
            "DRAExtendedResource",
            id="extended resource",
        ),
        pytest.param(
            claim("a", request(adminAccess=True), namespace="admin"),
            ("spec", "devices", "requests", 0, "exactly", "adminAccess"),
            "DRAAdminAccess",
            id="admin access",
        ),
    ],
)
def test_what_is_behind_a_gate_is_dropped_silently(
    manifest: Manifest, path: tuple[str | int, ...], gate: str
) -> None:
    for settings in (Settings(), Settings(gates=Settings().gates_on - {gate})):
        with ApiServer(settings) as server:
            labels = {"resource.kubernetes.io/admin-access": "true"}
            metadata = {"name": "admin", "labels": labels}
            server.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            plural = {"ResourceSlice": "resourceslices", "DeviceClass": "deviceclasses"}
            place = plural.get(manifest["kind"], "namespaces/admin/resourceclaims")
            answer = Client(server).post(f"{DRA}/{place}", manifest)
            assert (answer.status, answer.headers["Warning"]) == (201, None)
            found: Any = answer.body
            for step in path[:-1]:
                found = found[step]
            assert (path[-1] in found) == (gate in settings.gates_on)


def test_devices_in_the_status_are_behind_a_gate_too() -> None:
    with ApiServer(release(32)) as server:
        server.cluster.create(claim("one"))
        with server.cluster.edit("resourceclaims", "one", "default", status=True) as made:
            made["status"]["allocation"] = allocation()
            made["status"]["devices"] = [{"driver": "d.io", "pool": "p", "device": "any"}]
        assert "devices" not in server.cluster.get("resourceclaims", "one", "default")["status"]


def test_a_taint_gets_its_time() -> None:
    with ApiServer() as server:
        taints = [{"key": "example.com/x", "effect": "NoSchedule"}]
        tainted = slice_of("node1", {"name": "a", "taints": taints})
        made = Client(server).post(SLICES, tainted).body
        assert made["spec"]["devices"][0]["taints"][0]["timeAdded"]


def test_it_speaks_tls_if_it_has_to() -> None:
    with ApiServer(Settings(tls=True)) as server:
        assert server.authority is not None
        context = ssl.create_default_context(cafile=str(server.authority))
        handler = urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        with opener.open(f"{server.url}/healthz", timeout=5) as response:
            assert response.read() == b"ok"
        assert server.ask("GET", "/apis").status == 200
