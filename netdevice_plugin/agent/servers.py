"""A device plugin server for each resource that is listed, begun and ended as they come and go."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from netdevice_plugin.deviceplugin import Kubelet, Observer, PoolServer
from netdevice_plugin.model import Listed
from netdevice_plugin.offering import Listing

_log = logging.getLogger(__name__)


class Servers:
    """The servers of all resources, while `run` runs; to be made in a loop.

    `ready` makes devices of a resource ready for a container, by key and names, or is None
    where they are.
    """

    def __init__(
        self,
        kubelet: Kubelet,
        observer: Observer,
        ready: Callable[[str, Sequence[str]], Awaitable[object] | None] | None = None,
    ) -> None:
        self._kubelet = kubelet
        self._observer = observer
        self._ready = ready
        self._running: dict[str, tuple[PoolServer, asyncio.Task[None]]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve what is published until cancelled, or raise what a server died of: a bug.

        At the end the streams end first, then the sockets.
        """
        async with self._kubelet:
            try:
                await self._broken
            finally:
                await self._close()

    def publish(
        self, listings: Mapping[str, Listing], lists: Mapping[str, Sequence[Listed]]
    ) -> None:
        """Serve these resources, each with its list, and no other."""
        wanted = set(listings)
        for kind in self._running.keys() - wanted:
            _, task = self._running.pop(kind)
            task.cancel()
            self._ending[kind] = task
            _log.info("Resource is no longer served", extra={"resource": kind})
        for kind in sorted(wanted):
            if kind not in self._running:
                self._begin(kind, listings[kind])
            self._running[kind][0].publish(lists[kind])

    def unregistered(self) -> list[str]:
        """Name the resources that the kubelet does not know of."""
        return sorted(kind for kind, (server, _) in self._running.items() if not server.registered)

    async def _close(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        self._running.clear()
        await asyncio.gather(*tasks, *self._ending.values(), return_exceptions=True)

    def _begin(self, kind: str, listing: Listing) -> None:
        ready = functools.partial(self._ready, kind) if self._ready else None
        server = PoolServer(listing.pool, self._kubelet, self._observer, ready=ready)
        task = asyncio.create_task(self._run(server, kind, self._ending.pop(kind, None)), name=kind)
        task.add_done_callback(self._ended)
        self._running[kind] = server, task

    async def _run(self, server: PoolServer, kind: str, before: asyncio.Task[None] | None) -> None:
        if before:
            await asyncio.wait([before])  # it has the same socket
        try:
            await server.run()
        finally:
            self._ending.pop(kind, None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A server never ends of itself: one that does would be missed by the kubelet alone."""
        if not task.cancelled() and (error := task.exception()) and not self._broken.done():
            self._broken.set_exception(error)
