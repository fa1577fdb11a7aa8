from __future__ import annotations

import dataclasses
import errno
from collections.abc import Mapping
from pathlib import Path

import pytest

from netdevice_plugin.config import Config
from netdevice_plugin.doctor import kubelet
from netdevice_plugin.doctor.finding import Finding
from netdevice_plugin.doctor.kubelet import Kubelet
from netdevice_plugin.doctor.programs import Programs
from netdevice_plugin.model import Frontend, Pool, Registration
from tests.unit.doctor.roots import CONFIG, Root, checks, only

DIRECTORY = "/var/lib/kubelet"
KUBEADM = """
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authentication:
      anonymous: {enabled: false}
    cgroupDriver: systemd
    containerRuntimeEndpoint: unix:///var/run/crio/crio.sock
    featureGates:
      DevicePluginCDIDevices: true
      Odd: maybe
"""


def find(
    root: Root,
    config: Config = CONFIG,
    said: str = "Kubernetes v1.31.2",
    refuses: Mapping[str, int] | None = None,
) -> Kubelet | None:
    says = dict.fromkeys(("kubelet", "k3s"), said)
    host = root.host(says, refuses=refuses)
    return kubelet.read(host, Programs(host), config)


def node(root: Root, directory: str = DIRECTORY) -> None:
    """What a kubelet that runs has made."""
    root.socket(f"{directory}/device-plugins/kubelet.sock")
    root.socket(f"{directory}/pod-resources/kubelet.sock")
    root.directory(f"{directory}/plugins_registry")


def running(root: Root, *options: str) -> None:
    root.program("/usr/bin/kubelet")
    root.process(77, "/usr/bin/kubelet", *options, program="/usr/bin/kubelet")


def judge(facts: Kubelet | None, config: Config = CONFIG, *, given: bool = True) -> list[Finding]:
    return list(kubelet.check(facts, config, given=given))


def test_no_kubelet_is_no_fault(root: Root) -> None:
    assert find(root) is None
    assert checks(judge(None)) == [("ok", "kubelet/found")]


def test_a_kubelet_as_it_should_be(root: Root) -> None:
    node(root)
    running(root, "--config", "/var/lib/kubelet/config.yaml", "--v=2")
    root.write("/var/lib/kubelet/config.yaml", KUBEADM)
    facts = find(root)
    assert facts
    assert (facts.directory, facts.endpoint) == (DIRECTORY, "unix:///var/run/crio/crio.sock")
    assert facts.gates == {"DevicePluginCDIDevices": True}
    findings = judge(facts)
    assert {one.level.value for one in findings} == {"ok"}
    assert str(findings[0]) == f"kubelet 1.31.2: runs (pid 77) in {DIRECTORY}"


@pytest.mark.parametrize(
    ("version", "options", "level"),
    [
        ("1.27.16", (), "fail"),
        ("1.28.4", (), "fail"),
        ("1.28.4", ("--feature-gates=A=false,DevicePluginCDIDevices=true",), "ok"),
        ("1.29.0", (), "ok"),
        ("1.30.1", ("--feature-gates=DevicePluginCDIDevices=false",), "fail"),
        ("1.31.0", ("--feature-gates=DevicePluginCDIDevices=false",), "ok"),
        ("1.36.2", (), "ok"),
        ("?", (), "warn"),
    ],
)
def test_what_a_version_knows(
    root: Root, version: str, options: tuple[str, ...], level: str
) -> None:
    node(root)
    running(root, *options)
    found = only(judge(find(root, said=f"Kubernetes v{version}")), "kubelet/version")
    assert found.level.value == level


def test_another_directory_than_the_agents(root: Root) -> None:
    node(root, "/data/kubelet")
    running(root, "--root-dir=/data/kubelet")
    facts = find(root)
    found = only(judge(facts), "kubelet/directory")
    assert found.level.value == "fail"
    assert found.text == f"has its directory in /data/kubelet, and the agent looks in {DIRECTORY}"
    assert found.remedy == "kubeletDir: /data/kubelet in the agent's configuration"
    assert only(judge(facts, given=False), "kubelet/directory").level.value == "warn"
    assert ("ok", "kubelet/socket") in checks(judge(facts))


def test_a_link_to_the_directory_is_the_directory(root: Root) -> None:
    node(root, "/data/kubelet")
    root.link(DIRECTORY, "/data/kubelet")
    running(root, "--root-dir", "/data/kubelet")
    assert {one.level.value for one in judge(find(root))} == {"ok"}


def test_a_directory_that_is_too_long_for_sockets(root: Root) -> None:
    config = dataclasses.replace(CONFIG, kubelet_dir=Path("/" + "k" * 80))
    node(root, str(config.kubelet_dir))
    assert ("fail", "kubelet/directory") in checks(judge(find(root, config), config))


def test_k3s_has_its_kubelet_inside(root: Root) -> None:
    node(root)
    root.process(5, "/usr/local/bin/k3s", "server", "--kubelet-arg=root-dir=/data/k", "--debug")
    root.program("/usr/local/bin/k3s")
    facts = find(root, said="k3s version v1.30.6+k3s1 (abc)\ngo version go1.22.8")
    assert facts
    assert str(facts.program) == "k3s 1.30.6"
    assert facts.directory == "/data/k"
    assert facts.endpoint == "/run/k3s/containerd/containerd.sock"


def test_a_command_of_k3s_is_no_kubelet(root: Root) -> None:
    root.process(5, "k3s", "kubectl", "get", "nodes")
    assert find(root) is None


