"""The kubelet as tests drive it: start and kill it, run pods, wait for what must come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.kubelet.admission import Call
from tests.fakes.kubelet.apiserver import ApiServer, NoApiServer
from tests.fakes.kubelet.changes import Changes, Clock
from tests.fakes.kubelet.cluster import Cluster, Pod
from tests.fakes.kubelet.devices import Resource
from tests.fakes.kubelet.life import Around, Life
from tests.fakes.kubelet.place import Place
from tests.fakes.kubelet.runtime import Connect
from tests.fakes.kubelet.settings import Interfere, Settings, nothing
from tests.fakes.kubelet.specs import PodSpec


class Kubelet:
    """A node's kubelet, over any number of runs; a `with` block is one of them.

    What it has on disk is below `root`; the API server's pods and the clock outlive it.
    All that waits does so for a bounded time, and then fails with what there is instead.
    """

    def __init__(
        self,
        root: Path,
        connect: Connect,
        settings: Settings | None = None,
        *,
        seen_from: Path = Path("/"),
        interfere: Interfere = nothing,
        api: ApiServer | None = None,
    ) -> None:
        self.place = Place(root, seen_from)
        self.changes = Changes()
        self.clock = Clock(self.changes)
        self._connect = connect
        self._settings = settings or Settings()
        self._api = api or NoApiServer()
        self.cluster = Cluster(self.changes, self._api, self._settings.node)
        self.interfere = interfere
        self._life: Life | None = None
        self._calls: list[Call] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._life is not None:
            self.stop()

    # Its life.

    def start(self, *, pods: bool = True) -> None:
        """Begin a run. Without pods the API server is away until `admit_pods` is called."""
        assert self._life is None, "it runs already"
        around = Around(
            self.changes, self.clock, self.cluster, self._settings, self._reached, self._api
        )
        self._life = Life(self.place, around, self._connect)
        if pods:
            self.admit_pods()

    def admit_pods(self) -> None:
        """Let the API server be there."""
        self.life.admit_pods()

    def stop(self) -> None:
        """End the run and take its sockets away. Containers go on."""
        self._end(leave_sockets=False)

    def kill(self) -> None:
        """End the run as SIGKILL does: its sockets stay, and nobody serves there."""
        self._end(leave_sockets=True)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    @property
    def runs(self) -> bool:
        """Whether a run is on."""
        return self._life is not None

    @property
    def life(self) -> Life:
        """The current run."""
        assert self._life is not None, "it does not run"
        return self._life

    def _reached(self, point: str, resource: str) -> None:
        self.interfere(point, resource)

    def _end(self, *, leave_sockets: bool) -> None:
        with self.changes.lock:  # who sees a change asks whether it runs, and then for the run
            life, self._life = self.life, None
        life.close(leave_sockets=leave_sockets)
        self._calls += [*life.admission.calls, *life.dra.calls]

    # Pods.

    def create_pod(self, spec: PodSpec) -> Pod:
        """Create a pod and do not wait."""
        return self.cluster.create(spec)

    def run_pod(self, spec: PodSpec) -> Pod:
        """Create a pod and return when all its app containers run."""
        pod = self.create_pod(spec)
        self.await_running(pod)
        return pod

    def delete_pod(self, pod: Pod) -> None:
        """Delete a pod and return when nothing is left of it."""
        self.cluster.delete(pod)
        self.await_gone(pod)

    def await_gone(self, pod: Pod) -> None:
        """Return when nothing is left of a pod that was deleted."""
        self.await_pod(pod, lambda: pod.gone)

    def await_running(self, pod: Pod) -> None:
        """Return when all its app containers run; fail at once if they never will."""
        self.await_pod(pod, lambda: pod.running or pod.over)
        assert not pod.over, str(pod)

    def await_admitted(self) -> None:
        """Return when the run has taken the pods of before."""
        self.changes.wait(lambda: self.life.ledger.ready, lambda: "all pods are admitted")

    def await_over(self, pod: Pod) -> None:
        """Return when the pod has succeeded or failed."""
        self.await_pod(pod, lambda: pod.over)

    def await_restart(self, pod: Pod, count: int, container: str = "main") -> None:
        """Return when a container runs that was started so many times before."""

        def restarted() -> bool:
            status = pod.containers.get(container)
            return status is not None and status.state == "running" and status.restarts >= count

        self.await_pod(pod, restarted)

    def await_pod(self, pod: Pod, holds: Callable[[], bool]) -> None:
        """Return when something is so of a pod."""
        self.changes.wait(holds, lambda: str(pod))

    # Devices.

    def await_registered(self, resource: str) -> None:
        """Return when a plugin is connected and has sent a list."""

        def registered() -> bool:
            devices = self.life.devices
            return devices.registered(resource) and devices.lists.get(resource, 0) > 0

        self.changes.wait(registered, lambda: f"{resource} is registered")

    def await_unregistered(self, resource: str) -> None:
        """Return when no plugin is connected."""
        devices = self.life.devices
        self.changes.wait(
            lambda: not devices.registered(resource), lambda: f"{resource} is not registered"
        )

    def await_devices(self, resource: str, health: Mapping[str, str]) -> None:
        """Return when exactly these devices are listed, with these words for their health."""

        def seen() -> Mapping[str, str]:
            return self.life.devices.health(resource)

        self.changes.wait(
            lambda: seen() == health, lambda: f"{resource}: {health}, but {dict(seen())}"
        )

    def await_asked(self) -> None:
        """Return when somebody has asked once more which pods have what."""
        lister = self.life.lister
        with self.changes.lock:
            before = lister.lists
        self.changes.wait(lambda: lister.lists > before, lambda: "podresources are asked")

    def await_resource(self, resource: str, capacity: int, allocatable: int) -> None:
        """Return when the node's status says so."""
        wanted = Resource(capacity=capacity, allocatable=allocatable)
        self.changes.wait(
            lambda: self.cluster.resources.get(resource) == wanted,
            lambda: f"{resource}: {wanted}, but {self.cluster.resources.get(resource)}",
        )

    # Claims.

    def await_driver(self, driver: str, instances: int = 1) -> None:
        """Return when so many instances of a DRA driver are connected."""
        self.changes.wait(
            lambda: len(self.life.drivers.connected(driver)) == instances,
            lambda: f"{instances} of {driver}, but {self.life.drivers.connected(driver)}",
        )

    def await_event(self, pod: Pod, text: str) -> str:
        """Return the first event of a pod that has these words."""

        def told() -> str:
            return next((e.message for e in pod.events if text in e.message), "")

        return self.changes.wait(told, lambda: f"{text!r} in {pod.events}")

    def await_health(self, driver: str, pool: str, health: Mapping[str, str]) -> None:
        """Return when a pool's devices are believed to be so: Healthy, Unhealthy or Unknown."""

        def seen() -> dict[str, str]:
            known = self.life.health
            return {device: known.of(driver, pool, device)[0] for device in health}

        self.changes.wait(lambda: seen() == health, lambda: f"{health}, but {seen()}")

    def prepared(self, pod: Pod) -> frozenset[tuple[str, str, str]]:
        """Driver, pool and device of all that was prepared for a pod."""
        return frozenset(
            (driver, device.pool, device.device)
            for info in self.life.dra.claims()
            if pod.spec.uid in info.pods
            for driver, devices in info.devices.items()
            for device in devices
        )

    def given(self, pod: Pod, resource: str, container: str = "main") -> frozenset[str]:
        """The devices that a container has."""
        entry = self.life.ledger.find(pod.spec.uid, container, resource)
        return entry.ids if entry else frozenset()

    def calls(self, method: str = "") -> list[Call]:
        """What plugins were asked, in all runs; of one method, if one is named."""
        with self.changes.lock:
            now = self._life
            calls = [*self._calls, *((*now.admission.calls, *now.dra.calls) if now else ())]
        return [call for call in calls if method in ("", call.method)]
