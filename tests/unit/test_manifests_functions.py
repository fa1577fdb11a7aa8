"""deploy/components/functions grants what sysfs takes, and its examples ask for what there is."""

from __future__ import annotations

from typing import Any

import pytest

from netdevice_plugin import config
from netdevice_plugin.dra import attributes, parameters
from netdevice_plugin.dra.claim import Opaque, Result
from netdevice_plugin.inventory.source import SYSFS
from netdevice_plugin.model import Pool
from tests import cel
from tests.manifests import ROOT, Object, parse, pod_spec
from tests.unit.dra.listed import DRIVER, VF, device

DEPLOY = ROOT / "deploy"
EXAMPLES = DEPLOY / "examples" / "functions"
DPDK = "networking.k8s.io/dpdk"


def of_overlay() -> dict[str, Pool]:
    """The pools of the configuration that the examples are for, by resource."""
    settings = config.load(DEPLOY / "overlays" / "functions" / "config.yaml")
    return {pool.kind: pool for pool in settings.pools}


def objects(name: str) -> list[Object]:
    """An example, or a part of a component."""
    return parse((EXAMPLES / f"{name}.yaml").read_text())


def examples() -> list[Any]:
    """The pods of the examples, by file."""
    found = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        for one in parse(path.read_text()):
            if one["kind"] == "Pod":
                found.append(pytest.param(one["spec"], id=one["metadata"]["name"]))
            elif one["kind"] == "Deployment":
                spec = one["spec"]["template"]["spec"]
                found.append(pytest.param(spec, id=one["metadata"]["name"]))
    return found


def resources(spec: Object) -> set[str]:
    """What a pod asks the device plugin for."""
    limits = [one["resources"].get("limits", {}) for one in spec["containers"]]
    return {name for one in limits for name in one if "/" in name}


def test_the_agent_writes_where_it_reads_and_opens_no_device() -> None:
    (patch,) = parse((DEPLOY / "components" / "functions" / "daemonset.yaml").read_text())
    pod = pod_spec([patch])
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount == {"name": "sys", "mountPath": str(SYSFS)}
    assert [one["hostPath"]["path"] for one in pod["volumes"]] == [str(SYSFS)]


def test_every_pool_of_the_overlay_has_an_example() -> None:
    asked = [resources(one.values[0]) for one in examples()]
    assert set().union(*asked) == of_overlay().keys()


@pytest.mark.parametrize("spec", examples())
def test_a_pod_asks_for_what_it_takes(spec: Object) -> None:
    classes = {one["metadata"]["name"] for one in objects("claims") if one["kind"] == "DeviceClass"}
    claims = {one["resourceClaimTemplateName"] for one in spec.get("resourceClaims", ())}
    pools = of_overlay()
    assert resources(spec) <= pools.keys()
    assert claims <= classes  # the templates are called so, too
    asked = {pools[name].name for name in resources(spec)} | claims
    (container,) = spec["containers"]
    added = container.get("securityContext", {}).get("capabilities", {}).get("add", [])
    assert (added == ["IPC_LOCK"]) is ("dpdk" in asked)
    assert any(
        one.startswith("hugepages-") for one in container["resources"].get("limits", {})
    ) is ("dpdk" in asked)


def test_testpmd_is_told_its_device_by_the_variable_of_its_pool() -> None:
    (pod,) = objects("dpdk")
    (command,) = pod["spec"]["containers"][0]["args"]
    assert f'-a "$PCIDEVICE_{of_overlay()[DPDK].variable}" ' in command


def test_each_class_stands_for_one_pool() -> None:
    classes = [one for one in objects("claims") if one["kind"] == "DeviceClass"]
    for one in classes:
        (selector,) = one["spec"]["selectors"]
        for pool in of_overlay().values():
            published = {"attributes": attributes.of(device(VF, pool.name))[0]}
            chosen = cel.evaluate(
                selector["cel"]["expression"], device=cel.device(published, DRIVER)
            )
            assert bool(chosen) is (pool.name == one["metadata"]["name"])


@pytest.mark.parametrize(("name", "link"), [("vf", "net1"), ("dpdk", None), ("shared", "net2")])
def test_the_parameters_of_a_claim_are_right(name: str, link: str | None) -> None:
    (template,) = (
        one
        for one in objects("claims")
        if one["kind"] == "ResourceClaimTemplate" and one["metadata"]["name"] == name
    )
    spec = template["spec"]["spec"]["devices"]
    assert [one["exactly"]["deviceClassName"] for one in spec["requests"]] == [name]
    given = [
        Opaque(parameters=one["opaque"]["parameters"], place=f"config[{index}]", requests=())
        for index, one in enumerate(spec.get("config", ()))
    ]
    result = Result(request="nic", pool=f"worker-1/{name}", device="eth1")
    assert parameters.of_request(given, result).interface_name == link


def judged(spec: Object) -> bool:
    """Whether the policy for claims lets one with that spec be."""
    policy, binding = (one["spec"] for one in objects("vf-policy"))
    assert binding == {"policyName": "netdevice-plugin-vf", "validationActions": ["Deny"]}
    given: Object = {"object": {"spec": spec}, "variables": {}}
    for one in policy["variables"]:
        value = cel.evaluate(one["expression"], **given)
        given["variables"] = {**given["variables"], one["name"]: value}
    return all(cel.evaluate(one["expression"], **given) for one in policy["validations"])


def said(driver: str = DRIVER, **parameters: object) -> Object:
    """The devices of a claim with these parameters for a driver."""
    requests = [{"name": "nic"}]
    return {
        "requests": requests,
        "config": [{"opaque": {"driver": driver, "parameters": parameters}}],
    }


@pytest.mark.parametrize(
    ("devices", "fine"),
    [
        ({"requests": [{"name": "nic"}]}, True),
        (said(interfaceName="net1"), True),
        (said("gpu.example.com", vf=1), True),
        (said(interfaceName="net1", vf={"trust": True}), False),
    ],
    ids=["none", "others", "another driver's", "of a VF"],
)
def test_a_policy_keeps_claims_from_setting_virtual_functions(devices: Object, fine: bool) -> None:
    assert judged({"devices": devices}) is fine
    assert judged({"spec": {"devices": devices}}) is fine  # a template's
    assert judged({})
