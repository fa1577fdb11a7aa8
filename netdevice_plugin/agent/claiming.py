"""DRA's side of the agent: claims served, slices and status kept, once a pool asks for it.

Nothing of the API server's client is imported before, and nothing is done on disk.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from netdevice_plugin.agent.keeping import Keeping
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.agent.shelf import Shelf
from netdevice_plugin.agent.sweeping import Sweeping
from netdevice_plugin.agent.tasks import first_of
from netdevice_plugin.attachments import Attachment
from netdevice_plugin.config import Config
from netdevice_plugin.errors import ClusterError, NetdevError
from netdevice_plugin.look import View
from netdevice_plugin.model import Device, Injection, Pool, SlicesAtShutdown
from netdevice_plugin.offering import Listing
from netdevice_plugin.operations.claims import ClaimMetrics
from netdevice_plugin.operations.health import Readiness
from netdevice_plugin.provisioning import Node, VfSettings
from netdevice_plugin.serving.bell import Bell
from netdevice_plugin.usage import podresources

if TYPE_CHECKING:
    from netdevice_plugin.agent.standing import Standing
    from netdevice_plugin.dra.claim import ClaimRef
    from netdevice_plugin.dra.claims import Claims
    from netdevice_plugin.dra.cluster.api import Api
    from netdevice_plugin.dra.cluster.publisher import Publisher
    from netdevice_plugin.dra.cluster.statuses import Statuses
    from netdevice_plugin.dra.server import DraServer

AGAIN = 10.0  # seconds until it is tried again to get what nothing goes on without
PARTING = 1.0  # seconds for the slices to go, where they are to
GLANCE = 1.0  # seconds between looks at what only /readyz tells
BREATH = 0.05  # seconds in which claims that come or go are taken in together
CONDITION = "dra"

Listings = Mapping[str, Listing]
Tell = Callable[[Mapping[str, object]], object]

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Claiming:
    """Offers to claims what `publish` says, while `run` runs; from one event loop.

    It begins when a pool of DRA is published first, or with `load` where an earlier agent
    has left claims: then it stays, so that what is prepared can be unprepared, and slices
    of pools that are gone go. The driver is the prefix that the agent was started with.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        settings: Settings,
        config: Config,
        *,
        metrics: ClaimMetrics,
        readiness: Readiness,
        stirred: Callable[[], object],
        lend: Callable[[Device, Pool, VfSettings, str], Awaitable[tuple[Node, ...]]] | None = None,
        attach: Callable[[str, str, Mapping[str, str], str], Awaitable[str]] | None = None,
    ) -> None:
        self._attach = attach
        self._lend_function = lend
        self._settings = settings
        self._config = config  # the newest
        self._driver = config.prefix
        self._node = settings.node
        self._data_dir = config.kubelet_dir / "plugins" / self._driver
        self._metrics = metrics
        self._readiness = readiness
        self._stirred = stirred
        self._shelf = Shelf(self._driver, config)
        self._bell = Bell()  # something is on it
        self._view: View | None = None
        self._records: Mapping[str, Attachment] = {}
        self._claims: Claims | None = None
        self._server: DraServer | None = None
        self._publisher: Publisher | None = None
        self._statuses: Statuses | None = None
        self._standing: Standing | None = None
        self._api: Api | None = None
        self._keeping: Keeping | None = None
        self._contents: Mapping[tuple[str, str], object] = {}  # what claims' files are made of
        self._published = asyncio.Event()  # something is to be offered, or withdrawn
        self._said: tuple[object, ...] = ()  # listings and devices that were told last
        self._stir: asyncio.TimerHandle | None = None
        self.keep_slices = False  # at the end, whatever the configuration says

    @property
    def held(self) -> Mapping[str, frozenset[str]]:
        """What claims have, by key of the pool."""
        if self._claims is None:
            return {}
        from netdevice_plugin.dra import holdings  # noqa: PLC0415 - imported already

        return holdings.in_use(self._claims.allocations, self._driver)

    @property
    def asked(self) -> Mapping[str, str] | None:
        """What claims ask for, and the MAC of its NIC if it is known; None if nobody knows."""
        if self._claims is None:
            return {}
        from netdevice_plugin.dra import holdings  # noqa: PLC0415 - imported already

        if not self._claims.loaded or self._claims.problems:
            return None
        return holdings.asked(self._claims.allocations)

    @property
    def nics(self) -> Mapping[str, str]:
        """Which devices claims have that are NICs attached for them, by MAC."""
        if self._claims is None:
            return {}
        from netdevice_plugin.dra import holdings  # noqa: PLC0415 - imported already

        return holdings.nics(self._claims.allocations)

    async def load(self) -> None:
        """Find out what an earlier agent left: claims, or slices that may have to go.

        Raises NetdevError.
        """
        await self._look_for_strangers()
        if await asyncio.to_thread(os.path.isdir, self._data_dir):
            await self._begin().load()

    async def _look_for_strangers(self) -> None:
        """Say which claims are another driver's: of an agent that had another prefix."""
        plugins = self._data_dir.parent
        if not await asyncio.to_thread(os.path.isdir, plugins):
            return
        from netdevice_plugin.dra import checkpoint  # noqa: PLC0415 - see `run`

        found = await asyncio.to_thread(checkpoint.left_behind, plugins, self._driver)
        for driver, count in sorted(found.items()):
            remedy = f"set prefix to {driver} until their pods have ended"
            about = {"driver": driver, "claims": count, "remedy": remedy}
            _log.error("Claims of another driver are left behind", extra=about)

    def publish(self, listings: Listings, config: Config) -> None:
        """Offer these, by key of their pool, and nothing else."""
        self._config = config
        self._shelf.put(listings, config)
        self._bell.ring()
        self._keep_files()
        if self._shelf.listings or self._claims:
            self._begin()
            self._published.set()
            self._tell()

    def follow(self, view: View) -> None:
        """Hear what is in pods."""
        self._view = view
        self._records = {record.device: record for record in view.attachments}
        self._say_status()

    async def run(self) -> None:
        """Serve for ever, or until a bug; what is being prepared is prepared to its end."""
        await self._published.wait()
        self._readiness.expect(CONDITION)
        self._metrics.began()
        claims = self._begin()
        await self._insist(claims.load, _not_read)
        self._keeping = Keeping(claims, self._config.cdi_dir)
        await self._keeping.look()
        try:
            await first_of(
                self._serve(claims),
                self._keep_slices(),
                self._keeping.run(),
                self._sweeping(claims).run(),
                self._watch_health(),
            )
        finally:
            await self._part()

    def _sweeping(self, claims: Claims) -> Sweeping:
        return Sweeping(
            claims,
            ask=functools.partial(podresources.ask, self._config.kubelet_dir),
            view=lambda: self._view,
            hooked=lambda name: any(
                pool.name == name and pool.injection is Injection.HOOK
                for pool in self._config.pools
            ),
        )

    def _keep_files(self) -> None:
        """Have the claims' files made anew if what is in them is another now."""
        before, self._contents = (
            self._contents,
            self._shelf.contents(self._claims.allocations if self._claims else ()),
        )
        stale = any(before[key] != made for key, made in self._contents.items() if key in before)
        if self._keeping and stale:
            self._keeping.stir()

    async def _serve(self, claims: Claims) -> None:
        from netdevice_plugin.dra.server import DraServer  # noqa: PLC0415 - only if it is wanted

        self._server = DraServer(
            self._config.kubelet_dir, self._settings.instance, claims, observer=self._metrics
        )
        self._tell(again=True)
        await self._server.run()

    async def _keep_slices(self) -> None:
        """Keep slices and status, as soon as there is a way to the API server."""
        api = await self._insist(self._connected, _not_known)
        from netdevice_plugin.agent.standing import Standing  # noqa: PLC0415 - as the rest of DRA
        from netdevice_plugin.dra.cluster.publisher import Publisher  # noqa: PLC0415
        from netdevice_plugin.dra.cluster.statuses import Statuses  # noqa: PLC0415

        self._publisher = Publisher(
            api, driver=self._driver, node=self._node, observer=self._metrics
        )
        self._statuses = Statuses(api, driver=self._driver, node=self._node, observer=self._metrics)
        self._standing = Standing()
        self._tell(again=True)
        self._say_status()
        await first_of(self._publisher.run(), self._statuses.run())

    async def _insist(self, attempt: Callable[[], Awaitable[_T]], tell: Tell) -> _T:
        """Try until it works, however long it takes; say why not, when that is news."""
        reason = ""
        while True:
            try:
                return await attempt()
            except NetdevError as error:
                if str(error) != reason:
                    tell({"reason": str(error), "remedy": error.hint})
                reason = str(error)
                self._readiness.missing(CONDITION, reason)
            await asyncio.sleep(AGAIN)

    async def _connected(self) -> Api:
        return self._connect()

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
                offered=self._shelf.find,
                delivery=self._shelf.delivery,
                attach=self._attached if self._attach else None,
                until=self._bell.until,
            )
            self._claims = Claims(
                place,
                changed=self._changed,
                observer=self._metrics,
                lend=self._lend if self._lend_function else None,
            )
        return self._claims

    async def _attached(
        self, pool: str, request: str, parameters: Mapping[str, str], mac: str
    ) -> str:
        assert self._attach is not None  # noqa: S101 - or nobody is told of this one
        return await self._attach(self._shelf.pool(pool).kind, request, parameters, mac)

    async def _lend(
        self, pool: str, device: Device, settings: VfSettings, holder: str
    ) -> tuple[Node, ...]:
        assert self._lend_function is not None  # noqa: S101 - or nobody is told of this one
        return await self._lend_function(device, self._shelf.pool(pool), settings, holder)

    def _changed(self) -> None:
        """What claims have is another."""
        self._metrics.held(len(self._claims.held) if self._claims else 0)
        if self._stir is None:
            self._stir = asyncio.get_running_loop().call_later(BREATH, self._take_in)

    def _take_in(self) -> None:
        """Have what claims have now looked at by all whom it concerns."""
        self._stir = None
        self._say_status()
        self._stirred()

    def _tell(self, *, again: bool = False) -> None:
        """Tell the kubelet and the API server, unless it is what they were told last."""
        held = frozenset(self._claims.held if self._claims else ())
        listings = self._shelf.listings
        if (listings, held) == self._said and not again:  # what is the same object is equal at once
            return
        news = again or not self._said or listings != self._said[0]
        self._said = listings, held
        if self._server and news:
            self._server.publish_health(listings)
        if self._publisher:
            self._publisher.publish(listings, held)

    def _say_status(self) -> None:
        """Have the claims' status say which links are in pods now."""
        if self._statuses and self._standing and self._claims:
            self._statuses.follow(self._standing.of(self._claims.allocations, self._records))

    async def _watch_health(self) -> None:
        """Say in /readyz what nobody is told of by an event."""
        while True:
            if self._publisher and self._server:
                failure = self._server.failure or "not registered with the kubelet"
                unregistered = "" if self._server.registered else failure
                damaged = self._keeping.problem if self._keeping else ""
                problems = unregistered, damaged, self._publisher.problem
                self._readiness.missing(CONDITION, "; ".join(filter(None, problems)))
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


def _not_read(why: Mapping[str, object]) -> None:
    _log.error("Claims that are prepared cannot be read", extra=why)


def _not_known(why: Mapping[str, object]) -> None:
    _log.error("The API server is not known", extra=why)
