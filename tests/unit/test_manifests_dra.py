"""deploy/components/dra grants what the agent uses, keeps nodes apart, and its examples hold."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from netdevice_plugin import config
from netdevice_plugin.dra import attributes, parameters
from netdevice_plugin.dra.claim import Opaque, Result
from tests import cel
from tests.manifests import ROOT, VERSIONS, Object, only, parse, pod_spec, takes, versions
from tests.unit.dra.listed import DRIVER, NIC, VETH, VF, device

COMPONENT = ROOT / "deploy" / "components" / "dra"
EXAMPLES = ROOT / "deploy" / "examples"
CLUSTER = ROOT / "netdevice_plugin" / "dra" / "cluster"
NODE = "authentication.kubernetes.io/node-name"
AGENT = "system:serviceaccount:netdevice-plugin:netdevice-plugin"


def objects() -> list[Object]:
    """All that the component adds."""
    names = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in parse((COMPONENT / name).read_text())]


def config_of_overlay() -> config.Config:
    """The configuration that comes with it."""
    return config.load(ROOT / "deploy" / "overlays" / "dra" / "config.yaml")


def examples(kind: str) -> list[Any]:
    """Every example of a kind, with its file."""
    found = sorted((EXAMPLES / "dra").glob("*.yaml"))
    return [
        pytest.param(one, id=f"{path.stem}-{one['metadata']['name']}")
        for path in found
        for one in parse(path.read_text())
        if one["kind"] == kind
    ]


def test_kubernetes_takes_it_from_1_34_on() -> None:
    assert versions(objects())[0] == "1.34"
    assert versions(objects())[-1] == VERSIONS[-1]
    takes(objects())


def test_the_agent_may_do_what_it_does_and_nothing_else() -> None:
    rules = only(objects(), "ClusterRole")["rules"]
    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    ours = "resource.k8s.io"
    verbs = ("create", "delete", "get", "list", "update", "watch")
    assert granted == {
        ("", "nodes", "get"),
        *((ours, "resourceslices", verb) for verb in verbs),
        (ours, "resourceclaims", "get"),
        (ours, "resourceclaims/status", "update"),
        (ours, "resourceclaims/driver", "associated-node:update"),
    }
    assert [rule.get("resourceNames") for rule in rules] == [*[None] * 4, [DRIVER]]


def test_the_agent_uses_no_method_that_it_may_not() -> None:
    source = "".join(path.read_text() for path in CLUSTER.glob("*.py"))
    methods = set(re.findall(r'"(GET|HEAD|POST|PUT|PATCH|DELETE)"', source))
    assert methods == {"GET", "POST", "PUT", "DELETE"}


def test_the_role_is_given_to_the_agents_account_alone() -> None:
    binding = only(objects(), "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == only(objects(), "ClusterRole")["metadata"]["name"]
    (subject,) = binding["subjects"]
    account = only(parse((ROOT / "install.yaml").read_text()), "ServiceAccount")["metadata"]
    assert (subject["namespace"], subject["name"]) == (account["namespace"], account["name"])
    assert f"system:serviceaccount:{subject['namespace']}:{subject['name']}" == AGENT


def about(resource: str) -> tuple[Object, Object]:
    """The policy for writes of a resource, and what binds it."""
    (policy,) = (
        one
        for one in objects()
        if one["kind"] == "ValidatingAdmissionPolicy"
        and one["spec"]["matchConstraints"]["resourceRules"][0]["resources"] == [resource]
    )
    (binding,) = (
        one
        for one in objects()
        if one["kind"] == "ValidatingAdmissionPolicyBinding"
        and one["spec"]["policyName"] == policy["metadata"]["name"]
    )
    return policy, binding


def slice_of(node: str | None) -> Object:
    """A slice of a node, or of all."""
    return {"spec": {"driver": DRIVER, **({"nodeName": node} if node else {"allNodes": True})}}


def admit(
    operation: str = "CREATE",
    *,
    resource: str = "resourceslices",
    new: Object | None = None,
    old: Object | None = None,
    node: str | None = "worker-1",
    user: str = AGENT,
) -> str:
    """What the policy has against a request; empty is nothing."""
    spec = about(resource)[0]["spec"]
    info: Object = {"username": user, **({"extra": {NODE: [node]}} if node else {})}
    given: Object = {
        "request": {"operation": operation, "userInfo": info},
        "object": new,
        "oldObject": old,
        "variables": {},
    }
    if not all(cel.evaluate(one["expression"], **given) for one in spec["matchConditions"]):
        return ""
    for one in spec["variables"]:
        value = cel.evaluate(one["expression"], **given)
        given["variables"] = {**given["variables"], one["name"]: value}
    for one in spec["validations"]:
        if not cel.evaluate(one["expression"], **given):
            return str(one["message"])
    return ""


OTHER = "a node's agent may write the ResourceSlices of its own node only"
MINE, FOREIGN, ALL = slice_of("worker-1"), slice_of("worker-2"), slice_of(None)


@pytest.mark.parametrize("one", [MINE, FOREIGN, ALL], ids=["own", "another's", "all nodes'"])
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_a_node_writes_its_own_slices_only(operation: str, one: Object) -> None:
    new = None if operation == "DELETE" else one
    old = None if operation == "CREATE" else one
    assert admit(operation, new=new, old=old) == ("" if one is MINE else OTHER)


def test_a_token_without_a_node_writes_nothing() -> None:
    told = "the token does not say on which node its pod is"
    assert admit(new=MINE, node=None) == told
    assert admit(new=ALL, node=None) == told
    assert report([], [entry()], node=None) == told


def test_the_policy_is_about_nobody_else() -> None:
    other = "system:serviceaccount:other:driver"
    assert admit(new=FOREIGN, node=None, user=other) == ""
    assert report([], [entry(driver="gpu.example.com")], node=None, user=other) == ""


ELSE = "a node's agent may write the status of its own driver's devices of its own node only"


def entry(driver: str = DRIVER, node: str = "worker-1", **more: Any) -> Object:
    """What a claim's status says of one device."""
    return {"driver": driver, "pool": f"{node}/netdevice", "device": "eth1", **more}


