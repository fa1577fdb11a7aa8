"""A container runtime without containers: remembers what it was told, and obeys a test."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable

from tests.fakes.kubelet.runtime import (
    Container,
    ContainerConfig,
    Observed,
    Runtime,
    RuntimeCallError,
    Sandbox,
    State,
)
from tests.fakes.kubelet.specs import PodSpec


class MemoryRuntime:
    """It outlives every kubelet, as containerd does. `connect` is what a kubelet is given."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._wakes: list[Callable[[str], None]] = []
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self.configs: dict[str, ContainerConfig] = {}  # by container id, dead ones too
        self.refuse: Callable[[str, str], str] = lambda _call, _name: ""  # why a call fails
        self.lose: Callable[[str], bool] = lambda _name: False  # what has started, unheard

    def connect(self, wake: Callable[[str], None]) -> Runtime:
        """One kubelet's connection."""
        with self._lock:
            self._wakes.append(wake)
        return _Connection(self, wake)

    def exit(self, container: str, code: int = 0) -> None:
        """Let a container end by itself."""
        with self._lock:
            found = self._containers[container]
            self._containers[container] = dataclasses.replace(
                found, state=State.EXITED, exit_code=code
            )
        self._tell(found.pod)

    def kill_sandbox(self, pod: str) -> None:
        """Let a pod's sandbox end by itself."""
        with self._lock:
            for key, sandbox in self._sandboxes.items():
                if sandbox.pod == pod:
                    self._sandboxes[key] = dataclasses.replace(sandbox, ready=False)
        self._tell(pod)

    def reboot(self) -> None:
        """Nothing runs any more; that it once did is remembered, as containerd does."""
        with self._lock:
            for key, sandbox in self._sandboxes.items():
                self._sandboxes[key] = dataclasses.replace(sandbox, ready=False)
            for name, container in self._containers.items():
                self._containers[name] = dataclasses.replace(
                    container, state=State.EXITED, exit_code=255
                )

    def _tell(self, pod: str) -> None:
        with self._lock:
            wakes = tuple(self._wakes)
        for wake in wakes:
            wake(pod)


class _Connection:
    """What a kubelet sees of it, until it closes."""

    def __init__(self, runtime: MemoryRuntime, wake: Callable[[str], None]) -> None:
        self._all = runtime
        self._wake = wake
        self._closed = False

    def observe(self, pod: str = "") -> Observed:
        with self._all._lock:
            self._check("observe", pod)
            return Observed(
                tuple(s for s in self._all._sandboxes.values() if pod in ("", s.pod)),
                tuple(c for c in self._all._containers.values() if pod in ("", c.pod)),
            )

    def run_sandbox(self, pod: PodSpec, attempt: int) -> str:
        with self._all._lock:
            self._check("run_sandbox", pod.name)
            number = f"s{next(self._all._numbers)}"
            self._all._sandboxes[number] = Sandbox(
                id=number, pod=pod.uid, attempt=attempt, ready=True
            )
            return number

    def create(self, sandbox: str, pod: PodSpec, config: ContainerConfig) -> str:
        with self._all._lock:
            self._check("create", config.spec.name)
            number = f"c{next(self._all._numbers)}"
            self._all.configs[number] = config
            self._all._containers[number] = Container(
                id=number,
                pod=pod.uid,
                sandbox=sandbox,
                name=config.spec.name,
                attempt=config.attempt,
                state=State.CREATED,
            )
            return number

    def start(self, container: str) -> None:
        with self._all._lock:
            found = self._all._containers[container]
            self._check("start", found.name)
            self._all._containers[container] = dataclasses.replace(found, state=State.RUNNING)
            if self._all.lose(found.name):
                raise RuntimeCallError("Stream removed (Socket closed)")

    def stop(self, container: str, grace: int) -> None:
        del grace
        with self._all._lock:
            self._check("stop", container)
        self._all.exit(container, 137)

    def remove(self, container: str) -> None:
        with self._all._lock:
            self._check("remove", container)
            del self._all._containers[container]

    def stop_sandbox(self, sandbox: str) -> None:
        with self._all._lock:
            self._check("stop_sandbox", sandbox)
            self._all.kill_sandbox(self._all._sandboxes[sandbox].pod)

    def remove_sandbox(self, sandbox: str) -> None:
        with self._all._lock:
            self._check("remove_sandbox", sandbox)
            del self._all._sandboxes[sandbox]
            self._all._containers = {
                key: c for key, c in self._all._containers.items() if c.sandbox != sandbox
            }

    def close(self) -> None:
        with self._all._lock:
            self._closed = True
            self._all._wakes.remove(self._wake)

    def _check(self, call: str, name: str) -> None:
        why = "closed" if self._closed else self._all.refuse(call, name)
        if why:
            raise RuntimeCallError(why)
