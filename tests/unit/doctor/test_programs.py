from __future__ import annotations

import pytest

from netdevice_plugin.doctor.host import Process
from netdevice_plugin.doctor.versions import Version
from tests.unit.doctor.roots import Root


def test_a_program_of_our_own_host_tells_its_version(root: Root) -> None:
    root.program("/usr/local/bin/podman")
    root.program("/usr/bin/podman")
    _, programs = root.programs({"podman": "podman version 5.4.2\n"})
    found = programs.find("podman")
    assert found
    assert (found.path, found.version) == ("/usr/local/bin/podman", Version(5, 4, 2))
    assert str(found) == "podman 5.4.2"
    assert programs.find("docker") is None


def test_the_file_that_a_process_runs_comes_first(root: Root) -> None:
    root.program("/opt/k8s/kubelet")
    root.program("/usr/bin/kubelet")
    _, programs = root.programs({"kubelet": "Kubernetes v1.31.2"})
    found = programs.find("kubelet", process=Process(7, ("kubelet",), "/opt/k8s/kubelet"))
    assert found
    assert found.path == "/opt/k8s/kubelet"


def test_a_process_whose_file_cannot_be_seen_is_found_all_the_same(root: Root) -> None:
    _, programs = root.programs({})
    found = programs.find("kubelet", process=Process(7, ("kubelet",)))
    assert found
    assert (found.path, found.version, found.unknown) == ("", None, "its file cannot be found")


@pytest.mark.parametrize(
    ("mode", "why"), [(0o777, "can be written by others"), (0o644, "it is no program")]
)
def test_what_anybody_can_have_put_there_is_not_run(root: Root, mode: int, why: str) -> None:
    root.write("/usr/bin/podman", mode=mode)
    _, programs = root.programs({"podman": "podman version 5.4.2"})
    found = programs.find("podman")
    assert found
    assert found.version is None
    assert why in found.unknown


def test_a_program_that_says_nothing_has_no_version(root: Root) -> None:
    root.program("/usr/bin/crun")
    _, programs = root.programs({"crun": "hello"})
    found = programs.find("crun")
    assert found
    assert found.unknown == "/usr/bin/crun --version does not tell"


def test_packages_tell_the_versions_of_a_mounted_root(root: Root) -> None:
    for path in ("/usr/bin/dockerd", "/usr/local/bin/podman", "/usr/sbin/runc"):
        root.program(path)
    root.packages({"docker-ce": "5:28.2.2-1~debian.12~bookworm", "podman": "4.3.1", "x": "none"})
    _, programs = root.programs()
    docker = programs.find("docker", file="dockerd", packages=("docker-ce", "docker.io"))
    podman = programs.find("podman", packages=("podman",))
    runc = programs.find("runc", packages=("runc",))
    assert docker
    assert docker.version == Version(28, 2, 2)
    assert podman
    assert podman.version is None  # no package puts it there
    assert runc
    assert runc.unknown.startswith("it is on a mounted root")


def test_a_list_of_packages_may_be_anything(root: Root) -> None:
    root.program("/usr/bin/runc")
    for content in (b"\xff\x00", b"Package: runc\n\nVersion: 1.2.3\n", b"Package: runc\n" * 1000):
        root.write("/var/lib/dpkg/status", content)
        found = root.programs()[1].find("runc", packages=("runc",))
        assert found
        assert found.version is None
