"""Functions with a userspace driver by the agent's doing, for `status`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from netdevice_plugin.cli import claimed

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.dra.claim import ClaimRef
    from netdevice_plugin.functions.record import FunctionRecord

IDLE = "idle"  # bound as long as the pool has it, and nobody's now


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The records of functions, by device, and a line for each that cannot be read."""

    records: Mapping[str, FunctionRecord] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read(run_dir: Path) -> Bound:
    """Read all records; most nodes have none, and nothing is imported there."""
    if not os.path.lexists(run_dir / "functions"):
        return Bound()
    from netdevice_plugin.errors import FunctionError  # noqa: PLC0415 - only if it is there
    from netdevice_plugin.functions.store import Store  # noqa: PLC0415

    store = Store(run_dir)
    try:
        problems = store.load()
    except FunctionError as error:
        return Bound(problems=(str(error),))
    lines = tuple(f"{device}: {problem}" for device, problem in sorted(problems.items()))
    return Bound(records=store.records, problems=lines)


def rows(bound: Bound, claims: Mapping[str, ClaimRef]) -> Iterator[dict[str, str]]:
    """Make a row for each."""
    for device, record in sorted(bound.records.items()):
        before = record.driver or "no driver"
        yield {
            "DEVICE": device,
            "PHASE": _phase(record),
            "CLAIM": claimed.cell(claims.get(device)),
            "LINK": f"{record.target}, was {before}",
        }


def entries(bound: Bound, claims: Mapping[str, ClaimRef]) -> list[Plain]:
    """Describe them for programs; docs/reference/cli.md has the keys."""
    return [
        {
            "device": device,
            "address": record.address,
            "phase": record.phase.value,
            "lent": bool(record.holder),
            "driver": record.target,
            "driverBefore": record.driver or None,
            "linkBefore": record.link.name if record.link else None,
            "claim": claimed.entry(claims[device]) if device in claims else None,
        }
        for device, record in sorted(bound.records.items())
    ]


def _phase(record: FunctionRecord) -> str:
    return record.phase.value if record.holder or record.phase.value != "bound" else IDLE