def report(before: list[Object], after: list[Object], **options: Any) -> str:
    """What the policy has against a change of what a claim's status says of its devices."""
    allocation = {"devices": {"results": [{"request": "nic", "device": "eth1"}]}}
    shared = {"allocation": allocation, "reservedFor": [{"resource": "pods", "uid": "1"}]}
    return admit(
        "UPDATE",
        resource="resourceclaims/status",
        old={"status": {**shared, **({"devices": before} if before else {})}},
        new={"status": {**shared, **({"devices": after} if after else {})}},
        **options,
    )


READY: Object = {"conditions": [{"type": "Ready", "status": "True"}]}
GPU, FAR = entry("gpu.example.com"), entry(node="worker-10")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        pytest.param([], [entry(**READY)], "", id="own"),
        pytest.param([entry(**READY)], [], "", id="own, gone"),
        pytest.param([GPU, entry()], [GPU, FAR, entry(**READY)], ELSE, id="another node's, new"),
        pytest.param([GPU, FAR], [GPU, FAR, entry(**READY)], "", id="own beside others'"),
        pytest.param([FAR], [{**FAR, **READY}], ELSE, id="another node's"),
        pytest.param([GPU], [{**GPU, **READY}], ELSE, id="another driver's"),
        pytest.param([GPU, entry()], [entry()], ELSE, id="another driver's, gone"),
    ],
)
def test_a_node_writes_the_status_of_its_own_devices_only(
    before: list[Object], after: list[Object], why: str
) -> None:
    assert report(before, after) == why


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({"allocation": {"a": 1}}, {"allocation": {"a": 2}}, "what a claim is given"),
        ({"allocation": {"a": 1}}, {}, "what a claim is given"),
        ({}, {"allocation": {"a": 1}}, "what a claim is given"),
        (None, {"allocation": {"a": 1}}, "what a claim is given"),
        ({"reservedFor": [1]}, {"reservedFor": [2]}, "for whom a claim is reserved"),
        ({"reservedFor": [1]}, {}, "for whom a claim is reserved"),
        ({}, {"reservedFor": [1]}, "for whom a claim is reserved"),
        ({"reservedFor": [1]}, None, "for whom a claim is reserved"),
        ({"allocation": {"a": 1}}, {"allocation": {"a": 1}}, ""),
        (None, None, ""),
    ],
)
def test_the_agent_writes_nothing_else_of_a_claims_status(
    old: Object | None, new: Object | None, why: str
) -> None:
    said = admit(
        "UPDATE",
        resource="resourceclaims/status",
        old={} if old is None else {"status": old},
        new={} if new is None else {"status": new},
    )
    assert said == (f"the agent may not change {why}" if why else "")


