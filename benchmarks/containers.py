"""What a device adds to a container's start on a real containerd, beside the mover's own time."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks.numbers import Samples, Table
from tests.e2e import containerd as containerds
from tests.e2e import fetch, image
from tests.e2e import node as nodes
from tests.e2e.cri import Cri, Pod
from tests.e2e.lender import Lender
from tests.e2e.links import Link
from tests.e2e.node import Node


def starts(kinds: Sequence[str], rounds: int) -> Table:
    """Start containers with and without a device, in turn, in one pod; order reversed in turn."""
    parts = fetch.parts()
    subprocess.run([sys.executable, "-m", "hack.build_mover"], cwd=fetch.ROOT, check=True)
    rows = []
    with tempfile.TemporaryDirectory() as directory, nodes.node() as node:
        archive = pathlib.Path(directory) / "image.tar"
        image.write(archive)
        node.run(
            *(sys.executable, "-m", "netdevice_plugin", "mover", "install"),
            "/opt/netdevice-plugin/bin",
        )
        with containerds.containerd(node, parts, archive) as daemon:
            for kind in kinds:
                lender = Lender(node)
                try:
                    rows.append(_row(daemon.cri, lender, lender.lend(kind), rounds))
                finally:
                    daemon.cri.remove_all_pods()
                    lender.close()
    return Table(
        title="Container start on containerd, with and without a device",
        columns=("ms, medians", "without", "with", "difference", "mover", "beyond the mover"),
        rows=tuple(rows),
        notes=(
            f"{rounds} rounds each, A B B A. StartContainer over CRI, in which runc is run and "
            "with it the createRuntime hook; the sandbox is there already. Mover: what it counts "
            "of itself (docs/reference/mover.md), from its start to the end of its work. "
            "Target: at most 3 ms beyond the mover.",
        ),
    )


def _row(cri: Cri, lender: Lender, link: Link, rounds: int) -> tuple[str, ...]:
    pod = cri.run_pod()
    times: dict[str, list[float]] = {"": [], lender.device(link): []}
    moves: list[float] = []
    for number in range(rounds + 1):  # the first round is not counted: all is cold
        for device in list(times)[:: 1 if number % 2 else -1]:
            before = _moved(lender.node, link)
            taken = _start(cri, pod, device)
            if number:
                times[device].append(taken)
                if device:
                    moves.append((_moved(lender.node, link) - before) / 1e6)
    without, with_device = (Samples(tuple(one)).median for one in times.values())
    mover = Samples(tuple(moves)).median
    found = (without, with_device, with_device - without, mover, with_device - without - mover)
    return (link.kind, *(f"{1000 * seconds:.1f}" for seconds in found))


def _start(cri: Cri, pod: Pod, device: str) -> float:
    container = cri.create(pod, device)
    began = time.perf_counter()
    cri.start(container)
    taken = time.perf_counter() - began
    cri.stop(container)
    cri.remove(container)
    return taken


def _moved(node: Node, link: Link) -> int:
    """Microseconds that attaches of this link have taken so far."""
    path = node.path(f"/run/netdevice-plugin/counters/{link.name}")
    found = (
        re.search(r"^times=attach (\d+) ", path.read_text(), re.MULTILINE)
        if path.exists()
        else None
    )
    return int(found[1]) if found else 0
