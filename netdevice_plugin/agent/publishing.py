"""What is offered, said to all who have to know: the CDI directory first, then the kubelet."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from netdevice_plugin.agent.servers import Servers
from netdevice_plugin.agent.telling import tell
from netdevice_plugin.cdistore import State
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Frontend, Listed, Pool
from netdevice_plugin.offering import Listing, Offering
from netdevice_plugin.operations.health import Readiness
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.operations.notify import Notifier

PATIENCE = 1.0  # seconds that a CDI directory may take, until the kubelet hears of what is sure

Listings = Mapping[str, Listing]

_log = logging.getLogger(__name__)
_HANGS = "the CDI directory does not answer"


class Store(Protocol):
    """What is needed of a `CdiStore`."""

    state: State

    async def write(self, wanted: Mapping[Pool, Sequence[Device]], config: Config) -> State:
        """Bring the directory to this."""

    def known(self, kind: str) -> frozenset[str]:
        """Name the devices that runtimes find."""


class Claiming(Protocol):
    """Who offers to claims what DRA has."""

    def publish(self, listings: Listings, config: Config) -> None:
        """Offer these, by key of their pool, and nothing else."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """What a CDI directory depends on; the same objects mean the same files."""

    config: Config
    listings: Mapping[str, Sequence[Listed]]

    def same(self, other: _Asked | None) -> bool:
        return (
            other is not None
            and self.config is other.config
            and self.listings.keys() == other.listings.keys()
            and all(devices is other.listings[kind] for kind, devices in self.listings.items())
        )


class Publishing:
    """Says it once, if it is news. `stirred` is called when it has to be said again."""

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        store: Store,
        servers: Servers | None,
        claiming: Claiming | None = None,
        metrics: Metrics,
        readiness: Readiness,
        notifier: Notifier,
        stirred: Callable[[], object],
        patience: float = PATIENCE,
    ) -> None:
        self._store = store
        self._servers = servers
        self._claiming = claiming
        self._metrics = metrics
        self._readiness = readiness
        self._notifier = notifier
        self._stirred = stirred
        self._patience = patience
        self._writing: tuple[_Asked, asyncio.Future[State]] | None = None
        self._attempted: _Asked | None = None  # the contents of the last attempt
        self._settled: _Asked | None = None  # those of the last that succeeded
        self._lists: Mapping[str, Sequence[Listed]] = {}
        self.began = False  # something was said already

    async def say(self, offering: Offering, config: Config) -> None:
        """Write the files, and then publish what is in them. A claim's file is written for it."""
        classic, claimed = _by_front_end(offering.listings)
        sure = await self._write(classic, config)
        self._check(sure=sure)
        lists = {key: self._deliverable(one, sure) for key, one in classic.items()}
        if self._servers:
            self._servers.publish(classic, lists)
        if self._claiming:
            self._claiming.publish(claimed, config)
        lists |= {key: one.devices for key, one in claimed.items()}
        tell(self._lists, lists)
        self._metrics.listed(lists)
        self._notify(sum(map(len, lists.values())))
        self._lists = lists

    async def _write(self, listings: Listings, config: Config) -> bool:
        """Bring the files up to date; False if what becomes of that is not known yet."""
        asked = _Asked(config, {kind: listing.devices for kind, listing in listings.items()})
        if self._writing and self._writing[1].done():
            self._take(*self._writing)
        if self._writing:
            return False
        if asked.same(self._settled):
            return True
        wanted = {
            listing.pool: tuple(one.device for one in listing.devices)
            for listing in listings.values()
        }
        job = asyncio.ensure_future(self._store.write(wanted, config))
        job.add_done_callback(_heed)
        self._writing = asked, job
        await asyncio.wait([job], timeout=self._patience)
        if not job.done():
            _log.error("CDI directory hangs", extra={"directory": str(config.cdi_dir)})
            self._metrics.cdi_write_failed()
            job.add_done_callback(self._answered)
            return False
        self._take(asked, job)
        return True

    def _answered(self, job: asyncio.Future[State]) -> None:
        """It has answered at last, or the agent ends."""
        if not job.cancelled() and not job.exception():
            self._stirred()

    def _take(self, asked: _Asked, job: asyncio.Future[State]) -> None:
        self._writing = None
        self._attempted = asked
        if job.result().settled:
            self._settled = asked
            self._metrics.cdi_written()
        else:
            self._settled = None
            self._metrics.cdi_write_failed()

    def _check(self, *, sure: bool) -> None:
        problems = self._store.state.problems if sure else (_HANGS,)
        if problems:
            self._readiness.missing("cdi", problems[0])
        else:
            self._readiness.met("cdi")

    def _deliverable(self, listing: Listing, sure: bool) -> Sequence[Listed]:
        """List what is in a CDI file as it should be; the rest is unhealthy."""
        known = self._store.known(listing.pool.kind)
        if not sure:
            known &= self._unchanged(listing)
        if all(one.fault or one.device.name in known for one in listing.devices):
            return listing.devices
        problems = self._store.state.problems if sure else (_HANGS,)
        return tuple(
            one
            if one.fault or one.device.name in known
            else Listed(device=one.device, fault=_reason(one.device.name, listing, problems))
            for one in listing.devices
        )

    def _unchanged(self, listing: Listing) -> frozenset[str]:
        """Name the devices that are as they were when the files were last dealt with."""
        before = self._attempted.listings.get(listing.pool.kind, ()) if self._attempted else ()
        devices = {one.device.name: one.device for one in before}
        return frozenset(
            one.device.name for one in listing.devices if devices.get(one.device.name) == one.device
        )

    def _notify(self, count: int) -> None:
        if not self.began:
            self._notifier.ready(f"{count} devices")
            self.began = True
        elif count != sum(map(len, self._lists.values())):
            self._notifier.status(f"{count} devices")


def _by_front_end(listings: Listings) -> tuple[dict[str, Listing], dict[str, Listing]]:
    """Part what device plugins serve from what DRA has."""
    parts: tuple[dict[str, Listing], dict[str, Listing]] = {}, {}
    for key, listing in listings.items():
        parts[listing.pool.frontend is Frontend.DRA][key] = listing
    return parts


def _heed(job: asyncio.Future[State]) -> None:
    """At the agent's end it fails, and there may be nobody left to be told."""
    if not job.cancelled():
        job.exception()


def _reason(device: str, listing: Listing, problems: Sequence[str]) -> str:
    """Choose the problem that is about the device, or about its file, of maybe thousands."""
    names = (f"={device} ", f"={device}:", listing.pool.kind.replace("/", "-"))
    about = next((line for name in names for line in problems if name in line), "")
    return f"it is not in a CDI file: {about or next(iter(problems), 'it was not written')}"
