"""What the kubelet asks of a container runtime; a real one is in tests/e2e."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Protocol

from tests.fakes.kubelet.specs import ContainerSpec, PodSpec
from tests.fakes.kubelet.wire import deviceplugin as api


class RuntimeCallError(Exception):
    """A call failed; the text is the runtime's, or says that there is none."""


class State(enum.Enum):
    """A container's state, as CRI has it."""

    CREATED = enum.auto()
    RUNNING = enum.auto()
    EXITED = enum.auto()
    UNKNOWN = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A pod's sandbox."""

    id: str
    pod: str  # uid
    attempt: int
    ready: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container, dead ones included."""

    id: str
    pod: str  # uid
    sandbox: str
    name: str
    attempt: int
    state: State
    exit_code: int = 0
    reason: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """All of a runtime, or of one pod in it; each sorted by attempt."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """One container to create: what its author wants, and what device plugins add."""

    spec: ContainerSpec
    attempt: int
    given: api.ContainerAllocateResponse  # of all plugins, merged; claims' CDI devices come first


class Runtime(Protocol):
    """One run's connection. Every call may raise RuntimeCallError."""

    def observe(self, pod: str = "") -> Observed:
        """Look at a pod, by uid, or at everything; waits for a runtime that is away."""

    def run_sandbox(self, pod: PodSpec, attempt: int) -> str:
        """Make and start a sandbox."""

    def create(self, sandbox: str, pod: PodSpec, config: ContainerConfig) -> str:
        """Make a container."""

    def start(self, container: str) -> None:
        """Start a container."""

    def stop(self, container: str, grace: int) -> None:
        """Stop a container; also one that has ended."""

    def remove(self, container: str) -> None:
        """Remove a container."""

    def stop_sandbox(self, sandbox: str) -> None:
        """Stop a sandbox and what still runs in it."""

    def remove_sandbox(self, sandbox: str) -> None:
        """Remove a sandbox and its containers."""

    def close(self) -> None:
        """End the connection and every call."""


# Connects a run, and tells it from then on which pod, by uid, has had an event; "" is all.
Connect = Callable[[Callable[[str], None]], Runtime]


def merge(
    responses: list[api.ContainerAllocateResponse], claims: Sequence[str] = ()
) -> api.ContainerAllocateResponse:
    """What a container gets of several plugins; whoever says a thing first is right.

    Before that come the CDI devices of its claims, as they are.

    k8s.io/kubernetes pkg/kubelet/cm/devicemanager/pod_devices.go, deviceRunContainerOptions.
    """
    merged = api.ContainerAllocateResponse()
    for response in responses:
        for name, value in response.envs.items():
            if name not in merged.envs:
                merged.envs[name] = value
        for name, value in response.annotations.items():
            if name not in merged.annotations:
                merged.annotations[name] = value
        for mount in response.mounts:
            if mount.container_path not in {known.container_path for known in merged.mounts}:
                merged.mounts.append(mount)
        for device in response.devices:
            if device.container_path not in {known.container_path for known in merged.devices}:
                merged.devices.append(device)
        for cdi in response.cdi_devices:
            if cdi.name not in {known.name for known in merged.cdi_devices}:
                merged.cdi_devices.append(cdi)
    plugins = list(merged.cdi_devices)
    del merged.cdi_devices[:]
    merged.cdi_devices.extend([*(api.CDIDevice(name=name) for name in claims), *plugins])
    return merged
