"""Writes into claims' status what is in the pods; one claim after the other, and not too often.

It is for people and other controllers to see: no pod waits for it, so it comes after
everything else, and is given up where it is not welcome.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
from collections.abc import Callable, Mapping, Sequence

from netdevice_plugin.dra import status
from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.cluster.answers import Object
from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.errors import ForbiddenError, NotFoundError, RefusedError
from netdevice_plugin.dra.cluster.observer import Observer, Silence
from netdevice_plugin.dra.cluster.pacing import Backoff, Bucket, Chance, Timing
from netdevice_plugin.dra.status import DeviceStatus
from netdevice_plugin.errors import ClusterError

_Wanted = Mapping[ClaimRef, tuple[DeviceStatus, ...]]

_HOPELESS = (400, 413, 422)  # the server will not take that value, however often

_REMEDY = (
    "the agent's service account needs update on resourceclaims/status, and from Kubernetes 1.36 "
    "on associated-node:update on resourceclaims/driver for this driver's name"
)

_log = logging.getLogger(__name__)


class Statuses:
    """Keeps the status of this node's claims, while `run` runs."""

    def __init__(  # noqa: PLR0913 - collaborators
        self,
        api: Api,
        *,
        driver: str,
        node: str,
        observer: Observer | None = None,
        timing: Timing | None = None,
        chance: Chance = random.random,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._api = api
        self._driver = driver
        self._node = node
        self._observer = observer or Silence()
        self._timing = timing = timing or Timing()
        self._clock = clock
        self._wanted: _Wanted = {}
        self._written: dict[ClaimRef, tuple[DeviceStatus, ...]] = {}
        self._due: dict[ClaimRef, None] = {}  # in order
        self._wake = asyncio.Event()
        self._bucket = Bucket(timing.statuses, timing.burst)
        self._backoff = Backoff(timing.first_retry, timing.longest_retry, timing.steady, chance)
        self._first = True
        self._problem = ""
        self._told = ""  # the sort of failure that was logged last

    @property
    def problem(self) -> str:
        """Why status cannot be written, one line; empty when it can, or nothing was tried."""
        return self._problem

    def follow(self, wanted: _Wanted) -> None:
        """Want this in the status of these claims from now on, and nothing in all others'.

        The first call's claims without devices are looked at too: an agent before this
        one may have said what is not true any more.
        """
        for ref, devices in wanted.items():
            if self._written.get(ref, None if self._first else ()) != devices:
                self._due[ref] = None
            else:
                self._due.pop(ref, None)
        for ref in (*self._wanted, *self._written):
            if ref not in wanted and (self._written.get(ref) or self._wanted.get(ref)):
                self._due[ref] = None
        self._wanted, self._first = dict(wanted), False
        if self._due:
            self._wake.set()

    async def run(self) -> None:
        """Write what is wanted, for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._timing.settle)  # devices of one claim come together
            self._wake.clear()
            while self._due:
                ref = next(iter(self._due))
                await asyncio.sleep(self._bucket.take(_now()))
                if ref in self._due:
                    del self._due[ref]
                    await asyncio.sleep(await self._write(ref))

    async def _write(self, ref: ClaimRef) -> float:
        """Write the status of one claim; say for how long to write nothing."""
        devices = self._wanted.get(ref, ())
        try:
            if await self._api.update_claim_status(ref, lambda now: self._merged(now, devices)):
                self._observer.status_written()
        except NotFoundError:
            self._note(ref, ())  # it is gone, and its status with it
            return 0.0
        except ClusterError as error:
            return self._failed(ref, devices, error)
        self._note(ref, devices)
        if self._wanted.get(ref, ()) != devices:
            self._due[ref] = None  # what was written is not wanted any more
        if self._told:
            _log.info("Status of claims can be written again")
        self._problem = self._told = ""
        self._backoff.reset()
        return 0.0

    def _merged(
        self, entries: Sequence[Object], devices: tuple[DeviceStatus, ...]
    ) -> list[Object] | None:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        return status.merge(entries, devices, driver=self._driver, node=self._node, now=now)

    def _note(self, ref: ClaimRef, devices: tuple[DeviceStatus, ...]) -> None:
        """Remember what a claim has; nothing of one that has nothing and is not ours any more."""
        if devices or ref in self._wanted:
            self._written[ref] = devices
        else:
            self._written.pop(ref, None)

    def _failed(
        self, ref: ClaimRef, devices: tuple[DeviceStatus, ...], error: ClusterError
    ) -> float:
        self._observer.status_failed(type(error).__name__)
        self._problem = str(error)
        hopeless = isinstance(error, RefusedError) and error.status in _HOPELESS
        sort = type(error).__name__
        if sort != self._told or hopeless:  # the same for each claim would be noise
            remedy = _REMEDY if isinstance(error, ForbiddenError) else error.hint
            said = {"reason": str(error), "remedy": remedy}
            _log.warning("Status of a claim cannot be written", extra=said)
        self._told = sort
        if hopeless:
            self._note(ref, devices)  # until something else is to be written
            return 0.0
        self._due[ref] = None
        if isinstance(error, ForbiddenError):
            return self._timing.longest_retry
        asked = error.retry_after if isinstance(error, RefusedError) else 0.0
        return self._backoff.next(_now(), asked)


def _now() -> float:
    return asyncio.get_running_loop().time()
