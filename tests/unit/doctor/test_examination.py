"""The whole of it: on hosts as they are, and on roots that hold anything."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netdevice_plugin import mover
from netdevice_plugin.config import Config
from netdevice_plugin.doctor import examination
from netdevice_plugin.doctor.finding import Finding, Level, worst
from netdevice_plugin.dra import allocation, checkpoint
from netdevice_plugin.look import View
from netdevice_plugin.model import Frontend, Pool, Selector, Snapshot
from netdevice_plugin.provisioning import (
    CreatedKind,
    Creation,
    PfCount,
    PortProvider,
    Ports,
    Userspace,
)
from tests.unit.cli.running import prepare
from tests.unit.doctor import test_containerd, test_crio, test_kubelet
from tests.unit.doctor.roots import CONFIG, MOVER, Root, checks, only
from tests.unit.doctor.test_cdidirs import OURS, ours
from tests.unit.doctor.test_node import lock, looking
from tests.unit.dra.claimed import claim, ref, result

PACKAGE = Path(examination.__file__).parent
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "doctor.md"
NETDEVICE = Pool(name="netdevice", selectors=(Selector(if_names=("eth1",)),))
ETH1 = dataclasses.replace(CONFIG, pools=(NETDEVICE,))
DRA = dataclasses.replace(CONFIG, pools=(dataclasses.replace(NETDEVICE, frontend=Frontend.DRA),))
FUNCTIONS = dataclasses.replace(
    CONFIG,
    sriov=(PfCount(pf="eth1", num_vfs=4), PfCount(pf="0000:03:00.0", num_vfs=2)),
    pools=(
        dataclasses.replace(NETDEVICE, userspace=Userspace(driver="vfio-pci")),
        Pool(name="made", create=Creation(kind=CreatedKind.MACVLAN, parent="eth1", count=2)),
        Pool(name="hot", ports=Ports(provider=PortProvider(command=("/opt/attach",)))),
    ),
)


def examine(root: Root, **says: str) -> list[Finding]:
    """Examine a root; our own host's if its programs say something."""
    return examine_for(ETH1, root, **says)


def examine_for(config: Config, root: Root, **says: str) -> list[Finding]:
    """Examine a root for another configuration."""
    host = root.host(says or None)
    return list(examination.examine(host, config, looking(), given=True))


def common(root: Root) -> None:
    """What every node has on which all is well."""
    root.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    root.directory("/proc/sys/net/ipv6")
    root.link("/proc/self/ns/net", "net:[4026531840]")
    root.mounts(("/", "ext4", "rw"), ("/run", "tmpfs", "rw"))
    root.mounts(("/", "ext4", "rw"), ("/run", "tmpfs", "rw"), owner="self")
    root.write("/proc/locks", "")
    root.link("/var/run", "/run")
    root.directory("/run")
    root.write(OURS.removeprefix("/var"), ours())
    root.write(MOVER, mover.BUNDLED.read_bytes(), 0o755)


def node(root: Root, runtime: str) -> None:
    """A node of a cluster, but for its runtime."""
    common(root)
    test_kubelet.node(root)
    endpoint = f"--container-runtime-endpoint=unix:///run/{runtime}/{runtime}.sock"
    test_kubelet.running(root, endpoint)


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    return [one for one in checks(findings) if one[0] != "ok"]


NO_AGENT = ("warn", "node/agent")


def test_a_node_with_containerd_1_7(root: Root) -> None:
    node(root, "containerd")
    root.program("/usr/bin/containerd")
    root.program("/usr/sbin/runc")
    root.write(test_containerd.CONFIG, test_containerd.KIND)
    says = {
        "containerd": "containerd github.com/containerd/containerd 1.7.24 abc",
        "runc": "runc version 1.1.5",
        "kubelet": "Kubernetes v1.31.2",
    }
    assert bad(examine(root, **says)) == [NO_AGENT]
    root.write(test_containerd.CONFIG, test_containerd.KUBEADM)
    assert bad(examine(root, **says)) == [
        ("fail", "containerd/cdi"),
        ("fail", "runtime/none"),
        NO_AGENT,
    ]


def test_a_node_with_crio_whose_containerd_nobody_asks(root: Root) -> None:
    node(root, "crio")
    for name in ("crio", "containerd"):
        root.program(f"/usr/bin/{name}")
    root.write("/etc/crio/crio.conf", test_crio.MAIN)
    findings = examine(root, crio="crio version 1.31.0", kubelet="Kubernetes v1.30.0")
    assert bad(findings) == [NO_AGENT]


def test_a_node_that_hands_out_devices_by_claims(root: Root) -> None:
    node(root, "containerd")
    root.program("/usr/bin/containerd")
    says = {
        "containerd": "containerd github.com/containerd/containerd/v2 v2.1.4 abc",
        "kubelet": "Kubernetes v1.34.1",
    }
    assert bad(examine_for(DRA, root, **says)) == [NO_AGENT]
    prepare(root.at("/var/lib/kubelet"), ref(), "eth1")
    assert bad(examine_for(DRA, root, **says)) == [("fail", "dra/cdi-file"), NO_AGENT]
    assert bad(examine(root, **says)) == [("fail", "dra/cdi-file"), NO_AGENT]


