"""containerd as the fake kubelet's runtime: each of its calls is one of CRI."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from tests.e2e import image
from tests.e2e.containerd import SOCKET, Containerd
from tests.e2e.cri import CALL, UID, load
from tests.e2e.fetch import Parts
from tests.e2e.node import Node
from tests.fakes.kubelet.runtime import (
    Connect,
    Container,
    ContainerConfig,
    Observed,
    RuntimeCallError,
    Sandbox,
    State,
)
from tests.fakes.kubelet.specs import PodSpec

# k8s.io/kubelet pkg/types/labels.go
POD, NAMESPACE = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"
CONTAINER = "io.kubernetes.container.name"
# A channel waits for a runtime that is away, and must not have slept when it is back. The third
# option of that kind stays as it is, 20 s: despite its name, min_reconnect_backoff_ms is how long
# an attempt to connect may take, and a busy runtime would never be reached within less.
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


def connector(node: Node, parts: Parts, daemon: Containerd) -> Connect:
    """What a kubelet is given to reach the runtime with, in each of its runs."""
    return lambda wake: CriRuntime(node, parts, daemon, daemon.listen(wake))


class CriRuntime:
    """One run's connection; it has no event stream, `forget` ends what tells it of events."""

    def __init__(
        self, node: Node, parts: Parts, daemon: Containerd, forget: Callable[[], None]
    ) -> None:
        self._api, services = load(parts.stubs)
        self._channel = grpc.insecure_channel(f"unix:{node.path(SOCKET)}", _OPTIONS)
        self._stub = services.RuntimeServiceStub(self._channel)
        self._cgroup = node.cgroup
        self._daemon = daemon
        self._forget = forget

    def close(self) -> None:
        """End the connection and every call."""
        self._forget()
        self._channel.close()

    def observe(self, pod: str = "") -> Observed:
        """Look at a pod, by uid, or at everything."""
        api = self._api
        labels = {UID: pod} if pod else {}
        sandboxes = api.ListPodSandboxRequest(filter=api.PodSandboxFilter(label_selector=labels))
        containers = api.ListContainersRequest(filter=api.ContainerFilter(label_selector=labels))
        return Observed(
            tuple(
                Sandbox(
                    id=entry.id,
                    pod=entry.metadata.uid,
                    attempt=entry.metadata.attempt,
                    ready=entry.state == api.SANDBOX_READY,
                )
                for entry in _oldest_first(self._wait("ListPodSandbox", sandboxes).items)
            ),
            tuple(
                self._container(entry)
                for entry in _oldest_first(self._wait("ListContainers", containers).containers)
            ),
        )

    def run_sandbox(self, pod: PodSpec, attempt: int) -> str:
        """Make and start a sandbox."""
        request = self._api.RunPodSandboxRequest(config=self._sandbox(pod, attempt))
        return str(self._wait("RunPodSandbox", request).pod_sandbox_id)

    def create(self, sandbox: str, pod: PodSpec, config: ContainerConfig) -> str:
        """Make a container; now its CDI devices are resolved."""
        sandbox_config = self._sandbox(pod, 0)
        container = self._config(pod, config)
        options = sandbox_config.linux.security_context.namespace_options
        container.linux.security_context.namespace_options.CopyFrom(options)
        request = self._api.CreateContainerRequest(
            pod_sandbox_id=sandbox, config=container, sandbox_config=sandbox_config
        )
        return str(self._wait("CreateContainer", request).container_id)

    def start(self, container: str) -> None:
        """Start a container; now its hooks run."""
        self._wait("StartContainer", self._api.StartContainerRequest(container_id=container))

    def stop(self, container: str, grace: int) -> None:
        """Stop a container."""
        request = self._api.StopContainerRequest(container_id=container, timeout=grace)
        self._wait("StopContainer", request)

    def remove(self, container: str) -> None:
        """Remove a container."""
        self._wait("RemoveContainer", self._api.RemoveContainerRequest(container_id=container))

    def stop_sandbox(self, sandbox: str) -> None:
        """Stop a sandbox and what still runs in it."""
        self._wait("StopPodSandbox", self._api.StopPodSandboxRequest(pod_sandbox_id=sandbox))

    def remove_sandbox(self, sandbox: str) -> None:
        """Remove a sandbox and its containers.

        containerd 1.7.24 takes a container for ended, whose task it has made, if who wanted it
        started goes in that moment: a kubelet that is killed. Whoever looks after the node ends
        the task by hand then.
        """
        request = self._api.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
        try:
            self._wait("RemovePodSandbox", request)
        except RuntimeCallError as error:
            if lost := re.search("cannot delete running task ([0-9a-f]{64})", str(error)):
                self._daemon.end_task(lost[1])
            raise

    def _wait(self, name: str, request: Any) -> Any:
        """Call, once the runtime is there."""
        try:
            return getattr(self._stub, name)(request, timeout=CALL, wait_for_ready=True)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            said = error.details() if isinstance(error, grpc.Call) else error
            if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                said = f"{name}: no answer within {CALL:.0f} s; {self._daemon.examine()}"
            raise RuntimeCallError(str(said)) from error

    def _sandbox(self, pod: PodSpec, attempt: int) -> Any:
        api = self._api
        config = api.PodSandboxConfig(
            metadata=api.PodSandboxMetadata(
                name=pod.name, uid=pod.uid, namespace=pod.namespace, attempt=attempt
            ),
            hostname="" if pod.host_network else pod.name,
            labels={POD: pod.name, NAMESPACE: pod.namespace, UID: pod.uid},
            linux=api.LinuxPodSandboxConfig(cgroup_parent=f"/{self._cgroup}/pod{pod.uid}"),
        )
        namespaces = config.linux.security_context.namespace_options
        namespaces.network = api.NODE if pod.host_network else api.POD
        namespaces.pid = api.CONTAINER
        return config

    def _config(self, pod: PodSpec, config: ContainerConfig) -> Any:
        api, spec, given = self._api, config.spec, config.given
        container = api.ContainerConfig(
            metadata=api.ContainerMetadata(name=spec.name, attempt=config.attempt),
            image=api.ImageSpec(image=image.NAME),
            command=spec.command,
            labels={POD: pod.name, NAMESPACE: pod.namespace, UID: pod.uid, CONTAINER: spec.name},
            annotations=given.annotations,
            envs=[api.KeyValue(key=key, value=value) for key, value in given.envs.items()],
        )
        for inside, outside in spec.mounts.items():
            container.mounts.add(container_path=inside, host_path=outside)
        for mount in given.mounts:
            container.mounts.add(
                container_path=mount.container_path,
                host_path=mount.host_path,
                readonly=mount.read_only,
            )
        for device in given.devices:
            container.devices.add(
                container_path=device.container_path,
                host_path=device.host_path,
                permissions=device.permissions,
            )
        for cdi in given.cdi_devices:
            container.CDI_devices.add(name=cdi.name)
        container.linux.resources.memory_limit_in_bytes = spec.memory
        added = container.linux.security_context.capabilities.add_capabilities
        added.extend(spec.capabilities)
        return container

    def _container(self, entry: Any) -> Container:
        """A listed container; how it ended is asked for."""
        api = self._api
        states = {
            api.CONTAINER_CREATED: State.CREATED,
            api.CONTAINER_RUNNING: State.RUNNING,
            api.CONTAINER_EXITED: State.EXITED,
        }
        state = states.get(entry.state, State.UNKNOWN)
        code, reason, message = 0, "", ""
        if state is State.EXITED:
            request = api.ContainerStatusRequest(container_id=entry.id)
            status = self._wait("ContainerStatus", request).status
            code, reason, message = status.exit_code, status.reason, status.message
        return Container(
            id=entry.id,
            pod=entry.labels[UID],
            sandbox=entry.pod_sandbox_id,
            name=entry.metadata.name,
            attempt=entry.metadata.attempt,
            state=state,
            exit_code=code,
            reason=reason,
            message=message,
        )


def _oldest_first(entries: Iterable[Any]) -> list[Any]:
    return sorted(entries, key=lambda entry: entry.created_at)
