from __future__ import annotations

import pytest

from netdevice_plugin.doctor import crio
from netdevice_plugin.doctor.crio import Crio
from netdevice_plugin.doctor.finding import Level
from netdevice_plugin.doctor.runtime import Needs
from tests.unit.doctor.roots import Root, checks, only

ASKED = Needs(kubelet=True, endpoint="unix:///var/run/crio/crio.sock")
MAIN = """
    # The CRI-O configuration file specifies all of the available configuration options
    [crio]
    # root = "/var/lib/containers/storage"

    [crio.api]
    listen = "/var/run/crio/crio.sock"

    [crio.runtime]
    default_runtime = "runc"
    cdi_spec_dirs = [
        "/etc/cdi",
        "/var/run/cdi",
    ]
    hooks_dir = ["/usr/share/containers/oci/hooks.d"]
"""
DROP_IN = """
    [crio.runtime.runtimes.crun]
    runtime_path = "/usr/libexec/crio/crun"
"""


def find(root: Root, version: str = "1.31.2") -> Crio:
    root.program("/usr/bin/crio")
    host, programs = root.programs({"crio": f"crio version {version}\nVersion: {version}\n"})
    found = crio.read(host, programs)
    assert found
    return found


def test_no_crio_is_none(root: Root) -> None:
    host, programs = root.programs({})
    assert crio.read(host, programs) is None


@pytest.mark.parametrize(
    ("version", "level", "text"),
    [
        ("1.23.0", "fail", "does not know CDI; the kubelet asks in CRI's field"),
        ("1.27.5", "fail", "reads CDI devices from annotations alone; the kubelet asks"),
        ("1.28.0", "ok", "CDI is always on"),
        ("1.36.3", "ok", "CDI is always on"),
    ],
)
def test_which_version_does_what(root: Root, version: str, level: str, text: str) -> None:
    root.write("/etc/crio/crio.conf", MAIN)
    root.write("/etc/crio/crio.conf.d/10-crun.conf", DROP_IN)
    summary, findings = crio.check(find(root, version), ASKED)
    found = only(findings, "crio/cdi")
    assert (found.level.value, found.subject) == (level, f"CRI-O {version}")
    assert found.text.startswith(text)
    assert summary.works is (level == "ok")


def test_the_last_drop_in_counts(root: Root) -> None:
    root.write("/etc/crio/crio.conf", MAIN)
    root.write("/etc/crio/crio.conf.d/10-a.conf", '[crio.runtime]\ncdi_spec_dirs = ["/a"]\n')
    root.write("/etc/crio/crio.conf.d/20-b.conf", '[crio.runtime]\ncdi_spec_dirs = ["/b"]\n')
    summary, findings = crio.check(find(root), ASKED)
    found = only(findings, "crio/directories")
    assert found.text == "looks for CDI files in /b, and ours are in /var/run/cdi"
    assert summary.directories == ("/b",)


def test_the_command_line_counts_most(root: Root) -> None:
    root.write("/srv/crio.conf", MAIN)
    root.write("/srv/d/a.conf", '[crio.runtime]\ncdi_spec_dirs = ["/a"]\n')
    argv = ["/usr/bin/crio", "-c", "/srv/crio.conf", "--config-dir=/srv/d"]
    root.process(7, *argv)
    assert find(root).directories == ("/a",)
    root.process(7, *argv, "--cdi-spec-dirs", "/x,/y", "--cdi-spec-dirs=/z")
    assert find(root).directories == ("/x", "/y", "/z")


def test_files_that_are_wrong(root: Root) -> None:
    root.write("/etc/crio/crio.conf", "[crio.runtime\n")
    root.write("/etc/crio/crio.conf.d/a.conf", "crio = 1\n")
    root.link("/etc/crio/crio.conf.d/b.conf", "b.conf")
    root.directory("/etc/crio/crio.conf.d/c.conf")
    summary, findings = crio.check(find(root), ASKED)
    assert [one.subject for one in findings if one.level is Level.FAIL] == [
        "/etc/crio/crio.conf",
        "/etc/crio/crio.conf.d/b.conf",
    ]
    assert not summary.works


def test_native_pools_need_1_35(root: Root) -> None:
    needs = Needs(kubelet=True, native=True)
    assert ("fail", "crio/native") in checks(crio.check(find(root, "1.34.0"), needs)[1])
    assert crio.check(find(root, "1.35.0"), needs)[0].works


def test_what_no_kubelet_asks_may_be_as_it_is(root: Root) -> None:
    for needs in (Needs(), Needs(kubelet=True, endpoint="/run/containerd/containerd.sock")):
        summary, findings = crio.check(find(root, "1.20.0"), needs)
        assert checks(findings) == [("ok", "crio/cdi")]
        assert not summary.works


def test_a_change_after_the_start_is_not_in_effect(root: Root) -> None:
    root.write("/etc/crio/crio.conf", MAIN)
    root.process(7, "crio", started=1)
    _, findings = crio.check(find(root), ASKED)
    assert only(findings, "crio/restart").subject == "/etc/crio/crio.conf"
