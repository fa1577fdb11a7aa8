"""The node agent: everything else put together, from its start to its end. It decides nothing."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import cdi
from netdevice_plugin import __version__
from netdevice_plugin.agent.asking import Asking
from netdevice_plugin.agent.configuring import Configuration
from netdevice_plugin.agent.looking import Looking
from netdevice_plugin.agent.publishing import Publishing
from netdevice_plugin.agent.servers import Servers
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.agent.tasks import end_soon, first_of
from netdevice_plugin.agent.turn import Turn
from netdevice_plugin.cdistore import CdiStore, on_disk
from netdevice_plugin.deviceplugin import Kubelet
from netdevice_plugin.loans import reclaiming, returns
from netdevice_plugin.loans.holders import Holders, view
from netdevice_plugin.loans.reconciler import Reconciler
from netdevice_plugin.look import View
from netdevice_plugin.offering import InUse, Offering, Present, offer, remember
from netdevice_plugin.operations.health import Pulse, Readiness
from netdevice_plugin.operations.http import Server, metrics_page, verdict_page
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.operations.notify import Notifier
from netdevice_plugin.usage.usage import Usage

GLANCE = 1.0  # seconds between looks at what only /readyz tells
ENDING = 1.0  # seconds from a link's return to the end of its pod, most of the time
ASK_AGAIN = 10.0  # seconds, while it depends on the kubelet's answer whether a device is listed

_log = logging.getLogger(__name__)


class Agent:
    """One agent. Raises ConfigError if the configuration is not valid; to be made in a loop.

    Whatever it does has a task; one that dies of a bug ends the agent, which is then
    started again by whoever runs it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configuration = Configuration(settings)
        config = self._configuration.current
        self._run_dir = config.run_dir
        self._metrics = Metrics(config.run_dir, kubelet=settings.kubelet)
        self._notifier = Notifier()
        self._stop = asyncio.Event()
        self._stirred = asyncio.Event()
        self._pulse = Pulse()
        kubelet = ("kubelet",) if settings.kubelet else ()
        self._readiness = Readiness(("inventory", "charge", "cdi", *kubelet))
        self._looking = Looking(config.run_dir, self._metrics, self._stirred.set)
        self._store = CdiStore(config.cdi_dir, lambda _: self._stirred.set())
        self._asking = Asking(config.kubelet_dir, self._metrics, self._hear)
        self._reconciler = Reconciler(
            holders=functools.partial(Holders, proc=settings.host_proc),
            reclaim=self._reclaim(),
            locked=functools.partial(returns.locked, config.run_dir),
            observer=self._metrics,
            changed=self._stirred.set,
        )
        self._servers: Servers | None = None
        if settings.kubelet:
            self._servers = Servers(Kubelet(config.kubelet_dir, config.registration), self._metrics)
        self._publishing = Publishing(
            store=self._store,
            servers=self._servers,
            metrics=self._metrics,
            readiness=self._readiness,
            notifier=self._notifier,
            stirred=self._stirred.set,
        )
        self._offering = Offering()
        self._seen: View | None = None
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._addresses: Sequence[str] = config.node_addresses  # what the links are read by
        self._readdressed = asyncio.Event()

    def stop(self) -> None:
        """End, in order, and soon."""
        self._stop.set()

    def reload(self) -> None:
        """Look at the configuration file now."""
        self._configuration.reload()

    async def run(self) -> None:
        """Serve until `stop`, or until another agent takes over."""
        config = self._configuration.current
        turn = Turn(config.run_dir, self._settings.instance)
        _log.info("Starting", extra={"version": __version__, "instance": self._settings.instance})
        try:
            await first_of(
                self._stop.wait(),
                self._pulse.run(also=self._notifier.watchdog),
                self._show(),
                self._follow_links(),
                self._work(turn),
            )
        finally:
            self._notifier.stopping()
            turn.release()
            self._notifier.close()
            _log.info("Ended")

    async def _show(self) -> None:
        """Serve metrics and health; the agent before this one may have the port yet."""
        listen = self._settings.listen
        if listen is None:
            await asyncio.Event().wait()
            return
        pages = {
            "/metrics": metrics_page(self._metrics.page),
            "/healthz": verdict_page(self._pulse.check),
            "/readyz": verdict_page(lambda: self._pulse.check() & self._readiness.check()),
        }
        server = Server(listen, pages)
        try:
            await server.start_when_free()
            await asyncio.Event().wait()
        finally:
            server.stop()

    async def _work(self, turn: Turn) -> None:
        """Look first, so that the agent before this one is not asked to end for nothing."""
        await self._looking.first.wait()
        self._readiness.met("inventory")
        await turn.take()
        self._readiness.met("charge")
        self._metrics.in_charge(charge=True)
        try:
            await self._remember()
            await first_of(*self._tasks(turn))
        finally:
            self._metrics.in_charge(charge=False)

    def _tasks(self, turn: Turn) -> list[Coroutine[Any, Any, object]]:
        tasks: list[Coroutine[Any, Any, object]] = [
            self._store.run(),
            self._looking.follow_records(),
            self._configuration.follow(self._metrics, self._reconfigured),
            self._reconciler.run(),
            self._give_way(turn),
            self._watch_health(),
            self._loop(),
        ]
        if self._servers:  # first, so that they are there when something is published
            tasks[:0] = [self._servers.run(), self._asking.run(self._kinds)]
        return tasks

    async def _give_way(self, turn: Turn) -> None:
        other = await turn.asked()
        _log.info("Another agent takes over", extra={"other": other})

    async def _follow_links(self) -> None:
        """Follow the links, from the start if the configuration says otherwise what to read."""
        while True:
            self._readdressed.clear()
            self._addresses = self._configuration.current.node_addresses
            await first_of(self._looking.follow_links(self._addresses), self._readdressed.wait())

    def _reconfigured(self) -> None:
        if self._configuration.current.node_addresses != self._addresses:
            self._readdressed.set()
        self._stirred.set()

    async def _remember(self) -> None:
        """Find out what an earlier agent listed, and what pods have."""
        config = self._configuration.current
        known: Mapping[str, frozenset[str]] = {}
        try:
            known = on_disk(config.cdi_dir, [config.prefix])
        except cdi.Error as error:
            _log.warning("Earlier CDI files cannot be read", extra={"reason": str(error)})
        self._offering = remember(known, config.pools)
        if self._settings.kubelet:
            await self._asking.ask(self._kinds())
        blind = view(self._settings.host_proc).blind
        if blind:
            _log.warning("Cannot see which containers live", extra={"reason": blind})

    def _reclaim(self) -> reclaiming.Run | None:
        if not self._settings.reclaim:
            return None
        if why := reclaiming.capable(self._run_dir):
            _log.error("Links of dead containers cannot be brought home", extra={"reason": why})
            return None
        return functools.partial(reclaiming.reclaim, run_dir=self._run_dir)

    def _kinds(self) -> set[str]:
        configured = {pool.kind for pool in self._configuration.current.pools}
        return configured | self._offering.listings.keys()

    def _hear(self, usage: Usage) -> None:
        self._reconciler.hear(usage)
        self._stirred.set()

    async def _loop(self) -> None:
        while True:
            self._stirred.clear()
            if seen := self._looking.view():
                await self._turn(seen)
            await self._stirred.wait()

    async def _turn(self, seen: View) -> None:
        """Say what is offered now: to the CDI directory, and only then to the kubelet."""
        config = self._configuration.current
        before = self._offering
        present = Present(
            snapshot=seen.snapshot,
            attachments=seen.attachments,
            broken=seen.problems,
            pools=config.pools,
            in_use=self._in_use(),
            orphaned=self._reconciler.orphaned,
            now=time.monotonic(),
        )
        self._offering = offer(present, before)
        moved = self._seen is None or seen.attachments != self._seen.attachments
        if seen is not self._seen:
            self._reconciler.follow(seen)
            self._seen = seen
        await self._publishing.say(self._offering, config)
        self._complain(before)
        self._plan(ENDING if moved else ASK_AGAIN)

    def _in_use(self) -> InUse:
        """Without a kubelet nothing is ever in doubt."""
        if self._settings.kubelet:
            return self._asking.in_use
        self._turns += 1
        return InUse(serial=self._turns, known=True)

    def _complain(self, before: Offering) -> None:
        for problem in self._offering.problems:
            if problem not in before.problems:
                _log.error("A pool asks for what it cannot have", extra={"reason": problem})

    def _plan(self, patience: float) -> None:
        """Ask, and look again, when something depends on it."""
        offering = self._offering
        now = time.monotonic()
        if offering.doubtful and not self._settings.kubelet:
            self._stirred.set()  # nobody has to be asked: the next turn settles it
        elif any(since >= self._asking.in_use.serial for since in offering.doubtful.values()):
            self._asking.soon()
        elif _is_open(offering):
            self._asking.at(now + patience)
        self._asking.at(self._reconciler.ask_at)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if (deadline := offering.deadline) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, deadline - now) + 0.01, self._stirred.set)

    async def _watch_health(self) -> None:
        """Say in /readyz what nobody is told of by an event."""
        while True:
            self._readiness.missing("inventory", self._looking.trouble)
            if self._servers:
                unknown = self._servers.unregistered() if self._publishing.began else ["anything"]
                why = f"not registered: {', '.join(unknown)}" if unknown else ""
                self._readiness.missing("kubelet", why)
            await asyncio.sleep(GLANCE)


def _is_open(offering: Offering) -> bool:
    """Whether what is listed may change by what pods do."""
    return bool(offering.doubtful or offering.moving) or any(
        listing.retired or any(one.fault for one in listing.devices)
        for listing in offering.listings.values()
    )


async def run(settings: Settings) -> None:
    """Run an agent until SIGTERM or SIGINT; SIGHUP has it read its configuration again."""
    agent = Agent(settings)

    def stop() -> None:
        end_soon()
        agent.stop()

    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: agent.reload}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        await agent.run()
    finally:
        end_soon()
