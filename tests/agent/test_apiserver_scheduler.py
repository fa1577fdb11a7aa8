"""The scheduler's stand-in: which devices claims get, and when they lose them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.apiclient import DRIVER, claim, class_, nic, request, slice_of
from tests.fakes.apiserver import ApiServer, Cluster, Manifest
from tests.fakes.apiserver.kubelet import ClusterApi
from tests.fakes.apiserver.manifest import items
from tests.fakes.apiserver.scheduler import FINALIZER, Scheduler, UnschedulableError
from tests.fakes.kubelet import PodSpec, one
from tests.fakes.kubelet.apiserver import ApiError, Extended
from tests.fakes.kubelet.apiserver import UnschedulableError as NotNowError
from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.cluster import Cluster as Pods

OURS = f'device.driver == "{DRIVER}"'
NAME = "networking.k8s.io/netdevice"
OPAQUE = {"opaque": {"driver": DRIVER, "parameters": {"mtu": 1400}}}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        running.cluster.add_node("node1")
        running.cluster.add_node("node2")
        running.cluster.create(class_("nic", OURS))
        yield running


@pytest.fixture
def cluster(server: ApiServer) -> Cluster:
    return server.cluster


@pytest.fixture
def scheduler(server: ApiServer) -> Scheduler:
    return Scheduler(server.registry)


def pod(name: str, *claims: str, limits: dict[str, str] | None = None, **spec: Any) -> Manifest:
    containers = [{"name": "main", "image": "none", "resources": {"limits": limits or {}}}]
    named = [{"name": claim, "resourceClaimName": claim} for claim in claims]
    metadata = {"name": name, "namespace": "default", "uid": str(uuid.uuid4())}
    return {
        "metadata": metadata,
        "spec": {"containers": containers, "resourceClaims": named, **spec},
    }


def given(cluster: Cluster, name: str = "one") -> list[str]:
    """The devices that a claim has, each with its request."""
    made = cluster.get("resourceclaims", name, "default")
    results = items(made, "status", "allocation", "devices", "results")
    return [f"{one['request']}={one['device']}" for one in results]


def test_a_claim_gets_a_device_of_its_node(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node2", nic("far")))
    cluster.create(slice_of("node1", nic("eth0"), nic("eth1")))
    cluster.create(claim("one"))
    wanted = pod("pod", "one")
    scheduler.schedule(wanted, "node1")
    made = cluster.get("resourceclaims", "one", "default")
    field = {"key": "metadata.name", "operator": "In", "values": ["node1"]}
    device = {"request": "nic", "driver": DRIVER, "pool": "node1/net", "device": "eth0"}
    assert made["status"] == {
        "allocation": {
            "devices": {"results": [device]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
        },
        "reservedFor": [{"resource": "pods", "name": "pod", "uid": wanted["metadata"]["uid"]}],
    }
    assert made["metadata"]["finalizers"] == [FINALIZER]


def test_no_device_is_given_twice(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node1", nic("eth0"), nic("eth1")))
    for name in ("one", "two", "three"):
        cluster.create(claim(name))
    scheduler.schedule(pod("a", "one"), "node1")
    scheduler.schedule(pod("b", "two"), "node1")
    assert given(cluster, "one") + given(cluster, "two") == ["nic=eth0", "nic=eth1"]
    with pytest.raises(UnschedulableError, match="cannot allocate all claims"):
        scheduler.schedule(pod("c", "three"), "node1")
    scheduler.ended("default", "a")
    scheduler.schedule(pod("c", "three"), "node1")
    assert given(cluster, "three") == ["nic=eth0"]


def test_all_claims_of_a_pod_or_none(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node1", nic("eth0")))
    cluster.create(claim("one"))
    cluster.create(claim("two"))
    with pytest.raises(UnschedulableError):
        scheduler.schedule(pod("pod", "one", "two"), "node1")
    assert given(cluster, "one") == []


def test_a_shared_claim_lasts_until_its_last_pod(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node1"))
    cluster.create(claim("one"))
    scheduler.schedule(pod("a", "one"), "node1")
    scheduler.schedule(pod("b", "one"), "node1")
    with pytest.raises(UnschedulableError, match="didn't match"):
        scheduler.schedule(pod("c", "one"), "node2")
    cluster.delete("resourceclaims", "one", "default")
    scheduler.ended("default", "a")
    assert given(cluster) == ["nic=eth0"], "in use: the finalizer holds it"
    scheduler.ended("default", "b")
    assert cluster.objects("resourceclaims") == []


@pytest.mark.parametrize(
    ("slices", "found"),
    [
        pytest.param([(1, 1, "a")], ["nic=a"], id="complete"),
        pytest.param([(1, 2, "a")], [], id="incomplete"),
        pytest.param([(1, 1, "a"), (2, 1, "b")], ["nic=b"], id="newest"),
        pytest.param([(1, 1, "a"), (2, 2, "b")], [], id="newest is incomplete"),
        pytest.param([(1, 2, "a"), (1, 2, "a")], [], id="a name twice"),
    ],
)
def test_only_complete_pools_count(
    cluster: Cluster, scheduler: Scheduler, slices: list[tuple[int, int, str]], found: list[str]
) -> None:
    for generation, count, device in slices:
        pool = {"name": "p", "generation": generation, "resourceSliceCount": count}
        cluster.create(slice_of("node1", nic(device), pool=pool))
    cluster.create(claim("one"))
    try:
        scheduler.schedule(pod("pod", "one"), "node1")
    except UnschedulableError:
        assert found == []
    assert given(cluster) == found


NICS = [
    nic("a", kind="veth", speed=10, root="x"),
    nic("b", kind="physical", speed=100, root="y"),
    nic("c", kind="physical", speed=25, root="x"),
]
FAST = {"cel": {"expression": f'device.attributes["{DRIVER}"].speed >= 25'}}
TAINTS = [{"key": "d.io/bad", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(claim("one", request(selectors=[FAST])), ["nic=b"], id="selector"),
        pytest.param(
            claim("one", request(count=2, selectors=[FAST])), ["nic=b", "nic=c"], id="count"
        ),
        pytest.param(
            claim("one", request(allocationMode="All")), ["nic=a", "nic=b", "nic=c"], id="all"
        ),
        pytest.param(claim("one", request(count=4)), [], id="too many"),
        pytest.param(
            claim("one", request("n", selectors=[FAST]), request("m", count=2)),
            ["n=b", "m=a", "m=c"],
            id="two requests",
        ),
        pytest.param(
            claim("one", request("m"), request("n", selectors=[FAST], count=2)),
            ["m=a", "n=b", "n=c"],
            id="first fit",
        ),
        pytest.param(
            claim(
                "one",
                request("p", selectors=[FAST]),
                request("q"),
                constraints=[{"matchAttribute": f"{DRIVER}/root"}],
            ),
            ["p=c", "q=a"],
            id="back for a constraint",
        ),
        pytest.param(
            claim("one", request(count=2), constraints=[{"distinctAttribute": f"{DRIVER}/root"}]),
            ["nic=a", "nic=b"],
            id="distinct",
        ),
        pytest.param(
            claim("one", request(count=3), constraints=[{"distinctAttribute": f"{DRIVER}/root"}]),
            [],
            id="not distinct",
        ),
        pytest.param(
            claim("one", request(), constraints=[{"matchAttribute": "resource.kubernetes.io/x"}]),
            [],
            id="an attribute that nobody has",
        ),
        pytest.param(
            claim(
                "one",
                {
                    "name": "nic",
                    "firstAvailable": [
                        {"name": "many", "deviceClassName": "nic", "count": 5},
                        {"name": "few", "deviceClassName": "nic", "selectors": [FAST]},
                    ],
                },
            ),
            ["nic/few=b"],
            id="first available",
        ),
        pytest.param(claim("one", request(class_name="none")), [], id="no class"),
        pytest.param(
            claim("one", request(selectors=[{"cel": {"expression": 'device.x["y"]'}}])),
            [],
            id="error",
        ),
    ],
)
def test_requests_are_met(
    cluster: Cluster, scheduler: Scheduler, wanted: Manifest, found: list[str]
) -> None:
    cluster.create(slice_of("node1", *NICS))
    cluster.create(wanted)
    if found:
        scheduler.schedule(pod("pod", "one"), "node1")
    else:
        with pytest.raises(UnschedulableError):
            scheduler.schedule(pod("pod", "one"), "node1")
    assert given(cluster) == found


def test_all_of_an_incomplete_pool_is_not_known(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node1", *NICS))
    pool = {"name": "other", "generation": 1, "resourceSliceCount": 2}
    cluster.create(slice_of("node1", nic("d"), pool=pool))
    cluster.create(claim("one", request(allocationMode="All")))
    with pytest.raises(UnschedulableError, match="pools are incomplete"):
        scheduler.schedule(pod("pod", "one"), "node1")


@pytest.mark.parametrize(
    ("toleration", "found"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({"key": "d.io/bad", "operator": "Exists"}, ["nic=a"], id="key"),
        pytest.param({"operator": "Exists"}, ["nic=a"], id="everything"),
        pytest.param({"key": "d.io/bad", "value": "x"}, [], id="another value"),
        pytest.param({"key": "d.io/bad", "effect": "NoSchedule"}, ["nic=a"], id="effect"),
        pytest.param({"operator": "Exists", "effect": "NoExecute"}, [], id="another effect"),
    ],
)
def test_taints_are_tolerated_or_not(
    cluster: Cluster, scheduler: Scheduler, toleration: Manifest | None, found: list[str]
) -> None:
    cluster.create(slice_of("node1", {**nic("a"), "taints": TAINTS}))
    cluster.create(claim("one", request(tolerations=[toleration] if toleration else [])))
    try:
        scheduler.schedule(pod("pod", "one"), "node1")
    except UnschedulableError:
        assert found == []
    assert given(cluster) == found


def test_admin_access_takes_nothing_away(cluster: Cluster, scheduler: Scheduler) -> None:
    with cluster.edit("namespaces", "default") as made:
        made["metadata"]["labels"] = {"resource.kubernetes.io/admin-access": "true"}
    cluster.create(slice_of("node1"))
    for name, access in (("one", None), ("two", True), ("three", True)):
        cluster.create(claim(name, request(adminAccess=access)))
        scheduler.schedule(pod(name, name), "node1")
    assert given(cluster, "two") == given(cluster, "three") == ["nic=eth0"]
    made = cluster.get("resourceclaims", "two", "default")
    assert made["status"]["allocation"]["devices"]["results"][0]["adminAccess"] is True
    cluster.create(claim("four"))
    with pytest.raises(UnschedulableError):
        scheduler.schedule(pod("four", "four"), "node1")


def test_parameters_of_the_class_come_before_the_claims(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    cluster.create(slice_of("node1"))
    cluster.create(class_("tuned", OURS, config=[OPAQUE]))
    config = [{"requests": ["nic"], **OPAQUE}]
    cluster.create(claim("one", request(class_name="tuned"), config=config))
    scheduler.schedule(pod("pod", "one"), "node1")
    made = cluster.get("resourceclaims", "one", "default")
    assert made["status"]["allocation"]["devices"]["config"] == [
        {"source": "FromClass", "requests": ["nic"], **OPAQUE},
        {"source": "FromClaim", "requests": ["nic"], **OPAQUE},
    ]


def test_claims_are_made_of_templates_and_go_with_their_pod(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    cluster.create(slice_of("node1"))
    spec = {"metadata": {"labels": {"a": "b"}}, "spec": claim("x")["spec"]}
    kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate"}
    cluster.create({**kind, "metadata": {"name": "t", "namespace": "default"}, "spec": spec})
    wanted = pod("pod", resourceClaims=[{"name": "net", "resourceClaimTemplateName": "t"}])
    first = scheduler.schedule(wanted, "node1")
    again = scheduler.schedule(wanted, "node1")
    assert first["status"] == again["status"]
    (status,) = first["status"]["resourceClaimStatuses"]
    (made,) = cluster.objects("resourceclaims")
    assert status == {"name": "net", "resourceClaimName": made["metadata"]["name"]}
    assert made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["name"].startswith("pod-net-")
    scheduler.ended("default", "pod")
    assert cluster.objects("resourceclaims") == cluster.objects("pods") == []


def test_extended_resources_become_a_hidden_claim(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node1", nic("eth0"), nic("eth1"), nic("eth2")))
    cluster.create(class_("served", OURS, extendedResourceName=NAME))
    wanted = pod("pod", limits={NAME: "2", "cpu": "1"})
    made = scheduler.schedule(wanted, "node1", [NAME])
    (hidden,) = cluster.objects("resourceclaims")
    name = hidden["metadata"]["name"]
    assert hidden["metadata"]["annotations"] == {
        "resource.kubernetes.io/extended-resource-claim": "true"
    }
    assert made["status"]["extendedResourceClaimStatus"] == {
        "resourceClaimName": name,
        "requestMappings": [
            {
                "containerName": "main",
                "resourceName": NAME,
                "requestName": "container-0-request-0",
            }
        ],
    }
    assert given(cluster, name) == ["container-0-request-0=eth0", "container-0-request-0=eth1"]
    scheduler.schedule(wanted, "node1", [NAME])
    assert len(cluster.objects("resourceclaims")) == 1
    with pytest.raises(UnschedulableError, match="cannot allocate"):
        scheduler.schedule(pod("more", limits={NAME: "2"}), "node1", [NAME])
    assert len(cluster.objects("resourceclaims")) == 1, "no claim without devices"
    scheduler.ended("default", "pod")
    assert cluster.objects("resourceclaims") == []


def test_every_class_is_a_resource_too(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.create(slice_of("node1"))
    name = "deviceclass.resource.kubernetes.io/nic"
    made = scheduler.schedule(pod("pod", limits={name: "1"}), "node1", [name])
    assert "extendedResourceClaimStatus" in made["status"]
    with pytest.raises(UnschedulableError, match="Insufficient"):
        scheduler.schedule(pod("other", limits={"d.io/none": "1"}), "node1", ["d.io/none"])


# Joined to the kubelet of the tests


def test_a_pod_is_bound_when_its_device_comes(server: ApiServer) -> None:
    api, changes = ClusterApi(server, "node1"), Changes()
    server.cluster.create(claim("one"))
    pods = Pods(changes, api, "node1")
    end = api.follow(pods.tell)
    try:
        made = pods.create(one("pod", claims=("one",)))
        assert (made.bound, made.message) == (False, "cannot allocate all claims")
        server.cluster.create(slice_of("node1"))
        changes.wait(lambda: made.bound, lambda: str(made))
        assert given(server.cluster) == ["nic=eth0"]
        pods.remove(made)
        assert given(server.cluster) == []
    finally:
        end()


def test_a_kubelet_reads_claims_and_wipes_slices_over_http(server: ApiServer) -> None:
    api = ClusterApi(server, "node1")
    server.cluster.create(claim("one"))
    for node, driver in (("node1", DRIVER), ("node1", "other.io"), ("node2", DRIVER)):
        server.cluster.create(slice_of(node, driver=driver))
    assert api.claim("default", "one")["metadata"]["name"] == "one"
    with pytest.raises(ApiError, match='"two" not found'):
        api.claim("default", "two")
    api.delete_slices("node1", DRIVER)
    assert len(server.cluster.slices()) == 2
    api.delete_slices("node1", "")
    assert [one["spec"]["nodeName"] for one in server.cluster.slices()] == ["node2"]
    server.go_away()
    with pytest.raises(ApiError):
        api.claim("default", "one")


def test_a_kubelets_limits_become_claims(server: ApiServer) -> None:
    api = ClusterApi(server, "node1")
    server.cluster.create(class_("served", OURS, extendedResourceName=NAME))
    spec: PodSpec = one("pod", {NAME: 1})
    with pytest.raises(NotNowError):
        api.schedule(spec, "node1", [NAME])
    server.cluster.create(slice_of("node1"))
    made = api.schedule(spec, "node1", [NAME])
    assert isinstance(made, Extended)
    assert made.requests("main", {NAME: 1}) == ["container-0-request-0"]
    assert api.claim("default", made.claim)["status"]["reservedFor"][0]["uid"] == spec.uid
    api.ended(spec)
    assert server.cluster.objects("resourceclaims") == []
