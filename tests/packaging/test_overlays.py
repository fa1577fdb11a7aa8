"""What kustomize makes of deploy/ is what Kubernetes takes, and differs where it says so."""

from __future__ import annotations

import collections
import copy
import os
import pathlib
import re
import shutil

import pytest
import yaml

from netdevice_plugin import config
from netdevice_plugin.model import Frontend
from netdevice_plugin.operations.http import parse_listen
from tests.manifests import (
    BASE,
    INSTALL,
    ROOT,
    Object,
    configuration,
    parse,
    pod_spec,
    takes,
)
from tests.packaging import kustomize
from tests.unit.test_docs import check

DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(path.parent for path in DEPLOY.glob("overlays/*/kustomization.yaml"))
GUIDE = ROOT / "docs" / "how-to" / "kubernetes.md"
POLICIES = ("netdevice-plugin", "netdevice-plugin-status")
_KUSTOMIZATION = re.compile(
    r"^```yaml\n((?:(?!^```).)*?kind: Kustomization.*?)^```$", re.MULTILINE | re.DOTALL
)


def by_kind(objects: list[Object]) -> dict[str, Object]:
    """Every object; where there are several of a kind, by its name as well."""
    kinds = collections.Counter(one["kind"] for one in objects)
    found = {
        one["kind"] if kinds[one["kind"]] == 1 else f"{one['kind']}/{one['metadata']['name']}": one
        for one in objects
    }
    assert len(found) == len(objects)
    return found


@pytest.fixture(scope="module")
def base() -> dict[str, Object]:
    """What the overlays start from."""
    return by_kind(kustomize.build(BASE))


def overlay(name: str) -> dict[str, Object]:
    """One of ours."""
    return by_kind(kustomize.build(DEPLOY / "overlays" / name))


def agent(objects: dict[str, Object]) -> Object:
    """The agent's container."""
    (container,) = pod_spec(list(objects.values()))["containers"]
    found: Object = container
    return found


def test_the_base_is_install_yaml(base: dict[str, Object]) -> None:
    assert base == by_kind(parse(INSTALL.read_text()))


@pytest.mark.parametrize("directory", OVERLAYS, ids=[path.name for path in OVERLAYS])
def test_kubernetes_takes_an_overlay(directory: pathlib.Path) -> None:
    takes(kustomize.build(directory))


def test_the_overlays_are_those_that_are_tested() -> None:
    names = ["dra", "functions", "metrics", "prefix", "reclaim"]
    assert [path.name for path in OVERLAYS] == names


def test_another_prefix_changes_nothing_but_the_configuration(base: dict[str, Object]) -> None:
    made = overlay("prefix")
    settings = config.loads(configuration(list(made.values())).encode(), "config.yaml")
    assert [pool.kind for pool in settings.pools] == ["example.com/netdevice"]
    assert made.pop("ConfigMap")["metadata"]["name"] == "netdevice-plugin"
    assert made == {kind: one for kind, one in base.items() if kind != "ConfigMap"}


