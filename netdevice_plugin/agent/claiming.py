"""DRA's side of the agent: claims served, slices and status kept, once a pool asks for it.

Nothing of the API server's client is imported before, and nothing is done on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.agent.tasks import first_of
from netdevice_plugin.attachments import Attachment
from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.config import Config
from netdevice_plugin.errors import ClusterError, NetdevError
from netdevice_plugin.model import VIA_DRA, Listed, SlicesAtShutdown
from netdevice_plugin.offering import Listing, retired_pool
from netdevice_plugin.operations.claims import ClaimMetrics
from netdevice_plugin.operations.health import Readiness

if TYPE_CHECKING:
    from netdevice_plugin.dra.claim import Allocation, ClaimRef
    from netdevice_plugin.dra.claims import Claims
    from netdevice_plugin.dra.cluster.api import Api
    from netdevice_plugin.dra.cluster.publisher import Publisher
    from netdevice_plugin.dra.cluster.statuses import Statuses
    from netdevice_plugin.dra.parameters import Parameters
    from netdevice_plugin.dra.server import DraServer
    from netdevice_plugin.dra.status import DeviceStatus

AGAIN = 10.0  # seconds until it is looked again for a way to the API server
PARTING = 1.0  # seconds for the slices to go, where they are to
GLANCE = 1.0  # seconds between looks at what only /readyz tells
CONDITION = "dra"

Listings = Mapping[str, Listing]

_log = logging.getLogger(__name__)


class Claiming:
    """Offers to claims what `publish` says, while `run` runs; from one event loop.

    It begins when a pool of DRA is published first, or with `load` where an earlier agent
    has left claims: then it stays, so that what is prepared can be unprepared, and slices
    of pools that are gone go. The driver is the prefix that the agent was started with.
    """

    def __init__(
        self,
        settings: Settings,
        config: Config,
        *,
        metrics: ClaimMetrics,
        readiness: Readiness,
        stirred: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._config = config  # the newest
        self._driver = config.prefix
        self._node = settings.node
        self._data_dir = config.kubelet_dir / "plugins" / self._driver
        self._metrics = metrics
        self._readiness = readiness
        self._stirred = stirred
        self._listings: Listings = {}
        self._offered: dict[str, dict[str, Listed]] = {}  # by pool, by device
        self._pools = {pool.name: pool for pool in config.pools}
        self._records: Mapping[str, Attachment] = {}
        self._claims: Claims | None = None
        self._server: DraServer | None = None
        self._publisher: Publisher | None = None
        self._statuses: Statuses | None = None
        self._api: Api | None = None
        self._published = asyncio.Event()  # something is to be offered, or withdrawn
        self._said: tuple[object, ...] = ()  # what was published last
        self._wishes: dict[str, tuple[Allocation, Mapping[str, Parameters]]] = {}
        self.keep_slices = False  # at the end, whatever the configuration says

    @property
    def held(self) -> Mapping[str, frozenset[str]]:
        """What claims have, by key of the pool."""
        found: dict[str, set[str]] = {}
        for allocation in self._claims.allocations if self._claims else ():
            for one in allocation.results:
                if not one.admin:
                    pool = one.pool.removeprefix(f"{self._node}/")
                    found.setdefault(f"{self._driver}/{pool}{VIA_DRA}", set()).add(one.device)
        return {key: frozenset(names) for key, names in found.items()}

    async def load(self) -> None:
        """Find out what an earlier agent left: claims, or slices that may have to go.

        Raises NetdevError.
        """
        if await asyncio.to_thread(self._data_dir.is_dir):
            await self._begin().load()

    def publish(self, listings: Listings, config: Config) -> None:
        """Offer these, by key of their pool, and nothing else."""
        self._config = config
        self._pools = {pool.name: pool for pool in config.pools}
        self._listings = {
            key: one for key, one in listings.items() if one.pool.prefix == self._driver
        }
        self._offered = {
            one.pool.name: {listed.device.name: listed for listed in one.devices}
            for one in self._listings.values()
        }
        if self._listings or self._claims:
            self._begin()
            self._published.set()
            self._tell()

    def follow(self, records: Iterable[Attachment]) -> None:
        """Hear what is in pods."""
        self._records = {record.device: record for record in records}
        self._say_status()

    async def run(self) -> None:
        """Serve for ever, or until a bug; what is being prepared is prepared to its end."""
        await self._published.wait()
        self._readiness.expect(CONDITION)
        self._metrics.began()
        claims = self._begin()
        await claims.load()
        await claims.restore()
        try:
            await first_of(self._serve(claims), self._keep_slices(), self._watch_health())
        finally:
            await self._part()

    async def _serve(self, claims: Claims) -> None:
        from netdevice_plugin.dra.server import DraServer  # noqa: PLC0415 - only if it is wanted

        self._server = DraServer(
            self._config.kubelet_dir, self._settings.instance, claims, observer=self._metrics
        )
        self._tell(again=True)
        await self._server.run()

    async def _keep_slices(self) -> None:
        """Keep slices and status, as soon as there is a way to the API server."""
        api = await self._connected()
        from netdevice_plugin.dra.cluster.publisher import Publisher  # noqa: PLC0415
        from netdevice_plugin.dra.cluster.statuses import Statuses  # noqa: PLC0415

        self._publisher = Publisher(
            api, driver=self._driver, node=self._node, observer=self._metrics
        )
        self._statuses = Statuses(api, driver=self._driver, node=self._node, observer=self._metrics)
        self._tell(again=True)
        self._say_status()
        await first_of(self._publisher.run(), self._statuses.run())

    async def _connected(self) -> Api:
        """Find the API server's address and our credentials, however long it takes."""
        reason = ""
        while True:
            try:
                return self._connect()
            except NetdevError as error:
                if str(error) != reason:
                    _log.error(
                        "The API server is not known",
                        extra={"reason": str(error), "remedy": error.hint},
                    )
                reason = str(error)
                self._readiness.missing(CONDITION, reason)
            await asyncio.sleep(AGAIN)

    def _connect(self) -> Api:
        if self._api is None:
            try:
                from netdevice_plugin.dra.cluster import finding  # noqa: PLC0415
                from netdevice_plugin.dra.cluster.api import Api  # noqa: PLC0415
            except ImportError as error:
                hint = "pip install 'netdevice-plugin[dra]'"
                raise ClusterError(f"a package for DRA is missing: {error}", hint=hint) from error
            self._api = Api(finding.find(self._settings.kubeconfig, os.environ))
        return self._api

    async def _read_claim(self, ref: ClaimRef) -> Mapping[str, Any]:
        return await self._connect().claim(ref)

    def _begin(self) -> Claims:
        if self._claims is None:
            from netdevice_plugin.dra.claims import Claims, Place  # noqa: PLC0415 - see `run`

            place = Place(
                driver=self._driver,
                node=self._node,
                data_dir=self._data_dir,
                cdi_dir=self._config.cdi_dir,
                read_claim=self._read_claim,
                offered=self._find,
                delivery=self._delivery,
            )
            self._claims = Claims(place, changed=self._changed, observer=self._metrics)
        return self._claims

    def _find(self, pool: str, device: str) -> Listed | str:
        """Look a device up, or say why a claim cannot have it."""
        if pool not in self._offered:
            return f"no pool {pool} is offered through DRA on this node"
        listed = self._offered[pool].get(device)
        return listed or f"the pool {pool} does not have it, or not any more"

    def _delivery(self, pool: str) -> Delivery:
        """Say how a pool's devices get into containers; one that is gone is as any other."""
        key = f"{self._driver}/{pool}{VIA_DRA}"
        return Delivery.of(self._pools.get(pool) or retired_pool(key), self._config)

    def _changed(self) -> None:
        """What claims have is another."""
        self._metrics.held(len(self._claims.held) if self._claims else 0)
        self._say_status()
        self._stirred()

    def _tell(self, *, again: bool = False) -> None:
        """Tell the kubelet and the API server, unless it is what they were told last."""
        held = self._claims.held.keys() if self._claims else frozenset[str]()
        listings = tuple(self._listings.values())
        said = *map(id, listings), *sorted(held)
        if said == self._said and not again:
            return
        self._said = said
        self._keep = listings  # so that no other listing gets the id of one of these
        away = {one.device.name for all_ in listings for one in all_.devices if one.device.lent}
        if self._server:
            self._server.publish_health(listings)
        if self._publisher:
            self._publisher.publish(listings, away | held)

    def _say_status(self) -> None:
        """Have the claims' status say which links are in pods now."""
        if self._statuses and self._claims:
            self._statuses.follow(
                {one.claim: self._status(one) for one in self._claims.allocations}
            )

    def _status(self, allocation: Allocation) -> tuple[DeviceStatus, ...]:
        from netdevice_plugin.dra import status  # noqa: PLC0415

        wishes = self._parameters(allocation)
        found = (
            status.of_attachment(one, self._records.get(one.device), wishes[one.device])
            for one in allocation.results
            if one.device in wishes
        )
        return tuple(one for one in found if one)

    def _parameters(self, allocation: Allocation) -> Mapping[str, Parameters]:
        """Decode what a claim asks of each of its devices, once."""
        from netdevice_plugin.dra import parameters  # noqa: PLC0415

        known = self._wishes.get(allocation.claim.uid)
        if known and known[0] == allocation:
            return known[1]
        wishes = {}
        for one in allocation.results:
            with contextlib.suppress(NetdevError):  # Prepare has said so
                wishes[one.device] = parameters.of_request(allocation.configs, one)
        living = {one.claim.uid for one in self._claims.allocations} if self._claims else set()
        self._wishes = {uid: one for uid, one in self._wishes.items() if uid in living}
        self._wishes[allocation.claim.uid] = allocation, wishes
        return wishes

    async def _watch_health(self) -> None:
        """Say in /readyz what nobody is told of by an event."""
        while True:
            if self._publisher and self._server:
                failure = self._server.failure or "not registered with the kubelet"
                unregistered = "" if self._server.registered else failure
                self._readiness.missing(CONDITION, unregistered or self._publisher.problem)
            await asyncio.sleep(GLANCE)

    async def _part(self) -> None:
        """Let the slices go with the agent, where that is wanted."""
        remove = self._config.slices_at_shutdown is SlicesAtShutdown.REMOVE
        try:
            if self._publisher and remove and not self.keep_slices:
                async with asyncio.timeout(PARTING):
                    await self._publisher.remove()
        except (NetdevError, TimeoutError) as error:
            _log.warning("ResourceSlices are left behind", extra={"reason": str(error) or "late"})
        finally:
            if self._api:
                await self._api.close()
