"""Metrics of this process, in a registry of their own: what the agent calls as things happen.

Any thread may call. What the mover has counted is read when somebody asks, see `counters`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import prometheus_client
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from netdevice_plugin import __version__
from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.model import Listed
from netdevice_plugin.mover import Exit
from netdevice_plugin.operations import catalogue
from netdevice_plugin.operations.catalogue import Kind
from netdevice_plugin.operations.collector import MoverCollector

STATES = ("healthy", "lent", "unhealthy")
CODES = ("OK", "FAILED_PRECONDITION", "INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND")
RECLAIMS: Mapping[int, str] = {
    Exit.DONE: "home",
    Exit.FAILED: "failed",
    Exit.HELD: "held",
    Exit.LOST: "lost",
}


def state_of(listed: Listed) -> str:
    """Which of STATES a device counts as: with a fault it is unhealthy, lent or not."""
    if listed.fault:
        return "unhealthy"
    return "lent" if listed.device.lent else "healthy"


class Metrics:
    """All that is counted. It has the methods that a device plugin server tells its observer.

    Gauges of a resource are there from when it is first listed, so that one that
    never registers shows, and gone when it is listed no more. Where there is no
    kubelet none of its side is there, or it would look as if it had gone away.
    """

    def __init__(self, run_dir: Path, *, kubelet: bool = True) -> None:
        self._kubelet = kubelet
        self.registry = CollectorRegistry()
        told = {kind: [one for one in catalogue.TOLD if one.kind is kind] for kind in Kind}
        self._counters = {
            one.name: prometheus_client.Counter(
                one.full_name, one.text, one.labels, registry=self.registry
            )
            for one in told[Kind.COUNTER]
        }
        self._gauges = {
            one.name: prometheus_client.Gauge(
                one.full_name, one.text, one.labels, registry=self.registry
            )
            for one in told[Kind.GAUGE]
        }
        self._histograms = {
            one.name: prometheus_client.Histogram(
                one.full_name, one.text, one.labels, registry=self.registry, buckets=one.buckets
            )
            for one in told[Kind.HISTOGRAM]
        }
        self.registry.register(MoverCollector(run_dir))
        prometheus_client.ProcessCollector(registry=self.registry)
        self._resources: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        """Make known what can happen: a first failure shows as a rise from 0."""
        self.set("build_info", 1, __version__)
        for outcome in RECLAIMS.values():
            self.count("reclaims_total", outcome, by=0)
        for outcome in ("applied", "refused"):
            self.count("config_reloads_total", outcome, by=0)
        for source in ("podresources", "checkpoint"):
            for outcome in ("answered", "failed"):
                self.count("kubelet_queries_total", source, outcome, by=0)
        self.loans(())

    def page(self) -> bytes:
        """All of it in Prometheus' text format, version 0.0.4."""
        return prometheus_client.generate_latest(_WithoutCreated(self.registry))

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Count one more, or so many, of a counter of the catalogue."""
        metric = self._counters[name]
        (metric.labels(*labels) if labels else metric).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge of the catalogue."""
        metric = self._gauges[name]
        (metric.labels(*labels) if labels else metric).set(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Note one more value of a histogram of the catalogue."""
        self._histograms[name].labels(*labels).observe(value)

    # ---- devices and loans: loans.reconciler.Observer, by shape

    def listed(self, lists: Mapping[str, Iterable[Listed]]) -> None:
        """Every resource that is served, by its name, and its devices."""
        for resource, devices in lists.items():
            counts = dict.fromkeys(STATES, 0)
            for one in devices:
                counts[state_of(one)] += 1
            for state, count in counts.items():
                self.set("devices", count, resource, state)
            if resource not in self._resources:
                self._appear(resource)
        for resource in self._resources - lists.keys():
            self._disappear(resource)

    def _appear(self, resource: str) -> None:
        self._resources.add(resource)
        if not self._kubelet:
            return
        self.set("kubelet_registered", 0, resource)
        self.set("kubelet_stream_open", 0, resource)
        self._histograms["allocation_duration_seconds"].labels(resource)
        for name in (
            *("allocated_devices_total", "kubelet_registrations_total"),
            *("kubelet_registration_failures_total", "kubelet_lists_sent_total"),
        ):
            self.count(name, resource, by=0)
        for code in CODES:
            self.count("allocations_total", resource, code, by=0)

    def _disappear(self, resource: str) -> None:
        self._resources.discard(resource)
        for state in STATES:
            self._gauges["devices"].remove(resource, state)
        if self._kubelet:
            for name in ("kubelet_registered", "kubelet_stream_open"):
                self._gauges[name].remove(resource)

    def loans(self, records: Iterable[Attachment], unreadable: int = 0) -> None:
        """Every record of the mover's, and how many cannot be read."""
        counts = dict.fromkeys(Phase, 0)
        for one in records:
            counts[one.phase] += 1
        for phase, count in counts.items():
            self.set("loans", count, phase.value)
        self.set("unreadable_records", unreadable)

    def orphans(self, count: int) -> None:
        """So many loans have a holder that lives and is no pod's."""
        self.set("orphans", count)

    def holders_died(self, count: int = 1) -> None:
        """So many loans more were found whose holders had died without returning them."""
        self.count("dead_holders_total", by=count)

    def reclaimed(self, code: int) -> None:
        """A run of the mover's `reclaim` by the agent has ended with that exit code."""
        self.count("reclaims_total", RECLAIMS.get(code, "failed"))

    # ---- the kubelet: deviceplugin.Observer, by shape

    def registered(self, resource: str) -> None:
        """The kubelet took a registration."""
        self.count("kubelet_registrations_total", resource)
        self._of("kubelet_registered", resource, 1)

    def registration_failed(self, resource: str, reason: str) -> None:
        """It did not; the reason is for the log, not for a label."""
        self.count("kubelet_registration_failures_total", resource)
        self._of("kubelet_registered", resource, 0)

    def stream_opened(self, resource: str) -> None:
        """The kubelet listens to the list of devices."""
        self._of("kubelet_stream_open", resource, 1)

    def stream_ended(self, resource: str) -> None:
        """It does no longer."""
        self._of("kubelet_stream_open", resource, 0)

    def list_sent(self, resource: str, healthy: int, unhealthy: int) -> None:
        """A list went to the kubelet."""
        self.count("kubelet_lists_sent_total", resource)

    def allocated(self, resource: str, devices: Sequence[str], seconds: float) -> None:
        """An Allocate succeeded."""
        self.count("allocations_total", resource, "OK")
        self.count("allocated_devices_total", resource, by=len(devices))
        self._histograms["allocation_duration_seconds"].labels(resource).observe(seconds)

    def allocation_failed(self, resource: str, code: str) -> None:
        """An Allocate failed with that gRPC code, such as NOT_FOUND."""
        self.count("allocations_total", resource, code)

    def _of(self, name: str, resource: str, value: int) -> None:
        """Set a gauge, but not one of a resource that is gone: it would stay for ever."""
        if resource in self._resources:
            self.set(name, value, resource)

    def queried(self, source: str, *, ok: bool) -> None:
        """`podresources` or `checkpoint` was asked who uses what."""
        self.count("kubelet_queries_total", source, "answered" if ok else "failed")

    # ---- the rest

    def in_charge(self, charge: bool) -> None:
        """Whether this agent serves the node, or waits for another one to hand over."""
        self.set("in_charge", charge)

    def snapshot(self) -> None:
        """The inventory has found a change."""
        self.count("inventory_snapshots_total")

    def netlink_overrun(self, count: int = 1) -> None:
        """The kernel dropped events."""
        self.count("netlink_overruns_total", by=count)

    def config_applied(self, digest: str) -> None:
        """A configuration runs now; the digest names it, and there is one series for it."""
        self._gauges["config_info"].clear()
        self.set("config_info", 1, digest)
        self.set("config_last_reload_successful", 1)
        self.set("config_applied_timestamp_seconds", time.time())
        self.count("config_reloads_total", "applied")

    def config_refused(self) -> None:
        """A configuration was not taken; the old one goes on."""
        self.set("config_last_reload_successful", 0)
        self.count("config_reloads_total", "refused")

    def cdi_written(self, count: int = 1) -> None:
        """CDI files were written."""
        self.count("cdi_writes_total", by=count)

    def cdi_write_failed(self) -> None:
        """One could not be."""
        self.count("cdi_write_failures_total")


class _WithoutCreated(Collector):
    """A registry without `_created` series, which double the page and which nobody asks for.

    The library's own switch would be for the whole process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            yield family
