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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.spawn import FailedError

_ROOT = pathlib.Path(__file__).parent.parent
_SCRIPT = pathlib.Path(sys.executable).with_name("netdevice-plugin")
# On nodes the CDI directory and the records are in /run and /var/run, which are tmpfs.
_TMPFS = "/dev/shm"  # noqa: S108 - a directory of our own in it
_PATIENCE = 60.0  # seconds


class Peer:
    """A process of benchmarks/ that the agent has to do with, and what it noted.

    It prints a line of JSON for each `event`, with the time `at` which that was:
    CLOCK_MONOTONIC, ns.
    """

    def __init__(self, module: str, *arguments: str | pathlib.Path) -> None:
        self.noted: dict[str, dict[str, Any]] = {}  # the last of each sort
        self.agent: subprocess.Popen[bytes] | None = None  # there is no waiting for a dead one
        self._name = module
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            (sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)),
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
                if time.monotonic() > end or any(one.poll() is not None for one in self._needed()):
                    raise FailedError(f"the {self._name} waited, and never {what}")

    def ask(self, line: str, event: str) -> dict[str, Any]:
        """Have it do something, and return what it says then."""
        self.noted.pop(event, None)
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self.until(lambda: event in self.noted, "had its answers")
        return self.noted[event]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._thread.join()

    def _needed(self) -> Iterator[subprocess.Popen[Any]]:
        yield self._process
        if self.agent:
            yield self.agent

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            with self._news:
                self._note(said)
                self._news.notify_all()

    def _note(self, said: dict[str, Any]) -> None:
        self.noted[said["event"]] = said


class Follower(Peer):
    """One that is told of devices: which it knows now, and when that was news."""

    def __init__(self, module: str, *arguments: str | pathlib.Path) -> None:
        self.healthy: set[str] = set()
        self.added: dict[str, int] = {}  # when each was first listed as healthy
        self.removed: dict[str, int] = {}  # when each was first not any more
        super().__init__(module, *arguments)

    def _note(self, said: dict[str, Any]) -> None:
        super()._note(said)
        for name in said.get("added", ()):
            self.added.setdefault(name, said["at"])
            self.healthy.add(name)
        for name in said.get("removed", ()):
            self.removed.setdefault(name, said["at"])
            self.healthy.discard(name)


class Kubelet(Follower):
    """The process of benchmarks/kubelet.py."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__("kubelet", directory)

    def call(self, what: str, callers: int, calls: int) -> tuple[float, ...]:
        """Have it call the agent; the seconds of each call."""
        return tuple(self.ask(f"{what} {callers} {calls}", "called")["seconds"])


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
        scratch() as directory,
        contextlib.closing(Kubelet(directory / "kubelet")) as kubelet,
        agent(directory, configuration(directory, directory / "kubelet"), kubelet) as started,
    ):
        yield kubelet, started


@contextlib.contextmanager
def scratch(parent: str = _TMPFS) -> Iterator[pathlib.Path]:
    """A directory for one run: in memory, unless it is said where."""
    with tempfile.TemporaryDirectory(prefix="ndp-bench-", dir=parent) as name:
        yield pathlib.Path(name)


@contextlib.contextmanager
def agent(
    directory: pathlib.Path, config: str, *peers: Peer, options: Sequence[str | pathlib.Path] = ()
) -> Iterator[Agent]:
    """Start the agent in this thread's namespace."""
    path = directory / "etc" / "config.yaml"  # the agent looks again at what is written beside it
    path.parent.mkdir()
    path.write_text(config)
    command = (_SCRIPT, "run", "--config", path, *options)
    with (directory / "log").open("wb") as log:
        started = time.monotonic_ns()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    for peer in peers:
        peer.agent = process
    try:
        yield Agent(process, started)
    except FailedError as error:
        said = (directory / "log").read_text()[-2000:]
        raise FailedError(f"{error}; the agent said:\n{said}") from error
    finally:
        process.terminate()
        process.wait()


def configuration(
    directory: pathlib.Path, kubelet: pathlib.Path, frontend: str = "device-plugin"
) -> str:
    """Write what has every ifb in one pool."""
    return (
        f"cdiDir: {directory / 'cdi'}\nrunDir: {directory / 'run'}\nkubeletDir: {kubelet}\n"
        f"pools:\n- name: netdevice\n  frontend: {frontend}\n  selectors:\n  - kinds: [ifb]\n"
    )
