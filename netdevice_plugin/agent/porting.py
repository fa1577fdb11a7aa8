"""Ports of pools that have a provider: begun when the first such pool is offered.

Nothing of the providers is imported before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from netdevice_plugin.errors import PortError
from netdevice_plugin.model import Snapshot
from netdevice_plugin.offering import LEAVING, InUse, Offering
from netdevice_plugin.operations.hardware import PortMetrics

if TYPE_CHECKING:
    from netdevice_plugin.ports.ports import Ports


class Porting:
    """Keeps the ports of all pools while `run` runs; from one event loop.

    `changed` is called when `faults` may be others than before; `asked` is as for `Ports`.
    """

    def __init__(
        self,
        node: str,
        metrics: PortMetrics,
        changed: Callable[[], object],
        asked: Callable[[], Mapping[str, str] | None] = dict,
    ) -> None:
        self._node = node or os.uname().nodename
        self._metrics = metrics
        self._changed = changed
        self._asked = asked
        self._ports: Ports | None = None
        self._begun = asyncio.Event()
        self._retiring: frozenset[str] = frozenset()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with ports, a line each."""
        return self._ports.problems if self._ports else ()

    def faults(self, offering: Offering) -> Mapping[str, str]:
        """Say which devices no pod may be given, as their ports are to go."""
        self._retiring = self._ports.retiring if self._ports else frozenset()
        if not self._retiring:
            return {}
        return {
            one.device.name: LEAVING
            for listing in offering.listings.values()
            if listing.pool.ports
            for one in listing.devices
            if one.device.interface.identity_mac in self._retiring
        }

    def follow(self, offering: Offering, in_use: InUse, snapshot: Snapshot) -> None:
        """Hear what has been published, with the faults that were asked for last."""
        if self._ports is None:
            if not any(listing.pool.ports for listing in offering.listings.values()):
                return
            from netdevice_plugin.ports.ports import Ports  # noqa: PLC0415 - only if it is wanted

            self._ports = Ports(
                self._node, changed=self._changed, observer=self._metrics, asked=self._asked
            )
            self._begun.set()
        self._ports.follow(offering.listings, in_use, snapshot, self._retiring)

    async def attach(self, pool: str, request: str, parameters: Mapping[str, str], mac: str) -> str:
        """Have a port of a pool, by its kind, attached for a claim: its MAC. Raises PortError."""
        if self._ports is None:
            raise PortError(f"{pool}: its ports are not known yet", hint="the kubelet tries again")
        return (await self._ports.attach(pool, request, parameters, mac)).mac

    async def run(self) -> None:
        """Keep them, until cancelled."""
        await self._begun.wait()
        assert self._ports is not None  # noqa: S101 - or it had not begun
        await self._ports.run()
