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


def slice_of(node: str | None) -> Object:
    """A slice of a node, or of all."""
    return {"spec": {"driver": DRIVER, **({"nodeName": node} if node else {"allNodes": True})}}


def admit(
    operation: str = "CREATE",
    *,
    new: Object | None = None,
    old: Object | None = None,
    node: str | None = "worker-1",
    user: str = AGENT,
) -> str:
    """What the policy has against a request; empty is nothing."""
    spec = only(objects(), "ValidatingAdmissionPolicy")["spec"]
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


def test_the_policy_is_about_nobody_else() -> None:
    assert admit(new=FOREIGN, node=None, user="system:serviceaccount:other:driver") == ""


def test_the_policy_is_about_every_write_of_slices_and_denies() -> None:
    policy = only(objects(), "ValidatingAdmissionPolicy")
    assert policy["spec"]["failurePolicy"] == "Fail"
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert rule == {
        "apiGroups": ["resource.k8s.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["resourceslices"],
    }
    binding = only(objects(), "ValidatingAdmissionPolicyBinding")
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
