"""How many virtual functions each physical one has: as many as the configuration says.

The kernel takes all away before it makes another number of them. So a number is only
changed while nobody has one of them; from none to some it can always be. What may be
done is decided by functions without side effects, `Counts` does it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from netdevice_plugin.functions import groups
from netdevice_plugin.functions.observer import Observer, Silence
from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.functions.sysfs import Bus
from netdevice_plugin.model import Interface, Snapshot, device_name, pci_device_name
from netdevice_plugin.provisioning import PfCount

RETRY = 60.0  # seconds until a write that failed is tried again though nothing has changed

_FEW = 4  # names in a message
_SCOPE_LINK = 253
_ELSEWHERE = "has its link in another network namespace"
_GIVEN = "is given to a pod"  # which may not run just now, and is to find it when it does
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to write one after the other, or why not; neither if all is as it should be."""

    writes: tuple[int, ...] = ()
    fault: str = ""


def decide(wanted: int, current: int, total: int, busy: Mapping[str, str]) -> Decision:
    """Decide for one PF that has `current` VFs and can have `total`.

    `busy` says of VFs that cannot be taken away why, by address.
    """
    if wanted == current:
        return Decision()
    if wanted > total:
        return Decision(fault=f"it can have {total} virtual functions, not {wanted}")
    if not current:
        return Decision((wanted,))
    if busy:
        some = [f"{address} {reason}" for address, reason in list(busy.items())[:_FEW]]
        more = [f"{len(busy) - _FEW} more"] if len(busy) > _FEW else []
        what = f"it has {current} virtual functions, not {wanted}, and keeps them"
        return Decision(fault=f"{what}: {', '.join(some + more)}")
    return Decision((0, wanted) if wanted else (0,))


def find(snapshot: Snapshot, pf: str) -> Interface | None:
    """The physical function of that name, altname or PCI address, with or without a link."""
    if ":" not in pf:
        return snapshot.named(pf)
    everything = (*snapshot.interfaces, *snapshot.functions)
    return next((one for one in everything if one.pf and one.pci and one.pci.address == pf), None)


def busy(
    snapshot: Snapshot,
    pf: Interface,
    records: Iterable[FunctionRecord],
    given: Collection[str] = (),
) -> Mapping[str, str]:
    """Why VFs of a PF cannot be taken away, by address, in words that follow it.

    `given` are the names of devices that pods have, whether they run now or not.
    """
    lent = {record.address for record in records if record.holder}
    bound = {record.address for record in records}
    links = {one.pci.address: one for one in snapshot.interfaces if one.pci}
    bare = {one.pci.address: one for one in snapshot.functions if one.pci}
    found: dict[str, str] = {}
    for _, address in pf.pf.vfs if pf.pf else ():
        if address in lent:
            found[address] = "is lent"
        elif pci_device_name(address) in given:
            found[address] = _GIVEN
        elif link := links.get(address):
            found[address] = _link_busy(snapshot, link)
            if not found[address] and device_name(link.name) in given:
                found[address] = _GIVEN
        elif address not in bound:
            found[address] = _bare_busy(bare.get(address))
    return {address: reason for address, reason in found.items() if reason}


def _link_busy(snapshot: Snapshot, link: Interface) -> str:
    if link.lent:
        return "is in a pod"
    protection = snapshot.protection(link.ifindex)
    if protection and protection.hard:
        return f"stays: {protection.reason}"
    if link.master:
        return f"({link.name}) is a port of another link"
    if any(address.scope != _SCOPE_LINK for address in link.addresses):
        return f"({link.name}) has addresses"
    return ""


def _bare_busy(function: Interface | None) -> str:
    """Of one that we did not bind and that has no link in sight."""
    if function is None:
        return _ELSEWHERE
    driver = function.pci.driver if function.pci else ""
    return f"is driven by {driver}" if driver else ""


