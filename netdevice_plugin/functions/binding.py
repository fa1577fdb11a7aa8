"""A function given a userspace driver, and brought home: step by step, each one repeatable.

The record is written before anything is touched and removed when all is as it was.
Whoever dies between two steps, and whoever comes after, does the same as if nobody
had: every step looks at what is there first. Blocks; one function at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions import groups, holders
from netdevice_plugin.functions.nodes import nodes
from netdevice_plugin.functions.record import FunctionRecord, Link, Phase, VfBefore
from netdevice_plugin.functions.saying import about, after, doing, why_not_bound
from netdevice_plugin.functions.store import Store
from netdevice_plugin.functions.sysfs import Bus, State
from netdevice_plugin.functions.unbinding import Questions
from netdevice_plugin.model import Address, Interface
from netdevice_plugin.provisioning import VfSettings

PATIENCE = 2.0  # seconds for a driver to let go, and for a netdev to appear

_ASLEEP = 0.01  # seconds between two looks at whether a netdev has appeared
_GROUP = re.compile(r"/dev/vfio/(noiommu-)?[0-9]+")
_SCOPE_LINK = 253
_IFA_F_PERMANENT = 0x80
_NO_MAC = "00:00:00:00:00:00"  # what a PF says that leaves the choice to the VF
_OF_VLANS = frozenset({"vlan", "qos", "protocol"})
_AS_IT_IS = VfSettings()


class Teller(Protocol):
    """Who speaks rtnetlink: `links.Links`."""

    def look(self, ifindex: int) -> Interface:
        """How a link is."""

    def vf(self, pf: int, number: int) -> VfSettings:
        """What a PF says of a VF."""

    def set_vf(self, pf: int, number: int, wanted: VfSettings) -> bool:
        """Tell it something else."""

    def restore(self, ifindex: int, link: Link) -> list[str]:
        """Make a link what it was; what could not be done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """A function is home; `problems` are what of its link is not as it was."""

    problems: tuple[str, ...] = ()


