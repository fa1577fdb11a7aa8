"""What functions and ports count: the observers of these parts, by shape."""

from __future__ import annotations

from netdevice_plugin.operations.metrics import Metrics


class HardwareMetrics:
    """Functions bound and brought home, virtual ones counted and set, ports attached."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def began(self) -> None:
        """A pool has functions for programs: a first failure shows as a rise."""
        for call in ("bind", "return"):
            for outcome in ("done", "failed"):
                self._metrics.count("function_calls_total", call, outcome, by=0)

    def lent(self, functions: int) -> None:
        """So many functions have a userspace driver by our doing."""
        self._metrics.set("functions_bound", functions)

    # ---- functions.observer.Observer

    def bound(self, device: str, seconds: float) -> None:
        """A device has got its userspace driver."""
        self._metrics.count("function_calls_total", "bind", "done")
        self._metrics.observe("function_call_duration_seconds", seconds, "bind")

    def returned(self, device: str, seconds: float) -> None:
        """A device has its own driver again."""
        self._metrics.count("function_calls_total", "return", "done")
        self._metrics.observe("function_call_duration_seconds", seconds, "return")

    def failed(self, device: str, step: str) -> None:
        """`bind` or `return` failed."""
        self._metrics.count("function_calls_total", step, "failed")

    def vf_set(self, device: str) -> None:
        """The PF was told something of a VF."""
        self._metrics.count("vf_settings_total")

    def counted(self, pf: str, vfs: int) -> None:
        """A PF was given that many VFs."""
        self._metrics.count("vf_counts_total", "done")

    def not_counted(self, pf: str) -> None:
        """A PF could not be given its VFs."""
        self._metrics.count("vf_counts_total", "failed")


class PortMetrics:
    """What is asked of port providers: ports.observer.Observer."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def called(self, pool: str, call: str, outcome: str, seconds: float) -> None:
        """A provider was asked to attach, detach or list."""
        self._metrics.count("port_calls_total", pool, call, outcome)
        self._metrics.observe("port_call_duration_seconds", seconds, call)

    def counted(self, pool: str, *, ports: int, coming: int, leaving: int) -> None:
        """A pool has so many ports, of some of which the NIC is not here yet, or is to go."""
        here = ports - coming - leaving
        for state, number in (("here", here), ("coming", coming), ("leaving", leaving)):
            self._metrics.set("ports", number, pool, state)
