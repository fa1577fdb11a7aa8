"""The throw-away node keeps to itself and leaves nothing behind, even when the tests are killed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from tests.e2e.fetch import ROOT
from tests.e2e.node import CGROUPS, node
from tests.e2e.waiting import ended

_HOLD = """
import sys
from tests.e2e.node import node
with node() as space:
    print(space.pid, flush=True)
    sys.stdin.read()
"""


def test_what_a_node_writes_makes_and_starts_is_not_seen_outside_and_ends_with_it() -> None:
    names = [f"/{place}/ndp-{os.getpid()}" for place in ("etc", "opt", "run", "var/lib")]
    with node() as space:
        space.run("touch", *names)
        space.ip("link", "add", "ndp-inside", "type", "ifb")
        sleeper = space.popen("sleep", "infinity")
        assert all(space.path(name).exists() for name in names)
        assert not any(pathlib.Path(name).exists() for name in names)
        assert not pathlib.Path("/sys/class/net/ndp-inside").exists()
    with sleeper:
        assert sleeper.wait(timeout=20) != 0
    assert not any(pathlib.Path(name).exists() for name in names)


def test_the_cgroups_of_a_node_go_with_it() -> None:
    with node() as space:
        hierarchy = next(path.parent for path in CGROUPS.glob("**/cgroup.procs"))
        container = hierarchy / space.cgroup / "pod" / "container"
        container.mkdir(parents=True)
    assert not (hierarchy / space.cgroup).exists()


def test_a_node_ends_when_the_test_run_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        pidfd = os.pidfd_open(int(run.stdout.readline()))
        run.kill()
    try:
        ended(pidfd, "the node")
    finally:
        os.close(pidfd)
