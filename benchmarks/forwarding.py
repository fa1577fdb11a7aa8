"""DPDK in a container against DPDK on the host it is on, both in an emulated machine."""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile

from benchmarks.numbers import Samples, Table, ratio
from tests.vm import dpdk, fetch, guest

_PATIENCE = 900.0  # seconds until the guest has an answer
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def forwarding(turns: int) -> Table:
    """Boot the guest, have `benchmarks.forwarder` measure there, and compare."""
    inside, beside = zip(*_measured(turns), strict=True)
    container, host = (Samples(tuple(1 / rate for rate in rates)) for rates in (inside, beside))
    low, high = host.bounds(container)
    row = (
        "virtio, vfio-pci",
        *_cells(container),
        *_cells(host),
        ratio(host.over(container)),
        f"{low:.2f}..{high:.2f}",
        ratio(host.pairwise(container)),
    )
    return Table(
        title="DPDK forwarding in a container, and on the host",
        columns=(
            *("thousand packets/s, medians", "container", "middle half", "host", "middle half"),
            *("ratio", "95 %", "pairwise"),
        ),
        rows=(row,),
        notes=(
            f"{len(inside)} turns each, one after the other, the order reversed every other time, "
            "and the NICs swapped for the second half. testpmd, one core, two virtio NICs behind "
            "vfio-pci that are connected with each other: 64 packets go round. The processor is "
            "emulated, so that the figures mean something beside each other alone.",
        ),
    )


def _cells(samples: Samples) -> tuple[str, str]:
    low, high = samples.quartiles
    return _thousands(samples.median), f"{_thousands(high)}..{_thousands(low)}"


def _thousands(seconds: float) -> str:
    return f"{1 / seconds / 1000:.3f}"


def _measured(turns: int) -> list[tuple[float, float]]:
    """What the guest says: a pair of rates for each turn."""
    dpdk.root()
    command = (sys.executable, "-m", "benchmarks.forwarder", str(turns), guest.PORT)
    with (
        tempfile.TemporaryDirectory() as work,
        guest.booted(fetch.kit(), pathlib.Path(work), command, _ENVIRONMENT) as (running, _),
    ):
        found: list[tuple[float, float]] = json.loads(running.line(_PATIENCE))
        return found
