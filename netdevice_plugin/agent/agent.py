"""The node agent: everything else put together, from its start to its end. It decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
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
from netdevice_plugin.agent.servers import Servers
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.agent.telling import tell
from netdevice_plugin.agent.turn import Turn
from netdevice_plugin.cdistore import CdiStore, on_disk
from netdevice_plugin.deviceplugin import Kubelet
from netdevice_plugin.loans import reclaiming, returns
from netdevice_plugin.loans.holders import Holders, view
from netdevice_plugin.loans.reconciler import Reconciler
from netdevice_plugin.look import View
from netdevice_plugin.model import Device, Listed, Pool
from netdevice_plugin.offering import InUse, Listing, Offering, Present, offer, remember
from netdevice_plugin.operations.health import Pulse, Readiness
from netdevice_plugin.operations.http import Server, metrics_page, verdict_page
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.operations.notify import Notifier
from netdevice_plugin.usage.usage import Usage

ASK_AGAIN = 10.0  # seconds, while it depends on the kubelet's answer whether a device is listed
FAREWELL = 1.5  # seconds for everything to end

_log = logging.getLogger(__name__)


class Agent:
    """One agent. Raises ConfigError if the configuration is not valid; to be made in a loop."""

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
        self._offering = Offering()
        self._lists: Mapping[str, Sequence[Listed]] = {}
        self._written: tuple[object, ...] = ()
        self._seen: View | None = None
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None
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
        background = [
            asyncio.create_task(self._pulse.run(also=self._notifier.watchdog)),
            asyncio.create_task(self._show()),
        ]
        try:
            await self._until_stopped(self._work(turn))
        finally:
            self._notifier.stopping()
            await _end(background)
            turn.release()
            self._notifier.close()
            _log.info("Ended")

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        working = asyncio.create_task(work)
        try:
            await asyncio.wait([stopping, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            await _end([working, stopping])

    async def _show(self) -> None:
        """Serve metrics and health; the agent before this one may have the port yet."""
        listen = self._settings.listen
        if listen is None:
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
        links = asyncio.create_task(self._follow_links())
        try:
            await self._looking.first.wait()
            self._readiness.met("inventory")
            await turn.take()
            self._readiness.met("charge")
            self._metrics.in_charge(charge=True)
            await self._remember()
            async with contextlib.AsyncExitStack() as stack:
                if self._settings.kubelet:
                    config = self._configuration.current
                    kubelet = Kubelet(config.kubelet_dir, config.registration)
                    await stack.enter_async_context(kubelet)
                    self._servers = Servers(kubelet, self._metrics)
                    stack.push_async_callback(self._servers.close)
                await self._serve(turn)
        finally:
            self._metrics.in_charge(charge=False)
            await _end([links])

    async def _serve(self, turn: Turn) -> None:
        tasks = [
            asyncio.create_task(self._store.run()),
            asyncio.create_task(self._looking.follow_records()),
            asyncio.create_task(self._configuration.follow(self._metrics, self._reconfigured)),
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(self._give_way(turn)),
            asyncio.create_task(self._loop()),
        ]
        if self._settings.kubelet:
            tasks.append(asyncio.create_task(self._asking.run(self._kinds)))
            tasks.append(asyncio.create_task(self._watch_registration()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self._servers:  # the streams end first
                await self._servers.close()
            await _end(tasks)

    async def _give_way(self, turn: Turn) -> None:
        other = await turn.asked()
        _log.info("Another agent takes over", extra={"other": other})

    async def _follow_links(self) -> None:
        """Follow the links, from the start if the configuration says otherwise what to read."""
        while True:
            addresses = self._configuration.current.node_addresses
            self._readdressed = asyncio.Event()
            following = asyncio.create_task(self._looking.follow_links(addresses))
            try:
                await self._readdressed.wait()
            finally:
                await _end([following])

    def _reconfigured(self) -> None:
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
        if seen is not self._seen:
            self._reconciler.follow(seen)
            self._seen = seen
        await self._write()
        self._publish()
        self._complain(before)
        self._plan()

    def _in_use(self) -> InUse:
        """Without a kubelet nothing is ever in doubt."""
        if self._settings.kubelet:
            return self._asking.in_use
        self._turns += 1
        return InUse(serial=self._turns, known=True)

    async def _write(self) -> None:
        """Bring the CDI files up to date, if anything in them may be another."""
        config = self._configuration.current
        listings = self._offering.listings.values()
        wanted: dict[Pool, Sequence[Device]] = {
            listing.pool: tuple(one.device for one in listing.devices) for listing in listings
        }
        asked = (config, *(listing.devices for listing in listings))
        same = len(asked) == len(self._written) and all(map(_is, asked, self._written))
        if same:
            return
        state = await self._store.write(wanted, config)
        if state.settled:
            self._written = asked
            self._metrics.cdi_written()
        else:
            self._metrics.cdi_write_failed()

    def _publish(self) -> None:
        problems = self._store.state.problems
        if problems:
            self._readiness.missing("cdi", problems[0])
        else:
            self._readiness.met("cdi")
        lists = {kind: self._deliverable(one) for kind, one in self._offering.listings.items()}
        tell(self._lists, lists)
        self._metrics.listed(lists)
        if self._servers:
            self._servers.publish(self._offering.listings, lists)
        if not self._lists:
            self._notifier.ready(f"{sum(map(len, lists.values()))} devices")
        self._lists = lists

    def _deliverable(self, listing: Listing) -> Sequence[Listed]:
        """List what is in a CDI file as it should be; the rest is unhealthy."""
        known = self._store.known(listing.pool.kind)
        if all(one.fault or one.device.name in known for one in listing.devices):
            return listing.devices
        reason = "it is not in a CDI file: " + "; ".join(self._store.state.problems)
        return tuple(
            one
            if one.fault or one.device.name in known
            else Listed(device=one.device, fault=reason)
            for one in listing.devices
        )

    def _complain(self, before: Offering) -> None:
        for problem in self._offering.problems:
            if problem not in before.problems:
                _log.error("A pool asks for what it cannot have", extra={"reason": problem})

    def _plan(self) -> None:
        """Ask, and look again, when something depends on it."""
        offering = self._offering
        now = time.monotonic()
        if any(since >= self._asking.in_use.serial for since in offering.doubtful.values()):
            self._asking.soon()
        elif offering.doubtful or any(map(_is_open, offering.listings.values())):
            self._asking.at(now + ASK_AGAIN)
        self._asking.at(self._reconciler.ask_at)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if (deadline := offering.deadline) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, deadline - now) + 0.01, self._stirred.set)

    async def _watch_registration(self) -> None:
        """Say in /readyz which resources the kubelet does not know."""
        while True:
            missing = self._servers.unregistered() if self._servers and self._lists else ["all"]
            if missing:
                why = f"not registered: {', '.join(missing)}"
                self._readiness.missing("kubelet", why)
            else:
                self._readiness.met("kubelet")
            await asyncio.sleep(1.0)


def _is_open(listing: Listing) -> bool:
    """Whether what is listed may change by what pods do."""
    return listing.retired or any(one.fault for one in listing.devices)


def _is(one: object, other: object) -> bool:
    return one is other


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel, and see them end; one that does not is left behind."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=FAREWELL)


async def run(settings: Settings) -> None:
    """Run an agent until SIGTERM or SIGINT; SIGHUP has it read its configuration again."""
    agent = Agent(settings)
    loop = asyncio.get_running_loop()
    handlers = {
        signal.SIGTERM: agent.stop,
        signal.SIGINT: agent.stop,
        signal.SIGHUP: agent.reload,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    await agent.run()
