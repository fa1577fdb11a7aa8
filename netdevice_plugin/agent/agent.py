"""The node agent: everything else put together, from its start to its end. It decides nothing."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any

from netdevice_plugin import __version__
from netdevice_plugin.agent.asking import Asking
from netdevice_plugin.agent.claiming import Claiming
from netdevice_plugin.agent.configuring import Configuration
from netdevice_plugin.agent.counting import Counting
from netdevice_plugin.agent.looking import Looking
from netdevice_plugin.agent.offers import Offers
from netdevice_plugin.agent.porting import Porting
from netdevice_plugin.agent.publishing import Publishing
from netdevice_plugin.agent.readying import Readying
from netdevice_plugin.agent.servers import Servers
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.agent.tasks import end_soon, first_of
from netdevice_plugin.agent.turn import Turn
from netdevice_plugin.cdistore import CdiStore
from netdevice_plugin.deviceplugin import Kubelet
from netdevice_plugin.functions.counts import Counts
from netdevice_plugin.functions.lending import Functions
from netdevice_plugin.loans import reclaiming, returns
from netdevice_plugin.loans.holders import Holders
from netdevice_plugin.loans.reconciler import Reconciler
from netdevice_plugin.loans.seeing import view
from netdevice_plugin.model import Device, Pool, Snapshot
from netdevice_plugin.operations.claims import ClaimMetrics
from netdevice_plugin.operations.hardware import HardwareMetrics, PortMetrics
from netdevice_plugin.operations.health import Pulse, Readiness
from netdevice_plugin.operations.http import Server, metrics_page, verdict_page
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.operations.notify import Notifier
from netdevice_plugin.provisioning import Node, VfSettings
from netdevice_plugin.usage.usage import Usage

GLANCE = 1.0  # seconds between looks at what only /readyz tells

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
        self._reconciler = Reconciler(
            holders=functools.partial(Holders, proc=settings.host_proc),
            reclaim=self._reclaim(),
            locked=functools.partial(returns.locked, config.run_dir),
            observer=self._metrics,
            changed=self._stirred.set,
        )
        self._servers: Servers | None = None
        self._asking: Asking | None = None
        self._claiming: Claiming | None = None
        if settings.kubelet:
            kubelet_ = Kubelet(config.kubelet_dir, config.registration)
            self._servers = Servers(kubelet_, self._metrics, self._ready)
            self._asking = Asking(config.kubelet_dir, self._metrics, self._hear)
            self._claiming = Claiming(
                settings,
                config,
                metrics=ClaimMetrics(self._metrics, config.prefix),
                readiness=self._readiness,
                stirred=self._stirred.set,
                lend=self._lend,
                attach=self._attach,
            )
        hardware = HardwareMetrics(self._metrics)
        functions = Functions(
            config.run_dir,
            observer=hardware,
            changed=self._stirred.set,
            protected=self._protected,
            proc=settings.host_proc,
        )
        counts = Counts(observer=hardware, changed=self._stirred.set)
        self._counting = Counting(counts, lambda: functions.records)
        self._readying = Readying(
            functions,
            hardware,
            settled=self._settled,
            ask_at=self._asking.at if self._asking else None,
        )
        self._porting = Porting(
            settings.node, PortMetrics(self._metrics), self._stirred.set, self._asked
        )
        self._publishing = Publishing(
            store=self._store,
            servers=self._servers,
            claiming=self._claiming,
            metrics=self._metrics,
            readiness=self._readiness,
            notifier=self._notifier,
            stirred=self._stirred.set,
        )
        self._offers = Offers(
            configuration=self._configuration,
            looking=self._looking,
            asking=self._asking,
            claiming=self._claiming,
            readying=self._readying,
            porting=self._porting,
            counting=self._counting,
            reconciler=self._reconciler,
            publishing=self._publishing,
            stirred=self._stirred,
        )
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
            await self._counting.first(
                self._configuration.current.sriov, self._links, self._stirred
            )
            await self._offers.remember()
            if blind := view(self._settings.host_proc).blind:
                _log.warning("Cannot see which containers live", extra={"reason": blind})
            await first_of(*self._tasks(turn))
        finally:
            self._metrics.in_charge(charge=False)

    def _tasks(self, turn: Turn) -> list[Coroutine[Any, Any, object]]:
        tasks: list[Coroutine[Any, Any, object]] = [
            self._store.run(),
            self._looking.follow_records(),
            self._configuration.follow(self._metrics, self._reconfigured),
            self._reconciler.run(),
            self._readying.run(),
            self._porting.run(),
            self._counting.run(),
            self._give_way(turn),
            self._watch_health(),
            self._offers.run(),
        ]
        if (
            self._servers and self._asking
        ):  # first, so that they are there when something is published
            tasks[:0] = [self._servers.run(), self._asking.run(self._offers.kinds)]
        if self._claiming:
            tasks.append(self._claiming.run())
        return tasks

    async def _give_way(self, turn: Turn) -> None:
        other = await turn.asked()
        if self._claiming:
            self._claiming.keep_slices = True  # which are the other's now
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

    def _ready(self, key: str, names: Sequence[str]) -> Awaitable[object] | None:
        return self._readying.ready(key, names)

    async def _lend(
        self, device: Device, pool: Pool, settings: VfSettings, holder: str
    ) -> tuple[Node, ...]:
        return await self._readying.lend(device, pool, settings, holder)

    async def _attach(
        self, pool: str, request: str, parameters: Mapping[str, str], mac: str
    ) -> str:
        return await self._porting.attach(pool, request, parameters, mac)

    def _asked(self) -> Mapping[str, str] | None:
        return self._claiming.asked if self._claiming else None

    def _links(self) -> Snapshot:
        view = self._looking.view()
        return view.snapshot if view else Snapshot()

    async def _settled(self) -> None:
        await self._offers.settled()

    def _protected(self, address: str) -> str:
        """Why a function stays on the host, if it does. For any thread."""
        view = self._looking.last
        if view is None:
            return "its links are not known yet"
        for link in view.snapshot.interfaces:
            if link.pci and link.pci.address == address:
                if link.lent:
                    return "is lent as a link"
                protection = view.snapshot.protection_of(link)
                if protection and protection.hard:
                    return protection.reason
        return ""

    def _reclaim(self) -> reclaiming.Run | None:
        if not self._settings.reclaim:
            return None
        if why := reclaiming.capable(self._run_dir):
            _log.error("Links of dead containers cannot be brought home", extra={"reason": why})
            return None
        return functools.partial(reclaiming.reclaim, run_dir=self._run_dir)

    def _hear(self, usage: Usage) -> None:
        self._reconciler.hear(usage)
        self._stirred.set()

    async def _watch_health(self) -> None:
        """Say in /readyz what nobody is told of by an event."""
        while True:
            self._readiness.missing("inventory", self._looking.trouble)
            if self._servers:
                unknown = self._servers.unregistered() if self._publishing.began else ["anything"]
                why = f"not registered: {', '.join(unknown)}" if unknown else ""
                self._readiness.missing("kubelet", why)
            await asyncio.sleep(GLANCE)


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
