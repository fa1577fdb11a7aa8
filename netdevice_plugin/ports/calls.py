"""A provider's calls, as one pool makes them: told to metrics and log, its list not too often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.errors import UnansweredError, kind_of
from netdevice_plugin.ports.observer import Observer
from netdevice_plugin.ports.provider import Call, Port, Provider

RETRY = (5.0, 300.0)  # seconds after a list that failed: the first time, and at most

_log = logging.getLogger(__name__)


class Calls:
    """Calls for one pool, one at a time: who calls holds a lock meanwhile. All raise PortError."""

    def __init__(
        self,
        *,
        pool: str,
        provider: Provider,
        observer: Observer,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._provider = provider
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._troubles: dict[Call, str] = {}
        self._failures = 0  # lists in a row
        self.listed: float | None = None  # when the provider listed them last
        self.list_at = 0.0  # not before, after one that failed

    @property
    def troubles(self) -> tuple[str, ...]:
        """What went wrong, a line each, and has not gone well since."""
        return tuple(self._troubles.values())

    @property
    def failing(self) -> bool:
        """Whether the last list failed."""
        return bool(self._failures)

    def is_listed(self, patience: float) -> bool:
        """Whether the last list is not older than that."""
        return self.listed is not None and self._clock() < self.listed + patience

    async def list(self) -> tuple[Port, ...]:
        """See `Provider`."""
        began = self._clock()
        try:
            ports = await self._provider.list()
        except PortError as error:
            self._failures += 1
            first, longest = RETRY
            delay = min(first * 2.0 ** min(self._failures - 1, 16), longest)
            self.list_at = self._clock() + delay * (1 + self._chance()) / 2
            self._failed(Call.LIST, error, began)
            raise
        self.listed = self._clock()
        self._failures = 0
        self._done(Call.LIST, began)
        return ports

    async def attach(self, parameters: Mapping[str, str], request: str = "") -> Port:
        """See `Provider`."""
        began = self._clock()
        try:
            port = await self._provider.attach(parameters, request)
        except (PortError, asyncio.CancelledError) as error:
            told = error if isinstance(error, PortError) else UnansweredError("cancelled")
            self._failed(Call.ATTACH, told, began)
            raise
        self._done(Call.ATTACH, began)
        _log.info("Attached a port", extra=self._extra(port=port.id, mac=port.mac))
        return port

    async def detach(self, port: Port, reason: str) -> None:
        """See `Provider`."""
        began = self._clock()
        try:
            await self._provider.detach(port.id)
        except PortError as error:
            self._failed(Call.DETACH, error, began)
            raise
        self._done(Call.DETACH, began)
        extra = self._extra(port=port.id, mac=port.mac, reason=reason)
        _log.info("Detached a port", extra=extra)

    def _done(self, call: Call, began: float) -> None:
        self._observer.called(self._pool, call.value, "done", self._clock() - began)
        self._troubles.pop(call, None)

    def _failed(self, call: Call, error: PortError, began: float) -> None:
        """Say it once, for as long as it is the same."""
        self._observer.called(self._pool, call.value, kind_of(error), self._clock() - began)
        if self._troubles.get(call) != str(error):
            self._troubles[call] = str(error)
            extra = self._extra(call=call.value, reason=str(error), remedy=error.hint)
            _log.warning("A port provider failed", extra=extra)

    def _extra(self, **more: str) -> dict[str, str]:
        return {"pool": self._pool, **more}
