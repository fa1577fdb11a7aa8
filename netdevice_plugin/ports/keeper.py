"""The ports of one pool kept as they should be: listed, decided, and one call made at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import keeping
from netdevice_plugin.ports.errors import (
    RefusedError,
    UnansweredError,
    kind_of,
)
from netdevice_plugin.ports.keeping import Leaving, Memory, Plan, Scene, Why
from netdevice_plugin.ports.observer import Observer
from netdevice_plugin.ports.provider import Call, Port, Provider
from netdevice_plugin.provisioning import Ports as Settings

# All in seconds.
FRESH = 5.0  # nothing is done upon a list that is older
STALE = 30.0  # nor is one kept, while a port has no NIC here
LOOK = 600.0  # nor ever
STIR = 5.0  # between two words that somebody has to look again
RETRY = (5.0, 300.0)  # after a list that failed: the first time, and at most

_log = logging.getLogger(__name__)


class Keeper:
    """Follows one pool for as long as `run` runs; `changed` is called when `retiring` has.

    What it remembers it finds out again: the provider's list says which ports are
    the pool's, and what is on its way out begins anew.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        pool: str,
        settings: Settings,
        provider: Provider,
        observer: Observer,
        changed: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self._pool = pool
        self._provider = provider
        self._observer = observer
        self._changed = changed
        self._clock = clock
        self._chance = chance
        self._awake = asyncio.Event()
        self._calling = asyncio.Lock()
        self._scene: Scene | None = None
        self._memory = Memory()
        self._listed: float | None = None  # when the provider listed them last
        self._failures = 0  # lists in a row
        self._list_at = 0.0
        self._stirred = -STIR
        self._troubles: dict[Call, str] = {}
        self._minded: tuple[str, ...] = ()

    @property
    def retiring(self) -> frozenset[str]:
        """MACs of NICs that no pod may be given any more."""
        return frozenset(one.port.mac for one in self._memory.leaving.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong now, a line each."""
        return (*self._troubles.values(), *self._minded)

    def follow(self, scene: Scene) -> None:
        """Hear what was published."""
        self._scene = scene
        self._awake.set()

    async def request(self, parameters: Mapping[str, str]) -> Port:
        """Attach one more port now, whatever is spare. Raises PortError."""
        async with self._calling:
            await self._list()
            memory = self._memory
            if len(memory.ports) + len(memory.pending) >= self.settings.max:
                hint = "raise the pool's max"
                what = f"{self._pool}: has {self.settings.max} ports, and may have no more"
                raise RefusedError(what, hint=hint)
            port = await self._attach(parameters)
        self._awake.set()
        return port

    async def run(self) -> None:
        """Do what there is to do whenever something has changed, until cancelled."""
        while True:
            self._awake.clear()
            again = await self._step()
            wait = None if again is None else max(0.0, again - self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._awake.wait()

    async def _step(self) -> float | None:
        """Do one thing at most; say when to do the next, if nobody calls before."""
        async with self._calling:
            if self._scene is None:
                return None
            plan = self._decide(self._scene)
            patience = STALE if plan.missing else LOOK
            if plan.attach or plan.detach:
                patience = FRESH
            if not self._is_listed(patience):
                with contextlib.suppress(PortError):
                    if self._clock() >= self._list_at:
                        await self._list()
                        self._awake.set()
                return self._list_at if self._failures else None
            with contextlib.suppress(PortError):
                await self._act(plan)
            times = (plan.again, self._listed_at + patience, self._stir(plan))
            return min(at for at in times if at is not None)

    @property
    def _listed_at(self) -> float:
        return 0.0 if self._listed is None else self._listed

    def _is_listed(self, patience: float) -> bool:
        return self._listed is not None and self._clock() < self._listed + patience

    def _decide(self, scene: Scene) -> Plan:
        before, leaving = self.retiring, self._memory.leaving
        if self._listed is None:
            return Plan()
        self._memory, plan = keeping.decide(self.settings, scene, self._memory, self._clock())
        for port, one in self._memory.leaving.items():
            if port not in leaving:
                self._tell_leaving(one)
        for problem in plan.problems:
            if problem not in self._minded:
                _log.warning("A port is of no use", extra=self._extra(reason=problem))
        self._minded = plan.problems
        self._observer.counted(
            self._pool,
            ports=len(self._memory.ports),
            coming=plan.coming,
            leaving=len(self._memory.leaving),
        )
        if self.retiring != before:
            self._changed()
        return plan

    def _stir(self, plan: Plan) -> float | None:
        """Have somebody look again now and then, as long as something depends on that."""
        if not plan.asks:
            return None
        if self._clock() >= self._stirred + STIR:
            self._stirred = self._clock()
            self._changed()
        return self._stirred + STIR

    async def _act(self, plan: Plan) -> None:
        if plan.attach:
            await self._attach({})
        elif plan.detach:
            await self._detach(plan.detach)
        if plan.attach or plan.detach:
            self._awake.set()

    async def _list(self) -> None:
        began = self._clock()
        try:
            ports = await self._provider.list()
        except PortError as error:
            self._failures += 1
            first, longest = RETRY
            delay = min(first * 2.0 ** min(self._failures - 1, 16), longest)
            self._list_at = self._clock() + delay * (1 + self._chance()) / 2
            self._failed(Call.LIST, error, began)
            raise
        self._listed = self._clock()
        self._failures = 0
        self._memory = keeping.seen(self._memory, ports, self._listed)
        self._done(Call.LIST, began)

    async def _attach(self, parameters: Mapping[str, str]) -> Port:
        began = self._clock()
        try:
            port = await self._provider.attach(parameters)
        except (PortError, asyncio.CancelledError) as error:
            told = error if isinstance(error, PortError) else UnansweredError("cancelled")
            self._memory = keeping.attach_failed(self._memory, told, self._clock(), self._chance())
            self._failed(Call.ATTACH, told, began)
            raise
        self._memory = keeping.attached(self._memory, port, self._clock())
        self._done(Call.ATTACH, began)
        _log.info("Attached a port", extra=self._extra(port=port.id, mac=port.mac))
        return port

    async def _detach(self, leaving: Leaving) -> None:
        port = leaving.port
        began = self._clock()
        self._memory = keeping.detach_begins(self._memory, port.id)
        try:
            await self._provider.detach(port.id)
        except PortError as error:
            self._memory = keeping.detach_failed(
                self._memory, port.id, error, self._clock(), self._chance()
            )
            self._failed(Call.DETACH, error, began)
            raise
        self._memory = keeping.detached(self._memory, port.id, self._clock())
        self._done(Call.DETACH, began)
        self._changed()
        extra = self._extra(port=port.id, mac=port.mac, reason=leaving.why.value)
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

    def _tell_leaving(self, one: Leaving) -> None:
        extra = self._extra(port=one.port.id, mac=one.port.mac)
        if one.why is Why.IDLE:
            _log.info("Port is not needed", extra=extra)
        else:
            _log.warning("Port is taken back", extra=extra | {"reason": one.why.value})

    def _extra(self, **more: str) -> dict[str, str]:
        return {"pool": self._pool, **more}
