"""`python -m benchmarks [PART...]`: measure, and print tables. Root only."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Mapping

from benchmarks import (
    agent,
    born,
    commands,
    containers,
    dra,
    forwarding,
    functions,
    listing,
    machine,
    moving,
    scale,
)
from benchmarks.numbers import Table

_PATIENCE = 600  # seconds at most before each table, with --wait

Part = Callable[[], Table]

FULL: Mapping[str, Part] = {
    "mover": functools.partial(moving.against_kernel, 200, moving.KINDS),
    "born": functools.partial(born.against_moved, 200),
    "start": functools.partial(moving.first_request, 60),
    "hooks": functools.partial(moving.against_hooks, 20, ("veth", "macvlan")),
    "inventory": functools.partial(listing.listing, (1, 100, 1000, 4000), 9),
    "functions": functools.partial(functions.discovery, (8, 128), 9),
    "commands": functools.partial(commands.commands, (1, 100, 1000, 4000), 15),
    "agent": functools.partial(agent.following, (1, 64, 512, 2048), agent.FULL),
    "containers": functools.partial(containers.starts, ("ifb", "veth", "macvlan"), 40),
    "dra": functools.partial(dra.claiming, (64, 512, 2048), dra.FULL),
    "forwarding": functools.partial(forwarding.forwarding, 40),
    "scale": functools.partial(scale.simulated, scale.FULL, scale.ALTERNATIVES),
    "scale-http": functools.partial(scale.over_http, scale.FULL, scale.CHOSEN[0][1]),
}
# All but those that boot an emulated machine.
QUICK: Mapping[str, Part] = {
    "mover": functools.partial(moving.against_kernel, 2, ("veth",)),
    "born": functools.partial(born.against_moved, 2),
    "start": functools.partial(moving.first_request, 2),
    "hooks": functools.partial(moving.against_hooks, 1, ("veth",)),
    "inventory": functools.partial(listing.listing, (1, 20), 1),
    "functions": functools.partial(functions.discovery, (2,), 1),
    "commands": functools.partial(commands.commands, (3,), 1),
    "agent": functools.partial(agent.following, (1, 20), agent.QUICK),
    "containers": functools.partial(containers.starts, ("ifb",), 2),
    "dra": functools.partial(dra.claiming, (3,), dra.QUICK),
    "scale": functools.partial(scale.simulated, scale.QUICK, scale.CHOSEN),
    "scale-http": functools.partial(scale.over_http, scale.QUICK, scale.HASTE),
}


def main() -> None:
    """Print each table when it is done, and first what it was taken on."""
    options = _arguments()
    if os.geteuid() != 0:
        sys.exit("error: benchmarks make network namespaces\nhint: run them as root")
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    parts = QUICK if options.quick else FULL
    _print("\n".join(_heading(options.cpu)))
    for name in options.part or parts:
        quiet = machine.wait_until_quiet(_PATIENCE if options.wait else 0)
        load = machine.Load()
        table = parts[name]()
        busy = f"Others took {load.others():.0%} of the processors' time meanwhile"
        busy += "." if quiet else "; the machine was not quiet when this began."
        table = dataclasses.replace(table, notes=(*table.notes, busy))
        _print(table.markdown() if options.markdown else table.text())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of: {', '.join(FULL)}")
    parser.add_argument("--quick", action="store_true", help="to see that it runs; means nothing")
    parser.add_argument("--wait", action="store_true", help="until the machine has nothing to do")
    parser.add_argument("--cpu", type=int, help="run everything on this one processor")
    parser.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    options = parser.parse_args()
    if unknown := set(options.part) - set(QUICK if options.quick else FULL):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _heading(cpu: int | None) -> list[str]:
    pinned = "all on processor " + str(cpu) if cpu is not None else "not pinned to a processor"
    load = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    return [*machine.describe(), f"Load averages {' '.join(load)}; {pinned}."]


def _print(*lines: str) -> None:
    print(*lines, "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
