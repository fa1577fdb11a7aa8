"""The image is built by podman from the Dockerfile, and runs as the manifests run it."""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

import netdevice_plugin
from tests.packaging import elf, image
from tests.packaging.image import BASE, FOREIGN, HOME, NAME, Builder, BuildError

LIMIT = 150 * 1024 * 1024  # bytes more than the base
DEVICE = "networking.k8s.io/netdevice"
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


def test_the_image_is_small(built: Builder) -> None:
    added = built.inspect(NAME)["Size"] - built.inspect(BASE)["Size"]
    assert 0 < added < LIMIT


def test_only_what_runs_is_in_the_image(root: pathlib.Path) -> None:
    packages = {path.name for path in root.glob(f"{HOME[1:]}/lib/python3*/site-packages/*")}
    assert {"netdevice_plugin", "cdi", "grpc", "yaml", "lightkube"} <= packages  # and the extra dra
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
