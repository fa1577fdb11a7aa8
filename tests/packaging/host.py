"""A Debian host that runs systemd, for the unit: see host.sh."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator

from tests.e2e.waiting import TIMEOUT, ended
from tests.packaging import image

_SCRIPT = pathlib.Path(__file__).with_name("host.sh")
_TARGETS = ("basic", "default", "multi-user", "shutdown", "sysinit")


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A running one; `pid` is its process 1, by its number here."""

    pid: int
    root: pathlib.Path  # its files, but for what is mounted there

    def path(self, inside: str) -> pathlib.Path:
        """Where a file of the host is seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{inside}")

    def run(
        self, *argv: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs."""
        return _run(*self.enter("--mount"), *argv, check=check, stdin=stdin)

    def ip(self, *argv: str) -> str:
        """Run this machine's ip(8) on its links."""
        return _run(*self.enter(), "ip", *argv).stdout

    def systemctl(self, *argv: str, check: bool = True) -> str:
        """Ask its systemd."""
        return self.run("systemctl", "--no-pager", *argv, check=check).stdout

    def enter(self, *more: str) -> list[str]:
        """What runs a command among its processes; with `--mount` among its files too."""
        namespaces = ("--net", "--pid", "--ipc", "--uts", "--cgroup", *more)
        return ["nsenter", f"--target={self.pid}", *namespaces, "--"]


def _run(*argv: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        argv,
        input=stdin,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0 or not check, f"{argv}: {result.stdout}{result.stderr}"
    return result


def prepare(root: pathlib.Path, program: pathlib.Path) -> None:
    """Make the root directory of a host that has the agent in /opt/netdevice-plugin."""
    shutil.copytree(image.base(image.MACHINE, "systemd"), root, symlinks=True)
    shutil.copytree(program, root / image.HOME[1:], symlinks=True)
    (root / "opt").mkdir(exist_ok=True)
    (root / "var/run").rmdir()
    (root / "var/run").symlink_to("../run")
    (root / "opt/netdevice-plugin").symlink_to(image.HOME)
    (root / "etc/machine-id").write_text("0" * 31 + "1\n")
    (root / "units").mkdir()
    for name in _TARGETS:
        (root / "units" / f"{name}.target").write_text("[Unit]\nDescription=of a test\n")


@contextlib.contextmanager
def booted(root: pathlib.Path) -> Iterator[Host]:
    """Boot it; at the end its processes, mounts, links and cgroups are gone."""
    cgroup = _unified() / f"ndp-systemd-{os.getpid()}"
    for stale in cgroup.parent.glob("ndp-systemd-*"):  # of a run that was killed
        with contextlib.suppress(OSError):
            _remove(stale)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, cgroup)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(root / "notify"))
            process = subprocess.Popen([_SCRIPT, root, cgroup], stdin=subprocess.DEVNULL)
            stack.callback(_end, process)
            _await_ready(notified)
        yield Host(_first_child(process), root)


def _unified() -> pathlib.Path:
    """Where this machine has version 2 of cgroups, the only one that the host has."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(place)
    raise AssertionError("no cgroup2 is mounted")


def _await_ready(notified: socket.socket) -> None:
    """systemd tells who has started it, a container's manager usually, when it is up.

    It tells more later, and hangs where nobody reads that: the socket is to be closed.
    """
    notified.settimeout(TIMEOUT)
    while b"READY=1" not in notified.recv(4096).splitlines():
        pass


def _first_child(process: subprocess.Popen[bytes]) -> int:
    """Process 1 of the new PID namespace, which unshare(1) has forked."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    (pid,) = children.read_text().split()
    return int(pid)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill unshare(1), and with it all processes of the namespace: --kill-child."""
    pidfd = None
    with contextlib.suppress(OSError, ValueError):
        pidfd = os.pidfd_open(_first_child(process))
    process.kill()
    process.wait()
    if pidfd is not None:
        ended(pidfd, "systemd")
        os.close(pidfd)


def _remove(cgroup: pathlib.Path) -> None:
    """Remove the empty cgroups, innermost first."""
    for directory, _, _ in os.walk(cgroup, topdown=False):
        pathlib.Path(directory).rmdir()
