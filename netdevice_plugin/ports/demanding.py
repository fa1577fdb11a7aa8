"""Which port, of those that were attached for claims, is nobody's any more: pure.

Its NIC is never offered as itself, so that it can go as soon as it is home. A claim is
given another one, even if the device has the same name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from netdevice_plugin.model import Interface, Snapshot
from netdevice_plugin.offering import Listing
from netdevice_plugin.ports.keeping import ARRIVAL
from netdevice_plugin.ports.provider import Port

Asked = Mapping[str, str]  # what claims have asked for, and the MAC; empty until it is known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Where NICs are, as of what was published last; MACs are in lower case."""

    listed: Mapping[str, str] = dataclasses.field(default_factory=dict)  # as which device, by MAC
    away: frozenset[str] = frozenset()  # in a pod, or a claim's, or that was not withdrawn yet
    here: frozenset[str] = frozenset()  # of all links that are known of
    hidden: bool = False  # there are network functions without a link, whose MAC is not known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the ports, and how long; to lose all but the list does no harm."""

    ports: tuple[Port, ...] = ()
    missing: Mapping[str, float] = dataclasses.field(default_factory=dict)  # NIC not here, by ID
    held: Mapping[str, float] = dataclasses.field(default_factory=dict)  # no detach before, by ID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, at most one thing; and when to decide again if nothing happens."""

    detach: Port | None = None
    again: float | None = None
    coming: int = 0  # ports of claims whose NIC is not here yet
    leaving: int = 0
    problems: tuple[str, ...] = ()


def sight(listings: Iterable[Listing], snapshot: Snapshot) -> Sight:
    """Look at what all resources list, and at all links."""
    devices = [one.device for listing in listings for one in listing.devices]
    links = (*snapshot.interfaces, *snapshot.functions)
    claimed = (one.interface for one in devices if one.on_demand)
    lent = (one for one in links if one.lent)
    return Sight(
        listed={_mac(one.interface): one.name for one in devices if not one.on_demand},
        away=frozenset(map(_mac, (*claimed, *lent))) - {""},
        here=frozenset(map(_mac, links)) - {""},
        hidden=not all(map(_mac, snapshot.functions)),
    )


def is_asked(port: Port, asked: Asked) -> bool:
    """Whether a claim has a port, or may have it: which of several it is may yet be open."""
    return asked.get(port.request) == "" or port.mac in asked.values()


def is_absent(port: Port, known: Known, sight: Sight, now: float) -> bool:
    """Whether the NIC of a port did not come, and is in no place where it could be missed."""
    since = known.missing.get(port.id)
    return since is not None and now >= since + ARRIVAL and not _is_hidden(port, sight)


def decide(known: Known, sight: Sight, asked: Asked, now: float) -> Plan:
    """Say which port is to go first, if any."""
    over = [port for port in known.ports if not is_asked(port, asked)]
    problems = [problem for port in over if (problem := _obstacle(port, sight))]
    loose = [port for port in over if port.mac not in sight.away and not _obstacle(port, sight)]
    due = sorted((_due(port, known, now), port.id, port) for port in loose)
    ready = [port for at, _, port in due if at <= now]
    return Plan(
        detach=next(iter(ready), None),
        again=next((at for at, *_ in due if at > now), None),
        coming=sum(port.mac not in sight.here for port in known.ports if port not in over),
        leaving=len(over),
        problems=tuple(problems),
    )


def _due(port: Port, known: Known, now: float) -> float:
    """Say when a port may go. Of one that is not here: somebody may be about to attach it."""
    since = known.missing.get(port.id)
    return max(now if since is None else since + ARRIVAL, known.held.get(port.id, now))


def _obstacle(port: Port, sight: Sight) -> str:
    """Say what keeps a port here that no claim has, but that its NIC is yet in a pod."""
    nic = f"the NIC {port.mac} of the port {port.id}, which no claim has,"
    if device := sight.listed.get(port.mac):
        return f"{nic} is listed as {device}"
    if port.mac not in sight.here and _is_hidden(port, sight):
        return f"{nic} did not come, or is one of those without a link"
    return ""


def _is_hidden(port: Port, sight: Sight) -> bool:
    """Whether a NIC could be here all the same: one that was never attached could not."""
    return sight.hidden and not port.leftover


def _mac(interface: Interface) -> str:
    return interface.identity_mac.lower()
