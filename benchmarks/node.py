"""A node to measure: a kubelet that notes when, and the real agent, as processes in a namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.spawn import FailedError

_ROOT = pathlib.Path(__file__).parent.parent
_SCRIPT = pathlib.Path(sys.executable).with_name("netdevice-plugin")
# On nodes the CDI directory and the records are in /run and /var/run, which are tmpfs.
_TMPFS = "/dev/shm"  # noqa: S108 - a directory of our own in it
_PATIENCE = 60.0  # seconds


class Kubelet:
    """The process of benchmarks/kubelet.py, and what it noted; times are CLOCK_MONOTONIC, ns."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.healthy: set[str] = set()
        self.added: dict[str, int] = {}  # when each was first listed as healthy
        self.removed: dict[str, int] = {}  # when each was first not any more
        self.noted: dict[str, dict[str, Any]] = {}  # the last of each sort
        self.agent: subprocess.Popen[bytes] | None = None  # there is no waiting for a dead one
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.kubelet", str(directory)),
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        self.until(lambda: "serving" in self.noted, "serves")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something that it notes."""
        end = time.monotonic() + _PATIENCE
        with self._news:
            while not self._news.wait_for(holds, 0.5):
                if time.monotonic() > end or (self.agent and self.agent.poll() is not None):
                    raise FailedError(f"the kubelet waited, and never {what}")

    def call(self, what: str, callers: int, calls: int) -> tuple[float, ...]:
        """Have it call the agent; the seconds of each call."""
        self.noted.pop("called", None)
        assert self._process.stdin
        self._process.stdin.write(f"{what} {callers} {calls}\n")
        self._process.stdin.flush()
        self.until(lambda: "called" in self.noted, "had its answers")
        return tuple(self.noted["called"]["seconds"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._thread.join()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            with self._news:
                self._note(said)
                self._news.notify_all()

    def _note(self, said: dict[str, Any]) -> None:
        self.noted[said["event"]] = said
        for name in said.get("added", ()):
            self.added.setdefault(name, said["at"])
            self.healthy.add(name)
        for name in said.get("removed", ()):
            self.removed.setdefault(name, said["at"])
            self.healthy.discard(name)


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """The agent's process, and when it was started: CLOCK_MONOTONIC, ns."""

    process: subprocess.Popen[bytes]
    started: int

    def cpu(self) -> float:
        """Seconds of processor time, of all its threads, to the nanosecond."""
        return time.clock_gettime((~self.process.pid << 3) | 2)  # CPUCLOCK_SCHED of a process

    def memory(self) -> tuple[float, float]:
        """MiB: resident (VmRSS), and its share of what it has together with others (PSS)."""
        directory = pathlib.Path(f"/proc/{self.process.pid}")
        return (
            _mebibytes(directory / "status", "VmRSS"),
            _mebibytes(directory / "smaps_rollup", "Pss"),
        )


def _mebibytes(path: pathlib.Path, key: str) -> float:
    found = re.search(rf"^{key}:\s+([0-9]+) kB", path.read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


@contextlib.contextmanager
def node() -> Iterator[tuple[Kubelet, Agent]]:
    """Start both in this thread's namespace, the agent with every ifb in one pool."""
    with (
        tempfile.TemporaryDirectory(prefix="ndp-bench-", dir=_TMPFS) as name,
        contextlib.ExitStack() as stack,
    ):
        directory = pathlib.Path(name)
        kubelet = Kubelet(directory / "kubelet")
        stack.callback(kubelet.close)
        with (directory / "log").open("wb") as log:
            started = time.monotonic_ns()
            process = subprocess.Popen(
                (str(_SCRIPT), "run", "--config", str(_configuration(directory))),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        stack.callback(_end, process)
        kubelet.agent = process
        try:
            yield kubelet, Agent(process, started)
        except FailedError as error:
            said = (directory / "log").read_text()[-2000:]
            raise FailedError(f"{error}; the agent said:\n{said}") from error


def _configuration(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "config.yaml"
    path.write_text(
        f"cdiDir: {directory / 'cdi'}\nrunDir: {directory / 'run'}\n"
        f"kubeletDir: {directory / 'kubelet'}\n"
        "pools:\n- name: netdevice\n  selectors:\n  - kinds: [ifb]\n"
    )
    return path


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
