"""A small CRI client: what a kubelet asks of a runtime, in the order in which it asks.

The stubs are generated from the packaged api.proto, so their types are unknown here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import pathlib
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from tests.e2e import image
from tests.e2e.waiting import TIMEOUT

CALL = 60.0  # seconds for one call
FOREVER = ("sleep", "infinity")
UID = "io.kubernetes.pod.uid"  # label; k8s.io/kubelet pkg/types/labels.go


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A sandbox and the configuration that each container of it must repeat."""

    sandbox: str
    config: Any


def load(stubs: pathlib.Path) -> tuple[Any, Any]:
    """The generated modules: messages and services."""
    if str(stubs) not in sys.path:
        sys.path.insert(0, str(stubs))
    return importlib.import_module("api_pb2"), importlib.import_module("api_pb2_grpc")


class Cri:
    """One connection to a runtime, with its events; made anew after the runtime restarts.

    `tell` hears of each event, by the pod's uid. A runtime deals its events out among those
    who ask for them, so nobody else may.
    """

    def __init__(
        self,
        socket: pathlib.Path,
        stubs: pathlib.Path,
        cgroup: str,
        tell: Callable[[str], None] = lambda _pod: None,
    ) -> None:
        self._api, services = load(stubs)
        self._tell = tell
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        grpc.channel_ready_future(self._channel).result(TIMEOUT)
        self._runtime = services.RuntimeServiceStub(self._channel)
        self._cgroup = cgroup
        self._await_service()
        self._exited: set[str] = set()
        self._changed = threading.Condition()
        self._stream = self._runtime.GetContainerEvents(self._api.GetEventsRequest())
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()

    def _await_service(self) -> None:
        """Ask until the runtime has read its state: it listens before, and tells nobody when."""
        deadline = time.monotonic() + TIMEOUT
        while not self._serves():
            if time.monotonic() > deadline:
                raise AssertionError(f"the runtime did not serve within {TIMEOUT:.0f} s")
            time.sleep(0.02)

    def _serves(self) -> bool:
        try:
            self._runtime.Status(self._api.StatusRequest(), timeout=CALL)
        except grpc.RpcError as error:
            if "not initialized" in (error.details() or ""):
                return False
            raise
        return True

    def answers(self, within: float) -> bool:
        """Whether it lists its pods in so many seconds."""
        try:
            self._runtime.ListPodSandbox(self._api.ListPodSandboxRequest(), timeout=within)
        except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
            return False
        return True

    def close(self) -> None:
        """End the event stream and the connection."""
        self._stream.cancel()
        self._channel.close()
        self._reader.join(TIMEOUT)

    def run_pod(self, *, host_network: bool = False) -> Pod:
        """Start a sandbox of its own name."""
        name = f"pod-{uuid.uuid4().hex[:8]}"
        api = self._api
        config = api.PodSandboxConfig(
            metadata=api.PodSandboxMetadata(name=name, uid=name, namespace="default"),
            hostname="" if host_network else name,
            linux=api.LinuxPodSandboxConfig(cgroup_parent=f"/{self._cgroup}/{name}"),
        )
        namespaces = config.linux.security_context.namespace_options
        namespaces.network = api.NODE if host_network else api.POD
        namespaces.pid = api.CONTAINER
        request = api.RunPodSandboxRequest(config=config)
        return Pod(self._runtime.RunPodSandbox(request, timeout=CALL).pod_sandbox_id, config)

    def create(
        self, pod: Pod, device: str = "", command: Sequence[str] = FOREVER, memory: int = 0
    ) -> str:
        """Create a container, with a CDI device; this resolves the name, and runs no hook.

        `memory` is a limit in bytes.
        """
        api = self._api
        config = api.ContainerConfig(
            metadata=api.ContainerMetadata(name=f"c-{uuid.uuid4().hex[:8]}"),
            image=api.ImageSpec(image=image.NAME),
            command=command,
        )
        if device:
            config.CDI_devices.add(name=device)
        if memory:
            config.linux.resources.memory_limit_in_bytes = memory
        options = pod.config.linux.security_context.namespace_options
        config.linux.security_context.namespace_options.CopyFrom(options)
        request = api.CreateContainerRequest(
            pod_sandbox_id=pod.sandbox, config=config, sandbox_config=pod.config
        )
        return str(self._runtime.CreateContainer(request, timeout=CALL).container_id)

    def start(self, container: str) -> None:
        """Start a created container: the createRuntime hooks run now."""
        request = self._api.StartContainerRequest(container_id=container)
        self._runtime.StartContainer(request, timeout=CALL)

    def run(self, pod: Pod, device: str = "", command: Sequence[str] = FOREVER) -> str:
        """Create and start."""
        container = self.create(pod, device, command)
        self.start(container)
        return container

    def sh(self, container: str, script: str) -> str:
        """Run a shell script in a container; a failing one raises."""
        request = self._api.ExecSyncRequest(
            container_id=container, cmd=["sh", "-c", script], timeout=20
        )
        result = self._runtime.ExecSync(request, timeout=CALL)
        assert result.exit_code == 0, (result.stdout + result.stderr).decode()
        return str(result.stdout.decode())

    def stop(self, container: str) -> None:
        """Kill the container at once."""
        request = self._api.StopContainerRequest(container_id=container, timeout=0)
        self._runtime.StopContainer(request, timeout=CALL)

    def remove(self, container: str) -> None:
        """Remove a stopped container."""
        request = self._api.RemoveContainerRequest(container_id=container)
        self._runtime.RemoveContainer(request, timeout=CALL)

    def stop_pod(self, pod: Pod) -> None:
        """Stop a sandbox and whatever runs in it."""
        request = self._api.StopPodSandboxRequest(pod_sandbox_id=pod.sandbox)
        self._runtime.StopPodSandbox(request, timeout=CALL)

    def remove_pod(self, pod: Pod) -> None:
        """Stop and remove a sandbox."""
        self.stop_pod(pod)
        request = self._api.RemovePodSandboxRequest(pod_sandbox_id=pod.sandbox)
        self._runtime.RemovePodSandbox(request, timeout=CALL)

    def remove_all_pods(self) -> None:
        """Leave no sandbox; for the end of a test."""
        listed = self._runtime.ListPodSandbox(self._api.ListPodSandboxRequest(), timeout=CALL)
        for sandbox in listed.items:
            self.remove_pod(Pod(sandbox.id, None))

    def sandbox(self, uid: str) -> Pod:
        """The latest sandbox of the pod with that uid, which a kubelet has made."""
        request = self._api.ListPodSandboxRequest(
            filter=self._api.PodSandboxFilter(label_selector={UID: uid})
        )
        listed = self._runtime.ListPodSandbox(request, timeout=CALL).items
        return Pod(max(listed, key=lambda entry: entry.created_at).id, None)

    def pid(self, container: str) -> int:
        """The container's first process, as the node numbers it."""
        request = self._api.ContainerStatusRequest(container_id=container, verbose=True)
        status = self._runtime.ContainerStatus(request, timeout=CALL)
        return int(json.loads(status.info["info"])["pid"])

    def pod_pid(self, pod: Pod) -> int:
        """The pause process, as the node numbers it."""
        request = self._api.PodSandboxStatusRequest(pod_sandbox_id=pod.sandbox, verbose=True)
        status = self._runtime.PodSandboxStatus(request, timeout=CALL)
        return int(json.loads(status.info["info"])["pid"])

    def reason(self, container: str) -> str:
        """Why a container has ended: Completed, Error, OOMKilled, …"""
        request = self._api.ContainerStatusRequest(container_id=container)
        return str(self._runtime.ContainerStatus(request, timeout=CALL).status.reason)

    def exited(self, container: str) -> None:
        """Return when the runtime has reported the container's end: poststop has run by then."""
        self._await(lambda: container in self._exited, f"end of {container}")

    def _await(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        with self._changed:
            while not holds():
                left = deadline - time.monotonic()
                assert self._changed.wait(max(0, left)), f"not within {TIMEOUT:.0f} s: {what}"

    def _read_events(self) -> None:
        with contextlib.suppress(grpc.RpcError):  # the runtime was killed, or we closed
            for event in self._stream:
                self._tell(event.pod_sandbox_status.metadata.uid)
                if event.container_event_type == self._api.CONTAINER_STOPPED_EVENT:
                    with self._changed:
                        self._exited.add(event.container_id)
                        self._changed.notify_all()


@contextlib.contextmanager
def refusal() -> Iterator[list[str]]:
    """Expect a call to fail; the list receives what the runtime said."""
    said: list[str] = []
    try:
        yield said
    except grpc.RpcError as error:
        said.append(str(error))  # a grpc.Call as well: str() has its details
    else:
        raise AssertionError("the runtime accepted it")