@pytest.mark.parametrize("host", ["192.0.2.10", "2001:db8::10"])
def test_metrics_are_where_prometheus_and_the_kubelet_look(host: str) -> None:
    made = overlay("metrics")
    container = agent(made)
    assert {"HOST_IP", "POD_UID"} == {one["name"] for one in container["env"]}
    (argument,) = (word for word in container["args"] if word.startswith("--listen="))
    listen = parse_listen(argument.removeprefix("--listen=").replace("$(HOST_IP)", host))
    assert listen is not None
    assert listen.host == host
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert [(probe.get("host"), probe["port"]) for probe in probes] == [(None, listen.port)] * 3
    service = made["Service"]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [listen.port]
    assert service["metadata"]["annotations"]["prometheus.io/port"] == str(listen.port)
    labels = made["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_reclaim_adds_what_it_says_and_nothing_else(base: dict[str, Object]) -> None:
    made = overlay("reclaim")
    expected = copy.deepcopy(base)
    pod_spec(list(expected.values()))["hostPID"] = True
    container = agent(expected)
    container["args"].append("--reclaim")
    container["securityContext"]["appArmorProfile"] = {"type": "Unconfined"}
    added = ["NET_ADMIN", "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"]
    container["securityContext"]["capabilities"]["add"] = added
    assert made == expected


def test_functions_add_what_they_say_and_nothing_else(base: dict[str, Object]) -> None:
    made = overlay("functions")
    settings = config.loads(configuration(list(made.values())).encode(), "config.yaml")
    assert [pool.name for pool in settings.pools] == ["vf", "dpdk", "shared"]
    assert made.pop("ConfigMap")["metadata"]["name"] == "netdevice-plugin"
    expected = copy.deepcopy({kind: one for kind, one in base.items() if kind != "ConfigMap"})
    pod, container = pod_spec(list(expected.values())), agent(expected)
    container["securityContext"]["appArmorProfile"] = {"type": "Unconfined"}
    container["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]
    container["volumeMounts"].insert(0, {"name": "sys", "mountPath": "/sys"})
    pod["volumes"].insert(0, {"name": "sys", "hostPath": {"path": "/sys", "type": "Directory"}})
    assert made == expected


def test_ports_bring_the_credentials_and_nothing_else(
    base: dict[str, Object], tmp_path: pathlib.Path
) -> None:
    made = by_kind(kustomize.build(with_components(tmp_path, "ports")))
    expected = copy.deepcopy(base)
    agent(expected)["volumeMounts"].insert(
        0, {"name": "clouds", "mountPath": "/etc/openstack", "readOnly": True}
    )
    secret = {"secretName": "netdevice-plugin-clouds", "defaultMode": 0o400}
    pod_spec(list(expected.values()))["volumes"].insert(0, {"name": "clouds", "secret": secret})
    assert made == expected


def test_dra_adds_what_it_says_and_nothing_else(base: dict[str, Object]) -> None:
    made = overlay("dra")
    settings = config.loads(configuration(list(made.values())).encode(), "config.yaml")
    assert [pool.frontend for pool in settings.pools] == [Frontend.DRA]
    assert made.pop("ConfigMap")["metadata"]["name"] == "netdevice-plugin"
    expected = copy.deepcopy({kind: one for kind, one in base.items() if kind != "ConfigMap"})
    pod, with_token = (pod_spec(list(one.values())) for one in (expected, made))
    container, reached = agent(expected), agent(made)
    pod["automountServiceAccountToken"] = True
    container["args"].append("--node-name=$(NODE_NAME)")
    for ours, theirs, key in (
        (container, reached, "env"),
        (container, reached, "volumeMounts"),
        (pod, with_token, "volumes"),
    ):
        by_name = {one["name"]: one for one in theirs[key]}
        names = [one["name"] for one in ours[key]]
        assert [by_name[name] for name in names] == ours[key]
        ours[key] = theirs[key]
    assert len(reached["env"]) == 3
    assert len(with_token["volumes"]) == len(reached["volumeMounts"]) + 1  # the mover's
    assert {kind: made[kind] for kind in expected} == expected
    added = ["ClusterRole", "ClusterRoleBinding", "DeviceClass"]
    policies = [
        f"{kind}/{name}"
        for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
        for name in POLICIES
    ]
    assert sorted(made.keys() - expected.keys()) == [*added, *policies]


def test_dra_names_the_node_by_an_argument_that_there_is() -> None:
    check(agent(overlay("dra"))["args"])


def with_components(directory: pathlib.Path, *names: str) -> pathlib.Path:
    """A kustomization of the base with components, in their order."""
    kustomization = {
        "resources": [os.path.relpath(BASE, directory)],
        "components": [os.path.relpath(DEPLOY / "components" / name, directory) for name in names],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return directory


def test_components_can_be_had_together(tmp_path: pathlib.Path) -> None:
    names = sorted(path.name for path in DEPLOY.glob("components/*"))
    assert names.index("functions") < names.index("reclaim")  # which has more capabilities
    objects = kustomize.build(with_components(tmp_path, *names))
    takes(objects)
    container = agent(by_kind(objects))
    capabilities = container["securityContext"]["capabilities"]["add"]
    assert capabilities == ["NET_ADMIN", "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"]
    arguments = container["args"]
    assert "--reclaim" in arguments
    assert "--listen=[$(HOST_IP)]:9479" in arguments


def documented() -> list[str]:
    """The kustomizations of the guide."""
    return _KUSTOMIZATION.findall(GUIDE.read_text())


def test_kustomizations_are_documented() -> None:
    assert documented()


@pytest.mark.parametrize("text", documented())
def test_a_documented_kustomization_works_beside_a_checkout(
    text: str, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(DEPLOY, tmp_path / "netdevice-plugin" / "deploy")
    shutil.copy(DEPLOY / "overlays/prefix/config.yaml", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(text)
    takes(kustomize.build(tmp_path))