class Binding:
    """Binds functions and brings them home.

    `step` is called before each change with its name; a test ends it there. `proc`
    and `dev` are the host's, under whatever path.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        bus: Bus,
        store: Store,
        links: Teller,
        *,
        proc: Path = holders.PROC,
        dev: Path = holders.DEV,
        patience: float = PATIENCE,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._bus = bus
        self._store = store
        self._links = links
        self._proc = proc
        self._dev = dev
        self._patience = patience
        self._step = step
        self._questions = Questions(patience)

    def bind(self, wanted: FunctionRecord, settings: VfSettings, seen: Interface) -> FunctionRecord:
        """Give a function its driver, and the PF what it should know of it; returns the record.

        `wanted` says what for; what was before is looked up here, but for addresses of
        its link, which are as they were `seen`. If it fails all is
        undone, and FunctionError says what failed; where undoing fails the record stays.
        """
        state = self._state(wanted.address)
        if groups.is_userspace(state.driver):
            self.check_free(wanted.address, state.driver)
        elif any(groups.is_userspace(member.driver) for member in state.members):
            self.check_free(wanted.address, wanted.target)  # somebody may have the group
        made = dataclasses.replace(
            wanted,
            phase=Phase.BINDING,
            driver=state.driver,
            override=self._override(wanted.address, state.driver),
            link=self._link(wanted.address, seen),
        )
        made = dataclasses.replace(made, vf=self._before(made, settings))
        self._write(made)
        with self._or_home(made):
            self._bind(made, settings)
            return self._write(dataclasses.replace(made, phase=Phase.BOUND))

    def lend(self, record: FunctionRecord, settings: VfSettings) -> FunctionRecord:
        """Have the PF told what the holder wants, of a function that is bound.

        If it fails the function stays bound, and is as it was.
        """
        before = self._before(record, settings)
        made = self._write(dataclasses.replace(record, vf=before))
        try:
            self._set_vf(made, settings)
        except FunctionError as error:
            with after(error):
                self._restore_vf(made)
                self._write(dataclasses.replace(record, holder="", vf=None))
            raise
        return made

    def release(self, record: FunctionRecord) -> FunctionRecord:
        """Nobody has it any more, and it stays bound: settings as before, reset if asked for."""
        self.check_free(record.address, record.target)
        self._restore_vf(record)
        if record.reset:
            self._reset(record.address)
        return self._write(dataclasses.replace(record, holder="", vf=None))

    def home(self, record: FunctionRecord) -> Outcome:
        """Give a function back the driver that it had, and all else; then forget it.

        Raises FunctionError if it cannot be: the record stays, for another attempt.
        """
        if self._bus.state(record.address) is None:  # pulled: nothing is left of it
            self._forget(record)
            return Outcome()
        # The kernel forgets the driver first, and then waits for who holds the function.
        if self._bus.driver(record.address) in ("", record.target):
            self.check_free(record.address, record.target)
        self._override(record.address, record.target)
        self._write(dataclasses.replace(record, phase=Phase.RETURNING))
        self._unbind_target(record)
        self._restore_vf(record)
        self._restore_override(record)
        self._bind_before(record)
        problems = self._restore_link(record)
        self._forget(record)
        return Outcome(tuple(problems))

    def check_free(self, address: str, driver: str) -> None:
        """Raise FunctionError if a program has the function open, and say which."""
        own = [node.path for node in nodes(self._bus, address, driver) if not node.shared]
        # A group is opened once only, so that trying tells at once; other nodes are shared.
        tried = [holders.taken(self._dev / path[5:]) for path in own if _GROUP.fullmatch(path)]
        if tried == [False]:
            return
        if found := holders.holders(own, self._proc):
            hint = "it can be had once that has ended"
            raise FunctionError(f"{address} is held by {holders.told(found)}", hint=hint)
        if any(tried):
            hint = f"`fuser -v {' '.join(own)}` on the node tells by whom"
            raise FunctionError(f"{address} is held by a program that cannot be seen", hint=hint)

    def _state(self, address: str) -> State:
        state = self._bus.state(address)
        if state is None:
            raise FunctionError(f"{address} is not there", hint="it was pulled, or its PF lost it")
        return state

    # What is done on the way there.

    def _link(self, address: str, seen: Interface) -> Link | None:
        ifindex = self._bus.ifindex(address)
        if not ifindex:
            return None
        with about(address):
            found = self._links.look(ifindex)
        same = seen.ifindex == ifindex
        return Link(
            name=found.name,
            altnames=found.altnames,
            mac=found.mac,
            permanent_mac=found.permanent_mac,
            own_mac=self._bus.own_mac(address),
            mtu=found.mtu,
            up=found.up,
            driver=seen.driver if same else "",
            addresses=tuple(filter(_lasts, seen.addresses)) if same else (),
        )

    def _before(self, record: FunctionRecord, settings: VfSettings) -> VfBefore | None:
        """What the PF says of what is to be set; what we set ourselves does not count."""
        address, known, link = record.address, record.vf, record.link
        if settings == _AS_IT_IS:
            return known
        place = self._bus.pf(address)
        if place is None:
            raise FunctionError(f"{address} is no virtual function, and has no settings of one")
        pf, number = place
        with about(address):
            current = self._links.vf(self._pf_link(pf), number)
        if link and link.own_mac and current.mac == link.mac:
            # What the VF's driver has chosen is no order of the PF's. Set as one, it would
            # keep the driver from choosing another.
            current = dataclasses.replace(current, mac=_NO_MAC)
        found = _of_those(settings, current)
        if known and known.settings.vlan is not None:
            found = dataclasses.replace(found, **dict.fromkeys(_OF_VLANS))
        before = known.settings.over(found) if known else found
        return VfBefore(pf=pf, number=number, settings=before)

    def _set_vf(self, record: FunctionRecord, settings: VfSettings) -> None:
        if record.vf and settings != _AS_IT_IS:
            self._step("vf")
            with about(record.address):
                self._links.set_vf(self._pf_link(record.vf.pf), record.vf.number, settings)

    def _bind(self, record: FunctionRecord, settings: VfSettings) -> None:
        """The PF is told while the VF has no driver, which would not hear of it."""
        address, target = record.address, record.target
        if self._bus.driver(address) == target:
            self._set_vf(record, settings)
            return
        self._step("override")
        with doing(address, f"be kept for {target}"):
            self._bus.set_override(address, target)
        if current := self._bus.driver(address):
            self._step("unbind")
            self._unbind(address, current)
        self._set_vf(record, settings)
        self._step("bind")
        self._bind_to(address, target)

    def _bind_to(self, address: str, driver: str) -> None:
        """The kernel may have bound it by itself meanwhile: what counts is who has it."""
        if self._bus.driver(address) == driver:
            return
        try:
            self._bus.bind(address, driver)
        except OSError as error:
            if self._bus.driver(address) != driver:
                raise FunctionError(
                    f"{address} cannot be bound to {driver}: {os.strerror(error.errno or 0)}",
                    hint=why_not_bound(error.errno, driver),
                ) from error
        if (found := self._bus.driver(address)) != driver:
            other = f"{found} has it" if found else "no driver has it"
            raise FunctionError(
                f"{address} cannot be bound to {driver}: {other}", hint="the kernel's log has more"
            )

    # What is done on the way back.

    @contextlib.contextmanager
    def _or_home(self, record: FunctionRecord) -> Iterator[None]:
        try:
            yield
        except FunctionError as error:
            with after(error):
                self.home(record)
            raise

    def _override(self, address: str, driver: str) -> str:
        """Who alone may be bound. Raises FunctionError while the kernel does not say.

        All that is done here needs the lock that this needs, and would wait for ever.
        """
        driver = driver or "its driver"
        return self._questions.ask(address, driver, lambda: self._bus.override(address))

    def _unbind_target(self, record: FunctionRecord) -> None:
        address = record.address
        if self._bus.driver(address) == record.target != record.driver:
            self._step("unbind")
            self._unbind(address, record.target)
        # With its own driver it has been through this already.
        if record.reset and self._bus.driver(address) in ("", record.target):
            self._reset(address)

    def _restore_vf(self, record: FunctionRecord) -> None:
        """Before the driver is back: that reads its MAC from the PF when it is bound.

        So if it is, either this has been done or nothing was told yet.
        """
        if record.vf is None or record.vf.settings == _AS_IT_IS:
            return
        if self._bus.driver(record.address) == record.driver not in ("", record.target):
            return
        self._step("vf")
        with about(record.address):
            pf = self._pf_link(record.vf.pf)
            self._links.set_vf(pf, record.vf.number, record.vf.settings)

    def _reset(self, address: str) -> None:
        self._step("reset")
        with doing(address, "be reset"):
            self._bus.reset(address)

    def _restore_override(self, record: FunctionRecord) -> None:
        """One that somebody else has set by now is theirs."""
        if self._bus.override(record.address) != record.target or record.override == record.target:
            return
        self._step("override")
        with doing(record.address, "be free for its own driver"):
            self._bus.set_override(record.address, record.override)

    def _bind_before(self, record: FunctionRecord) -> None:
        if record.driver and not self._bus.driver(record.address):
            self._step("bind")
            self._bind_to(record.address, record.driver)

    def _restore_link(self, record: FunctionRecord) -> list[str]:
        if record.link is None or self._bus.driver(record.address) != record.driver:
            return []
        ifindex = self._appeared(record.address)
        if not ifindex:
            return [f"no link appeared within {self._patience:g} s"]
        self._step("link")
        with about(record.address):
            return self._links.restore(ifindex, record.link)

    def _appeared(self, address: str) -> int:
        """Wait for the netdev: virtio's is made by another driver than the function's."""
        end = time.monotonic() + self._patience
        while not (ifindex := self._bus.ifindex(address)) and time.monotonic() < end:
            time.sleep(_ASLEEP)
        return ifindex

    def _pf_link(self, pf: str) -> int:
        ifindex = self._bus.ifindex(pf)
        if not ifindex:
            hint = "settings of a virtual function go through its PF's link"
            raise FunctionError(f"the PF {pf} has no link here", hint=hint)
        return ifindex

    def _unbind(self, address: str, driver: str) -> None:
        """It is seen to before that nobody holds it, as far as that shows."""
        reason = "it stays"
        try:
            self._questions.ask(address, driver, lambda: self._bus.unbind(address))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
        if self._bus.driver(address) == driver:
            raise FunctionError(f"{address} cannot be unbound from {driver}: {reason}")

    def _write(self, record: FunctionRecord) -> FunctionRecord:
        self._step("record")
        self._store.write(record)
        return record

    def _forget(self, record: FunctionRecord) -> None:
        self._step("forget")
        self._store.remove(record.device)


def _lasts(address: Address) -> bool:
    """Whether somebody set an address for good: others come by themselves, or by DHCP."""
    by_kernel = address.family == 6 and address.scope == _SCOPE_LINK
    return bool(address.flags & _IFA_F_PERMANENT) and not by_kernel


def _of_those(settings: VfSettings, current: VfSettings) -> VfSettings:
    """What is now of what will be set: VLANs go with priority and protocol, rates together."""
    asked = {
        field.name
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) is not None
    }
    if asked & {"min_tx_rate", "max_tx_rate"}:
        asked |= {"min_tx_rate", "max_tx_rate"}
    if asked & _OF_VLANS:
        asked = (asked - _OF_VLANS) | (_OF_VLANS if current.vlan else {"vlan"})
    return VfSettings(**{name: getattr(current, name) for name in asked})