def test_a_mounted_root_of_a_node(root: Root) -> None:
    node(root, "containerd")
    root.program("/usr/bin/containerd")
    root.packages({"containerd.io": "2.1.4-1", "kubelet": "1.33.1-1.1"})
    findings = examine(root)
    assert [one for one in bad(findings) if one[1] != "mover/version"] == [NO_AGENT]


def test_a_host_with_podman_alone(root: Root) -> None:
    common(root)
    root.program("/usr/bin/podman")
    findings = examine(root, podman="podman version 4.3.1")
    assert bad(findings) == []
    assert worst(findings) is Level.OK


def test_a_host_with_nothing(root: Root) -> None:
    findings = examine(root)
    assert only(findings, "runtime/none").text == "none was found"
    assert only(findings, "kernel/version").level is Level.WARN


THEMES = ("agent/sysfs", "sriov/", "userspace/", "create/", "ports/")


def test_a_node_with_functions_is_asked_for_what_they_need(root: Root) -> None:
    common(root)
    findings = examine_for(FUNCTIONS, root)
    named = [one.check for one in findings if one.check.startswith(THEMES)]
    assert named == [
        "sriov/count",
        "sriov/count",
        "userspace/iommu",
        "userspace/driver",
        "userspace/vfio",
        "userspace/hugepages",
        "create/parent",
        "create/kind",
        "ports/provider",
    ]
    assert not any(one.check.startswith(THEMES) for one in examine(root))


def test_an_agent_in_charge_of_functions_is_looked_at(root: Root) -> None:
    common(root)
    lock(root, "/run/netdevice-plugin/agent.lock", 77)
    root.mounts(("/", "overlay", "ro"), ("/sys", "sysfs", "ro"), owner="77")
    root.write("/proc/77/status", "CapEff:\t0000000000001000\n")
    findings = examine_for(FUNCTIONS, root)
    assert only(findings, "agent/sysfs").level is Level.FAIL
    assert only(findings, "agent/net-admin").level is Level.OK


def test_links_are_read_once(root: Root) -> None:
    seen: list[Config] = []
    look = looking()

    def counted(config: Config) -> View:
        seen.append(config)
        return look(config)

    list(examination.examine(root.host(), FUNCTIONS, counted, given=True))
    assert len(seen) == 1


CHECKPOINT = checkpoint.dumps(
    allocation.decode(claim(ref(), [result("eth1")]), ref(), driver=CONFIG.prefix, node=None),
    CONFIG.prefix,
)
NAMES = (
    "/etc/containerd/config.toml",
    "/etc/containerd/conf.d/a.toml",
    "/etc/crio/crio.conf",
    "/etc/crio/crio.conf.d/a.conf",
    "/etc/docker/daemon.json",
    "/etc/containers/containers.conf",
    "/etc/nerdctl/nerdctl.toml",
    "/etc/cdi/a.json",
    "/etc/cdi/b.yaml",
    "/run/cdi/networking.k8s.io-netdevice.json",
    "/run/netdevice-plugin/attachments/eth1",
    "/run/netdevice-plugin/errors/eth1",
    "/run/netdevice-plugin/agent.lock",
    "/var/lib/dpkg/status",
    "/var/lib/kubelet/device-plugins/kubelet.sock",
    "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
    f"/var/lib/kubelet/plugins/networking.k8s.io/claims/{ref().uid}.json",
    "/var/lib/kubelet/plugins/networking.k8s.io/dra-a.sock",
    "/var/lib/kubelet/plugins_registry/networking.k8s.io-a-reg.sock",
    f"/run/cdi/networking.k8s.io-claim_{ref().uid}.json",
    "/etc/hostname",
    "/var/lib/kubelet/config.yaml",
    "/proc/1/mountinfo",
    "/proc/locks",
    "/proc/stat",
    "/proc/77/cmdline",
    "/proc/77/stat",
    "/proc/sys/kernel/osrelease",
    "/sys/fs/selinux/enforce",
    "/sys/bus/pci/devices/0000:03:00.0",
    "/sys/bus/pci/devices/0000:03:00.0/sriov_totalvfs",
    "/sys/kernel/iommu_groups/1/name",
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages",
    "/sys/firmware/acpi/tables/DMAR",
    "/lib/modules/6.12.0/modules.dep",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/1/limits",
    "/opt/attach",
    MOVER,
)
PROGRAMS = ("containerd", "crio", "dockerd", "podman", "nerdctl", "runc", "crun", "kubelet")
PIECES = (
    CHECKPOINT, b"Worker_1\n",
    b"version = 3\n", b"imports = ['*', '../a.toml', '\\u0000']\n", b"[plugins]\n", b"[crio]\n",
    b'{"features": {"cdi": 1}}', b'{"cdiVersion": "1.1.0", "kind": "a/b", "devices": [{}]}',
    b"kubelet\0--root-dir\0/a\0--config\0/proc/locks\0", b"containerd\0-c\0/etc/cdi\0",
    b"1: FLOCK  ADVISORY  WRITE 1 0:0:0 0 EOF\n", b"btime 99999999999999999\n", b"format=1\n",
    b"1 2 3 / / rw - tmpfs x rw\n", b"\x7fELF\x02\x01", b"Package: runc\nVersion: 1:9\n\n",
    b"6.12.0\n", b"vfio-pci.ko:\n", b"intel_iommu=off\n", b"12\n",
    b"[" * 5000, b"\xff\xfe\x00", b"9" * 5000, b"x" * (2 << 20),
)  # fmt: skip


