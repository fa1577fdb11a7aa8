"""How many ports a pool has and should have, and what is to be done about it: pure.

What is done is one thing at a time, and decided anew after it. A port is only ever
detached when its NIC is kept from pods, was so in all that was published, and nobody
had it when the kubelet was asked after that. Of a NIC that is nowhere to be seen it
must be sure that it is not away in some pod.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.errors import BusyError, QuotaError, RefusedError, UnansweredError
from netdevice_plugin.ports.provider import Port
from netdevice_plugin.provisioning import Ports

# All in seconds.
IDLE = 300.0  # for so long there must have been more free devices than wanted
DRAIN = 60.0  # for so long a device is kept from pods: a claim may have been given it just before
ARRIVAL = 60.0  # a NIC is here by then, or does not come
SETTLE = 60.0  # what was asked of a provider that gave no answer may have happened until then

_DELAYS: dict[type[PortError], tuple[float, float]] = {  # the first one, and the longest
    QuotaError: (300.0, 1800.0),
    RefusedError: (60.0, 900.0),
    BusyError: (2.0, 60.0),
}
_DELAY = (5.0, 300.0)


class Use(enum.Enum):
    """What a pool's device is to pods."""

    FREE = "free"
    HELD = "held"  # a pod or claim has it, or it is in a container
    FAULTY = "faulty"  # nobody may have it now; it may be for our sake


class Why(enum.Enum):
    """What a port is detached for."""

    IDLE = "nobody needs it"
    ABSENT = "its NIC did not come"
    LEFTOVER = "it was never attached"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the agent has published, and what that was made from. MACs are in lower case."""

    uses: Mapping[str, Use]  # the pool's devices, by MAC
    nameless: int = 0  # more of them, whose MAC is not known: each may be any port's
    free: int = 0  # how many are free, whosever port they are
    here: frozenset[str] = frozenset()  # the MACs of all links that are known of
    hidden: bool = False  # there are network functions without a link, whose MAC is not known
    kept: frozenset[str] = frozenset()  # the MACs that this offering keeps from pods
    serial: int = 0  # of the answer that says what is held
    known: bool = False  # whether that was an answer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A port that is to go, step by step."""

    port: Port
    why: Why
    told: float | None = None  # since when what is published keeps it from pods
    serial: int = 0  # of the answer at that time
    tried: int = 0  # how often it was begun to detach it: there is no way back then
    again: float = 0.0  # not before


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What has to be remembered from one decision to the next; to lose it does no harm."""

    ports: tuple[Port, ...] = ()  # as they were listed last, and what happened since
    since: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by ID: first seen
    arrived: frozenset[str] = frozenset()  # IDs of those whose NIC was here
    leaving: Mapping[str, Leaving] = dataclasses.field(default_factory=dict)  # by ID
    surplus: float | None = None  # since when more are free than wanted
    failures: int = 0  # attaches in a row that led to nothing
    hold: float = 0.0  # no attach before
    quota: bool = False  # what it is held for
    pending: tuple[float, ...] = ()  # until when an attach without an answer may show itself


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, at most one thing; and when to decide again if nothing happens."""

    attach: bool = False
    detach: Leaving | None = None
    again: float | None = None
    coming: int = 0  # ports whose NIC is not here yet
    missing: bool = False  # some port has no NIC here: the list may be of yesterday
    asks: bool = False  # it depends on what is published next, or answered
    problems: tuple[str, ...] = ()


def seen(memory: Memory, ports: Iterable[Port], now: float) -> Memory:
    """Take in what the provider lists."""
    listed = tuple(sorted(ports, key=lambda port: port.id))
    ids = {port.id for port in listed}
    new = ids - memory.since.keys()
    # Whatever is new is taken for what was asked for without an answer.
    pending = sorted(until for until in memory.pending if until > now)[len(new) :]
    return dataclasses.replace(
        memory,
        ports=listed,
        since={port: memory.since.get(port, now) for port in sorted(ids)},
        arrived=memory.arrived & ids,
        leaving={port: one for port, one in memory.leaving.items() if port in ids},
        pending=tuple(pending),
    )


def attached(memory: Memory, port: Port, now: float) -> Memory:
    """Take in that a port was attached, which is none of those that there was no answer about."""
    others = [one for one in memory.ports if one.id != port.id]
    return dataclasses.replace(seen(memory, (*others, port), now), pending=memory.pending)


def attach_failed(memory: Memory, error: PortError, now: float, chance: float) -> Memory:
    """Take in that it was not; `chance` is between 0 and 1, so that not all come back at once."""
    unknown = isinstance(error, UnansweredError)
    return _held(memory, type(error), now, chance, (now + SETTLE,) if unknown else ())


