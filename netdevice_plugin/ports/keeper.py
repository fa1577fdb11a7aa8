"""The ports of one pool kept as they should be: listed, decided, and one call made at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import keeping
from netdevice_plugin.ports.calls import Calls
from netdevice_plugin.ports.errors import UnansweredError
from netdevice_plugin.ports.keeping import Leaving, Memory, Plan, Scene, Why
from netdevice_plugin.ports.observer import Observer
from netdevice_plugin.ports.provider import Provider
from netdevice_plugin.provisioning import Ports as Settings

# All in seconds.
FRESH = 5.0  # nothing is done upon a list that is older
STALE = 30.0  # nor is one kept, while a port has no NIC here
LOOK = 600.0  # nor ever
STIR = 5.0  # between two words that somebody has to look again

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
        self._calls = Calls(
            pool=pool, provider=provider, observer=observer, clock=clock, chance=chance
        )
        self._observer = observer
        self._changed = changed
        self._clock = clock
        self._chance = chance
        self._awake = asyncio.Event()
        self._scene: Scene | None = None
        self._memory = Memory()
        self._stirred = -STIR
        self._minded: tuple[str, ...] = ()

    @property
    def retiring(self) -> frozenset[str]:
        """MACs of NICs that no pod may be given any more."""
        return frozenset(one.port.mac for one in self._memory.leaving.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong now, a line each."""
        return (*self._calls.troubles, *self._minded)

    def follow(self, scene: Scene) -> None:
        """Hear what was published."""
        self._scene = scene
        self._awake.set()

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
        if self._scene is None:
            return None
        plan = self._decide(self._scene)
        patience = STALE if plan.missing else LOOK
        if plan.attach or plan.detach:
            patience = FRESH
        if not self._calls.is_listed(patience):
            with contextlib.suppress(PortError):
                if self._clock() >= self._calls.list_at:
                    await self._list()
                    self._awake.set()
            return self._calls.list_at if self._calls.failing else None
        with contextlib.suppress(PortError):
            await self._act(plan)
        times = (plan.again, self._listed_at + patience, self._stir(plan))
        return min(at for at in times if at is not None)

    @property
    def _listed_at(self) -> float:
        return self._calls.listed or 0.0

    def _decide(self, scene: Scene) -> Plan:
        before, leaving = self.retiring, self._memory.leaving
        if self._calls.listed is None:
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
            await self._attach()
        elif plan.detach:
            await self._detach(plan.detach)
        if plan.attach or plan.detach:
            self._awake.set()

    async def _list(self) -> None:
        ports = await self._calls.list()
        self._memory = keeping.seen(self._memory, ports, self._listed_at)

    async def _attach(self) -> None:
        try:
            port = await self._calls.attach({})
        except (PortError, asyncio.CancelledError) as error:
            told = error if isinstance(error, PortError) else UnansweredError("cancelled")
            self._memory = keeping.attach_failed(self._memory, told, self._clock(), self._chance())
            raise
        self._memory = keeping.attached(self._memory, port, self._clock())

    async def _detach(self, leaving: Leaving) -> None:
        port = leaving.port
        self._memory = keeping.detach_begins(self._memory, port.id)
        try:
            await self._calls.detach(port, leaving.why.value)
        except PortError as error:
            self._memory = keeping.detach_failed(
                self._memory, port.id, error, self._clock(), self._chance()
            )
            raise
        self._memory = keeping.detached(self._memory, port.id, self._clock())
        self._changed()

    def _tell_leaving(self, one: Leaving) -> None:
        extra = self._extra(port=one.port.id, mac=one.port.mac)
        if one.why is Why.IDLE:
            _log.info("Port is not needed", extra=extra)
        else:
            _log.warning("Port is taken back", extra=extra | {"reason": one.why.value})

    def _extra(self, **more: str) -> dict[str, str]:
        return {"pool": self._pool, **more}