@pytest.mark.parametrize(
    ("resource", "operations"),
    [("resourceslices", ["CREATE", "UPDATE", "DELETE"]), ("resourceclaims/status", ["UPDATE"])],
)
def test_the_policies_are_about_every_write_and_deny(resource: str, operations: list[str]) -> None:
    policy, binding = about(resource)
    assert policy["spec"]["failurePolicy"] == "Fail"
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert rule == {
        "apiGroups": ["resource.k8s.io"],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": [resource],
    }
    assert binding["spec"] == {
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
    }


def selected(class_: Object, pool: str = "netdevice") -> list[str]:
    """Which of three devices a class is for."""
    links = (NIC, VF, VETH)
    published = [{"attributes": attributes.of(device(link, pool))[0]} for link in links]
    expressions = [one["cel"]["expression"] for one in class_["spec"]["selectors"]]
    return [
        link.name
        for link, one in zip(links, published, strict=True)
        if all(cel.evaluate(text, device=cel.device(one, DRIVER)) for text in expressions)
    ]


def test_the_class_stands_for_the_pool_and_for_its_resource() -> None:
    class_ = only(objects(), "DeviceClass")
    (pool,) = config_of_overlay().pools
    assert class_["metadata"]["name"] == pool.name
    assert class_["spec"]["extendedResourceName"] == pool.kind
    assert selected(class_, pool.name) == ["ens5f1", "ens5f1v2", "eth1"]
    assert selected(class_, "another") == []


@pytest.mark.parametrize("class_", examples("DeviceClass"))
def test_the_classes_of_the_examples_select(class_: Object) -> None:
    assert (
        selected(class_)
        == {"vf-jumbo": ["ens5f1v2"], "fast-port": ["ens5f1"]}[class_["metadata"]["name"]]
    )


def test_another_drivers_devices_are_in_no_class() -> None:
    classes = [only(objects(), "DeviceClass"), *(one.values[0] for one in examples("DeviceClass"))]
    gpu = {"driver": "gpu.example.com", "attributes": {}, "capacity": {}}
    for class_ in classes:
        for one in class_["spec"]["selectors"]:
            assert not cel.evaluate(one["cel"]["expression"], device=gpu)


def opaque_of(spec: Object) -> list[Opaque]:
    """The parameters of a claim's or a class's specification, as an allocation has them."""
    return [
        Opaque(
            parameters=one["opaque"]["parameters"],
            place=f"config[{index}]",
            requests=tuple(one.get("requests", ())),
        )
        for index, one in enumerate(spec.get("config", ()))
    ]


@pytest.mark.parametrize(
    "spec",
    [
        *(pytest.param(one.values[0]["spec"], id=one.id) for one in examples("DeviceClass")),
        *(
            pytest.param(one.values[0]["spec"]["devices"], id=one.id)
            for one in examples("ResourceClaim")
        ),
        *(
            pytest.param(one.values[0]["spec"]["spec"]["devices"], id=one.id)
            for one in examples("ResourceClaimTemplate")
        ),
    ],
)
def test_the_parameters_of_an_example_are_right(spec: Object) -> None:
    result = Result(request="nic", pool="worker-1/netdevice", device="eth1")
    assert parameters.of_request(opaque_of(spec), result)
    assert {one["opaque"]["driver"] for one in spec.get("config", ())} <= {DRIVER}


@pytest.mark.parametrize("claim", examples("ResourceClaimTemplate"))
def test_the_selectors_of_an_example_can_be_evaluated(claim: Object) -> None:
    nic = cel.device({"attributes": attributes.of(device(NIC))[0]}, DRIVER)
    for request in claim["spec"]["spec"]["devices"]["requests"]:
        for one in request["exactly"].get("selectors", ()):
            assert cel.evaluate(one["cel"]["expression"], device=nic)


def test_the_pod_of_the_device_plugin_is_that_of_the_extended_resource() -> None:
    (before,) = parse((EXAMPLES / "pod.yaml").read_text())
    (after,) = parse((EXAMPLES / "dra" / "extended-resource.yaml").read_text())
    assert after == before


def test_sockets_are_where_the_kubelet_is_told_that_they_are() -> None:
    settings = config_of_overlay()
    (patch,) = parse((COMPONENT / "daemonset.yaml").read_text())
    pod = pod_spec([patch])
    paths = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"]}
    assert paths == {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert set(paths.values()) == {
        f"{settings.kubelet_dir}/plugins/{settings.prefix}",
        f"{settings.kubelet_dir}/plugins_registry",
    }
