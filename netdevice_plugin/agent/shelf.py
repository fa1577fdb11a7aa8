"""What claims can be given: the devices of the driver's pools, as they are listed now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from netdevice_plugin.cdifiles import Delivery, told
from netdevice_plugin.config import Config
from netdevice_plugin.model import VIA_DRA, Listed, Pool
from netdevice_plugin.offering import Listing, retired_pool

if TYPE_CHECKING:
    from netdevice_plugin.dra.claim import Allocation


class Shelf:
    """The newest listings of one driver, whose name is the prefix of its pools."""

    def __init__(self, driver: str, config: Config) -> None:
        self._driver = driver
        self.listings: tuple[Listing, ...] = ()
        self._offered: Mapping[str, Mapping[str, Listed]] = {}  # by pool, by device
        self._config = config
        self._pools = {pool.name: pool for pool in config.pools}

    def put(self, listings: Mapping[str, Listing], config: Config) -> None:
        """Offer these, by key of their pool, and nothing else; other prefixes are not ours."""
        self._config = config
        self._pools = {pool.name: pool for pool in config.pools}
        self.listings = tuple(one for one in listings.values() if one.pool.prefix == self._driver)
        self._offered = {
            one.pool.name: {listed.device.name: listed for listed in one.devices}
            for one in self.listings
        }

    def find(self, pool: str, device: str) -> Listed | str:
        """Look a device up, or say why a claim cannot have it."""
        if pool not in self._offered:
            return f"no pool {pool} is offered through DRA on this node"
        listed = self._offered[pool].get(device)
        return listed or f"the pool {pool} does not have it, or not any more"

    def contents(self, allocations: Iterable[Allocation]) -> dict[tuple[str, str], object]:
        """Say what is in claims' files of each device, by pool and name.

        Where it is equal, so are the files: links come and go all the time.
        """
        found: dict[tuple[str, str], object] = {}
        for result in (one for each in allocations for one in each.results):
            pool = result.pool.partition("/")[2]
            listed = self.find(pool, result.device)
            link = listed if isinstance(listed, str) else told(listed.device)
            found[pool, result.device] = (self.delivery(pool), link)
        return found

    def pool(self, name: str) -> Pool:
        """Find a pool; one that is gone is as any other."""
        return self._pools.get(name) or retired_pool(f"{self._driver}/{name}{VIA_DRA}")

    def delivery(self, pool: str) -> Delivery:
        """Say how a pool's devices get into containers."""
        return Delivery.of(self.pool(pool), self._config)
