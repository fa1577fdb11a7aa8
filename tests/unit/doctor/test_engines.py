from __future__ import annotations

import pytest

from netdevice_plugin.doctor import engines
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.doctor.runtime import Needs, Runtime
from tests.unit.doctor.roots import Root, checks, lines, only

NEEDS = Needs()
DAEMON = "/etc/docker/daemon.json"


def judge(
    root: Root, program: str, said: str, needs: Needs = NEEDS
) -> tuple[Runtime, list[Finding]]:
    root.program(f"/usr/bin/{program}")
    host, programs = root.programs({program: said})
    (found,) = engines.read(host, programs)
    return engines.check(found, needs)


@pytest.mark.parametrize(
    ("version", "config", "fault"),
    [
        ("24.0.7", None, "does not know CDI"),
        ("25.0.0", None, "CDI is off, as nothing switches it on"),
        ("27.3.1", {"features": {"containerd-snapshotter": True}}, "CDI is off, as nothing"),
        ("27.3.1", {"features": {"cdi": True}}, ""),
        ("27.3.1", {"features": {"cdi": "yes"}}, "CDI is off, as nothing"),
        ("28.2.2", None, ""),
        ("29.7.2", {"features": {"cdi": False}}, "CDI is switched off"),
        ("28.2.2", {"cdi-spec-dirs": ["/etc/cdi"]}, "looks for CDI files in /etc/cdi"),
        ("28.2.2", {"cdi-spec-dirs": [""]}, "looks for CDI files in nowhere"),
    ],
)
def test_docker(root: Root, version: str, config: object, fault: str) -> None:
    if config:
        root.json(DAEMON, config)
    summary, findings = judge(root, "dockerd", f"Docker version {version}, build e6534b4")
    (found,) = findings
    assert (found.level is Level.OK) == (not fault)
    assert found.subject == f"docker {version}"
    assert found.text.startswith(fault or "reads ")
    assert summary.works == (not fault)
    assert summary.name == "docker"


def test_docker_does_what_its_command_line_says(root: Root) -> None:
    root.json("/srv/d.json", {"features": {"cdi": True}})
    argv = ["/usr/bin/dockerd", "--config-file", "/srv/d.json", "--cdi-spec-dir=/run/cdi"]
    root.process(7, *argv)
    assert judge(root, "dockerd", "Docker version 27.0.1, build x")[0].works
    root.process(7, *argv, "--feature", "cdi=false", "--feature=x")
    _, findings = judge(root, "dockerd", "Docker version 28.2.2, build x")
    assert only(findings, "docker/cdi").text == "CDI is switched off"


def test_the_client_of_docker_alone_is_no_engine(root: Root) -> None:
    root.program("/usr/bin/docker")
    host, programs = root.programs({"docker": "Docker version 28.2.2, build x"})
    assert engines.read(host, programs) == ()


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 10_000, b" " * (10 << 20)])
def test_a_daemon_json_that_is_wrong(root: Root, content: bytes) -> None:
    root.write(DAEMON, content)
    _, findings = judge(root, "dockerd", "Docker version 28.2.2, build x")
    assert checks(findings) == [("warn", "docker/config")]
    assert findings[0].subject == DAEMON


@pytest.mark.parametrize(
    ("version", "config", "directories", "works"),
    [
        ("4.0.2", "", "", False),
        ("4.3.1", "", "/etc/cdi /var/run/cdi", True),
        ("4.3.1", '[engine]\ncdi_spec_dirs = ["/x"]\n', "/etc/cdi /var/run/cdi", True),
        ("5.5.1", "", "/etc/cdi", False),
        ("5.5.1", '[engine]\ncdi_spec_dirs = ["/run/cdi"]\n', "/run/cdi", True),
        ("5.6.0", "", "/etc/cdi /var/run/cdi", True),
        ("5.6.0", '[engine]\ncdi_spec_dirs = ["/x"]\n', "/x", False),
        (
            "5.6.0",
            '[engine]\ncdi_spec_dirs = ["/x", {append=true}]\n',
            "/etc/cdi /var/run/cdi /x",
            True,
        ),
    ],
)
def test_podman(root: Root, version: str, config: str, directories: str, *, works: bool) -> None:
    root.write("/usr/share/containers/containers.conf", '[engine]\nevents_logger = "file"\n')
    root.write("/etc/containers/containers.conf.d/50-cdi.conf", config)
    summary, findings = judge(root, "podman", f"podman version {version}")
    assert summary.works is works
    assert {one.level for one in findings} == {Level.OK if works else Level.WARN}
    if directories:
        assert summary.directories == tuple(directories.split())


def test_nerdctl(root: Root) -> None:
    assert lines(judge(root, "nerdctl", "nerdctl version 2.0.5")[1]) == [
        "nerdctl/cdi nerdctl 2.0.5: does not know CDI"
    ]
    assert judge(root, "nerdctl", "nerdctl version 2.1.2")[0].works
    root.write("/etc/nerdctl/nerdctl.toml", 'cdi_spec_dirs = ["/etc/cdi"]\n')
    _, findings = judge(root, "nerdctl", "nerdctl version 2.1.2")
    assert only(findings, "nerdctl/directories").remedy.startswith("/var/run/cdi in cdi_spec_dirs")


def test_an_engine_of_unknown_version_is_a_warning(root: Root) -> None:
    summary, findings = judge(root, "podman", "eh")
    assert checks(findings) == [("warn", "podman/version")]
    assert (summary.version, summary.newest_cdi) == (None, "")


@pytest.mark.parametrize(
    ("runc", "crun", "found"),
    [
        ("1.1.5", "1.21", ["fail", "fail"]),
        ("1.1.5", "1.28", ["warn", "ok"]),
        ("1.4.0", "1.22", ["ok", "ok"]),
        ("1.4.0", "eh", ["ok", "warn"]),
    ],
)
def test_native_pools_need_a_runtime_that_moves_links(
    root: Root, runc: str, crun: str, found: list[str]
) -> None:
    root.program("/usr/sbin/runc")
    root.program("/usr/bin/crun")
    _, programs = root.programs({"runc": f"runc version {runc}", "crun": f"crun version {crun}"})
    facts = engines.read_low_level(programs)
    findings = list(engines.check_low_level(facts, Needs(native=True)))
    assert [one.level.value for one in findings] == found
    assert {one.level for one in engines.check_low_level(facts, NEEDS)} == {Level.OK}


def test_without_runc_and_crun(root: Root) -> None:
    facts = engines.read_low_level(root.programs()[1])
    assert list(engines.check_low_level(facts, NEEDS)) == []
    (found,) = engines.check_low_level(facts, Needs(native=True))
    assert found.level is Level.WARN
