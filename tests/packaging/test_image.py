"""The image is built by podman from the Dockerfile, and runs as the manifests run it."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

import netdevice_plugin
from tests.e2e.lender import Lender
from tests.manifests import BASE as BASE_MANIFESTS
from tests.manifests import ROOT, Object, configuration, pod_spec
from tests.packaging import elf, image, kustomize
from tests.packaging.image import BASE, FOREIGN, HOME, NAME, Builder, BuildError

LIMIT = 150 * 1024 * 1024  # bytes more than the base
DEVICE = "networking.k8s.io/netdevice"
# What fails without it. To where /proc/sys can be written leads the host's mount namespace alone.
NEEDED = {
    "NET_ADMIN": "move the link home: Operation not permitted",
    "SYS_ADMIN": "bring the link home: Operation not permitted",
    "SYS_CHROOT": "give the link its settings back: /proc/sys/net/ipv4/conf/lan1/rp_filter=2: Read",
    "SYS_PTRACE": "give the link its settings back: /proc/sys/net/ipv4/conf/lan1/rp_filter=2: Read",
}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(scope="module")
def foreign(builder: Builder, sources: pathlib.Path) -> Iterator[pathlib.Path]:
    """What the build stage makes for the other machine; the last stage only copies it."""
    architecture = image.ARCHITECTURES[FOREIGN]
    name = f"localhost/{architecture}"
    builder.build(sources, "--target=build", f"--tag={name}", TARGETARCH=architecture)
    with builder.mounted(name) as files:
        yield files


@pytest.fixture
def root(built: Builder) -> Iterator[pathlib.Path]:
    """The files of the image."""
    with built.mounted(NAME) as files:
        yield files


@pytest.fixture(scope="module")
def pod(built: Builder) -> Object:
    """The agent's pod, on a node that has its directories and its configuration."""
    objects = kustomize.build(BASE_MANIFESTS)
    found = pod_spec(objects)
    image.make_host_directories(built.node, found)
    config = built.node.path("/run/test-config/config.yaml")
    config.write_text(configuration(objects).replace("netdev*", "lan*"))
    return found


@pytest.fixture(scope="module")
def reclaiming(pod: Object) -> Object:
    """The same, with the overlay that may bring links home."""
    del pod  # its node is ready
    return pod_spec(kustomize.build(ROOT / "deploy" / "overlays" / "reclaim"))


@pytest.fixture
def lender(built: Builder, pod: Object) -> Iterator[Lender]:
    """Links of the node; the mover is where the pod's first container puts it."""
    built.as_pod(pod, pod["initContainers"][0], *pod["initContainers"][0]["args"])
    lending = Lender(built.node)
    yield lending
    lending.close()
    built.remove_all()


def test_the_image_says_its_version_without_a_privilege(built: Builder, pod: Object) -> None:
    result = built.as_pod(pod, pod["containers"][0], "--version")
    assert result.stdout == f"netdevice-plugin {netdevice_plugin.__version__}\n"


def test_the_image_is_small(built: Builder) -> None:
    added = built.inspect(NAME)["Size"] - built.inspect(BASE)["Size"]
    assert 0 < added < LIMIT


def test_only_what_runs_is_in_the_image(root: pathlib.Path) -> None:
    packages = {path.name for path in root.glob(f"{HOME[1:]}/lib/python3*/site-packages/*")}
    assert {"netdevice_plugin", "cdi", "grpc", "yaml"} <= packages
    assert not {"pip", "setuptools", "ziglang", "tests", "hack", "bin"} & packages
    assert not (root / "src").exists()
    assert not (root / "etc/pip.conf").exists()  # may have a password in it
    assert not (root / "wheels").exists()


def test_nobody_but_root_can_change_what_is_in_the_image(root: pathlib.Path) -> None:
    paths = [root / HOME[1:], *(root / HOME[1:]).rglob("*")]
    assert len(paths) > 1000
    for path in paths:
        status = path.lstat()
        assert status.st_uid == status.st_gid == 0, path
        assert stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o022, path


def test_what_is_not_for_the_build_does_not_get_into_it(foreign: pathlib.Path) -> None:
    files = {str(path.relative_to(foreign / "src")) for path in (foreign / "src").iterdir()}
    assert files - {"build", "netdevice_plugin.egg-info"} == {
        *("LICENSE", "README.md", "cdi", "hack", "netdevice_plugin", "pyproject.toml", "setup.cfg")
    }
    assert not list((foreign / "src").rglob("stale*"))


