"""One run of the kubelet, from its start to its end: all that it has in memory."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable

from tests.fakes.kubelet import podresources, registration
from tests.fakes.kubelet.admission import Admission, AdmissionError
from tests.fakes.kubelet.apiserver import ApiServer
from tests.fakes.kubelet.changes import Changes, Clock
from tests.fakes.kubelet.cluster import Cluster, Pod
from tests.fakes.kubelet.devices import Devices
from tests.fakes.kubelet.dra import Dra
from tests.fakes.kubelet.drivers import Drivers
from tests.fakes.kubelet.health import Health
from tests.fakes.kubelet.ledger import Ledger
from tests.fakes.kubelet.place import Place
from tests.fakes.kubelet.registry import Registry, Watched
from tests.fakes.kubelet.runtime import Connect, Observed, Runtime, RuntimeCallError, State
from tests.fakes.kubelet.settings import Interfere, Settings
from tests.fakes.kubelet.watcher import Handler, Watcher
from tests.fakes.kubelet.worker import Tools, Worker

_STARTS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Around:
    """What is there before a run and after it."""

    changes: Changes
    clock: Clock
    cluster: Cluster
    settings: Settings
    interfere: Interfere
    api: ApiServer


class Life:
    """Serves as soon as it is made; takes pods from `admit_pods` on."""

    def __init__(self, place: Place, around: Around, connect: Connect) -> None:
        changes, settings, interfere = around.changes, around.settings, around.interfere
        self._changes = changes
        self._cluster = around.cluster
        self._workers: dict[str, Worker] = {}
        self._alive = True
        self._takes_pods = False
        self._runtime, seen = _connected(connect, self._event)
        self._found = {(c.pod, c.name) for c in seen.containers if c.state is State.RUNNING}
        self.ledger = Ledger(place.plugins, changes, self._active)
        self.devices = Devices(self.ledger, changes, around.clock, settings.grace)
        self.admission = Admission(self.devices, self.ledger, changes, settings)
        self._clock, self._period = around.clock, settings.dra_reconcile
        self.health = Health(changes, around.clock)
        self.drivers = Drivers(around.api, changes, around.clock, settings, self.health)
        self.dra = Dra(
            place.root,
            around.api,
            self.drivers,
            changes,
            interfere=interfere,
            active=self._active_if_known,
        )
        self._tools = Tools(
            changes, self._cluster, self.admission, self.dra, self._runtime, settings
        )
        registration.clean(place.plugins)
        registry = self._registry = Registry(changes, self.devices)
        registrar = registration.Registration(place.plugins, registry, interfere)
        self.lister = podresources.PodResources(
            self._pods, self.ledger, self.devices, self.dra, changes=changes, settings=settings
        )
        self._servers = (
            registration.serve(place.plugins, place.root, registrar),
            podresources.serve(place.pod_resources, place.root, self.lister),
        )
        handlers: dict[str, Handler] = {
            "DevicePlugin": Watched(registry),
            "DRAPlugin": self.drivers,
        }
        self.watcher = Watcher(place.registry, place.seen_from, handlers, changes, interfere)
        self.watcher.start()
        threading.Thread(target=self._reconcile, name="claims", daemon=True).start()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._thread.start()

    def admit_pods(self) -> None:
        """The API server is there: take the pods of before, then those that come."""
        with self._changes.lock:
            self._takes_pods = True
            self._changes.tell()

    def post(self) -> None:
        """Write the node's status."""
        with self._changes.lock:
            if self._alive:
                self._cluster.post(*self.devices.status())

    def close(self, *, leave_sockets: bool) -> None:
        """End at once, in the middle of whatever is going on."""
        with self._changes.lock:
            self._alive = False
            self.ledger.close()
            self.dra.close()
            workers = tuple(self._workers.values())
        for worker in workers:
            worker.stop()
        self.drivers.close()
        self._registry.close()  # who waits in Register for a plugin's answer waits no longer
        for server in self._servers:
            server.close(leave_socket=leave_sockets)
        self.watcher.close()
        self._runtime.close()
        self._thread.join()
        for worker in workers:
            worker.join()

    def _pods(self) -> list[Pod]:
        """Those that this run knows of: none before the API server is there."""
        with self._changes.lock:
            return [pod for pod in self._cluster.bound() if self._takes_pods]

    def _active(self) -> frozenset[str]:
        return frozenset(pod.spec.uid for pod in self._pods() if not pod.over)

    def _active_if_known(self) -> frozenset[str] | None:
        with self._changes.lock:
            return self._active() if self._takes_pods else None

    def _event(self, pod: str) -> None:
        """The runtime tells of a pod, or of itself."""
        with self._changes.lock:
            workers = [w for uid, w in self._workers.items() if pod in ("", uid)]
        for worker in workers:
            worker.wake()

    def _run(self) -> None:
        """Admit pods one by one, as they come; write the node's status when it changes."""
        while self._await_pods():
            for pod in self._pods():
                if pod.spec.uid not in self._workers:
                    self._admit(pod)
            with self._changes.lock:
                self.ledger.ready = True
                self._changes.tell()

    def _reconcile(self) -> None:
        """Look once a minute, by the clock, for claims of pods that are over."""
        due = self._clock.now()
        while self._alive:
            if due <= self._clock.now():
                self.dra.reconcile()
                due = self._clock.now() + self._period
            with self._changes.lock:
                if self._alive and due > (now := self._clock.now()):
                    self._changes.pause(due - now)

    def _await_pods(self) -> bool:
        with self._changes.lock:
            while self._alive:
                self.post()
                if any(pod.spec.uid not in self._workers for pod in self._pods()):
                    return True
                if self._takes_pods and not self.ledger.ready:
                    return True
                self._changes.pause(None)
            return False

    def _admit(self, pod: Pod) -> None:
        spec = pod.spec
        running = frozenset(name for uid, name in self._found if uid == spec.uid)
        if not pod.over and not pod.deleting:
            try:
                self.admission.admit(pod, running)
            except AdmissionError as error:
                with self._changes.lock:
                    if self._alive:
                        text = f"Allocate failed due to {error}, which is unexpected"
                        pod.fail("UnexpectedAdmissionError", text)
        with self._changes.lock:
            if self._alive:
                self._workers[spec.uid] = Worker(pod, self._tools)
                self._cluster.tell()


def _connected(connect: Connect, wake: Callable[[str], None]) -> tuple[Runtime, Observed]:
    """A runtime that answers, and what there is in it.

    A kubelet whose runtime does not answer at its start ends, and systemd starts it again and
    again; here not for ever.
    """
    starts = itertools.count(1)
    while True:
        runtime = connect(wake)
        try:
            return runtime, runtime.observe()
        except RuntimeCallError:
            runtime.close()
            if next(starts) == _STARTS:
                raise
