"""The ports of one pool that are attached when claims ask, and detached when those are over.

Nothing is kept of them here: the claims' checkpoints say what is asked for, and the
provider's list what there is and which of it was made for what.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import demanding, keeping
from netdevice_plugin.ports.calls import Calls
from netdevice_plugin.ports.demanding import Asked, Known, Plan, Sight
from netdevice_plugin.ports.errors import BusyError, UnansweredError
from netdevice_plugin.ports.keeper import FRESH, LOOK
from netdevice_plugin.ports.keeping import SETTLE
from netdevice_plugin.ports.observer import Observer
from netdevice_plugin.ports.provider import Port, Provider
from netdevice_plugin.provisioning import Ports as Settings

OVER = "no claim has it"
LATE = "its NIC did not come"
LEFTOVER = "it was never attached"

_log = logging.getLogger(__name__)
_AGAIN = "the kubelet tries again"


class Demand:
    """Follows one pool for as long as `run` runs. `asked` says what claims ask for, None: unknown.

    A claim has to ask, in what `asked` says, before a port is attached for it: else the port
    would be nobody's.
    """

    retiring: frozenset[str] = frozenset()  # none is ever offered as itself

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        pool: str,
        settings: Settings,
        provider: Provider,
        observer: Observer,
        asked: Callable[[], Asked | None],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self._pool = pool
        self._calls = Calls(
            pool=pool, provider=provider, observer=observer, clock=clock, chance=chance
        )
        self._observer = observer
        self._asked = asked
        self._clock = clock
        self._chance = chance
        self._awake = asyncio.Event()
        self._calling = asyncio.Lock()
        self._sight: Sight | None = None
        self._known = Known()
        self._failures: Mapping[str, int] = {}  # to detach it, by ID
        self._unsure: dict[str, float] = {}  # until when what was not answered may be, by request
        self._working: dict[str, asyncio.Task[Port]] = {}  # by request
        self._minded: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong now, a line each."""
        return (*self._calls.troubles, *self._minded)

    def follow(self, sight: Sight) -> None:
        """Hear what was published."""
        self._sight = sight
        self._know(self._known.ports, self._known.held)
        self._awake.set()

    async def attach(self, request: str, parameters: Mapping[str, str], mac: str) -> Port:
        """Attach a port for a request, or find the one that there is. Raises PortError.

        `mac` is that of the port that the request has had before. Whoever asks may go away: it
        is finished all the same, and found by who asks next.
        """
        task = self._working.get(request)
        if task is None:
            task = asyncio.create_task(self._serve(request, parameters, mac), name=request)
            self._working[request] = task
            task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise UnansweredError(f"{self._pool}: nobody attaches its ports now") from None
            raise

    async def run(self) -> None:
        """Give back what no claim has any more, until cancelled."""
        try:
            while True:
                self._awake.clear()
                again = await self._step()
                wait = None if again is None else max(0.0, again - self._clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._awake.wait()
        finally:
            tasks = tuple(self._working.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, request: str, parameters: Mapping[str, str], mac: str) -> Port:
        async with self._calling:
            await self._list()
            for port in self._known.ports:
                if port.mac == mac or port.request == request:
                    if not self._is_useless(port):
                        return port
                    await self._detach(port, LEFTOVER if port.leftover else LATE)
            await self._make_room(request)
            try:
                made = await self._calls.attach(parameters, request)
            except UnansweredError:
                self._unsure[request] = self._clock() + SETTLE
                raise
            port = dataclasses.replace(made, request=request)
            self._take((*self._known.ports, port))
        self._awake.set()
        return port

    async def _make_room(self, request: str) -> None:
        """Have room for another port, for a request; what is nobody's goes for it."""
        now = self._clock()
        self._unsure = {one: until for one, until in self._unsure.items() if until > now}
        if request in self._unsure:
            raise BusyError(f"{self._pool}: a port that was asked for may yet come", hint=_AGAIN)
        full = len(self._known.ports) >= self.settings.max
        if full and self._sight and (over := self._decide(self._sight).detach):
            await self._detach(over, OVER)
        if (count := len(self._known.ports)) >= self.settings.max:
            what = f"{self._pool}: has {count} ports, and may have no more"
            raise BusyError(what, hint=f"one that no claim has goes soon; {_AGAIN}")

    def _is_useless(self, port: Port) -> bool:
        """Whether another has to take a port's place; who is yet at work on one may come back."""
        late = demanding.is_absent(port, self._known, self._sight or Sight(), self._clock())
        if port.leftover and not late:
            what = f"{self._pool}: the port {port.id} is being attached, by an agent before this"
            raise BusyError(what, hint=_AGAIN)
        return late

    async def _step(self) -> float | None:
        """Do one thing at most; say when to do the next, if nobody calls before."""
        async with self._calling:
            if self._sight is None:
                return None
            if not self._calls.is_listed(LOOK):
                return await self._look()
            plan = self._decide(self._sight)
            if plan.detach and not self._calls.is_listed(FRESH):
                return await self._look()
            if plan.detach:
                with contextlib.suppress(PortError):
                    await self._detach(plan.detach, OVER)
                self._awake.set()
            times = (plan.again, (self._calls.listed or 0.0) + LOOK)
            return min(at for at in times if at is not None)

    async def _look(self) -> float | None:
        """List, unless that failed a moment ago; returns when to try again."""
        with contextlib.suppress(PortError):
            if self._clock() >= self._calls.list_at:
                await self._list()
                self._awake.set()
        return self._calls.list_at if self._calls.failing else None

    def _decide(self, sight: Sight) -> Plan:
        asked = self._asked()
        if asked is None:
            return Plan()
        plan = demanding.decide(self._known, sight, asked, self._clock())
        for problem in plan.problems:
            if problem not in self._minded:
                extra = {"pool": self._pool, "reason": problem}
                _log.warning("A port is of no use", extra=extra)
        self._minded = plan.problems
        count = len(self._known.ports)
        self._observer.counted(self._pool, ports=count, coming=plan.coming, leaving=plan.leaving)
        return plan

    async def _list(self) -> None:
        self._take(await self._calls.list())

    def _take(self, ports: Iterable[Port]) -> None:
        """Take in what there is; what a port was made for is known here, if nobody else tells."""
        before = {one.id: one.request for one in self._known.ports}
        found = tuple(
            dataclasses.replace(one, request=one.request or before.get(one.id, "")) for one in ports
        )
        self._know(found, self._known.held)

    def _know(self, ports: tuple[Port, ...], held: Mapping[str, float]) -> None:
        here = self._sight.here if self._sight else frozenset()
        missing = [one.id for one in ports if one.mac not in here]
        now = self._clock()
        self._known = Known(
            ports=ports,
            missing={port: self._known.missing.get(port, now) for port in missing},
            held=held,
        )

    async def _detach(self, port: Port, reason: str) -> None:
        try:
            await self._calls.detach(port, reason)
        except PortError as error:
            count = self._failures.get(port.id, 0)
            until = self._clock() + keeping.delay(type(error), count, self._chance())
            self._failures = {**self._failures, port.id: count + 1}
            self._know(self._known.ports, {**self._known.held, port.id: until})
            raise
        left = tuple(one for one in self._known.ports if one.id != port.id)
        self._failures = {one.id: self._failures.get(one.id, 0) for one in left}
        self._know(left, {one: at for one, at in self._known.held.items() if one != port.id})

    def _done(self, task: asyncio.Task[Port]) -> None:
        del self._working[task.get_name()]
        if not task.cancelled():
            task.exception()  # it is seen, even if nobody waits for it any more
