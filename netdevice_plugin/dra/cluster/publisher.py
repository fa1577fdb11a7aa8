"""Keeps the node's ResourceSlices as they should be, whoever else is at them.

One task follows the slices (list, then watch), one writes what differs from what is
wanted. The kubelet deletes all slices of the node when it starts, and those of a driver
that has been away for half a minute; people edit them: what is deleted or changed is
written again. While the API server is away nothing is lost but time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection, Coroutine, Iterable

from netdevice_plugin.dra import planning, slices
from netdevice_plugin.dra.cluster.answers import Object
from netdevice_plugin.dra.cluster.api import Api, Event
from netdevice_plugin.dra.cluster.errors import (
    ConflictError,
    ExpiredError,
    NotFoundError,
    RefusedError,
)
from netdevice_plugin.dra.cluster.mirror import Mirror
from netdevice_plugin.dra.cluster.observer import Observer, Silence
from netdevice_plugin.dra.cluster.pacing import Backoff, Chance, Pace, Timing
from netdevice_plugin.dra.planning import Node, Plan
from netdevice_plugin.errors import ClusterError
from netdevice_plugin.offering import Listing

_FOLLOWING, _WRITING, _NAMING = "following", "writing", "naming"
_NOT_YET = "not asked yet"
_UNFIT = (400, 413, 422)  # the server will not take that value, however often
_SHORTER = "the node's name is part of it: give the pool a shorter one"

_log = logging.getLogger(__name__)


class Publisher:
    """Publishes for one driver on one node, while `run` runs."""

    def __init__(  # noqa: PLR0913 - collaborators
        self,
        api: Api,
        *,
        driver: str,
        node: str,
        observer: Observer | None = None,
        timing: Timing | None = None,
        chance: Chance = random.random,
    ) -> None:
        self._api = api
        self._driver = driver
        self._node = node
        self._observer = observer or Silence()
        self._timing = timing = timing or Timing()
        self._chance = chance
        self._mirror = Mirror()
        self._listings: tuple[Listing, ...] | None = None
        self._allocated: frozenset[str] = frozenset()
        self._published: slices.Memory | None = None
        self._turns: dict[str, float] = {}  # when each slice was tried last, by name
        self._settled: object = None  # what was wanted and there, when nothing was to be done
        self._taints = True  # until the server shows that it has none
        self._owner: Node | None = None
        self._position = ""  # where the watch goes on; empty: list first
        self._following = asyncio.Event()  # the mirror is true, or will be in a moment
        self._due = asyncio.Event()  # there may be something to write
        self._not_before = float("-inf")
        self._foreign = Backoff(timing.foreign, timing.longest_foreign, timing.peace, chance)
        self._pace = Pace(timing.writes)
        self._troubles = {_FOLLOWING: _NOT_YET, _WRITING: _NOT_YET, _NAMING: ""}
        self._reported: frozenset[str] = frozenset()

    @property
    def problem(self) -> str:
        """Why the slices may not be what they should be, one line; empty when they are."""
        return next((trouble for trouble in self._troubles.values() if trouble), "")

    def publish(self, listings: Iterable[Listing], allocated: Collection[str] = ()) -> None:
        """Want this to be published from now on; `allocated` are devices that claims have."""
        self._listings, self._allocated = tuple(listings), frozenset(allocated)
        self._due.set()

    async def run(self) -> None:
        """Publish what is wanted, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._write())

    async def remove(self) -> None:
        """Delete all slices of ours on this node, when `run` has ended; raises ClusterError."""
        found = await self._api.list_slices(self._driver, self._node)
        for one in found.slices:
            metadata = one["metadata"]
            await self._api.delete_slice(metadata["name"], uid=metadata["uid"])
            self._observer.written("delete")

    async def _follow(self) -> None:
        backoff = self._backoff()
        expired = False  # twice in a row
        while True:
            asked = 0.0
            try:
                if not self._position:
                    await self._list()
                await self._watch(backoff)
                expired = False
            except ExpiredError:
                self._interrupted()
                expired = not expired
                if expired:  # the server is there, and each has waited for it by itself
                    await asyncio.sleep(self._chance() * self._timing.first_retry)
                    continue
            except ClusterError as error:
                self._interrupted(lost=isinstance(error, NotFoundError))
                self._trouble(_FOLLOWING, error)
                asked = _asked(error)
            # After one that just ended as well: all others' have, that were at the same server.
            await asyncio.sleep(backoff.next(_now(), asked))

    async def _list(self) -> None:
        first = self._published is None
        await self._api.discover()
        # From memory is good enough once: what an earlier agent wrote is there by now.
        found = await self._api.list_slices(self._driver, self._node, cached=first)
        self._mirror.replace(found.slices)
        self._position = found.position
        self._taints = True
        if first:
            self._published = slices.recall(found.slices)

    async def _watch(self, backoff: Backoff) -> None:
        low, high = self._timing.watch
        seconds = low + self._chance() * (high - low)
        watching = self._api.watch_slices(self._driver, self._node, self._position, seconds)
        async with watching as events:
            self._trouble(_FOLLOWING, None)
            if not self._following.is_set():
                self._following.set()
                self._due.set()
            backoff.works(_now(), self._timing.lasting)
            async for event in events:
                self._position = event.position or self._position
                if self._mirror.apply(event):
                    self._disturbed(event)

    def _interrupted(self, *, lost: bool = True) -> None:
        """Write nothing until the slices are followed again; list them if the place is lost."""
        self._following.clear()
        if lost:
            self._position = ""

    def _disturbed(self, event: Event) -> None:
        """Put right what somebody else did, a moment later: all nodes may be hit at once."""
        if event.kind == "DELETED":
            self._owner = None  # slices go with their Node, and the next one has another uid
        if not self._due.is_set():
            self._not_before = _now() + self._foreign.next(_now())
            self._due.set()

    async def _write(self) -> None:
        backoff = self._backoff()
        while True:
            await self._turn()
            self._due.clear()
            try:
                await self._round()
            except ClusterError as error:
                self._due.set()
                if not isinstance(error, ConflictError):
                    self._owner = None
                    self._trouble(_WRITING, error)
                await asyncio.sleep(backoff.next(_now(), _asked(error)))
            else:
                backoff.reset()

    async def _turn(self) -> None:
        """Wait until there is something to write, and it may be written."""
        while True:
            await self._due.wait()
            await self._following.wait()
            rest = max(self._pace.wait(_now()), self._not_before - _now())
            if rest <= 0 and self._listings is not None:
                return
            if self._listings is None:
                self._due.clear()
            await asyncio.sleep(max(rest, 0))

    async def _round(self) -> None:
        """Make all writes that have to be made together, or one of those that have not."""
        if self._owner is None:
            self._owner = Node(name=self._node, uid=await self._api.node(self._node))
        plan = self._plan(self._owner)
        later = self._later(plan)
        started = 0
        refused: dict[str, ClusterError] = {}  # by pool
        self._mirror.begin()
        try:
            for write, objects in (
                (self._delete, plan.deletes),
                (self._update, [one for one in plan.updates if one not in later]),
                (self._create, plan.creates),
            ):
                for one in objects:
                    pool = one["spec"]["pool"]["name"]
                    if pool not in refused:
                        started += 1
                        if error := await _attempt(write(one)):
                            refused[pool] = error
        finally:
            self._pace.took(started, _now())
            for event in self._mirror.settle():
                self._disturbed(event)
        if refused:
            raise next(iter(refused.values()))
        if not self._due.is_set():
            self._trouble(_WRITING, None)
            if not later:
                self._observer.synced(len(self._mirror.slices), self._mirror.devices)
        if later:
            self._due.set()

    def _later(self, plan: Plan) -> list[Object]:
        """Choose the updates that wait for the next round, and then say what is so by then.

        In a storm every slice has news all the time: the one that was not written for
        longest is first.
        """
        loose = planning.apart(plan, self._mirror.slices)
        turn = sorted(loose, key=lambda one: self._turns.get(one["metadata"]["name"], 0.0))
        return turn[1:]

    def _plan(self, owner: Node) -> Plan:
        wanted = slices.wanted(
            self._listings or (),
            node=self._node,
            allocated=self._allocated,
            taints=self._taints,
            published=self._published,
        )
        self._published = slices.remember(wanted)
        problems = frozenset(line for pool in wanted for line in pool.problems)
        for line in sorted(problems - self._reported):
            _log.warning("A device is published without something", extra={"reason": line})
        self._reported = problems
        name = slices.refused(self._listings or (), node=self._node)
        self._trouble(_NAMING, ClusterError(name, hint=_SHORTER) if name else None)
        state = wanted, self._mirror.slices, owner
        if state == self._settled:  # as after most claims: nothing of theirs is in slices
            return Plan()
        plan = planning.plan(self._mirror.slices, wanted, driver=self._driver, node=owner)
        self._settled = None if plan.writes else state
        return plan

    async def _delete(self, one: Object) -> None:
        metadata = one["metadata"]
        version = metadata["resourceVersion"]
        try:
            await self._api.delete_slice(
                metadata["name"], uid=metadata["uid"], resource_version=version
            )
        except ConflictError:
            await self._look_again(one)
            raise
        self._mirror.deleted(one)
        self._turns.pop(metadata["name"], None)
        self._observer.written("delete")

    async def _update(self, one: Object) -> None:
        self._turns[one["metadata"]["name"]] = _now()
        try:
            came_back = await self._api.update_slice(one)
        except (ConflictError, NotFoundError) as error:
            await self._look_again(one)
            raise ConflictError(str(error), hint=error.hint, status=409) from error
        self._wrote("update", one, came_back)

    async def _create(self, one: Object) -> None:
        self._wrote("create", one, await self._api.create_slice(one))

    def _wrote(self, verb: str, sent: Object, came_back: Object) -> None:
        self._mirror.wrote(came_back)
        self._observer.written(verb)
        dropped = planning.dropped(sent, came_back)
        if "taints" in dropped and self._taints:
            _log.info("The API server has no device taints: unhealthy devices are left out")
            self._taints = False
            self._due.set()

    async def _look_again(self, one: Object) -> None:
        """Have the mirror know a slice that is not what it was."""
        try:
            self._mirror.wrote(await self._api.slice(one["metadata"]["name"]))
        except NotFoundError:
            self._mirror.deleted(one)

    def _backoff(self) -> Backoff:
        timing = self._timing
        return Backoff(timing.first_retry, timing.longest_retry, timing.steady, self._chance)

    def _trouble(self, what: str, error: ClusterError | None) -> None:
        """Note what goes wrong, or that nothing does, and say so once."""
        before, now = self._troubles[what], str(error or "")
        self._troubles[what] = now
        if error:
            self._observer.failed(type(error).__name__)
        if error and now != before:
            extra = {"reason": now, "remedy": error.hint}
            _log.warning("ResourceSlices cannot be kept up to date", extra=extra)
        elif before and not now and before != _NOT_YET:
            _log.info("ResourceSlices can be kept up to date again", extra={"part": what})


async def _attempt(write: Coroutine[object, object, None]) -> ClusterError | None:
    """Write; return what the server has against that value, which keeps no other pool waiting."""
    try:
        await write
    except RefusedError as error:
        if error.status not in _UNFIT:
            raise
        return error
    return None


def _asked(error: ClusterError) -> float:
    """How many seconds the server asks us to wait."""
    return error.retry_after if isinstance(error, RefusedError) else 0.0


def _now() -> float:
    return asyncio.get_running_loop().time()
