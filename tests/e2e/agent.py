"""The agent as it is shipped, run in a node; and somebody who sees that it never errs."""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.e2e.node import Node
from tests.e2e.waiting import TIMEOUT, until
from tests.fakes.kubelet import Kubelet

CONFIG = "/etc/netdevice-plugin/config.yaml"
STOP = 2.0  # seconds that a graceful stop may take

_SHOWN = 40  # lines of each log, when a test failed


class Agent:
    """One process; it writes its log outside the node, where no reboot takes it."""

    def __init__(self, node: Node, log: pathlib.Path, *options: str) -> None:
        self.log = log
        program = (sys.executable, "-m", "tests.e2e.named", "run", "--config", CONFIG)
        argv = (*program, "--log-format", "json", *options)
        with log.open("w") as file:
            null = subprocess.DEVNULL
            self._process = node.popen(*argv, stdin=null, stdout=file, stderr=file)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its number out here: nsenter's only child."""
        parent = self._process.pid
        (child,) = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(child)

    def proc(self, name: str) -> pathlib.Path:
        """A file of its own in /proc."""
        return pathlib.Path(f"/proc/{self.pid}/{name}")

    def lines(self, message: str = "", **fields: object) -> list[Mapping[str, Any]]:
        """What it has logged so far, of one message and with these fields."""
        wanted = {"msg": message, **fields} if message else fields
        whole = [
            line for line in self.log.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in found if wanted.items() <= line.items()]

    def await_line(self, message: str, **fields: object) -> Mapping[str, Any]:
        """Return the first line of that message with these fields."""

        def said() -> bool:
            return bool(self.lines(message, **fields)) or not self.running

        until(self.log.parent, said, f"{message} {fields}; see {self.log}")
        found = self.lines(message, **fields)
        assert found, f"ended without {message} {fields}; see {self.log}"
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def terminate(self, within: float = STOP) -> None:
        """SIGTERM, and see it end well and in time."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        self.await_end(began, within)

    def await_end(self, since: float, within: float = STOP) -> None:
        """See it end well, soon after that time."""
        code = self._process.wait(TIMEOUT)
        took = time.monotonic() - since
        assert code == 0, f"exit code {code}; see {self.log}"
        assert took < within, f"took {took:.1f} s to end"

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError, ValueError):
            self.signal(signal.SIGKILL)
        self._process.wait(TIMEOUT)

    def check(self) -> None:
        """Fail if it has come upon a bug of its own."""
        text = self.log.read_text()
        assert "Traceback" not in text, text


class Agents:
    """The agents of one test, one configuration, and what must hold all the time."""

    def __init__(self, node: Node, kubelet: Kubelet, logs: pathlib.Path) -> None:
        self._node = node
        self._kubelet = kubelet
        self._logs = logs
        self._numbers = itertools.count(1)
        self.all: list[Agent] = []
        self.truth = Truth(node, kubelet)

    def configure(self, settings: str = "", **pools: str) -> None:
        """Write the configuration: for each pool the links that it selects, by commas."""
        entries = [
            f"- name: {name}\n  selectors:\n  - ifNames: [{links}]\n"
            for name, links in pools.items()
        ]
        listed = "".join(("\n", *entries)) if entries else " []\n"
        self.write(f"cdiDir: /run/cdi\n{settings}pools:{listed}")

    def write(self, text: str) -> None:
        """Replace the configuration, as a ConfigMap is."""
        path = self._node.path(CONFIG)
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(".new")
        new.write_text(text)
        new.rename(path)

    def start(self, *options: str) -> Agent:
        """Start one and do not wait."""
        agent = Agent(self._node, self._logs / f"agent-{next(self._numbers)}.log", *options)
        self.all.append(agent)
        return agent

    def serve(self, *options: str, kind: str) -> Agent:
        """Start one and return when the kubelet has its list."""
        agent = self.start(*options)
        agent.await_line("Registered with the kubelet", resource=kind)
        self._kubelet.await_registered(kind)
        return agent

    def close(self) -> None:
        """End all, and fail if anything was wrong at any time; a failed test shows their logs."""
        for agent in self.all:
            if agent.running:
                agent.kill()
            print(agent.log, *agent.log.read_text().splitlines()[-_SHOWN:], sep="\n")
        self.truth.close()
        for agent in self.all:
            agent.check()
        assert not self.truth.wrongs, "\n".join(self.truth.wrongs)


class Truth:
    """Looks at the kubelet whenever anything about it changes.

    No device may be in two pods or healthy for two resources, none that a pod has may be
    missing from its resource, and none may be healthy that no runtime could resolve.
    """

    def __init__(self, node: Node, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._cdi = node.path("/run/cdi")
        self._lists: Mapping[str, int] = {}
        self.looks = 0
        self.wrongs: list[str] = []
        kubelet.changes.watchers.append(self._look)

    def close(self) -> None:
        """Look no more."""
        self._kubelet.changes.watchers.remove(self._look)

    def _look(self) -> None:
        if self._kubelet.runs:
            self.looks += 1
            found = [text for text in self._wrong() if text not in self.wrongs]
            self.wrongs += found

    def _wrong(self) -> Iterator[str]:
        devices = self._kubelet.life.devices
        health = {
            resource: devices.health(resource)
            for resource, lists in devices.lists.items()
            if lists and devices.registered(resource)
        }
        pods = collections.defaultdict(set)
        for entry in self._kubelet.life.ledger.active():
            for device in entry.ids:
                pods[device].add(entry.pod)
            if entry.resource in health and (missing := entry.ids - health[entry.resource].keys()):
                yield f"{entry.resource} does not list {sorted(missing)}, which {entry.pod} has"
        yield from (f"{name} is in pods {have}" for name, have in pods.items() if len(have) > 1)
        healthy = [(kind, name) for kind, all_ in health.items() for name in _healthy(all_)]
        counts = collections.Counter(name for _, name in healthy)
        yield from (f"{name} is healthy twice" for name, count in counts.items() if count > 1)
        if self._lists != devices.lists:
            self._lists = dict(devices.lists)
            known = self._resolvable()
            for kind, name in healthy:
                if f"{kind}={name}" not in known:
                    yield f"{kind}={name} is healthy and in no CDI file"

    def _resolvable(self) -> set[str]:
        """The CDI names that a runtime would find now."""
        found = set()
        for path in self._cdi.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                spec = json.loads(path.read_text())
                found |= {f"{spec['kind']}={device['name']}" for device in spec["devices"]}
        return found


def _healthy(health: Mapping[str, str]) -> list[str]:
    return [name for name, word in health.items() if word == "Healthy"]
