"""What claims' status says: which links are in pods now, and what they are there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from netdevice_plugin.attachments import Attachment
from netdevice_plugin.dra import parameters, status
from netdevice_plugin.dra.claim import Allocation, ClaimRef, Result
from netdevice_plugin.dra.parameters import Parameters
from netdevice_plugin.dra.status import DeviceStatus
from netdevice_plugin.errors import NetdevError

Wishes = Mapping[Result, Parameters]


class Standing:
    """Says it for all claims; what they ask of their links is decoded once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Allocation, Wishes]] = {}  # by the claim's uid

    def of(
        self, allocations: Iterable[Allocation], records: Mapping[str, Attachment]
    ) -> dict[ClaimRef, tuple[DeviceStatus, ...]]:
        """Describe every claim; one with nothing in a pod has nothing to say."""
        before, self._known = self._known, {}
        found = {}
        for one in allocations:
            known = before.get(one.claim.uid)
            wishes = known[1] if known and known[0] == one else _wishes(one)
            self._known[one.claim.uid] = one, wishes
            found[one.claim] = _describe(wishes, records)
        return found


def _wishes(allocation: Allocation) -> Wishes:
    wishes = {}
    for one in allocation.results:
        with contextlib.suppress(NetdevError):  # Prepare has said so
            wishes[one] = parameters.of_request(allocation.configs, one)
    return wishes


def _describe(wishes: Wishes, records: Mapping[str, Attachment]) -> tuple[DeviceStatus, ...]:
    found = (status.of_attachment(one, records.get(one.device), it) for one, it in wishes.items())
    return tuple(one for one in found if one)
