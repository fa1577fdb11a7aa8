"""The present: the links of this host and those that are lent, read so that they agree."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from netdevice_plugin import attachments, inventory
from netdevice_plugin.attachments import Attachment
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.inventory import lent
from netdevice_plugin.model import Snapshot

if TYPE_CHECKING:
    from netdevice_plugin.config import Config

_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All links, lent ones included, their records, and the records that are broken."""

    snapshot: Snapshot
    attachments: tuple[Attachment, ...] = ()
    problems: tuple[AttachmentError, ...] = ()


def look(config: Config) -> View:
    """Read links and records; raises InventoryError.

    Records are read before and after the links, again while the two differ: a
    link that leaves or comes home meanwhile would be in neither.
    """
    records, problems = attachments.load(config.run_dir)
    for _ in range(_ATTEMPTS):
        links = inventory.snapshot(node_addresses=config.node_addresses)
        before = records
        records, problems = attachments.load(config.run_dir)
        if records == before:
            break
    return View(snapshot=lent.merge(links, records), attachments=records, problems=problems)
