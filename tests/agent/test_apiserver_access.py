"""The API server of the tests: who may do what, by the manifests that are shipped."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.apiclient import DRA, DRIVER, SLICES, Client, allocation, claim, result, slice_of
from tests.fakes.apiserver import ApiServer, Manifest, Settings, User, release, service_account
from tests.manifests import ROOT

DEPLOY = ROOT / "deploy" / "components" / "dra"
CLAIM = f"{DRA}/namespaces/default/resourceclaims/one"
NAMES = ("netdevice-plugin", "netdevice-plugin")


def running(settings: Settings) -> Iterator[ApiServer]:
    with ApiServer(settings) as server:
        for name in ("rbac.yaml", "policy.yaml"):
            server.apply_file(DEPLOY / name)
        for node in ("node1", "node2"):
            server.cluster.add_node(node)
        yield server


@pytest.fixture
def server() -> Iterator[ApiServer]:
    yield from running(Settings())


def agent(server: ApiServer, node: str = "node1") -> Client:
    return Client(server, server.token(service_account(*NAMES, node)))


def test_nobody_is_anybody(server: ApiServer) -> None:
    client = Client(server, "")
    assert client.get("/version").status == 200
    refused = client.get(SLICES)
    assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
    assert refused.body["message"] == (
        'resourceslices.resource.k8s.io is forbidden: User "system:anonymous" cannot list '
        'resource "resourceslices" in API group "resource.k8s.io" at the cluster scope'
    )
    assert client.get("/apis").body["message"] == (
        'forbidden: User "system:anonymous" cannot get path "/apis"'
    )


def test_a_token_runs_out(server: ApiServer) -> None:
    user = service_account(*NAMES, "node1")
    assert Client(server, server.token(user, 60)).get(SLICES).status == 200
    stale = Client(server, server.token(user, -1)).get(SLICES)
    assert (stale.status, stale.body["reason"]) == (401, "Unauthorized")
    token = server.token(user)
    server.tokens.revoke(token)
    assert Client(server, token).get(SLICES).status == 401
    assert Client(server, "never-given").get("/apis").status == 401


def test_the_agent_may_do_what_its_role_says(server: ApiServer) -> None:
    client = agent(server)
    server.cluster.create(claim("one"))
    assert client.get("/apis/resource.k8s.io").status == 200
    assert client.get("/api/v1/nodes/node1").status == 200
    assert client.get("/api/v1/nodes").status == 403
    assert client.get(CLAIM).status == 200
    assert client.get(CLAIM.removesuffix("/one")).status == 403
    assert client.put(CLAIM, client.get(CLAIM).body).status == 403
    assert client.ask("PATCH", CLAIM, {}, media="application/merge-patch+json").status == 403
    assert client.get(f"{DRA}/deviceclasses").status == 403


def test_a_list_of_one_name_is_that_object_to_a_role(server: ApiServer) -> None:
    rule = {
        "apiGroups": [""],
        "resources": ["nodes"],
        "verbs": ["list"],
        "resourceNames": ["node1"],
    }
    user = grant(server, User("narrow", ("system:authenticated",)), rule)
    client = Client(server, server.token(user))
    assert client.get("/api/v1/nodes?fieldSelector=metadata.name%3Dnode1").status == 200
    assert client.get("/api/v1/nodes?fieldSelector=metadata.name%3Dnode2").status == 403
    assert client.get("/api/v1/nodes").status == 403


def grant(server: ApiServer, user: User, *rules: Manifest) -> User:
    metadata = {"name": user.name}
    server.apply(
        {"kind": "ClusterRole", "metadata": metadata, "rules": list(rules)},
        {
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"kind": "ClusterRole", "name": user.name},
            "subjects": [{"kind": "User", "name": user.name}],
        },
    )
    return user


def test_a_node_writes_its_own_slices_only(server: ApiServer) -> None:
    mine, other = agent(server), agent(server, "node2")
    made = mine.post(SLICES, slice_of("node1"))
    assert made.status == 201
    path = f"{SLICES}/{made.name}"
    for refused in (
        other.post(SLICES, slice_of("node1")),
        other.put(path, made.body),
        other.delete(path),
        mine.post(SLICES, slice_of("node1", nodeName=None, allNodes=True)),
        Client(server, server.token(service_account(*NAMES))).delete(path),
    ):
        assert (refused.status, refused.body["reason"]) == (422, "Invalid")
        said = "is forbidden: ValidatingAdmissionPolicy 'netdevice-plugin' with binding"
        assert said in refused.body["message"]
    assert Client(server).put(path, made.body).status == 200, "not the agent: not concerned"
    assert mine.delete(path).status == 200


def test_a_policy_that_cannot_be_evaluated_refuses(server: ApiServer) -> None:
    policy: Manifest = {
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "broken"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["*"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["resourceslices"],
                    }
                ]
            },
            "validations": [{"expression": "object.spec.nothing == 1"}],
        },
    }
    spec = {"policyName": "broken", "validationActions": ["Deny"]}
    binding = {"kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": spec}
    server.apply(policy)
    assert Client(server).post(SLICES, slice_of()).status == 201, "not bound yet"
    server.apply(binding)
    refused = Client(server).post(SLICES, slice_of())
    assert refused.status == 422
    assert "resulted in error" in refused.body["message"]
    server.apply({**policy, "spec": {**policy["spec"], "failurePolicy": "Ignore"}})
    assert Client(server).post(SLICES, slice_of()).status == 201


def allocated(server: ApiServer, node: str = "node1", driver: str = DRIVER) -> Manifest:
    """A claim that has a device; returns what its status may say."""
    server.cluster.create(claim("one"))
    with server.cluster.edit("resourceclaims", "one", "default", status=True) as made:
        made["status"]["allocation"] = allocation(result(driver=driver), node=node)
    found = server.cluster.get("resourceclaims", "one", "default")
    device = {"driver": driver, "pool": "node1/net", "device": "eth0"}
    found["status"]["devices"] = [{**device, "networkData": {"interfaceName": "net1"}}]
    return found


def test_the_status_of_a_device_is_written_by_its_node(server: ApiServer) -> None:
    wanted = allocated(server)
    refused = agent(server, "node2").put(f"{CLAIM}/status", wanted)
    assert refused.status == 403
    assert (
        'cannot arbitrary-node:update resource "resourceclaims/driver"' in refused.body["message"]
    )
    assert agent(server).put(f"{CLAIM}/status", wanted).status == 200


def test_the_status_of_a_device_is_written_by_its_driver(server: ApiServer) -> None:
    refused = agent(server).put(f"{CLAIM}/status", allocated(server, driver="other.io"))
    assert refused.status == 403
    assert '"other.io" is forbidden' in refused.body["message"]


def test_an_agent_does_not_allocate(server: ApiServer) -> None:
    allocated(server)
    wanted = server.cluster.get("resourceclaims", "one", "default")
    del wanted["status"]["allocation"]
    refused = agent(server).put(f"{CLAIM}/status", wanted)
    assert refused.status == 403
    assert "resourceclaims/binding" in refused.body["message"]


def test_before_1_36_a_node_is_kept_to_its_devices_by_the_policy_alone() -> None:
    for server in running(release(35)):
        wanted = allocated(server)
        refused = agent(server, "node2").put(f"{CLAIM}/status", wanted)
        assert refused.status == 422
        assert "ValidatingAdmissionPolicy" in refused.body["message"]
        assert agent(server).put(f"{CLAIM}/status", wanted).status == 200


def test_a_role_in_a_namespace_is_of_that_namespace(server: ApiServer) -> None:
    user = User("local", ("system:authenticated",))
    rule: dict[str, Any] = {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims"],
        "verbs": ["*"],
    }
    metadata = {"name": "local", "namespace": "default"}
    server.apply(
        {"kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"kind": "Role", "name": "local"},
            "subjects": [{"kind": "User", "name": "local"}],
        },
    )
    client = Client(server, server.token(user))
    assert client.get(f"{DRA}/namespaces/default/resourceclaims").status == 200
    assert client.get(f"{DRA}/namespaces/other/resourceclaims").status == 403
    assert client.get(f"{DRA}/resourceclaims").status == 403


def test_a_kubeconfig_is_written(server: ApiServer, tmp_path: pathlib.Path) -> None:
    text = server.kubeconfig(tmp_path / "config").read_text(encoding="utf-8")
    assert server.url in text
    assert server.admin in text