def detached(memory: Memory, port: str, now: float) -> Memory:
    """Take in that a port is gone; there is room for another now."""
    left = seen(memory, (one for one in memory.ports if one.id != port), now)
    return dataclasses.replace(left, hold=0.0, quota=False) if memory.quota else left


def detach_begins(memory: Memory, port: str) -> Memory:
    """Take in that it is about to be asked for: from then on the NIC may go at any time."""
    one = memory.leaving[port]
    return _with_leaving(memory, dataclasses.replace(one, tried=one.tried + 1))


def detach_failed(memory: Memory, port: str, error: PortError, now: float, chance: float) -> Memory:
    """Take in that a port may or may not be gone."""
    if port not in memory.leaving:
        return memory
    one = memory.leaving[port]
    again = now + delay(type(error), one.tried - 1, chance)
    return _with_leaving(memory, dataclasses.replace(one, again=again))


def decide(settings: Ports, scene: Scene, memory: Memory, now: float) -> tuple[Memory, Plan]:
    """Say what to do for a pool, given what there is of it."""
    return _Decision(settings, scene, memory, now).make()


class _Decision:
    """The steps of `decide`. What is leaving is settled first, then what else there is."""

    def __init__(self, settings: Ports, scene: Scene, memory: Memory, now: float) -> None:
        self.settings = settings
        self.scene = scene
        self.now = now
        self.memory = dataclasses.replace(
            memory, pending=tuple(until for until in memory.pending if until > now)
        )
        self.times: list[float] = list(self.memory.pending)
        self.problems: list[str] = []
        self.asks = False

    def make(self) -> tuple[Memory, Plan]:
        self._arrive()
        self._stay()
        self._miss()
        self._retire()
        self._tell()
        attach = self._wants_another()
        ready = [one for one in self.memory.leaving.values() if self._is_ready(one)]
        plan = Plan(
            attach=attach,
            detach=None if attach else next(iter(ready), None),
            again=min(self.times, default=None),
            coming=self._coming,
            missing=any(not self._is_here(port) for port in self.memory.ports),
            asks=self.asks,
            problems=tuple(self.problems),
        )
        return self.memory, plan

    def _use(self, port: Port) -> Use | None:
        return self.scene.uses.get(port.mac)

    def _is_here(self, port: Port) -> bool:
        return port.mac in self.scene.here or port.mac in self.scene.uses

    def _age(self, port: Port) -> float:
        return self.now - self.memory.since[port.id]

    @property
    def _staying(self) -> list[Port]:
        return [port for port in self.memory.ports if port.id not in self.memory.leaving]

    @property
    def _coming(self) -> int:
        """How many have no NIC yet, and are not late."""
        return sum(
            not self._is_here(port)
            and port.id not in self.memory.arrived
            and self._age(port) < ARRIVAL
            for port in self._staying
        )

    @property
    def _free(self) -> int:
        going = (self._use(one.port) for one in self.memory.leaving.values())
        return self.scene.free - sum(use is Use.FREE for use in going)

    @property
    def _short(self) -> int:
        """How many are wanted beyond those that are free, or will be.

        One that the pool does not have counts too, as no other would be of more use; so
        does one that was to go and is yet to be listed as healthy again.
        """
        more = sum(self._is_stray(port) or self._is_back(port) for port in self._staying)
        expected = self._free + self._coming + more + len(self.memory.pending)
        return self.settings.spare - expected

    def _is_stray(self, port: Port) -> bool:
        return self._use(port) is None and port.mac in self.scene.here

    def _is_back(self, port: Port) -> bool:
        return self._use(port) is Use.FAULTY and port.mac in self.scene.kept

    def _arrive(self) -> None:
        here = {port.id for port in self.memory.ports if self._is_here(port)}
        if here - self.memory.arrived:
            self.memory = dataclasses.replace(
                self.memory, arrived=self.memory.arrived | here, failures=0
            )

    def _stay(self) -> None:
        """Keep what is used or has come after all, and what is needed before another is made."""
        for one in list(self.memory.leaving.values()):
            if not one.tried and self._is_settled(one):
                self._keep(one)
        for one in list(self.memory.leaving.values()):
            room = len(self._staying) < self.settings.max
            if one.why is Why.IDLE and not one.tried and room and self._short > 0:
                self._keep(one)

    def _is_settled(self, one: Leaving) -> bool:
        """Whether the reason to detach it does not hold any more."""
        use = self._use(one.port)
        if one.why is Why.IDLE:
            return use in (None, Use.HELD)
        if one.why is Why.ABSENT:
            return self._is_here(one.port)
        return not self._now(one.port).leftover

    def _now(self, port: Port) -> Port:
        return next((one for one in self.memory.ports if one.id == port.id), port)

    def _keep(self, one: Leaving) -> None:
        left = {port: two for port, two in self.memory.leaving.items() if port != one.port.id}
        self.memory = dataclasses.replace(self.memory, leaving=left)

    def _go(self, port: Port, why: Why) -> None:
        self.memory = _with_leaving(self.memory, Leaving(port=port, why=why))

    def _miss(self) -> None:
        """Find ports without a NIC that will never have one; say of others what is odd."""
        for port in self._staying:
            late = self._age(port) >= ARRIVAL
            if not late and not self._is_here(port):
                self.times.append(self.memory.since[port.id] + ARRIVAL)
            elif port.leftover and not self._is_here(port) and late:
                self._go(port, Why.LEFTOVER)
            elif self._is_here(port):
                if self._use(port) is None and late:
                    self._mind(port, "is here, but the pool does not have it")
            elif port.id in self.memory.arrived:
                self._mind(port, "was here, and is nowhere to be seen")
            elif self.scene.hidden or self.scene.nameless:
                self._mind(port, "did not come, or is one of those without a link")
            else:
                self._go(port, Why.ABSENT)
                self.memory = _held(self.memory, PortError, self.now, 1.0)

    def _mind(self, port: Port, what: str) -> None:
        self.problems.append(f"the NIC {port.mac} of the port {port.id} {what}")

    def _retire(self) -> None:
        """Choose those that nobody needs, the newest first."""
        excess = len(self._staying) - self.settings.max
        surplus = self._free - self.settings.spare
        since = None if surplus <= 0 else self.memory.surplus
        if surplus > 0 and since is None:
            since = self.now
        self.memory = dataclasses.replace(self.memory, surplus=since)
        if excess <= 0 and since is not None and self.now < since + IDLE:
            self.times.append(since + IDLE)
            return
        count = max(excess, surplus if since is not None else 0, 0)
        idle = [port for port in self._staying if self._use(port) is Use.FREE]
        idle.sort(key=lambda port: (-self.memory.since[port.id], port.id))
        for port in idle[:count] if self.scene.known else ():
            self._go(port, Why.IDLE)

    def _tell(self) -> None:
        """Note what is kept from pods by now, in what is published."""
        for one in list(self.memory.leaving.values()):
            kept = one.port.mac in self.scene.kept
            if kept and one.told is None:
                told = dataclasses.replace(one, told=self.now, serial=self.scene.serial)
                self.memory = _with_leaving(self.memory, told)
            elif not kept and one.told is not None:
                self.memory = _with_leaving(self.memory, dataclasses.replace(one, told=None))

    def _wants_another(self) -> bool:
        room = len(self.memory.ports) + len(self.memory.pending) < self.settings.max
        if self._short <= 0 or not room:
            return False
        if self.now < self.memory.hold:
            self.times.append(self.memory.hold)
            return False
        return True

    def _is_ready(self, one: Leaving) -> bool:
        use = self._use(one.port)
        if one.told is None:
            self.asks = True
            return False
        if use in (Use.HELD, Use.FREE) or (use is None and self._is_here(one.port)):
            return False
        due = one.again if use is None else max(one.again, one.told + DRAIN)
        if self.now < due:
            self.times.append(due)
            return False
        # The answer to a question that was on its way when it was told does not count.
        asked = self.scene.known and self.scene.serial >= one.serial + 2
        self.asks = self.asks or (use is not None and not asked)
        return use is None or asked


def delay(kind: type[PortError], failures: int, chance: float) -> float:
    """Say how many seconds to wait after that many failures in a row; `chance` is from 0 to 1."""
    first, longest = _DELAYS.get(kind, _DELAY)
    return min(first * 2.0 ** min(failures, 16), longest) * (1 + chance) / 2


def _held(
    memory: Memory,
    kind: type[PortError],
    now: float,
    chance: float,
    pending: tuple[float, ...] = (),
) -> Memory:
    return dataclasses.replace(
        memory,
        failures=memory.failures + 1,
        hold=now + delay(kind, memory.failures, chance),
        quota=issubclass(kind, QuotaError),
        pending=(*memory.pending, *pending),
    )


def _with_leaving(memory: Memory, *changed: Leaving) -> Memory:
    return dataclasses.replace(
        memory, leaving={**memory.leaving, **{one.port.id: one for one in changed}}
    )
