"""The agent in a container: what it needs to bring a link home, and that it knows."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NODE = (
    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("--propagation", "private", "--", sys.executable, "-m", "tests.kernel.loans.node"),
)
NEEDED = ("net_admin", "sys_admin", "sys_chroot", "sys_ptrace")


@dataclasses.dataclass(frozen=True)
class End:
    """How it ended: what the agent said, and whether the link is as it was."""

    said: dict[str, object]
    home: bool
    pinned: bool


def play(run_dir: Path, *enter: str) -> End:
    """Play it all, the agent being started by that command."""
    run_dir.mkdir()
    done = subprocess.run(
        (*NODE, str(run_dir), *enter),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said, before, after, pinned = json.loads(done.stdout)
    return End(said, before == after, pinned)


def limit(*capabilities: str) -> tuple[str, ...]:
    """Start what follows as root with these capabilities alone."""
    bounds = ",".join(("-all", *(f"+{name}" for name in capabilities)))
    return ("setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--")


def container(*capabilities: str, prepare: str = "") -> tuple[str, ...]:
    """Start what follows in a container as a runtime makes one with hostPID and hostNetwork.

    It has mounts of its own, into which nothing gets that is mounted later, and cannot
    write the kernel's settings.
    """
    script = f'mount -o bind,ro /proc/sys /proc/sys\n{prepare}\nexec "$@"'
    own_mounts = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh")
    return (*own_mounts, *limit(*capabilities))


def test_with_four_capabilities_a_link_comes_home_as_it_was(tmp_path: Path) -> None:
    end = play(tmp_path / "run", *container(*NEEDED))
    assert end == End({"unable": "", "code": 0, "message": ""}, home=True, pinned=False)


@pytest.mark.parametrize("missing", NEEDED)
def test_each_of_the_four_is_needed_and_without_it_nothing_is_tried(
    missing: str, tmp_path: Path
) -> None:
    """Tried without, the mover would not see the pin, and refuse."""
    capabilities = tuple(name for name in NEEDED if name != missing)
    end = play(tmp_path / "run", *container(*capabilities))
    assert end == End({"unable": f"it needs CAP_{missing.upper()}"}, home=False, pinned=True)


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    end = play(tmp_path / "run", *container())
    names = " and ".join(f"CAP_{name.upper()}" for name in NEEDED)
    assert end.said == {"unable": f"it needs {names}"}


def test_among_processes_of_its_own_it_cannot_work(tmp_path: Path) -> None:
    own_processes = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
    end = play(tmp_path / "run", *own_processes, *container(*NEEDED))
    reason = "it needs the host's PID namespace: /proc shows this container's processes"
    assert str(end.said["unable"]).startswith(reason)
    assert end.pinned


def test_with_another_run_directory_it_cannot_work(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    end = play(run_dir, *container(*NEEDED, prepare=f"mount -t tmpfs tmpfs {run_dir}"))
    assert end.said == {"unable": f"{run_dir} is not the host's"}
    assert end.pinned


def test_on_the_host_itself_no_mounts_are_entered(tmp_path: Path) -> None:
    end = play(tmp_path / "run", *limit("net_admin", "sys_admin", "sys_ptrace"))
    assert end == End({"unable": "", "code": 0, "message": ""}, home=True, pinned=False)
