"""install.yaml is what Kubernetes takes, asks for no more than it needs, and fits the program."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

import netdevice_plugin
from netdevice_plugin import config, pools
from netdevice_plugin.model import VIA_DRA, Interface, Snapshot
from tests.manifests import (
    BASE,
    INSTALL,
    ROOT,
    VERSIONS,
    Object,
    configuration,
    only,
    parse,
    pod_spec,
    takes,
    validate,
)
from tests.unit.test_docs import PAGES, check

_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = sorted((ROOT / "deploy" / "examples").rglob("*.yaml"))
versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def objects() -> list[Object]:
    """What `kubectl apply -f install.yaml` makes."""
    return parse(INSTALL.read_text())


@pytest.fixture
def pod(objects: list[Object]) -> Object:
    """The agent's pod."""
    return pod_spec(objects)


def containers(pod: Object) -> list[Object]:
    """Those that run once too."""
    return [*pod["initContainers"], *pod["containers"]]


def settings_of(objects: list[Object]) -> config.Config:
    """The configuration that comes with them."""
    return config.loads(configuration(objects).encode(), "config.yaml")


def probes(agent: Object) -> list[Object]:
    """What the kubelet asks of the agent."""
    names = ("startupProbe", "livenessProbe", "readinessProbe")
    return [agent[name]["httpGet"] for name in names]


@versions
def test_kubernetes_takes_install_yaml(objects: list[Object], version: str) -> None:
    validate(objects, version)


def test_a_key_that_kubernetes_does_not_know_is_found(objects: list[Object]) -> None:
    pod_spec(objects)["containers"][0]["securityContext"]["capability"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="'capability' was unexpected"):
        validate(objects, VERSIONS[-1])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_kubernetes_takes_an_example(path: pathlib.Path) -> None:
    takes(parse(path.read_text()))


def documented() -> list[Any]:
    """Every Kubernetes object of the documents, by page."""
    found = []
    for page in PAGES:
        for number, block in enumerate(_YAML.findall(page.read_text())):
            if objects := [one for one in parse(block) if "apiVersion" in one and "spec" in one]:
                found.append(pytest.param(objects, id=f"{page.name}-{number}"))
    return found


@pytest.mark.parametrize("objects", documented())
def test_kubernetes_takes_what_is_documented(objects: list[Object]) -> None:
    takes(objects)


def test_pods_are_documented() -> None:
    kinds = {one["kind"] for parameters in documented() for one in parameters.values[0]}
    assert {"Pod", "ResourceClaimTemplate"} <= kinds


def test_install_yaml_is_made_of_the_base() -> None:
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    parts = "".join(f"---\n{(BASE / name).read_text()}" for name in names)
    header, made = INSTALL.read_text().split("\n", 1)
    assert header.startswith("#")
    assert made == parts, "run: make install.yaml"


def test_the_image_is_this_version_from_no_registry_in_particular(pod: Object) -> None:
    for container in containers(pod):
        assert container["image"] == f"netdevice-plugin:{netdevice_plugin.__version__}"


def test_the_arguments_are_those_that_the_program_takes(pod: Object) -> None:
    for container in containers(pod):
        check(container["args"])


def test_nothing_is_granted_that_is_not_needed(pod: Object) -> None:
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["hostNetwork"]
    assert not {"hostPID", "hostIPC", "hostUsers"} & set(pod)


def test_no_token_of_the_api_server_gets_to_the_node(objects: list[Object], pod: Object) -> None:
    assert not only(objects, "ServiceAccount")["automountServiceAccountToken"]
    assert not pod["automountServiceAccountToken"]
    assert not any("Role" in one["kind"] for one in objects)


def test_what_is_mounted_is_what_is_used(pod: Object) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = [mount for container in containers(pod) for mount in container["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == set(volumes)
    writable = {
        volumes[mount["name"]]["hostPath"]["path"] for mount in mounts if not mount.get("readOnly")
    }
    assert writable == {
        "/opt/netdevice-plugin/bin",
        "/run/netdevice-plugin",
        "/var/lib/kubelet/device-plugins",
        "/var/run/cdi",
    }


def test_the_paths_are_those_that_the_agent_takes_by_default(
    objects: list[Object], pod: Object
) -> None:
    settings = settings_of(objects)
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["cdi"] == str(settings.cdi_dir)
    assert mounts["run"] == str(settings.run_dir)
    assert mounts["device-plugins"] == f"{settings.kubelet_dir}/device-plugins"
    assert mounts["pod-resources"] == f"{settings.kubelet_dir}/pod-resources"
    (bin_dir,) = (one["hostPath"]["path"] for one in pod["volumes"] if one["name"] == "bin")
    assert str(settings.mover_path) == f"{bin_dir}/netdevice-mover"


def test_the_next_agent_can_start_beside_the_one_in_charge(
    objects: list[Object], pod: Object
) -> None:
    update = only(objects, "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"]
    assert update == {"maxSurge": 1, "maxUnavailable": 0}
    # A port of a pod on the host's network is a port of the node: two pods do not fit.
    assert not any("ports" in container for container in containers(pod))


def test_the_probes_ask_where_the_agent_listens(pod: Object) -> None:
    (agent,) = pod["containers"]
    (listen,) = (word for word in agent["args"] if word.startswith("--listen="))
    for probe in probes(agent):
        assert listen == f"--listen={probe['host']}:{probe['port']}"
    assert [probe["path"] for probe in probes(agent)] == ["/healthz", "/healthz", "/readyz"]


@pytest.mark.parametrize(
    ("link", "offered"),
    [
        *((name, False) for name in ("eth1", "ens5f1", "enp1s0", "wlan0", "ib0", "bond0")),
        *((name, True) for name in ("dummy0", "netdev0")),
    ],
)
def test_by_default_no_link_is_offered_that_nobody_meant(
    objects: list[Object], link: str, offered: bool
) -> None:
    settings = settings_of(objects)
    snapshot = Snapshot(interfaces=(Interface(ifindex=2, name=link),))
    chosen = pools.assign(snapshot, settings.pools)
    assert bool(chosen.devices) is offered


def test_a_link_is_offered_by_its_altname(objects: list[Object]) -> None:
    settings = settings_of(objects)
    nic = Interface(ifindex=2, name="ens5f1", altnames=("netdev0",))
    chosen = pools.assign(Snapshot(interfaces=(nic,)), settings.pools)
    assert [device.name for device in chosen.devices] == ["ens5f1"]


def test_overlays_have_their_configurations_right() -> None:
    found = sorted((ROOT / "deploy").rglob("config.yaml"))
    assert [config.load(path).pools[0].key for path in found] == [
        f"networking.k8s.io/netdevice{VIA_DRA}",
        "networking.k8s.io/vf",
        "example.com/netdevice",
    ]
