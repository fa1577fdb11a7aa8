"""The ports of all pools that have a provider: a keeper each, for as long as the pool is so."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping

from netdevice_plugin.model import Snapshot
from netdevice_plugin.offering import InUse, Listing
from netdevice_plugin.ports.connecting import connect
from netdevice_plugin.ports.demand import Demand
from netdevice_plugin.ports.demanding import Asked, sight
from netdevice_plugin.ports.errors import RefusedError
from netdevice_plugin.ports.keeper import Keeper
from netdevice_plugin.ports.observer import Observer, Silence
from netdevice_plugin.ports.provider import Owner, Port, Provider
from netdevice_plugin.ports.scenes import scene
from netdevice_plugin.provisioning import PortProvider
from netdevice_plugin.provisioning import Ports as Settings

Connect = Callable[[PortProvider, Owner], Provider]


class Ports:
    """Keeps every pool's ports, in one event loop.

    `asked` says what claims have asked for, and the MAC of the port that they have; None is
    for what is not known. What is in `retiring` has to be listed as unhealthy from the next
    offering on, until it is not there any more; `changed` is called when it is another.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        node: str,
        *,
        changed: Callable[[], object],
        observer: Observer | None = None,
        asked: Callable[[], Asked | None] = dict,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._node = node
        self._changed = changed
        self._observer = observer or Silence()
        self._asked = asked
        self._connect = connect
        self._clock = clock
        self._chance = chance
        self._keepers: dict[str, Keeper | Demand] = {}
        self._wanted = asyncio.Event()

    @property
    def retiring(self) -> frozenset[str]:
        """MACs, in lower case, of the NICs that no pod may be given: their ports are to go."""
        found: frozenset[str] = frozenset()
        return found.union(*(keeper.retiring for keeper in self._keepers.values()))

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with ports now, a line each; nothing that keeps the agent from its work."""
        return tuple(
            f"{pool}: {problem}"
            for pool, keeper in sorted(self._keepers.items())
            for problem in keeper.problems
        )

    def follow(
        self,
        listings: Mapping[str, Listing],
        in_use: InUse,
        snapshot: Snapshot,
        retiring: Collection[str],
    ) -> None:
        """Hear what has been published: to be called after that, with what it was made from.

        `retiring` is what it kept from pods, which may not be what is to be kept now.
        """
        wanted = {
            one.pool.kind: one for one in listings.values() if one.pool.ports and not one.retired
        }
        before = dict(self._keepers)
        self._keepers = {kind: self._keeper(kind, one) for kind, one in wanted.items()}
        for kind, listing in wanted.items():
            keeper = self._keepers[kind]
            if isinstance(keeper, Demand):
                keeper.follow(sight(listings.values(), snapshot))
                continue
            others = [one for one in listings.values() if one is not listing]
            keeper.follow(scene(listing, others, in_use, snapshot, retiring))
        if self._keepers != before:
            self._wanted.set()

    async def attach(
        self, pool: str, request: str, parameters: Mapping[str, str], mac: str
    ) -> Port:
        """Attach a port of a pool, by its kind, for a claim: see `Demand`. Raises PortError.

        Its NIC is here a little later. What parameters there are is the provider's affair.
        """
        keeper = self._keepers.get(pool)
        if not isinstance(keeper, Demand):
            hint = "only a pool with onDemand: true in its ports has any for claims"
            raise RefusedError(f"{pool} attaches no ports on demand", hint=hint)
        return await keeper.attach(request, parameters, mac)

    async def run(self) -> None:
        """Keep them, until cancelled."""
        tasks: dict[Keeper | Demand, asyncio.Task[None]] = {}
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            while True:
                for keeper in self._keepers.values():
                    if keeper not in tasks:
                        tasks[keeper] = asyncio.create_task(keeper.run())
                done, _ = await asyncio.wait(
                    (wanted, *tasks.values()), return_when=asyncio.FIRST_COMPLETED
                )
                for keeper in tasks.keys() - set(self._keepers.values()):
                    tasks[keeper].cancel()  # and it is seen to end below
                ended = [keeper for keeper, task in tasks.items() if task in done]
                for keeper in ended:
                    task = tasks.pop(keeper)
                    if not task.cancelled():
                        task.result()
                if wanted in done:
                    self._wanted.clear()
                    wanted = asyncio.ensure_future(self._wanted.wait())
        finally:
            for one in (wanted, *tasks.values()):
                one.cancel()
            await asyncio.gather(wanted, *tasks.values(), return_exceptions=True)

    def _keeper(self, kind: str, listing: Listing) -> Keeper | Demand:
        """Find the keeper that a pool has, or make one; another provider is another keeper."""
        settings = listing.pool.ports
        assert settings is not None  # noqa: S101 - it was chosen by that
        keeper = self._keepers.get(kind)
        if keeper is None or _kept_by(keeper.settings) != _kept_by(settings):
            return self._made(kind, settings)
        keeper.settings = settings
        return keeper

    def _made(self, kind: str, settings: Settings) -> Keeper | Demand:
        provider = self._connect(settings.provider, Owner(node=self._node, pool=kind))
        if settings.on_demand:
            return Demand(
                pool=kind,
                settings=settings,
                provider=provider,
                observer=self._observer,
                asked=self._asked,
                clock=self._clock,
                chance=self._chance,
            )
        return Keeper(
            pool=kind,
            settings=settings,
            provider=provider,
            observer=self._observer,
            changed=self._changed,
            clock=self._clock,
            chance=self._chance,
        )


def _kept_by(settings: Settings) -> tuple[PortProvider, bool]:
    return settings.provider, settings.on_demand
