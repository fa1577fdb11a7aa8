"""What ResourceClaims have, as the agent wrote it down, for `devices` and `status`.

No API server is asked, and nothing of DRA is imported where no agent has served it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.config import Config
    from netdevice_plugin.dra.claim import ClaimRef


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Whose each device is, by its name, and a line for each checkpoint that cannot be read."""

    holders: Mapping[str, ClaimRef] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()
    nics: Mapping[str, str] = dataclasses.field(default_factory=dict)  # attached for them, by MAC


def read(config: Config) -> Claimed:
    """Read all checkpoints. Who may not look into the kubelet's directory sees none."""
    directory = config.kubelet_dir / "plugins" / config.prefix / "claims"
    if not os.path.lexists(directory):
        return Claimed()
    from netdevice_plugin.dra import checkpoint, holdings  # noqa: PLC0415 - only if it is there
    from netdevice_plugin.errors import ClaimError  # noqa: PLC0415

    try:
        found, problems = checkpoint.Directory(directory, driver=config.prefix, node=None).scan()
    except ClaimError as error:
        return Claimed(problems=(str(error),))
    claims = tuple(found.values())
    return Claimed(holders=holdings.held(claims), problems=problems, nics=holdings.nics(claims))


def cell(claim: ClaimRef | None) -> str:
    """Name a claim in a table."""
    return f"{claim.namespace}/{claim.name}" if claim else ""


def entry(claim: ClaimRef) -> dict[str, Plain]:
    """Describe a claim for programs."""
    return {"namespace": claim.namespace, "name": claim.name, "uid": claim.uid}