def make(root: Root, name: str, kind: str, content: bytes) -> None:
    """Make anything in place of a file, unless something stands in the way."""
    try:
        if kind == "file":
            root.write(name, content, 0o755)
        elif kind == "directory":
            root.directory(name)
        elif kind == "loop":
            root.link(name, name)
        elif kind == "link":
            root.link(name, os.fsdecode(content[:50]).replace("\0", "") or "/")
        elif kind == "socket":
            root.socket(name)
        else:
            os.mkfifo(root.at(name))
    except OSError:
        pass


anything = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(
        st.sampled_from(("file", "file", "file", "directory", "loop", "link", "socket", "fifo")),
        st.lists(st.sampled_from(PIECES), max_size=4).map(b"".join) | st.binary(max_size=200),
    ),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(anything)
def test_a_root_that_holds_anything_ends_in_findings(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, tuple[str, bytes]]
) -> None:
    root = Root(tmp_path_factory.mktemp("root"))
    for name in PROGRAMS:
        root.program(f"/usr/bin/{name}")
    for name, (kind, content) in tree.items():
        make(root, name, kind, content)
    for findings in (
        examine(root),
        examine_for(DRA, root, any="thing"),
        examine_for(FUNCTIONS, root),
    ):
        assert findings
        assert all(one.remedy for one in findings if one.level is not Level.OK)


def said() -> Iterator[str]:
    """The name of every check that the code can yield, a star for what stands for a theme."""
    for path in PACKAGE.glob("*.py"):
        for part in ast.walk(ast.parse(path.read_text())):
            text = ""
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                text = part.value
            elif isinstance(part, ast.JoinedStr):
                text = "".join(
                    str(one.value) if isinstance(one, ast.Constant) else "*" for one in part.values
                )
            if re.fullmatch(r"([a-z-]+|\*)/[a-z-]+", text):
                yield text


def test_every_check_is_documented_and_no_other() -> None:
    cells = re.findall(r"^\| (`.*?) \|", REFERENCE.read_text(), re.MULTILINE)
    documented = set(re.findall(r"`([a-z-]+/[a-z-]+)`", " ".join(cells)))
    spelt = set(said())
    shared = {name[1:] for name in spelt if name.startswith("*")}  # by several themes
    assert len(documented) > 40
    assert {name for name in spelt if not name.startswith("*")} - documented == set()
    assert {name for name in documented - spelt if not name.endswith(tuple(shared))} == set()


def test_a_configuration_is_checked_and_its_defaults_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("pools:\n- nme: a\n  selectors: []\nmore: 1\n")
    config, findings = examination.read_config(path)
    assert config == CONFIG
    assert set(checks(findings)) == {("fail", "config/file")}
    assert any(str(one).startswith(f"{path}:2: pools[0].nme: unknown key") for one in findings)
    config, findings = examination.read_config(tmp_path / "none.yaml")
    assert checks(findings) == [("fail", "config/file")]
    path.write_text("pools:\n- name: ab\n  selectors:\n  - ifNames: [eth1]\n")
    config, findings = examination.read_config(path)
    assert [str(one) for one in findings] == [f"{path}: is valid; networking.k8s.io/ab"]
    assert examination.read_config(None) == (CONFIG, [])


def test_what_stops_a_theme_is_a_finding(root: Root) -> None:
    def look(_config: Config) -> View:
        raise OSError(5, "Input/output error")

    findings = list(examination.examine(root.host(), CONFIG, look, given=False))
    found = only(findings, "node/unreadable")
    assert str(found) == "node: cannot be looked at: Input/output error"


def test_links_are_looked_for_with_the_records_of_the_root(root: Root) -> None:
    seen: list[Path] = []

    def look(config: Config) -> View:
        seen.append(config.run_dir)
        return View(snapshot=Snapshot())

    root.link("/run", "/srv/run")
    list(examination.examine(root.host(), CONFIG, look, given=False))
    assert seen == [root.at("/srv/run/netdevice-plugin")]
