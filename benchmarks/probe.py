"""One measurement in a process of its own, so that its memory is its own: `probe.py WHAT REPEATS`.

Prints JSON: seconds of each repeat, of its parts, and how much memory it took.
It runs in the network namespace that it is started in.
"""

from __future__ import annotations

import gc
import itertools
import json
import pathlib
import resource
import sys
import time
from collections.abc import Callable

Parts = dict[str, float]


def ours() -> Callable[[], tuple[int, Parts]]:
    """The snapshot, the pools, and the CDI file as bytes."""
    from cdi import codec  # noqa: PLC0415 - only one of the two is measured
    from netdevice_plugin import cdifiles, config, pools  # noqa: PLC0415
    from netdevice_plugin.inventory import snapshot  # noqa: PLC0415

    settings = config.default(("bench*",))

    def measure() -> tuple[int, Parts]:
        marks = [time.perf_counter()]
        found = snapshot()
        marks.append(time.perf_counter())
        assignment = pools.assign(found, settings.pools)
        marks.append(time.perf_counter())
        specs = cdifiles.build_all(assignment, settings)
        marks.append(time.perf_counter())
        size = sum(len(codec.dumps(spec)) for spec in specs.values() if spec)
        marks.append(time.perf_counter())
        parts = [after - before for before, after in itertools.pairwise(marks)]
        names = ("snapshot", "assign", "build", "encode")
        assert size or not assignment.devices
        return len(found.interfaces), dict(zip(names, parts, strict=True))

    return measure


def pyroute2() -> Callable[[], tuple[int, Parts]]:
    """The same three lists as pyroute2 gives them: decoded, and nothing made of them."""
    from pyroute2 import IPRoute  # noqa: PLC0415

    def measure() -> tuple[int, Parts]:
        start = time.perf_counter()
        with IPRoute() as ipr:
            links = list(ipr.get_links())
            kept = links, list(ipr.get_addr()), list(ipr.get_routes())
        return len(kept[0]), {"snapshot": time.perf_counter() - start}

    return measure


def peak() -> int:
    """Bytes that this process has had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(what: str, repeats: int) -> None:
    """Measure, and print."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
    start = time.perf_counter()
    measure = {"ours": ours, "pyroute2": pyroute2}[what]()
    imported = time.perf_counter() - start
    before = peak()
    found = []
    for _ in range(repeats):
        gc.collect()
        links, parts = measure()
        found.append(parts)
    print(
        json.dumps({"links": links, "parts": found, "import": imported, "memory": [before, peak()]})
    )


main(sys.argv[1], int(sys.argv[2]))
