"""A throw-away node: mount, network, PID, IPC and UTS namespaces of its own.

Container runtimes run in it as they would on a host. The machine's own links, mounts
and processes are out of their reach; only cgroups are the machine's, and removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests.e2e.fetch import ROOT
from tests.e2e.waiting import ended

CGROUPS = pathlib.Path("/sys/fs/cgroup")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_NUMBERS = itertools.count()


class GoneError(AssertionError):
    """A process is no more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A running node; `pid` is a process that has all its namespaces but the PID one."""

    pid: int
    cgroup: str  # parent, below each cgroup hierarchy, of all that runs in containers

    def path(self, inside: str) -> pathlib.Path:
        """Where a file of the node is seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{inside}")

    def command(self, *argv: str | os.PathLike[str]) -> list[str]:
        """The arguments that run a command in the node, in the checkout's directory."""
        pid_namespace = f"--pid=/proc/{self.pid}/ns/pid_for_children"
        enter = ("nsenter", f"--target={self.pid}", "--mount", "--net", "--ipc", "--uts")
        return [*enter, pid_namespace, f"--wd={ROOT}", "--", *map(str, argv)]

    def popen(self, *argv: str | os.PathLike[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command in the node, with an environment that is the same everywhere."""
        return subprocess.Popen(self.command(*argv), text=True, env=environment(), **options)

    @contextlib.contextmanager
    def background(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command while the block does; what it started may live on."""
        with self.popen(*argv, stdout=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(
        self,
        *argv: str | os.PathLike[str],
        stdin: str = "",
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and fail, with all that it said, when it fails."""
        command = self.command(*argv)
        result = subprocess.run(
            command,
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=timeout,
            env=environment(),
        )
        if check and result.returncode:
            said = f"{result.stdout}{result.stderr}"
            raise AssertionError(f"{' '.join(map(str, argv))}: {result.returncode}\n{said}")
        return result

    def ip(self, *args: str) -> str:
        """Run ip(8) in the node."""
        return self.run("ip", *args).stdout

    def json(self, *args: str) -> list[dict[str, Any]]:
        """What `ip -j -d` says."""
        entries: list[dict[str, Any]] = json.loads(self.ip("-j", "-d", *args) or "[]")
        return [entry for entry in entries if entry]

    def pids(self, name: str, argument: str = "") -> list[int]:
        """The processes whose program has that name and one argument is the one given."""
        found = []
        for entry in self.path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended while we looked
                argv = (entry / "cmdline").read_text().split("\0")
                if pathlib.Path(argv[0]).name == name and (not argument or argument in argv):
                    found.append(int(entry.name))
        return found

    def kill(self, pid: int) -> None:
        """Kill a process with SIGKILL, by its number in the node; returns when it has ended."""
        pidfd = os.pidfd_open(self._outside(pid))
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            ended(pidfd, f"process {pid}")
        finally:
            os.close(pidfd)

    def kill_all(self) -> None:
        """Kill all processes but the first one."""
        for entry in self.path("/proc").glob("[0-9]*"):
            if entry.name != "1":
                with contextlib.suppress(GoneError, OSError):  # it ended with another one
                    self.kill(int(entry.name))

    def _outside(self, pid: int) -> int:
        """The number out here of the node's process: pidfds are opened by that."""
        try:
            wanted = _identity(self.path(f"/proc/{pid}"))
        except OSError as error:
            raise GoneError(f"process {pid} has ended already") from error
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if _identity(entry) == wanted:
                    return int(entry.name)
        raise GoneError(f"process {pid} has ended already")


def environment() -> Mapping[str, str]:
    """What a command in the node sees: nothing of the caller's."""
    return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TMPDIR": "/run"}


@contextlib.contextmanager
def node() -> Iterator[Node]:
    """A new node; at the end its processes, mounts, links and cgroups are gone."""
    init = pathlib.Path(__file__).with_name("init.py")
    command = (ROOT / "hack/node.sh", sys.executable, init)
    cgroup = f"ndp-e2e-{os.getpid()}-{next(_NUMBERS)}"
    _remove_stale_cgroups()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", "the node did not start"
        try:
            yield Node(process.pid, cgroup)
        finally:
            process.stdin.close()
            process.wait(timeout=30)
            _remove_cgroups(cgroup)


def _remove_cgroups(name: str) -> None:
    """Remove the empty cgroups, innermost first, in every hierarchy (v1) or in the one (v2)."""
    for parent in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")):
        for directory, _, _ in os.walk(parent, topdown=False):
            pathlib.Path(directory).rmdir()


def _remove_stale_cgroups() -> None:
    """Remove those of test runs that were killed: their processes are gone, the directories not."""
    names = {path.name for path in (*CGROUPS.glob("ndp-e2e-*"), *CGROUPS.glob("*/ndp-e2e-*"))}
    for name in names:
        run = name.split("-")[2]
        if not pathlib.Path("/proc", run).exists():
            with contextlib.suppress(OSError):  # a run in another PID namespace has it
                _remove_cgroups(name)


def _identity(entry: pathlib.Path) -> tuple[str, str]:
    """A process's PID namespace and its number there, which are the same in whatever /proc."""
    status = (entry / "status").read_text().splitlines()
    numbers = next(line.split()[1:] for line in status if line.startswith("NSpid:"))
    return str((entry / "ns/pid").readlink()), numbers[-1]