def test_microk8s_has_its_arguments_in_a_file(root: Root) -> None:
    directory = "/var/snap/microk8s/common/var/lib/kubelet"
    node(root, directory)
    args = "/var/snap/microk8s/7234/args/kubelet"
    root.write(
        args,
        """\
        --kubeconfig=${SNAP_DATA}/credentials/kubelet.config
        --root-dir=${SNAP_COMMON}/var/lib/kubelet
        --container-runtime-endpoint=${SNAP_COMMON}/run/containerd.sock
        # a comment
        """,
    )
    root.process(5, "/snap/microk8s/7234/kubelite", f"--kubelet-args-file={args}")
    facts = find(root)
    assert facts
    assert facts.directory == directory
    assert facts.endpoint == "/var/snap/microk8s/common/run/containerd.sock"
    root.at(args).unlink()
    assert find(root)


def test_a_kubelet_that_says_nothing_asks_containerd(root: Root) -> None:
    running(root)
    facts = find(root)
    assert facts
    assert facts.endpoint == "/run/containerd/containerd.sock"


def test_a_directory_that_nobody_is_seen_to_use(root: Root) -> None:
    node(root)
    facts = find(root)
    assert facts
    assert (facts.process, facts.endpoint) == (None, "")
    assert checks(judge(facts))[0] == ("warn", "kubelet/found")


@pytest.mark.parametrize(
    "content", [b"\xff", b"{", b"- a\n", b"featureGates: 3\n", b"a: &x [*x]\n", b"#" * (10 << 20)]
)
def test_a_configuration_of_anything_is_as_none(root: Root, content: bytes) -> None:
    root.write("/etc/k.yaml", content)
    running(root, "--config=/etc/k.yaml")
    facts = find(root)
    assert facts
    assert facts.gates == {}


def test_sockets_that_are_not_there(root: Root) -> None:
    root.directory(f"{DIRECTORY}/device-plugins")
    running(root)
    found = judge(find(root))
    first = only(found, "kubelet/socket")
    assert str(first) == f"{DIRECTORY}/device-plugins/kubelet.sock: is not there"
    assert first.level.value == "fail"
    assert only(found, "kubelet/pod-resources").level.value == "warn"


def test_the_other_way_to_register_needs_its_directory(root: Root) -> None:
    config = dataclasses.replace(CONFIG, registration=Registration.WATCHER)
    running(root)
    found = checks(judge(find(root, config), config))
    assert ("fail", "kubelet/registry") in found
    assert "kubelet/socket" not in [check for _, check in found]
    node(root)
    assert ("fail", "kubelet/registry") not in checks(judge(find(root, config), config))


def test_our_own_sockets(root: Root) -> None:
    node(root)
    running(root)
    directory = f"{DIRECTORY}/device-plugins"
    for name in ("networking.k8s.io-a.sock", "networking.k8s.io-b.sock", "nvidia.sock"):
        root.socket(f"{directory}/{name}")
    refuses = {f"{directory}/networking.k8s.io-b.sock": errno.ECONNREFUSED}
    facts = find(root, refuses=refuses)
    findings = [one for one in judge(facts) if one.check == "kubelet/plugins"]
    assert [(one.level.value, str(one)) for one in findings] == [
        ("ok", "sockets of ours: served: networking.k8s.io-a.sock"),
        ("warn", f"{directory}/networking.k8s.io-b.sock: is there, but nobody listens on it"),
    ]


@pytest.mark.parametrize(
    ("version", "options", "level", "text"),
    [
        ("1.31.2", (), "fail", "has no DRA that a pool with frontend: dra could be served by"),
        ("1.32.0", (), "warn", "here it is not seen to be on"),
        ("1.33.4", ("--feature-gates=DynamicResourceAllocation=true",), "warn", "here it is on"),
        ("1.33.4", ("--feature-gates=DynamicResourceAllocation=false",), "fail", "is off"),
        ("1.34.1", (), "ok", "has DRA of version v1"),
        ("1.34.1", ("--feature-gates=DynamicResourceAllocation=false",), "fail", "is off"),
    ],
)
def test_which_kubelets_have_dra(
    root: Root, version: str, options: tuple[str, ...], level: str, text: str
) -> None:
    pool = Pool(name="ab", frontend=Frontend.DRA)
    config = dataclasses.replace(CONFIG, pools=(pool,))
    running(root, *options)
    findings = judge(find(root, config, said=f"Kubernetes v{version}"), config)
    found = only(findings, "kubelet/dra")
    assert found.level.value == level
    assert found.text.endswith(text)
    assert "kubelet/dra" not in [check for _, check in checks(judge(find(root)))]


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("/usr/bin/kubelet", "--hostname-override=worker-1"), "worker-1"),
        (("k3s", "agent", "--node-name", "worker-2"), "worker-2"),
        (("/usr/bin/kubelet",), ""),
    ],
)
def test_what_a_kubelet_was_told_that_it_is_called(
    root: Root, argv: tuple[str, ...], name: str
) -> None:
    root.process(77, *argv)
    facts = find(root)
    assert facts
    assert facts.node == name


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ECONNREFUSED, "is there, but nobody listens on it"),
        (errno.EACCES, "cannot be connected to: Permission denied"),
        (0, ""),
    ],
)
def test_what_is_said_of_a_socket(root: Root, number: int, text: str) -> None:
    root.socket("/s")
    assert root.host(refuses={"/s": number}).listens("/s") == text
    assert root.host().listens("/none") == "is not there"
    root.write("/file")
    assert root.host().listens("/file") == "is not a socket"
