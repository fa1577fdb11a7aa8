"""What DRA counts: the observers of its parts, by shape."""

from __future__ import annotations

from netdevice_plugin.operations.metrics import Metrics


class ClaimMetrics:
    """Claims, slices and their status. The series are there once it is begun."""

    def __init__(self, metrics: Metrics, driver: str) -> None:
        self._metrics = metrics
        self._driver = driver

    def began(self) -> None:
        """There is a pool of DRA: what is not there yet shows, and a first failure as a rise."""
        for name in ("dra_registered", "claimed_devices", "slices", "slices_in_sync"):
            self._metrics.set(name, 0, self._driver)
        for outcome in ("done", "failed"):
            for call in ("prepare", "unprepare"):
                self._metrics.count("claim_calls_total", call, outcome, by=0)
            self._metrics.count("claim_status_writes_total", outcome, by=0)
        for verb in ("create", "update", "delete"):
            self._metrics.count("slice_writes_total", verb, by=0)

    def held(self, devices: int) -> None:
        """So many devices are claims' now."""
        self._metrics.set("claimed_devices", devices, self._driver)

    # ---- the kubelet's side: dra.observer.Observer

    def registered(self) -> None:
        """The kubelet took the registration."""
        self._metrics.set("dra_registered", 1, self._driver)

    def registration_failed(self, reason: str) -> None:
        """It did not; the reason is for the log, not for a label."""
        self._metrics.set("dra_registered", 0, self._driver)

    def prepared(self, devices: int, seconds: float) -> None:
        """A claim was prepared."""
        self._metrics.count("claim_calls_total", "prepare", "done")
        self._metrics.observe("claim_call_duration_seconds", seconds, "prepare")

    def prepare_failed(self, reason: str) -> None:
        """It was not."""
        self._metrics.count("claim_calls_total", "prepare", "failed")

    def unprepared(self, seconds: float) -> None:
        """A claim was unprepared."""
        self._metrics.count("claim_calls_total", "unprepare", "done")
        self._metrics.observe("claim_call_duration_seconds", seconds, "unprepare")

    def unprepare_failed(self, reason: str) -> None:
        """It was not."""
        self._metrics.count("claim_calls_total", "unprepare", "failed")

    def taken_over(self) -> None:
        """A device was taken from a claim that is over."""
        self._metrics.count("claims_taken_over_total")

    def health_sent(self, healthy: int, unhealthy: int) -> None:
        """The kubelet was told of the devices' health: `devices` counts them already."""

    # ---- the API server's: dra.cluster.observer.Observer

    def written(self, verb: str) -> None:
        """A slice was written: create, update or delete."""
        self._metrics.count("slice_writes_total", verb)

    def failed(self, reason: str) -> None:
        """A call for the slices failed; there will be another one."""
        self._metrics.count("slice_failures_total")
        self._metrics.set("slices_in_sync", 0, self._driver)

    def synced(self, slices: int, devices: int) -> None:
        """The API server has all that is wanted."""
        self._metrics.set("slices", slices, self._driver)
        self._metrics.set("slices_in_sync", 1, self._driver)

    def status_written(self) -> None:
        """A claim's status was written."""
        self._metrics.count("claim_status_writes_total", "done")

    def status_failed(self, reason: str) -> None:
        """It could not be."""
        self._metrics.count("claim_status_writes_total", "failed")
