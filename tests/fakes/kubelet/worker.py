"""One pod's worker: brings the runtime from what it has to what the pod wants.

It looks at the whole pod after each event and each step, so that an event that is lost, a
runtime that was restarted or a kubelet that was killed half-way need no case of their own.
"""

from __future__ import annotations

import dataclasses
import threading
import time

from tests.fakes.kubelet.admission import Admission, AdmissionError
from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.cluster import Cluster, ContainerStatus, Phase, Pod
from tests.fakes.kubelet.dra import Dra, DraError
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.runtime import (
    ContainerConfig,
    Observed,
    Runtime,
    RuntimeCallError,
    State,
    merge,
)
from tests.fakes.kubelet.settings import Settings
from tests.fakes.kubelet.sync import NewSandbox, Start, next_steps, phase, statuses

_NOW = 0.0
_PREPARE, _UNPREPARE = "<prepare>", "<unprepare>"  # what fails, beside containers


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """What all workers of a run share."""

    changes: Changes
    cluster: Cluster
    admission: Admission
    dra: Dra
    runtime: Runtime
    settings: Settings


class _StartError(Exception):
    """A container was not started; the reason is the word in its status."""

    def __init__(self, reason: str, error: Exception) -> None:
        super().__init__(str(error))
        self.reason = reason


