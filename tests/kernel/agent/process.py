"""The agent as a process on a node that is made of namespaces, and what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from tests.fakes.kubelet import Kubelet
from tests.fakes.kubelet.changes import TIMEOUT, Changes
from tests.kernel.mover.harness import Container, Mover, Result
from tests.kernel.scratch import Netns

KIND = "networking.k8s.io/netdevice"
FILE = "networking.k8s.io-netdevice.json"
LISTEN = ("127.0.0.1", 9479)
HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"

_SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")


class Agent:
    """One run of it; its log is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.plain: list[str] = []  # lines that are no JSON: errors at the start, and tracebacks
        self._changes = Changes()
        assert process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changes.lock:
                if line.startswith("{"):
                    self.log.append(json.loads(line))
                else:
                    self.plain.append(line.rstrip("\n"))
                self._changes.tell()

    def said(self, message: str, **values: str) -> dict[str, Any]:
        """Wait for a line of the log with that message, and these texts in its values."""

        def look() -> dict[str, Any] | None:
            return next(iter(self.found(message, **values)), None)

        found = self._changes.wait(look, lambda: f"{message} {values}, but {self.log}")
        assert found
        return found

    def found(self, message: str, **values: str) -> list[dict[str, Any]]:
        """All such lines that there are by now."""
        with self._changes.lock:
            return [
                line
                for line in self.log
                if line["msg"] == message
                and all(text in str(line.get(key, "")) for key, text in values.items())
            ]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, code: int = 0, within: float = TIMEOUT) -> float:
        """Return when it has ended with that code; how long that took."""
        began = time.monotonic()
        try:
            assert self.process.wait(within) == code, (self.log, self.plain)
        finally:
            self._reader.join(1)
        assert not [line for line in self.plain if "Traceback" in line], self.plain
        return time.monotonic() - began

    def stop(self) -> float:
        """Ask it to end, and see that it does so in time."""
        self.send(signal.SIGTERM)
        return self.end(within=5)

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Leave nothing behind, whatever became of the test."""
        if self.process.poll() is None:
            self.kill()
        self._reader.join(1)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A namespace with links, directories of few letters, and agents in it."""

    netns: Netns
    root: pathlib.Path
    mover: Mover
    kubelet: Kubelet
    cleanup: contextlib.ExitStack

    @property
    def cdi_dir(self) -> pathlib.Path:
        """Where the agent writes CDI files."""
        return self.root / "cdi"

    @property
    def config(self) -> pathlib.Path:
        """The configuration file."""
        return self.root / "config.yaml"

    def configure(self, *names: str, **settings: object) -> None:
        """Write a configuration with one pool of these names; replaced, as editors do."""
        pool = {"name": "netdevice", "selectors": [{"ifNames": list(names)}] if names else []}
        self.write({"pools": [pool] if names else [], **settings})

    def write(self, settings: Mapping[str, object]) -> None:
        """Write a configuration, with this node's directories."""
        paths = {
            "cdiDir": str(self.cdi_dir),
            "runDir": str(self.mover.run_dir),
            "moverPath": str(self.mover.binary),
            "kubeletDir": str(self.kubelet.place.root),
        }
        self.put(json.dumps({**paths, **settings}))

    def put(self, text: str) -> None:
        """Replace the configuration file by this text."""
        new = self.config.with_name(".new")
        new.write_text(text)
        new.rename(self.config)

    def command(self, *options: object) -> list[str]:
        """The command line of an agent."""
        where = (f"--config={self.config}", "--log-format=json")
        return [sys.executable, "-m", "netdevice_plugin", "run", *where, *map(str, options)]

    def start(self, *options: object, env: Mapping[str, str] | None = None) -> Agent:
        """Start an agent, and do not wait."""
        process = self.netns.popen(
            *self.command(*options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            errors="backslashreplace",
            env={**os.environ, **(env or {})},
        )
        agent = Agent(process)
        self.cleanup.callback(agent.close)
        return agent

    def run(self, *options: object) -> Agent:
        """Start an agent, and return when the kubelet has its list."""
        agent = self.start(*options)
        self.kubelet.await_registered(KIND)
        return agent

    def listed(self, **health: str) -> None:
        """Return when the kubelet knows exactly these devices."""
        self.kubelet.await_devices(KIND, health)

    def spec(self, name: str = FILE) -> dict[str, Any]:
        """A CDI file, its devices by name."""
        spec = json.loads((self.cdi_dir / name).read_text())
        return {device["name"]: device["containerEdits"] for device in spec["devices"]}

    def hook(self, device: str, name: str, container: Container) -> Result:
        """Run a hook of the CDI file as a runtime does."""
        (hook,) = (one for one in self.spec()[device]["hooks"] if one["hookName"] == name)
        state = container.state() if name == "createRuntime" else container.stopped()
        return self.mover.run(*hook["args"][1:], stdin=state)

    def lend(self, device: str, container: Container) -> None:
        """Start a container with the device."""
        self.hook(device, "createRuntime", container).ok()

    def bring_home(self, device: str, container: Container) -> None:
        """End a container that has the device."""
        container.end()
        self.hook(device, "poststop", container).ok()

    def get(self, path: str) -> tuple[int, str]:
        """Ask the agent's web server, from within the namespace."""

        def ask() -> tuple[int, str]:
            connection = http.client.HTTPConnection(*LISTEN, timeout=5)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()

        return self.netns.call(ask)

    def until(self, path: str, holds: Callable[[int, str], bool]) -> str:
        """Ask again and again, until an answer is as it should be: nothing tells of that."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            answer: tuple[int, str] = (0, "")
            with contextlib.suppress(OSError):
                answer = self.get(path)
            if holds(*answer):
                return answer[1]
            assert time.monotonic() < deadline, answer
            time.sleep(0.02)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics."""
        return sample(self.get("/metrics")[1], name, **labels)

    def until_metric(self, name: str, value: float, **labels: str) -> None:
        """Return when a sample has that value."""
        self.until(
            "/metrics",
            lambda status, page: status == 200 and sample(page, name, **labels) == value,
        )


def sample(page: str, name: str, **labels: str) -> float:
    """The one sample of that name and at least these labels; NaN is none."""
    found = [
        float(match["value"])
        for match in filter(None, map(_SAMPLE.fullmatch, page.splitlines()))
        if match["name"] == f"netdevice_plugin_{name}"
        and all(f'{key}="{value}"' in (match["labels"] or "") for key, value in labels.items())
    ]
    assert len(found) < 2, (name, labels)
    return found[0] if found else float("nan")


@contextlib.contextmanager
def mounted(where: pathlib.Path, *options: str) -> Iterator[None]:
    """A tmpfs of this test's own over a directory."""
    command = ("mount", "-t", "tmpfs", *options, "ndp-test", str(where))
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(where)), check=True)
