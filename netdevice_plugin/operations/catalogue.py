"""Every metric that we have, as data: made by `metrics`, documented and checked by tests.

Names follow https://prometheus.io/docs/practices/naming. A label's values are few:
pools, phases, codes, the mover's steps; never a device, a pod or a message.
"""

from __future__ import annotations

import dataclasses
import enum

PREFIX = "netdevice_plugin_"


class Kind(enum.Enum):
    """What Prometheus calls the type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """One family; `name` is without our prefix, and as Prometheus stores it."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # seconds, without the last, which is infinite

    @property
    def full_name(self) -> str:
        """The name as scraped, but for a histogram's suffixes."""
        return PREFIX + self.name

    @property
    def series(self) -> tuple[str, ...]:
        """Every name that a query may use."""
        if self.kind is not Kind.HISTOGRAM:
            return (self.full_name,)
        return tuple(self.full_name + suffix for suffix in ("_bucket", "_count", "_sum"))


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"{name}_total", Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, text, labels)


# An Allocate is memory alone: what takes milliseconds waited for something.
_ALLOCATE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
# An API server's answer, and two files that are synced.
_CLAIM = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0)
# A driver lets go of a device and another takes it; some reset it meanwhile.
_FUNCTION = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# A cloud's API, and a NIC that is plugged in.
_PORT = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_CALL = ("call", "outcome")
# The mover's own, docs/reference/mover.md.
MOVER_BUCKETS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)

# What the agent tells.
TOLD = (
    _gauge("build_info", "Always 1; the version that runs.", "version"),
    _gauge("in_charge", "1 if this agent serves the node, 0 while another one does."),
    _gauge(
        "devices",
        "Devices listed: healthy ones are free, lent ones in a pod, unhealthy ones for nobody.",
        *("resource", "state"),
    ),
    _counter("allocations", "Allocate calls of the kubelet, by gRPC code.", "resource", "code"),
    _counter("allocated_devices", "Devices handed out by Allocate.", "resource"),
    Metric(
        "allocation_duration_seconds",
        Kind.HISTOGRAM,
        "How long an Allocate that succeeded took.",
        ("resource",),
        _ALLOCATE,
    ),
    _gauge("kubelet_registered", "1 if the last registration succeeded.", "resource"),
    _counter("kubelet_registrations", "Registrations that the kubelet took.", "resource"),
    _counter("kubelet_registration_failures", "Registrations that failed.", "resource"),
    _gauge("kubelet_stream_open", "1 while the kubelet listens to the list.", "resource"),
    _counter("kubelet_lists_sent", "Lists of devices sent to the kubelet.", "resource"),
    _counter(
        "kubelet_queries",
        "Questions who uses what, to the pod resources API or the checkpoint file.",
        *("source", "outcome"),
    ),
    _gauge("loans", "Records of the mover, by phase.", "phase"),
    _gauge("unreadable_records", "Records of the mover that cannot be read."),
    _gauge("orphans", "Loans whose holder lives but is no pod of the kubelet's."),
    _counter("dead_holders", "Loans found whose holders had died without returning them."),
    _counter("reclaims", "Devices that the agent had brought home, or tried to.", "outcome"),
    _counter("inventory_snapshots", "Looks at the links of the host that found a change."),
    _counter("netlink_overruns", "Times that the kernel dropped events, and all was read again."),
    _gauge("dra_registered", "1 if the kubelet has taken the DRA driver.", "driver"),
    _gauge("claimed_devices", "Devices of claims that are prepared.", "driver"),
    _counter("claim_calls", "Claims prepared and unprepared for the kubelet.", *_CALL),
    Metric(
        "claim_call_duration_seconds",
        Kind.HISTOGRAM,
        "How long a claim that was prepared or unprepared took, the API server's part included.",
        ("call",),
        _CLAIM,
    ),
    _counter("claims_taken_over", "Claims that had a device and were over, found by another one."),
    _gauge("slices", "ResourceSlices that the API server has of this node.", "driver"),
    _gauge("slices_in_sync", "1 if they are what they should be.", "driver"),
    _counter("slice_writes", "ResourceSlices written.", "verb"),
    _counter("slice_failures", "Calls for ResourceSlices that failed; each is made again."),
    _counter("claim_status_writes", "Updates of claims' status.", "outcome"),
    _gauge("functions_bound", "PCI functions that have a userspace driver by the agent's doing."),
    _counter("function_calls", "PCI functions bound to such a driver, and returned.", *_CALL),
    Metric(
        "function_call_duration_seconds",
        Kind.HISTOGRAM,
        "How long it took to bind or return a function.",
        ("call",),
        _FUNCTION,
    ),
    _counter("vf_settings", "Times that a PF was told settings of a VF for a program's use."),
    _counter("vf_counts", "Times that a PF's number of VFs was set, or could not be.", "outcome"),
    _gauge("ports", "Ports that a provider attached to this machine.", "pool", "state"),
    _counter("port_calls", "Calls of port providers.", "pool", *_CALL),
    Metric(
        "port_call_duration_seconds",
        Kind.HISTOGRAM,
        "How long a call of a port provider took.",
        ("call",),
        _PORT,
    ),
    _counter("config_reloads", "Configurations read, applied or refused.", "outcome"),
    _gauge("config_last_reload_successful", "0 while the file on disk is not what runs."),
    _gauge("config_applied_timestamp_seconds", "When the running configuration was applied."),
    _gauge("config_info", "Always 1; the running configuration's hash.", "hash"),
    _counter("cdi_writes", "CDI files written."),
    _counter("cdi_write_failures", "CDI files that could not be written."),
)

# What the mover has counted, read at each scrape.
RUNS = _counter(
    "mover_runs",
    "Runs of the mover: moved the link, idle as there was nothing to do, or failed.",
    *("command", "outcome"),
)
FAILURES = _counter("mover_failures", "Runs that failed, by the first step.", "command", "step")
DURATION = Metric(
    "mover_duration_seconds",
    Kind.HISTOGRAM,
    "How long a run that moved the link took, from the mover's start to its end.",
    ("command",),
    MOVER_BUCKETS,
)
STANDING = _gauge("mover_standing_errors", "Devices whose last failure nothing has mended yet.")

CATALOGUE = (*TOLD, RUNS, FAILURES, DURATION, STANDING)
