"""Built once for all these tests: sdist, wheels for both machines, and a real installation."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import pytest

from tests.e2e import node as nodes
from tests.e2e.node import Node
from tests.packaging.image import NAME, Builder

ROOT = pathlib.Path(__file__).parents[2]
MOVER = "netdevice_plugin/mover/bin/netdevice-mover"
ZIG_CACHE = os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(ROOT / "build" / "zig"))
NOT_SOURCES = shutil.ignore_patterns(
    ".*_cache",
    ".cache",
    ".git",
    ".hypothesis",
    ".venv",
    "*.egg-info",
    "__pycache__",
    "bin",
    "build",
)


def run(*argv: str | os.PathLike[str], cwd: pathlib.Path, **environment: str) -> str:
    """Run a build step and fail with all that it said; musl is compiled once for all of them."""
    result = subprocess.run(
        list(map(str, argv)),
        cwd=cwd,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": ZIG_CACHE, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert result.returncode == 0, f"{argv}:\n{result.stdout}"
    return result.stdout


def checkout(directory: pathlib.Path) -> pathlib.Path:
    """A copy of the sources, as a clone would have them: nothing built, no git to ask."""
    return shutil.copytree(ROOT, directory / "checkout", ignore=NOT_SOURCES)


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """A virtual environment with the package and nothing of ours besides."""

    venv: pathlib.Path

    @property
    def mover(self) -> pathlib.Path:
        """The bundled binary."""
        (path,) = self.venv.glob("lib/python*/site-packages/netdevice_plugin/mover/bin/*")
        return path

    def run(self, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, from a directory that has none of our modules."""
        command = [str(self.venv / "bin" / program), *argv]
        return subprocess.run(command, cwd="/", text=True, capture_output=True, check=False)


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The source distribution of this tree."""
    home = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "-nso", home, ".", cwd=checkout(home))
    (path,) = home.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session", params=["x86_64", "aarch64"])
def wheel(
    request: pytest.FixtureRequest, sdist: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A wheel for each machine, built from nothing but the sdist."""
    home = tmp_path_factory.mktemp("wheel")
    shutil.unpack_archive(sdist, home, filter="data")
    (tree,) = home.iterdir()
    build = (sys.executable, "-m", "build", "-nwo", home)
    run(*build, tree, cwd=home, NETDEVICE_MOVER_TARGET=request.param)
    (path,) = home.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def shipped(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The mover out of the wheel, executable as pip would make it."""
    with zipfile.ZipFile(wheel) as archive:
        path = pathlib.Path(archive.extract(MOVER, tmp_path_factory.mktemp("shipped")))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """`pip install .` in a clean checkout, where PATH has no compiler nor anything else."""
    home = tmp_path_factory.mktemp("install")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    tree = checkout(home)
    pip = (home / "venv" / "bin" / "python", "-m", "pip", "install", "--no-input")
    run(*pip, ".", cwd=tree, PATH=str(home / "venv" / "bin"))
    return Installation(home / "venv")


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A host that has nothing of ours."""
    with nodes.node() as running:
        yield running


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A checkout, with much in it that belongs into no image."""
    tree = checkout(tmp_path_factory.mktemp("sources"))
    for name in ("secret.txt", "cdi/__pycache__/stale.pyc", "netdevice_plugin/mover/bin/stale"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("not for the image\n")
    return tree


@pytest.fixture(scope="session")
def builder(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """podman with the base image, and room on a disk that is given back."""
    home = tmp_path_factory.mktemp("images")
    podman = Builder(node=node, home=home)
    podman.load_base(home / "base.tar")
    yield podman
    podman.remove_all()
    podman("rmi", "--all", "--force")
    node.run("umount", f"{home}/overlay", check=False)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def built(builder: Builder, sources: pathlib.Path) -> Builder:
    """The image for this machine."""
    builder.build(sources, f"--tag={NAME}")
    return builder
