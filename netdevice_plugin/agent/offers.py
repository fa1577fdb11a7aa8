"""What is offered, found out and said anew at each change: look, offer, publish, plan."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Mapping

import cdi
from netdevice_plugin.agent.asking import Asking
from netdevice_plugin.agent.claiming import Claiming
from netdevice_plugin.agent.configuring import Configuration
from netdevice_plugin.agent.counting import Counting
from netdevice_plugin.agent.looking import Looking
from netdevice_plugin.agent.porting import Porting
from netdevice_plugin.agent.publishing import Publishing
from netdevice_plugin.agent.readying import Readying
from netdevice_plugin.cdistore import on_disk
from netdevice_plugin.errors import NetdevError
from netdevice_plugin.inventory import lent
from netdevice_plugin.loans.reconciler import Reconciler
from netdevice_plugin.look import View
from netdevice_plugin.offering import InUse, Offering, Present, offer, remember
from netdevice_plugin.serving.bell import Bell

ENDING = 1.0  # seconds from a link's return to the end of its pod, most of the time
ASK_AGAIN = 10.0  # seconds, while it depends on the kubelet's answer whether a device is listed

_log = logging.getLogger(__name__)


class Offers:
    """A turn after each stir, from `remember` on. Without `asking` there is no kubelet."""

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        configuration: Configuration,
        looking: Looking,
        asking: Asking | None,
        claiming: Claiming | None = None,
        readying: Readying,
        porting: Porting,
        counting: Counting,
        reconciler: Reconciler,
        publishing: Publishing,
        stirred: asyncio.Event,
    ) -> None:
        self._configuration = configuration
        self._looking = looking
        self._asking = asking
        self._claiming = claiming
        self._readying = readying
        self._porting = porting
        self._counting = counting
        self._faults: Mapping[str, str] = {}
        self._reconciler = reconciler
        self._publishing = publishing
        self._stirred = stirred
        self._offering = Offering()
        self._seen: View | None = None
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._begun = 0
        self._ended = 0
        self._bell = Bell()

    async def remember(self) -> None:
        """Find out what an earlier agent listed, and what pods have."""
        config = self._configuration.current
        known: Mapping[str, frozenset[str]] = {}
        try:
            known = on_disk(config.cdi_dir, [config.prefix])
        except cdi.Error as error:
            _log.warning("Earlier CDI files cannot be read", extra={"reason": str(error)})
        self._offering = remember(known, config.pools)
        if self._claiming:
            try:
                await self._claiming.load()
            except NetdevError as error:
                why = {"reason": str(error), "remedy": error.hint}
                _log.warning("Earlier claims cannot be read", extra=why)
        if self._asking:
            await self._asking.ask(self.kinds())

    def kinds(self) -> set[str]:
        """Name the resources that are ours."""
        configured = {pool.key for pool in self._configuration.current.pools}
        return configured | self._offering.listings.keys()

    async def run(self) -> None:
        """Take turns, until cancelled."""
        while True:
            self._stirred.clear()
            self._begun += 1
            if seen := self._looking.view():
                await self._turn(seen)
            self._ended = self._begun
            self._bell.ring()
            await self._stirred.wait()

    async def settled(self) -> None:
        """Return when all that is known now has been said: at the end of a turn yet to begin."""
        wanted = self._begun + 1
        self._stirred.set()
        await self._bell.until(lambda: self._ended >= wanted)

    async def _turn(self, seen: View) -> None:
        """Say what is offered now: to the CDI directory, and only then to the kubelet."""
        config = self._configuration.current
        before = self._offering
        pools = {pool.name: pool for pool in config.pools}
        present = Present(
            snapshot=self._readying.complete(seen.snapshot),
            attachments=lent.standing(seen.snapshot, seen.attachments),
            broken=seen.problems,
            pools=config.pools,
            in_use=self._in_use(),
            orphaned=self._reconciler.orphaned,
            faults=self._faults,
            asked=self._claiming.nics if self._claiming else {},
            nodes=lambda device: self._readying.nodes(device, pools),
            now=time.monotonic(),
        )
        self._offering = offer(present, before)
        hardware = self._readying.look(self._offering, present.in_use)
        faults = {**self._porting.faults(self._offering), **hardware}
        if faults != self._faults:  # which depend on what there is to offer
            self._faults = faults
            self._offering = offer(dataclasses.replace(present, faults=faults), before)
        moved = self._seen is None or seen.attachments != self._seen.attachments
        if seen is not self._seen:
            self._reconciler.follow(seen)
            if self._claiming:
                self._claiming.follow(seen)
            self._seen = seen
        await self._publishing.say(self._offering, config)
        self._counting.look(config.sriov, present.snapshot, present.in_use)
        self._porting.follow(self._offering, present.in_use, present.snapshot)
        self._complain(before)
        self._plan(ENDING if moved else ASK_AGAIN)

    def _in_use(self) -> InUse:
        """Without a kubelet nothing is ever in doubt."""
        if self._asking:
            return _with(self._asking.in_use, self._claiming.held if self._claiming else {})
        self._turns += 1
        return InUse(serial=self._turns, known=True, asked=time.monotonic())

    def _complain(self, before: Offering) -> None:
        for problem in self._offering.problems:
            if problem not in before.problems:
                _log.error("A pool asks for what it cannot have", extra={"reason": problem})

    def _plan(self, patience: float) -> None:
        """Ask, and look again, when something depends on it."""
        offering = self._offering
        now = time.monotonic()
        if self._asking:
            serial = self._asking.in_use.serial
            if self._counting.unsure or any(one >= serial for one in offering.doubtful.values()):
                self._asking.soon()
            elif self._counting.waits or _is_open(offering):
                self._asking.at(now + patience)
            self._asking.at(self._reconciler.ask_at)
        elif offering.doubtful or self._counting.unsure:
            self._stirred.set()  # nobody has to be asked: the next turn settles it
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if (deadline := offering.deadline) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, deadline - now) + 0.01, self._stirred.set)


def _with(in_use: InUse, held: Mapping[str, frozenset[str]]) -> InUse:
    """Add what claims have: of that we know more than the kubelet."""
    if not held:
        return in_use
    devices = dict(in_use.devices)
    for key, names in held.items():
        devices[key] = devices.get(key, frozenset()) | names
    return dataclasses.replace(in_use, devices=devices)


def _is_open(offering: Offering) -> bool:
    """Whether what is listed may change by what pods do."""
    return bool(offering.doubtful or offering.moving) or any(
        listing.retired or any(one.fault for one in listing.devices)
        for listing in offering.listings.values()
    )
