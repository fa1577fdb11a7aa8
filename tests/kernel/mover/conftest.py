"""The mover, built for tests, and the parts of a machine around it."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kernel.mover.harness import Containers, Mover, unmount
from tests.kernel.scratch import Netns

ROOT = pathlib.Path(__file__).parents[3]


def _build(flag: str, out: pathlib.Path) -> pathlib.Path:
    """Build one of the movers that tests use; see hack/build_mover.py."""
    command = (sys.executable, "-m", "hack.build_mover", flag, str(out))
    subprocess.run(command, cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="session")
def checked_binary(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The mover with ASan and UBSan, which can be killed at each step."""
    return _build("--test", tmp_path_factory.mktemp("mover") / "netdevice-mover")


@pytest.fixture(scope="session")
def stepped_binary(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The mover as it is shipped, but that it can be killed at each step."""
    return _build("--steps", tmp_path_factory.mktemp("fast-mover") / "netdevice-mover")


@pytest.fixture
def host(host: Netns) -> Netns:
    """The node: an uplink with the default routes, a link to stack others on, prompt IPv6."""
    host.sysctl("ipv6/conf/default/accept_dad", "0")
    host.batch(
        [
            "link add up0 type veth peer name up1",
            "link set up1 up",
            "link set up0 up",
            "addr add 192.0.2.1/24 dev up0",
            "addr add 2001:db8:ffff::1/64 dev up0",
            "route add default via 192.0.2.254",
            "route add default via 2001:db8:ffff::fe",
            "link add parent0 type veth peer name parent1",
            "link set parent1 up",
            "link set parent0 up",
        ]
    )
    return host


@pytest.fixture
def run_dir(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where the records go; what is mounted there is unmounted."""
    yield tmp_path / "run"
    unmount(tmp_path)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


@pytest.fixture
def mover(checked_binary: pathlib.Path, host: Netns, run_dir: pathlib.Path) -> Mover:
    """The checked mover on the node."""
    return Mover(checked_binary, host, run_dir)


@pytest.fixture
def fast_mover(stepped_binary: pathlib.Path, host: Netns, run_dir: pathlib.Path) -> Mover:
    """The quick mover on the node, for many runs."""
    return Mover(stepped_binary, host, run_dir)


@pytest.fixture
def containers(run_dir: pathlib.Path) -> Iterator[Containers]:
    """Starts containers, and ends them before the run directory goes."""
    started = Containers()
    yield started
    started.end()
