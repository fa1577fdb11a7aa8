"""The DRA drivers that have registered: several instances of each, and what their end costs.

k8s.io/kubernetes pkg/kubelet/cm/dra/plugin/dra_plugin_manager.go.
"""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Sequence

from tests.fakes.kubelet.apiserver import ApiError, ApiServer
from tests.fakes.kubelet.changes import Changes, Clock
from tests.fakes.kubelet.dradriver import Driver
from tests.fakes.kubelet.health import Health
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.settings import Settings

_ALL = ""  # drivers


class Drivers:
    """The instances of each driver, in the order in which they registered.

    All slices of the node are deleted at the start, for nobody has registered yet; those of a
    driver once none of its instances was connected for half a minute.
    """

    def __init__(
        self, api: ApiServer, changes: Changes, clock: Clock, settings: Settings, health: Health
    ) -> None:
        self._api = api
        self._changes = changes
        self._clock = clock
        self._settings = settings
        self._health = health
        self._instances: dict[str, list[Driver]] = {}
        self._wipes: dict[str, float] = {}  # when, by driver; until then it may come back
        self._alive = True
        self.wiped: list[str] = []  # drivers whose slices were deleted; "" is all
        self._start(self._wipe, _ALL)
        threading.Thread(target=self._run, name="wipes", daemon=True).start()

    # What the plugin watcher calls.

    def problem(self, name: str, versions: Sequence[str]) -> str:
        """Why a plugin cannot be a driver's; empty when it can."""
        if not versions:
            said = "empty list of supported gRPC services (aka supported versions)"
        elif not self._service(versions):
            ours = list(self._settings.dra_services)
            said = f"none of services supported by the plugin ({list(versions)}) are among {ours}"
        else:
            return ""
        return f"invalid supported gRPC versions of DRA driver plugin {name}: {said}"

    def connect(self, name: str, endpoint: pathlib.Path, versions: Sequence[str]) -> None:
        """Take an instance, which need not be reachable; raises PluginError."""
        with self._changes.lock:
            if not self._alive:
                raise PluginError("the kubelet ends")
            instances = self._instances.setdefault(name, [])
            if any(known.endpoint == endpoint for known in instances):
                raise PluginError(f"endpoint {endpoint} already registered for DRA driver {name}")
            timeout = self._settings.dra_call
            service = self._service(versions)
            driver = Driver(name, endpoint, service, timeout, self._changes)
            instances.append(driver)
            self._sync(name)
        driver.watch_connection(lambda: self._sync(name))
        if self._settings.dra_health:
            threading.Thread(
                target=self._follow_health, args=(driver,), name=f"{name} health", daemon=True
            ).start()

    def disconnect(self, name: str, endpoint: pathlib.Path) -> None:
        """Forget an instance."""
        with self._changes.lock:
            instances = self._instances.get(name, [])
            gone = [known for known in instances if known.endpoint == endpoint]
            left = [known for known in instances if known.endpoint != endpoint]
            if left:
                self._instances[name] = left
            else:
                self._instances.pop(name, None)
            if gone:
                self._sync(name)
        for driver in gone:
            driver.close()

    # What others ask.

    def find(self, name: str) -> Driver:
        """The instance to call: the newest that is connected, else the newest.

        Raises PluginError if there is none.
        """
        with self._changes.lock:
            instances = self._instances.get(name, [])
            if not instances:
                raise PluginError(f"DRA driver {name} is not registered")
            return next((d for d in reversed(instances) if d.connected), instances[-1])

    def connected(self, name: str) -> list[Driver]:
        """The instances that are connected."""
        with self._changes.lock:
            return [driver for driver in self._instances.get(name, []) if driver.connected]

    def close(self) -> None:
        """End every connection."""
        with self._changes.lock:
            self._alive = False
            every = [driver for instances in self._instances.values() for driver in instances]
            self._changes.tell()
        for driver in every:
            driver.close()

    def _service(self, versions: Sequence[str]) -> str:
        """The first in the driver's order that is ours too."""
        return next((name for name in versions if name in self._settings.dra_services), "")

    def _sync(self, name: str) -> None:
        """Let the time of a driver that nobody can reach run, or run no more."""
        with self._changes.lock:
            if self.connected(name):
                self._wipes.pop(name, None)
            else:
                self._wipes.setdefault(name, self._clock.now() + self._settings.wipe_delay)
            self._changes.tell()

    def _run(self) -> None:
        """Begin each wipe at its time; what has begun goes on, even if the driver is back."""
        with self._changes.lock:
            while self._alive:
                now = self._clock.now()
                for name in [name for name, at in self._wipes.items() if at <= now]:
                    del self._wipes[name]
                    self._start(self._wipe, name)
                self._changes.pause(min((at - now for at in self._wipes.values()), default=None))

    def _start(self, target: Callable[[str], None], name: str) -> None:
        threading.Thread(target=target, args=(name,), name=f"wipe {name}", daemon=True).start()

    def _wipe(self, name: str) -> None:
        """Delete slices, again and again until that succeeds."""
        delay, longest = self._settings.backoff
        while self._alive:
            try:
                self._api.delete_slices(self._settings.node, name)
            except ApiError:
                self._sleep(delay, lambda: self._alive)
                delay = min(2 * delay, longest)
            else:
                with self._changes.lock:
                    self.wiped.append(name)
                    self._changes.tell()
                return

    def _follow_health(self, driver: Driver) -> None:
        """Read what it tells of its devices; when that ends, ask again after a while."""
        while not driver.closed:
            for answer in driver.health():
                if not driver.closed:
                    self._health.received(driver.name, list(answer.devices))
            self._health.forget(driver.name)
            self._sleep(self._settings.health_retry, lambda: not driver.closed)

    def _sleep(self, seconds: float, wanted: Callable[[], bool]) -> None:
        """Let so much time pass by the clock, unless it is for nothing."""
        until = self._clock.now() + seconds
        with self._changes.lock:
            while wanted() and (left := until - self._clock.now()) > 0:
                self._changes.pause(left)
