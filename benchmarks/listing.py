"""How long it takes to know all links, and to say so in a CDI file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.numbers import Samples, Table, ratio
from tests.kernel.scratch import Netns, netns

_PROBE = pathlib.Path(__file__).with_name("probe.py")
_BATCH = 500


@contextlib.contextmanager
def many_links(count: int) -> Iterator[Netns]:
    """A namespace with that many ifb links, `bench0` and so on, each up with two addresses."""
    with netns("many") as space:
        space.sysctl("ipv6/conf/default/accept_dad", "0")
        for first in range(0, count, _BATCH):
            lines: list[str] = []
            for number in range(first, min(first + _BATCH, count)):
                name, high, low = f"bench{number}", number >> 8, number & 255
                lines += [
                    f"link add {name} type ifb",
                    f"addr add 10.{high}.{low}.1/24 dev {name}",
                    f"link set {name} up",
                ]
            space.batch(lines)
        yield space


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """What benchmarks/probe.py says."""

    links: int
    parts: dict[str, Samples]
    imported: float
    memory: tuple[int, int]  # peak bytes before and after

    @property
    def total(self) -> Samples:
        """All parts together."""
        return Samples(tuple(map(sum, zip(*(s.seconds for s in self.parts.values()), strict=True))))

    @property
    def megabytes(self) -> str:
        """The peak of the whole process, and how much of that came with the work."""
        before, after = (size / 1e6 for size in self.memory)
        return f"{after:.0f} (+{after - before:.0f})"


def probe(space: Netns, what: str, repeats: int) -> Probe:
    """Measure in a process in that namespace."""
    said: dict[str, Any] = json.loads(space.run(sys.executable, _PROBE, what, str(repeats)).stdout)
    names = said["parts"][0]
    parts = {name: Samples(tuple(one[name] for one in said["parts"])) for name in names}
    return Probe(said["links"], parts, said["import"], tuple(said["memory"]))


def listing(counts: Sequence[int], repeats: int) -> Table:
    """Time the snapshot and what follows from it, beside pyroute2's lists."""
    rows: list[tuple[str, ...]] = []
    for count in counts:
        with many_links(count) as space:
            ours, theirs = (probe(space, what, repeats) for what in ("ours", "pyroute2"))
            assert ours.links == theirs.links > count
        rows.append(
            (
                f"{count:,}",
                str(ours.parts["snapshot"]),
                *(str(ours.parts[part]) for part in ("assign", "build", "encode")),
                str(ours.total),
                str(theirs.total),
                ratio(theirs.total.over(ours.parts["snapshot"])),
                ours.megabytes,
                theirs.megabytes,
            )
        )
    return Table(
        title="Inventory and CDI file",
        columns=(
            *("links", "snapshot", "pools", "CDI", "JSON", "all, ms", "pyroute2, ms"),
            *("pyroute2 / snapshot", "MB", "pyroute2 MB"),
        ),
        rows=tuple(rows),
        notes=(
            f"Medians of {repeats}. The links are ifb, up, each with an IPv4 and a link-local "
            "address and the routes of those. Snapshot: links, addresses and routes from netlink, "
            "sysfs, and which links are protected. pyroute2: the same three lists, decoded, and "
            "nothing made of them. MB: peak of the process, and how much came with the work.",
        ),
    )
