"""What a pod needs next, by what the runtime has of it. Pure.

k8s.io/kubernetes pkg/kubelet/kuberuntime computePodActions and kubelet_pods.go getPhase,
for the cases that matter here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.fakes.kubelet.cluster import ContainerStatus, Phase
from tests.fakes.kubelet.runtime import Container, Observed, Sandbox, State
from tests.fakes.kubelet.specs import ContainerSpec, PodSpec, Restart


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a container for the n-th time."""

    container: ContainerSpec
    attempt: int
    instead_of: Container | None = None  # the one before it, which has ended


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewSandbox:
    """Make a sandbox, after the end of all that there is."""

    attempt: int


def next_steps(pod: PodSpec, seen: Observed) -> list[Start] | NewSandbox:
    """What to do now; nothing means to wait for an event."""
    sandbox = seen.sandboxes[-1] if seen.sandboxes else None
    if sandbox is None or not sandbox.ready:
        return _renewed(pod, seen, sandbox)
    here = [c for c in seen.containers if c.sandbox == sandbox.id]
    apps = {container.name for container in pod.containers}
    started = any(c.name in apps for c in here)
    init = [] if started else _init(pod, here, seen)
    if init is None:
        return []
    sidecars = [c for c in pod.init_containers if c.sidecar] if started else []
    return init or [
        step
        for container in (*sidecars, *pod.containers)
        if (step := _start(pod, container, here, seen)) is not None
    ]


def _renewed(pod: PodSpec, seen: Observed, sandbox: Sandbox | None) -> list[Start] | NewSandbox:
    """A dead sandbox is replaced if a container is to run in the next one."""
    if sandbox is None:
        return NewSandbox(attempt=0)
    lasts = [_last(container, seen.containers) for container in pod.containers]
    wanted = any(last is None or pod.restart.after(_code(last)) for last in lasts)
    if pod.restart is Restart.NEVER:
        wanted = not seen.containers
    return NewSandbox(attempt=sandbox.attempt + 1) if wanted else []


def _init(pod: PodSpec, here: list[Container], seen: Observed) -> list[Start] | None:
    """The init container that is due; None while one runs or has failed for good."""
    for container in pod.init_containers:
        last = _last(container, here)
        if last is not None and last.state is State.RUNNING:
            if not container.sidecar:
                return None
        elif last is None or container.sidecar or _code(last) != 0:
            step = _start(pod, container, here, seen)
            return [step] if step else None
    return []


def _start(
    pod: PodSpec, container: ContainerSpec, here: list[Container], seen: Observed
) -> Start | None:
    last = _last(container, here)
    if last is not None and (last.state is State.RUNNING or not _again(pod, container, last)):
        return None
    before = _last(container, seen.containers)  # in whatever sandbox: names are never used twice
    attempt = 0 if before is None else before.attempt + 1
    return Start(container=container, attempt=attempt, instead_of=before)


def _again(pod: PodSpec, container: ContainerSpec, last: Container) -> bool:
    """Whether a container that does not run is started once more."""
    if container.sidecar or last.state is not State.EXITED:  # or it was made and never started
        return True
    if container in pod.init_containers:
        return last.exit_code != 0 and pod.restart is not Restart.NEVER
    return pod.restart.after(last.exit_code)


def phase(pod: PodSpec, seen: Observed) -> Phase:
    """How a pod stands."""
    if pod.restart is Restart.NEVER:
        inits = [_last(c, seen.containers) for c in pod.init_containers if not c.sidecar]
        if any(last and last.state is State.EXITED and last.exit_code for last in inits):
            return Phase.FAILED
    lasts = [_last(container, seen.containers) for container in pod.containers]
    if any(last is None for last in lasts):
        return Phase.PENDING
    codes = [_code(last) for last in lasts if last and last.state is State.EXITED]
    if len(codes) < len(lasts) or any(pod.restart.after(code) for code in codes):
        return Phase.RUNNING
    return Phase.FAILED if any(codes) else Phase.SUCCEEDED


def statuses(pod: PodSpec, seen: Observed) -> dict[str, ContainerStatus]:
    """The containers' states by name."""
    found = {}
    for container in pod.all_containers:
        last = _last(container, seen.containers)
        if last is not None:
            found[container.name] = ContainerStatus(
                state=_WORDS[last.state],
                id=last.id,
                restarts=last.attempt,
                exit_code=last.exit_code,
                reason=last.reason,
                message=last.message,
            )
    return found


_WORDS = {
    State.CREATED: "waiting",
    State.RUNNING: "running",
    State.EXITED: "terminated",
    State.UNKNOWN: "waiting",
}


def _last(container: ContainerSpec, containers: Sequence[Container]) -> Container | None:
    return next((c for c in reversed(containers) if c.name == container.name), None)


def _code(container: Container) -> int:
    """How it ended; one that was never seen to end did not end well."""
    return container.exit_code if container.state is State.EXITED else 137