class Counts:
    """Has each PF have its VFs; told what there is, as often as that changes.

    `changed` is called when `faults` says something else than before, or if `follow`
    should be called again.
    """

    def __init__(
        self,
        *,
        bus: Bus | None = None,
        observer: Observer | None = None,
        changed: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus or Bus()
        self._observer = observer or Silence()
        self._changed = changed
        self._clock = clock
        self._turn = asyncio.Lock()
        self._failed: dict[str, tuple[int, str, float]] = {}  # wanted, why, when
        self._alarm: asyncio.TimerHandle | None = None
        self.faults: Mapping[str, str] = {}
        """Why a PF has not the VFs that it should, by its name in the configuration."""

    async def follow(
        self,
        counts: Sequence[PfCount],
        snapshot: Snapshot,
        records: Mapping[str, FunctionRecord],
        given: Collection[str] = (),
    ) -> None:
        """Make it so where it can be; several PFs at once. Takes 0.1 s for each VF.

        `given` are the names of devices that pods have.
        """
        async with self._turn:
            jobs = [self._one(count, snapshot, records, given) for count in counts]
            reasons = dict(
                zip((one.pf for one in counts), await asyncio.gather(*jobs), strict=True)
            )
            faults = {pf: reason for pf, reason in reasons.items() if reason}
        if faults == self.faults:
            return
        for pf, reason in faults.items():
            if self.faults.get(pf) != reason:
                extra = {"pf": pf, "reason": reason}
                _log.warning("Virtual functions are not as configured", extra=extra)
                self._observer.not_counted(pf)
        self.faults = faults
        self._changed()

    def close(self) -> None:
        """Have it called no more."""
        if self._alarm:
            self._alarm.cancel()

    async def _one(
        self,
        count: PfCount,
        snapshot: Snapshot,
        records: Mapping[str, FunctionRecord],
        given: Collection[str],
    ) -> str:
        pf = find(snapshot, count.pf)
        if pf is None:
            return "it is not there"
        if pf.lent:
            return "it is in a pod, and its virtual functions wait for it"
        if pf.pci is None or pf.pf is None:
            return "it can have no virtual functions"
        if not pf.pci.driver or groups.is_userspace(pf.pci.driver):
            return "it has no driver that makes virtual functions"
        if why := self._failed_before(count):
            return why
        taken = busy(snapshot, pf, records.values(), given)
        made, reason = await asyncio.to_thread(self._apply, count, pf.pci.address, taken)
        if made:
            self._observer.counted(count.pf, count.num_vfs)
            extra = {"pf": count.pf, "address": pf.pci.address, "count": count.num_vfs}
            _log.info("Virtual functions made", extra=extra)
        elif count.pf in self._failed:
            self.close()
            self._alarm = asyncio.get_running_loop().call_later(RETRY, self._changed)
        return reason

    def _failed_before(self, count: PfCount) -> str:
        wanted, why, when = self._failed.get(count.pf, (-1, "", 0.0))
        if wanted != count.num_vfs or self._clock() - when >= RETRY:
            self._failed.pop(count.pf, None)
            return ""
        return why

    def _apply(self, count: PfCount, address: str, taken: Mapping[str, str]) -> tuple[bool, str]:
        """In a thread: a write takes as long as the driver needs. Whether it did, or why not."""
        current, total = self._bus.num_vfs(address), self._bus.total_vfs(address)
        if current not in (0, count.num_vfs):
            taken = {**self._gone(address), **taken}
        decision = decide(count.num_vfs, current, total, taken)
        for number in decision.writes:
            try:
                self._bus.set_num_vfs(address, number)
            except OSError as error:
                why = f"{address} takes no {number} virtual functions: {_reason(error)}"
                self._failed[count.pf] = count.num_vfs, why, self._clock()
                return False, why
        return bool(decision.writes), decision.fault

    def _gone(self, pf: str) -> Mapping[str, str]:
        """VFs whose links have gone to another namespace since the snapshot was taken."""
        states = [self._bus.state(address) for address in self._bus.vfs(pf)]
        return {
            one.address: _ELSEWHERE
            for one in states
            if one and one.driver and not one.links and not groups.is_userspace(one.driver)
        }


def _reason(error: OSError) -> str:
    number = error.errno or 0
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{os.strerror(number)}; the agent may not write to /sys"
    return f"{os.strerror(number)}; the kernel's log has more"
