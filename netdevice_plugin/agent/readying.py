"""Functions made ready for the programs that get them, and brought home when those are over.

For pods that the kubelet gives devices this is all that happens: no hook runs. What is
to be is worked out anew in each turn from what is offered and who has it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.lending import NOTED
from netdevice_plugin.functions.merge import is_awaited, merge
from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.model import VIA_DRA, Device, Pool, Snapshot
from netdevice_plugin.offering import InUse, Listing, Offering
from netdevice_plugin.operations.hardware import HardwareMetrics
from netdevice_plugin.provisioning import BindAt, Node, Userspace, VfSettings
from netdevice_plugin.serving.errors import UnhealthyDeviceError

ASK_AGAIN = 5.0  # seconds between questions whether a pod still has what no hook gives back
AGAIN = 10.0  # seconds until records that could not be read are read again
SEEN = 2.0  # seconds in which the link of a function that is home shows

_UNREAD = "the records of functions have not been read yet"

_log = logging.getLogger(__name__)


class Lender(Protocol):
    """What is needed of `functions.lending.Functions`, which says what each does."""

    @property
    def records(self) -> Mapping[str, FunctionRecord]:
        """By device."""

    async def load(self) -> None:
        """Read them."""

    def faults(self, devices: Iterable[Device], pools: Mapping[str, Pool]) -> Mapping[str, str]:
        """By device, why not."""

    def nodes(self, device: Device, pool: Pool) -> tuple[Node, ...]:
        """As far as they are known."""

    async def lend(
        self, device: Device, pool: Pool, settings: VfSettings, *, holder: str = ""
    ) -> tuple[Node, ...]:
        """Bind it."""

    async def release(self, name: str) -> None:
        """Nobody has it."""

    def there(self, address: str) -> bool:
        """Whether a function was not pulled."""

    def claimed(self, names: Iterable[str]) -> None:
        """Claims have these now."""

    async def reconcile(
        self,
        wanted: Mapping[str, tuple[Device, Pool]],
        in_use: Collection[str],
        asked: float | None = None,
    ) -> None:
        """Make it so."""

    async def close(self) -> None:
        """End."""


class Readying:
    """Keeps functions as they should be while `run` runs; from one event loop.

    `settled` returns when what is known now is in the CDI files. `ask_at` has the
    kubelet asked by that time, of `time.monotonic`; where there is none nobody can
    ask for a device before it is needed, and all are bound when they are found.
    """

    def __init__(
        self,
        functions: Lender,
        metrics: HardwareMetrics,
        *,
        settled: Callable[[], Awaitable[object]],
        ask_at: Callable[[float], object] | None,
    ) -> None:
        self._functions = functions
        self._metrics = metrics
        self._settled = settled
        self._ask_at = ask_at
        self._listings: Mapping[str, Listing] = {}
        self._in_use = InUse()
        self._shown = Snapshot()
        self._bound: Mapping[str, FunctionRecord] = {}
        self._home: dict[str, tuple[FunctionRecord, float]] = {}  # not seen there yet; since when
        self._trouble = _UNREAD
        self._began = False
        self._news = asyncio.Event()
        self._working: dict[str, asyncio.Task[None]] = {}  # by device
        self._again: dict[str, float] = {}  # when to try again what failed, monotonic
        self.faults: Mapping[str, str] = {}

    # ---- for a turn

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """Show functions that are bound, or home and not seen there yet, as they were before."""
        records = self._functions.records
        self._home = dict(self._awaited(records, snapshot))
        self._bound = records
        home = (record for record, _ in self._home.values())
        self._shown = merge(snapshot, (*records.values(), *home), self._shown)
        return self._shown

    def nodes(self, device: Device, pools: Mapping[str, Pool]) -> tuple[Node, ...]:
        """Name the device nodes of a device, given the pools by name; links have none."""
        pool = pools.get(device.pool) or Pool(name=device.pool)
        return self._functions.nodes(device, self._driven(device, pool)) if device.userspace else ()

    def look(self, offering: Offering, in_use: InUse) -> Mapping[str, str]:
        """Say why devices that are offered cannot be had; and take in who has what."""
        self._listings = offering.listings
        self._in_use = in_use
        devices = [
            one.device
            for listing in offering.listings.values()
            if listing.pool.userspace
            for one in listing.devices
        ]
        if not devices and not self._functions.records:
            self.faults = {}
            return self.faults
        self._functions.claimed(
            name for key, names in in_use.devices.items() if key.endswith(VIA_DRA) for name in names
        )
        self._news.set()
        if self._trouble:
            self.faults = {device.name: self._trouble for device in devices}
        else:
            pools = {one.pool.name: self._always(one.pool) for one in offering.listings.values()}
            found = dict(self._functions.faults(devices, pools))
            for device in devices:
                if device.name in self._unready():
                    found.setdefault(device.name, "it is in use, and not bound yet")
            self.faults = found
        return self.faults

    # ---- for whoever asks

    def ready(self, key: str, names: Sequence[str]) -> Awaitable[object] | None:
        """Make devices ready for a container of the kubelet's; None where they are."""
        listing = self._listings.get(key)
        if listing is None or not listing.pool.userspace:
            return None
        wanted = set(names)
        chosen = [one.device for one in listing.devices if one.device.name in wanted]
        return self._lend_all(listing.pool, chosen) if chosen else None

    async def lend(
        self, device: Device, pool: Pool, settings: VfSettings, holder: str
    ) -> tuple[Node, ...]:
        """Make a device ready for a claim, and name its nodes. Raises FunctionError."""
        if self._trouble:
            raise FunctionError(f"{device.name}: {self._trouble}")
        pool = self._driven(device, pool)
        return await self._functions.lend(device, pool, settings, holder=holder)

    async def run(self) -> None:
        """Bind what is to be bound and bring home what nobody has, until cancelled."""
        await self._load()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                self._begin()
                await self._reconcile()
                self._metrics.lent(len(self._functions.records))
        finally:
            await self._functions.close()

    # ---- how

    def _awaited(
        self, records: Mapping[str, FunctionRecord], snapshot: Snapshot
    ) -> Iterator[tuple[str, tuple[FunctionRecord, float]]]:
        """Find those that are home, and whose links the inventory has not heard of yet."""
        now = time.monotonic()
        known = {name: (record, now) for name, record in self._bound.items()} | self._home
        for name, (record, since) in known.items():
            if name in records or now - since > SEEN or not is_awaited(record, snapshot):
                continue
            if self._functions.there(record.address):
                yield name, (record, since)

    async def _load(self) -> None:
        """Read the records, however long it takes until that can be done."""
        while True:
            try:
                await self._functions.load()
            except FunctionError as error:
                if str(error) != self._trouble:
                    why = {"reason": str(error), "remedy": error.hint}
                    _log.error("Records of functions cannot be read", extra=why)
                self._trouble = str(error)
                await asyncio.sleep(AGAIN)
            else:
                self._trouble = ""
                self._news.set()
                return

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            self._metrics.began()

    async def _reconcile(self) -> None:
        listings = self._listings
        pairs = [
            (one.device, self._always(listing.pool))
            for listing in listings.values()
            if listing.pool.userspace
            for one in listing.devices
        ]
        unready = self._unready()
        for device, pool in pairs:
            if device.name in unready:
                self._spawn(device, pool)
        in_use = self._in_use
        names = frozenset().union(*in_use.devices.values())
        if not in_use.known:
            names |= self._functions.records.keys()  # nobody knows that they are over
        wanted = {device.name: (device, pool) for device, pool in pairs}
        await self._functions.reconcile(wanted, names, in_use.asked)
        if self._ask_at and any(self._is_lent(key) for key in listings):
            self._ask_at(time.monotonic() + ASK_AGAIN)

    def _unready(self) -> frozenset[str]:
        """Name what pods of the kubelet's have and is not bound: after a boot nobody asks again."""
        records = self._functions.records
        return frozenset(
            name
            for key, names in self._in_use.devices.items()
            if not key.endswith(VIA_DRA)
            for name in names
            if name not in records
        )

    def _is_lent(self, key: str) -> bool:
        """Whether the kubelet's pods have, or are about to have, a function of a resource."""
        records = self._functions.records.values()
        return not key.endswith(VIA_DRA) and any(
            record.pool == key and record.holder for record in records
        )

    def _spawn(self, device: Device, pool: Pool) -> None:
        """Bind what a pod has already, unless that is at work or has just failed."""
        name = device.name
        if name in self._working or time.monotonic() < self._again.get(name, 0):
            return
        task = asyncio.create_task(self._bind_again(device, pool), name=name)
        self._working[name] = task
        task.add_done_callback(lambda _: self._working.pop(name))

    async def _bind_again(self, device: Device, pool: Pool) -> None:
        try:
            await self._functions.lend(device, pool, pool.vf, holder=device.name)
        except FunctionError:  # which has been told, and is a fault of the device
            self._again[device.name] = time.monotonic() + AGAIN

    async def _lend_all(self, pool: Pool, devices: Sequence[Device]) -> None:
        """Bind all devices of one container, or none."""
        if self._trouble:
            raise UnhealthyDeviceError(f"{devices[0].name}: {self._trouble}")
        holder = ",".join(sorted(device.name for device in devices))[:512]
        work = (self._functions.lend(one, pool, pool.vf, holder=holder) for one in devices)
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, FunctionError):
                await self._take_back(devices)
                raise UnhealthyDeviceError(str(result), hint=result.hint) from result
            if isinstance(result, BaseException):
                raise result
        if self._ask_at:
            self._ask_at(time.monotonic() + NOTED)
        pools = {pool.name: pool}
        if any(self.nodes(device, pools) != device.nodes for device in devices):
            await self._settled()

    async def _take_back(self, devices: Sequence[Device]) -> None:
        """Nobody gets them after all; what a pod has it keeps."""
        used = frozenset().union(*self._in_use.devices.values())
        free = [device.name for device in devices if device.name not in used]
        await asyncio.gather(*map(self._functions.release, free), return_exceptions=True)

    def _driven(self, device: Device, pool: Pool) -> Pool:
        """Of a pool that is gone, or has no driver any more, devices keep the one they have."""
        record = self._functions.records.get(device.name)
        if pool.userspace or record is None:
            return pool
        # What could be said against it was said when it was lent.
        return dataclasses.replace(pool, userspace=Userspace(driver=record.target, no_iommu=True))

    def _always(self, pool: Pool) -> Pool:
        """Without a kubelet a device is bound as soon as it is there."""
        if self._ask_at or pool.userspace is None:
            return pool
        bound = dataclasses.replace(pool.userspace, bind_at=BindAt.START)
        return dataclasses.replace(pool, userspace=bound)