def test_the_image_for_the_other_machine_has_no_program_of_this_one(
    foreign: pathlib.Path,
) -> None:
    site = foreign / HOME[1:] / "lib"
    programs = [*site.rglob("*.so*"), *site.rglob("netdevice-mover")]
    assert {"netdevice-mover"} < {path.name for path in programs}
    assert len(programs) > 3
    assert {elf.read(path).machine for path in programs} == {FOREIGN}


def test_the_image_for_the_other_machine_runs(
    foreign: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    emulator = shutil.which(f"qemu-{FOREIGN}-static")
    if emulator is None:
        pytest.skip(f"no qemu-{FOREIGN}-static: install qemu-user-static")
    root = tmp_path / "root"
    shutil.copytree(image.base(FOREIGN), root, symlinks=True)
    shutil.copytree(foreign / HOME[1:], root / HOME[1:], symlinks=True)
    shutil.copy(emulator, root / "emulator")
    command = ("/emulator", f"{HOME}/bin/python3", "-I", f"{HOME}/bin/netdevice-plugin")
    result = subprocess.run(
        ["chroot", str(root), *command, "--version"], text=True, capture_output=True, check=False
    )
    assert result.stdout == f"netdevice-plugin {netdevice_plugin.__version__}\n", result.stderr


def test_a_machine_without_a_mover_is_refused(builder: Builder, sources: pathlib.Path) -> None:
    with pytest.raises(BuildError, match="error: no mover for 'riscv64', only for amd64 and arm64"):
        builder.build(sources, "--target=build", TARGETARCH="riscv64")


def test_the_first_container_puts_the_mover_onto_the_node(built: Builder, pod: Object) -> None:
    first = pod["initContainers"][0]
    built.node.run("rm", "--force", "/opt/netdevice-plugin/bin/netdevice-mover")
    assert "installed " in built.as_pod(pod, first, *first["args"]).stdout
    assert "unchanged " in built.as_pod(pod, first, *first["args"]).stdout
    said = built.node.run("/opt/netdevice-plugin/bin/netdevice-mover", "--version").stdout
    assert said == f"netdevice-mover {netdevice_plugin.__version__}\n"


def test_the_agent_sees_the_links_of_the_host_and_writes_cdi_files_for_them(
    built: Builder, pod: Object, lender: Lender
) -> None:
    link = lender.lend()
    agent = pod["containers"][0]
    config = "--config=/etc/netdevice-plugin/config.yaml"
    said = json.loads(built.as_pod(pod, agent, "devices", config, "-o", "json").stdout)
    (row,) = (row for row in said["links"] if row["name"] == link.name)
    assert row["pool"] == DEVICE
    assert row["mtu"] == link.mtu
    built.node.run("rm", "-r", "/run/cdi/networking.k8s.io-netdevice.json")
    built.as_pod(pod, agent, "cdi", "generate", config)
    names = built.node.run("ls", "/var/run/cdi").stdout.split()
    assert names == ["networking.k8s.io-netdevice.json"]


def doomed(built: Builder, lender: Lender) -> None:
    """Lend a link to a container that is killed with all that would have run its hook."""
    link = lender.lend()
    options = ("--detach", "--entrypoint=sleep", f"--device={DEVICE}={link.name}")
    container = built.run(*options, command=("infinity",)).stdout.strip()
    pid = built.pid(container)
    built.node.kill(built.pid(container, "ConmonPid"))
    built.node.kill(pid)


def test_the_reclaim_overlay_may_bring_a_link_home(
    built: Builder, reclaiming: Object, lender: Lender
) -> None:
    doomed(built, lender)
    agent = reclaiming["containers"][0]
    assert built.as_pod(reclaiming, agent, "reclaim", "--all").stdout == "lan1: home\n"
    lender.untouched()


@pytest.mark.parametrize("capability", NEEDED)
def test_the_reclaim_overlay_has_no_capability_too_many(
    built: Builder, reclaiming: Object, lender: Lender, capability: str
) -> None:
    doomed(built, lender)
    less = copy.deepcopy(reclaiming)
    capabilities = less["containers"][0]["securityContext"]["capabilities"]
    assert capabilities["add"] == list(NEEDED)
    capabilities["add"].remove(capability)
    result = built.as_pod(less, less["containers"][0], "reclaim", "--all", check=False)
    assert result.returncode == 1
    assert NEEDED[capability] in result.stderr
    lender.cli("reclaim", "--all")
    lender.untouched()


def test_without_the_overlay_the_agent_brings_nothing_home(
    built: Builder, pod: Object, lender: Lender
) -> None:
    doomed(built, lender)
    result = built.as_pod(pod, pod["containers"][0], "reclaim", "--all", check=False)
    assert result.returncode == 1
    assert lender.cli("reclaim", "--all").stdout == "lan1: home\n"
    lender.untouched()