class Worker:
    """The thread of a pod; it ends with the pod, or with the run."""

    def __init__(self, pod: Pod, tools: Tools) -> None:
        self.pod = pod
        self._tools = tools
        self._due = True
        self._told = False  # that the pod is to be deleted
        self._alive = True
        self._stopped: set[str] = set()  # sandboxes
        self._waiting: dict[str, ContainerStatus] = {}
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name=pod.spec.name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look again; something has happened."""
        with self._tools.changes.lock:
            self._due = True
            self._tools.changes.tell()

    def stop(self) -> None:
        """End with the run; the pod is left as it is."""
        with self._tools.changes.lock:
            self._alive = False
            self._tools.changes.tell()

    def join(self) -> None:
        """Return when the thread has ended."""
        self._thread.join()

    def _run(self) -> None:
        delay: float | None = _NOW
        while self._turn(delay):
            try:
                delay = self._sync()
            except RuntimeCallError:
                delay = self._delay("")

    def _turn(self, delay: float | None) -> bool:
        """Wait until there is something to do; False when there never will be."""
        deadline = None if delay is None else time.monotonic() + delay
        with self._tools.changes.lock:
            while self._alive and not self._due and self._told == self.pod.deleting:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._tools.changes.pause(left)
            self._due, self._told = False, self.pod.deleting
            return self._alive

    def _sync(self) -> float | None:
        """Take the next steps; returns when to look again, in seconds, None for at an event."""
        seen = self._tools.runtime.observe(self.pod.spec.uid)
        if self.pod.deleting:
            return self._delete(seen)
        ended = self._publish(seen)
        self._failures.pop("", None)
        if self.pod.over:
            self._end(seen)
            return None
        if ended:  # which is told once its claims are given back
            self._end(seen)
            return _NOW if self._unprepare() else self._delay(_UNPREPARE)
        return self._go_on(seen)

    def _delete(self, seen: Observed) -> float | None:
        """Leave nothing of the pod."""
        self._end(seen)
        if not self._unprepare():
            return self._delay(_UNPREPARE)
        self._remove(seen)
        return None

    def _go_on(self, seen: Observed) -> float | None:
        steps = next_steps(self.pod.spec, seen)
        if seen.sandboxes and not seen.sandboxes[-1].ready:
            self._end(seen)
        if isinstance(steps, NewSandbox):
            if not self._prepare():
                return self._delay(_PREPARE)
            self._tools.runtime.run_sandbox(self.pod.spec, steps.attempt)
            return _NOW
        return min((self._start(step, seen) for step in steps), default=None)

    def _prepare(self) -> bool:
        """Have the pod's claims prepared, before each of its sandboxes; whether they are."""
        try:
            self._tools.dra.prepare(self.pod)
        except DraError as error:
            text = f"Failed to prepare dynamic resources: prepare dynamic resources: {error}"
            self._tell("FailedPrepareDynamicResources", text)
            return False
        self._failures.pop(_PREPARE, None)
        return True

    def _unprepare(self) -> bool:
        """Give the pod's claims back once all of it has ended; whether they are."""
        try:
            self._tools.dra.unprepare(self.pod)
        except DraError as error:
            self._tell("FailedSync", f"unprepare dynamic resources: {error}")
            return False
        return True

    def _tell(self, reason: str, message: str) -> None:
        with self._tools.changes.lock:
            if self._alive:
                self.pod.tell(reason, message)
                self._tools.changes.tell()

    def _start(self, step: Start, seen: Observed) -> float:
        """Start a container unless it is too early; returns when to look again."""
        name = step.container.name
        early = self._not_before.get(name, 0) - time.monotonic()
        if early > 0:
            return early
        started = self._try(step, seen)
        if started and step.attempt == 0:
            return _NOW
        delay = self._delay(name)
        self._not_before[name] = time.monotonic() + delay
        return _NOW if started else delay

    def _try(self, step: Start, seen: Observed) -> bool:
        try:
            self._create_and_start(step, seen)
        except _StartError as error:
            self._waiting[step.container.name] = ContainerStatus(
                state="waiting", restarts=step.attempt, reason=error.reason, message=str(error)
            )
            self._publish(seen)
            return False
        self._waiting.pop(step.container.name, None)
        return True

    def _create_and_start(self, step: Start, seen: Observed) -> None:
        admission, runtime, spec = self._tools.admission, self._tools.runtime, self.pod.spec
        try:
            claims = self._tools.dra.cdi(self.pod, step.container)
            given = merge(admission.start(self.pod, step.container), claims)
        except (PluginError, AdmissionError, DraError) as error:
            raise _StartError("CreateContainerConfigError", error) from error
        config = ContainerConfig(spec=step.container, attempt=step.attempt, given=given)
        try:
            container = runtime.create(seen.sandboxes[-1].id, spec, config)
        except RuntimeCallError as error:
            raise _StartError("CreateContainerError", error) from error
        try:
            runtime.start(container)
        except RuntimeCallError as error:
            raise _StartError("RunContainerError", error) from error
        self._forget_dead(step, seen)

    def _forget_dead(self, step: Start, seen: Observed) -> None:
        """Remove the ended ones but the last, as the kubelet's garbage collector does."""
        for container in seen.containers:
            if container.name == step.container.name and container != step.instead_of:
                self._tools.runtime.remove(container.id)

    def _end(self, seen: Observed) -> None:
        """Stop all that runs, then the sandboxes: each once."""
        for container in seen.containers:
            if container.state is not State.EXITED:
                self._tools.runtime.stop(container.id, self.pod.spec.grace)
        for sandbox in seen.sandboxes:
            if sandbox.id not in self._stopped:
                self._tools.runtime.stop_sandbox(sandbox.id)
                self._stopped.add(sandbox.id)

    def _remove(self, seen: Observed) -> None:
        for sandbox in seen.sandboxes:
            self._tools.runtime.remove_sandbox(sandbox.id)
        with self._tools.changes.lock:
            if self._alive:
                self._alive = False
                self._tools.cluster.remove(self.pod)

    def _publish(self, seen: Observed) -> bool:
        """Write the pod's status; whether the pod has ended and may not be told so yet."""
        spec = self.pod.spec
        with self._tools.changes.lock:
            if not self._alive:
                return False
            known = statuses(spec, seen)
            for name in [name for name in self._waiting if _runs(known.get(name))]:
                del self._waiting[name]  # its start was done, and the answer got lost
            self.pod.containers = {**known, **self._waiting}
            now = phase(spec, seen)
            ended = now in (Phase.SUCCEEDED, Phase.FAILED)
            held = ended and not self.pod.over and self._tools.dra.needs_unprepare(spec.uid)
            if not self.pod.over and not held:
                self.pod.phase = now
            self._tools.cluster.tell()
            return held

    def _delay(self, name: str) -> float:
        """The next back-off of a container, or of the pod as a whole."""
        first, longest = self._tools.settings.backoff
        failures = self._failures[name] = self._failures.get(name, -1) + 1
        return float(min(first * 2**failures, longest))


def _runs(status: ContainerStatus | None) -> bool:
    return status is not None and status.state == "running"
