"""Functions lent to programs in pods, and home again when nobody has them.

For the agent's event loop: what blocks is done in threads, at most `THREADS` at a
time, and one function of an IOMMU group after the other. Level-triggered: told what
should be, and who has what, it makes it so, and again after a while where it failed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions import groups, holders
from netdevice_plugin.functions.binding import PATIENCE, Binding, Teller
from netdevice_plugin.functions.failures import RETRY, Failures
from netdevice_plugin.functions.links import Links
from netdevice_plugin.functions.nodes import nodes
from netdevice_plugin.functions.observer import Observer, Silence
from netdevice_plugin.functions.record import FunctionRecord, Phase
from netdevice_plugin.functions.store import Store
from netdevice_plugin.functions.sysfs import Bus, State
from netdevice_plugin.functions.turns import Turns, every
from netdevice_plugin.model import Device, Pool
from netdevice_plugin.provisioning import BindAt, Node, Userspace, VfSettings

THREADS = 8
GRACE = 60.0  # seconds in which the kubelet may not know yet who was given a device
NOTED = 2.0  # seconds after which a kubelet that is asked knows who has it

_log = logging.getLogger(__name__)
_AS_IT_IS = VfSettings()


class Functions:
    """All functions with a userspace driver by our doing; to be made in a running loop.

    `changed` is called when `records` or what `faults` says may be another than before,
    and when `reconcile` should be called again. `protected` says why a function must
    not be touched, empty if it may be: asked right before it is, in another thread.
    `step` is called there as well, before each change: a test ends it there. `proc` and
    `dev` are the host's, under whatever path.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        run_dir: Path,
        *,
        bus: Bus | None = None,
        links: Teller | None = None,
        observer: Observer | None = None,
        changed: Callable[[], object] = lambda: None,
        protected: Callable[[str], str] = lambda _address: "",
        proc: Path = holders.PROC,
        dev: Path = holders.DEV,
        patience: float = PATIENCE,
        step: Callable[[str], None] = lambda _name: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus or Bus()
        self._store = Store(run_dir)
        self._binding = Binding(
            self._bus,
            self._store,
            links or Links(),
            proc=proc,
            dev=dev,
            patience=patience,
            step=step,
        )
        self._observer = observer or Silence()
        self._changed = changed
        self._protected = protected
        self._clock = clock
        self._turns = Turns(THREADS)
        self._turn = asyncio.Lock()  # of those who reconcile
        self._unread: Mapping[str, str] = {}
        self._failures = Failures(clock)
        self._fresh: dict[str, float] = {}  # lent then, and not seen in use since
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def records(self) -> Mapping[str, FunctionRecord]:
        """What is not as it would be without us, by device name; another mapping each time."""
        return self._store.records

    async def load(self) -> None:
        """Read the records, and undo what an agent had begun when it died.

        What was bound stays so: `reconcile` tells whether it should be. Raises
        FunctionError if the records cannot be read; one that is broken leaves its
        function alone, as `faults` says.
        """
        self._unread = await self._turns.run(self._store.load)
        for device, reason in self._unread.items():
            _log.error(
                "Record of a function cannot be used", extra={"device": device, "reason": reason}
            )
        found = self.records.values()
        now = self._clock()
        self._fresh = {one.device: now for one in found if one.phase is Phase.BOUND and one.holder}
        unfinished = [one.device for one in found if one.phase is not Phase.BOUND]
        await every(self.bring_home(device) for device in unfinished)
        self._wake(GRACE)

    def faults(self, devices: Iterable[Device], pools: Mapping[str, Pool]) -> Mapping[str, str]:
        """Why devices of pools with a driver cannot be lent now, by name; for others nothing.

        `pools` are by name. Reads sysfs, 0.1 ms for each device.
        """
        found = {}
        for device in devices:
            pool = pools.get(device.pool)
            if pool and pool.userspace and (reason := self._fault(device, pool.userspace)):
                found[device.name] = reason
        return found

    def nodes(self, device: Device, pool: Pool) -> tuple[Node, ...]:
        """The device nodes that a container needs for a device, as far as they are known now.

        Without an IOMMU, and with uio, they are known once it is lent, and may be others
        each time.
        """
        if pool.userspace is None or device.interface.pci is None:
            return ()
        return nodes(self._bus, device.interface.pci.address, pool.userspace.driver)

    async def lend(
        self, device: Device, pool: Pool, settings: VfSettings, *, holder: str = ""
    ) -> tuple[Node, ...]:
        """Bind a device, have its PF told the settings, and return its nodes.

        `holder` is for whom, in any words: what is in one IOMMU group is lent to one
        holder only, and once more to the same one is nothing new. Raises FunctionError:
        which function, what failed, what to do; all is as before then.
        """
        name = device.name
        self._fresh[name] = self._clock()  # before, so that nobody brings it home meanwhile
        pci = device.interface.pci
        job = functools.partial(self._lend, device, pool, settings, holder or name)
        await self._alone(name, pci.address if pci else name, job, "bind")
        self._fresh[name] = self._clock()
        self._wake(GRACE)
        return self.nodes(device, pool)

    async def release(self, name: str) -> None:
        """Nobody has a device any more: it goes home, or stays bound if its pool says so.

        Raises FunctionError (who holds it, or what failed), and leaves it to `reconcile`.
        """
        self._fresh.pop(name, None)
        await self._at(name, self._release)

    async def bring_home(self, name: str) -> None:
        """Give a device back the driver that it had, and forget it; nothing if it is home.

        Raises FunctionError as `release` does.
        """
        self._fresh.pop(name, None)
        await self._at(name, self._home)

    def there(self, address: str) -> bool:
        """Whether a function is on the bus."""
        return self._bus.function(address).exists()

    def claimed(self, names: Iterable[str]) -> None:
        """Hear that claims have these now: of that we know at once, and when it is over."""
        for name in names:
            self._fresh.pop(name, None)

    async def reconcile(
        self,
        wanted: Mapping[str, tuple[Device, Pool]],
        in_use: Collection[str],
        asked: float | None = None,
    ) -> None:
        """Bind what pools want bound all the time, and bring home what nobody has.

        `wanted` are all devices of pools with a driver, by name; `in_use` those that a
        pod or a claim has, as of `asked` on the clock, or now. One that was just lent may
        not be among these yet, or still be because of the pod before. Raises nothing:
        what fails is in `faults`, and `changed` is called to have it tried again.
        """
        async with self._turn:
            for name in in_use:
                self._seen(name, self._clock() if asked is None else asked)
            idle = {name for name in self.records if name not in in_use}
            unbound = {name for name, (_, pool) in wanted.items() if _stays(pool)} - set(in_use)
            due = sorted(name for name in idle | unbound if self._is_due(name))
            await every(self._settle(name, *wanted.get(name, (None, None))) for name in due)

    async def close(self) -> None:
        """Wait for what is at work. Nothing is brought home: pods go on without the agent."""
        if self._alarm:
            self._alarm.cancel()
        await self._turns.close()

    # What should be.

    def _fault(self, device: Device, userspace: Userspace) -> str:
        name = device.name
        record = self.records.get(name)
        if name in self._unread:
            return self._unread[name]
        if reason := self._failures.reason(name, bound=record is not None):
            return reason
        pci = device.interface.pci
        state = self._bus.state(pci.address) if pci else None
        if state is None:
            return "it is not there"
        return self._unfit(state, record, userspace)

    def _unfit(self, state: State, record: FunctionRecord | None, userspace: Userspace) -> str:
        if record and record.phase is Phase.BOUND and state.driver != record.target:
            return f"it is not bound to {record.target} any more"
        if record and record.holder:
            return ""
        if refusal := groups.refuse(state, userspace, self._node(userspace.driver)):
            return f"it {refusal.reason}"
        waits = userspace.bind_at is BindAt.START and record is None
        return f"it is not bound to {userspace.driver} yet" if waits else ""

    def _seen(self, name: str, asked: float) -> None:
        """Somebody has it: it was not just lent, and is not on its way home."""
        if asked - self._fresh.get(name, asked) >= NOTED:
            self._fresh.pop(name, None)
        self._failures.forget(name, "return")

    def _is_fresh(self, name: str) -> bool:
        since = self._fresh.get(name)
        return since is not None and self._clock() - since < GRACE

    def _is_due(self, name: str) -> bool:
        return not self._is_fresh(name) and self._failures.is_over(name)

    async def _settle(self, name: str, device: Device | None, pool: Pool | None) -> None:
        """Nobody has it: have it home, or bound and idle, unless it is lent meanwhile."""
        if known := self.records.get(name) or (device.interface.pci if device else None):
            step = "bind" if pool and _stays(pool) else "return"
            await self._alone(name, known.address, lambda: self._idle(name, device, pool), step)

    def _fits(self, record: FunctionRecord, pool: Pool) -> bool:
        """Whether what is bound is what the pool wants."""
        bound = record.phase is Phase.BOUND and self._bus.driver(record.address) == record.target
        return bound and pool.userspace is not None and record.target == pool.userspace.driver

    # What is done about it, in threads.

    def _idle(self, name: str, device: Device | None, pool: Pool | None) -> None:
        if self._is_fresh(name):
            return
        record = self.records.get(name)
        if record and not (pool and _stays(pool) and self._fits(record, pool)):
            self._home(record)
        elif record and record.holder:
            self._binding.release(record)
        if device and pool and _stays(pool) and name not in self.records:
            self._bind(device, pool, _AS_IT_IS, "")

    def _lend(self, device: Device, pool: Pool, settings: VfSettings, holder: str) -> None:
        record = self.records.get(device.name)
        pci = device.interface.pci
        if settings == pool.vf and pci and self._bus.pf(pci.address) is None:
            settings = _AS_IT_IS  # a pool's are for those of its devices that are VFs
        if record and not self._fits(record, pool):
            self._home(record)
            record = None
        if record is None:
            self._bind(device, pool, settings, holder)
            return
        self._check(device, pool, holder)
        if record.holder and record.holder != holder:
            record = self._binding.release(record)
        elif not record.holder:
            self._binding.check_free(record.address, record.target)
        wanted = dataclasses.replace(
            record, pool=pool.key, reset=pool.reset, stays=_stays(pool), holder=holder
        )
        self._binding.lend(wanted, settings)

    def _bind(self, device: Device, pool: Pool, settings: VfSettings, holder: str) -> None:
        userspace = self._check(device, pool, holder)
        assert device.interface.pci is not None  # noqa: S101 - as was checked
        record = FunctionRecord(
            device=device.name,
            address=device.interface.pci.address,
            pool=pool.key,
            phase=Phase.BINDING,
            target=userspace.driver,
            reset=pool.reset,
            stays=_stays(pool),
            holder=holder,
        )
        self._binding.bind(record, settings, device.interface)

    def _check(self, device: Device, pool: Pool, holder: str) -> Userspace:
        """Raise FunctionError if a function must not be given away, as it is at this moment."""
        pci = device.interface.pci
        if pci is None or pool.userspace is None:
            raise FunctionError(f"{device.name} is no function that a program could drive")
        if device.name in self._unread:
            raise FunctionError(f"{device.name}: {self._unread[device.name]}")
        if reason := self._protected(pci.address):
            raise FunctionError(f"{pci.address} stays on the host: {reason}")
        state = self._bus.state(pci.address)
        if state is None:
            raise FunctionError(f"{pci.address} is not there")
        node = self._node(pool.userspace.driver)
        if refusal := groups.refuse(state, pool.userspace, node, holder=holder):
            raise FunctionError(f"{pci.address} {refusal.reason}", hint=refusal.hint)
        return pool.userspace

    def _node(self, driver: str) -> groups.Node:
        lent = {record.address: record.holder for record in self.records.values()}
        return groups.Node(self._bus.has_driver(driver), self._bus.allows_no_iommu(), lent)

    def _release(self, record: FunctionRecord) -> None:
        if not (record.stays and record.phase is Phase.BOUND):
            self._home(record)
        elif record.holder:
            self._binding.release(record)

    def _home(self, record: FunctionRecord) -> None:
        for problem in self._binding.home(record).problems:
            extra = {"device": record.device, "reason": problem}
            _log.warning("Link is not as it was", extra=extra)

    # How it is done: one at a time, to the end, and told.

    async def _at(self, name: str, job: Callable[[FunctionRecord], None]) -> None:
        """Do that with a record, if there is one once it is our turn."""
        record = self.records.get(name)
        if record is None:
            return

        def run() -> None:
            if known := self.records.get(name):
                job(known)

        await self._alone(name, record.address, run, "return")

    async def _alone(self, name: str, address: str, job: Callable[[], None], step: str) -> None:
        async def work() -> None:
            before, begun = self.records.get(name), self._clock()
            try:
                await self._turns.run(job)
            except FunctionError as error:
                self._failed(name, step, error)
                raise
            self._took(name, before, self._clock() - begun)

        await self._turns.alone(self._place(address), work)

    def _place(self, address: str) -> str:
        """What is serialised: a group, or a function that has none of its own."""
        group = self._bus.group(address)
        return f"group {group.number}" if group and not group.no_iommu else address

    def _took(self, name: str, before: FunctionRecord | None, seconds: float) -> None:
        after = self.records.get(name)
        if not self._failures.forget(name) and after == before:
            return
        if after is None and before:
            if there := self.there(before.address):
                self._observer.returned(name, seconds)
            said = "Function has its own driver again" if there else "Function was pulled"
            _log.info(said, extra={"device": name})
        if after and (before is None or before.phase is not Phase.BOUND):
            self._observer.bound(name, seconds)
            extra = {"device": name, "address": after.address, "driver": after.target}
            _log.info("Function is bound", extra=extra)
        if after and after.vf and (before is None or after.vf != before.vf):
            self._observer.vf_set(name)
        self._changed()

    def _failed(self, name: str, step: str, error: FunctionError) -> None:
        self._observer.failed(name, step)
        self._fresh.pop(name, None)
        self._failures.add(name, step, error)
        self._wake(RETRY)
        self._changed()

    def _wake(self, seconds: float) -> None:
        """Have `reconcile` called again after that time, or before."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._alarm and not self._alarm.cancelled() and loop.time() < self._alarm.when() <= when:
            return
        if self._alarm:
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._changed)


def _stays(pool: Pool) -> bool:
    return bool(pool.userspace and pool.userspace.bind_at is BindAt.START)
