"""The CDI directory for the event loop: what is asked for gets there, and stays there.

All blocking work is done by one thread, one call after the other. The newest
contents win: those that were overtaken while it was busy are never written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.cdistore.mirror import Mirror, Outcome
from netdevice_plugin.cdistore.pacing import Pace, Pacer
from netdevice_plugin.cdistore.rendering import Renderer
from netdevice_plugin.config import Config
from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import NetdevError, WatchError
from netdevice_plugin.model import Device, Pool

Wanted = Mapping[Pool, Sequence[Device]]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is in the directory; equal states are the same to the agent."""

    known: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()  # a line each: the file, what is wrong, the remedy
    settled: bool = False  # every file is as it was asked for; else it is tried again


class CdiStore:
    """Keeps our files in one directory as they were last asked for, while `run` runs.

    `changed` is called in the event loop when the state changes of itself: others
    changed a file, or an attempt succeeded at last. At the end nothing is removed:
    a container may start again meanwhile.
    """

    def __init__(
        self,
        directory: Path,
        changed: Callable[[State], object] | None = None,
        *,
        pace: Pace | None = None,
    ) -> None:
        self.state = State()
        self._directory = directory
        self._changed = changed or (lambda _: None)
        self._pace = pace or Pace()
        self._pacer = Pacer(self._pace)
        self._renderer = Renderer()
        self._mirror = Mirror(directory)
        self._asked: tuple[Wanted, Config] = ({}, Config())
        self._waiting: list[asyncio.Future[State]] = []
        self._fresh = asyncio.Event()  # there are new contents
        self._stirred = asyncio.Event()  # there are, or something happened in the directory
        self._ended = False

    def known(self, kind: str) -> frozenset[str]:
        """Name the devices of a kind that runtimes find, each as last asked for.

        No other may be reported healthy.
        """
        return self.state.known.get(kind, frozenset())

    async def write(self, wanted: Wanted, config: Config) -> State:
        """Bring the directory to these devices of each pool, retired pools included.

        Returns after one attempt, when all that is then `known` is on disk and
        synced. The rest is in `problems` and tried again, until other contents are
        asked for. Waits for `run` to start; raises NetdevError if it has ended.
        """
        if self._ended:
            raise _over()
        if len({pool.kind for pool in wanted}) < len(wanted):
            raise ValueError("two pools of one kind")
        self._asked = (dict(wanted), config)
        self._fresh.set()
        self._stirred.set()
        answer: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        return await answer

    async def run(self) -> None:
        """Do what `write` asks for and undo what others do, until cancelled.

        What is being written then is written to its end.
        """
        wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, self._stirred.set)
        worker = ThreadPoolExecutor(1, "cdi")
        try:
            with Watch(self._directory, wake) as watch:
                await self._fresh.wait()
                while True:
                    await self._attempt(worker, watch)
                    await self._rest()
        finally:
            self._ended = True
            worker.shutdown(wait=False)
            for answer in self._waiting:
                if not answer.done():
                    answer.set_exception(_over())

    async def _attempt(self, worker: ThreadPoolExecutor, watch: Watch) -> None:
        served = len(self._waiting)
        self._fresh.clear()
        self._stirred.clear()
        job = asyncio.get_running_loop().run_in_executor(worker, self._bring, watch, *self._asked)
        try:
            outcome = await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])
            raise
        before, self.state = self.state, self._judged(outcome)
        _report(before, self.state, outcome)
        if not self._answer(served) and self.state != before:
            self._changed(self.state)

    def _answer(self, served: int) -> int:
        """Tell the first of those who wait; returns how many there still were."""
        answers = [answer for answer in self._waiting[:served] if not answer.done()]
        del self._waiting[:served]
        for answer in answers:
            answer.set_result(self.state)
        return len(answers)

    def _bring(self, watch: Watch, wanted: Wanted, config: Config) -> Outcome:
        """Run in the worker thread."""
        unwatched = None
        try:
            watch.arm()  # before the look, so that nothing falls between
        except WatchError as error:
            unwatched = f"{error}; {error.hint}"
        contents = [
            self._renderer.render(pool, devices, Delivery.of(pool, config))
            for pool, devices in wanted.items()
        ]
        self._renderer.forget({content.kind for content in contents})
        outcome = self._mirror.bring(contents, config.prefix)
        if unwatched:
            outcome.problems.append(unwatched)
            outcome.failed = True
        return outcome

    def _judged(self, outcome: Outcome) -> State:
        repaired = bool(outcome.repaired)
        self._pacer.count(failed=outcome.failed, repaired=repaired, now=time.monotonic())
        problems = list(outcome.problems)
        if self._pacer.contested:
            problems.append(
                f"{self._directory}: another program keeps changing our files, which are put"
                " right less and less often; find it and stop it"
            )
        return State(known=outcome.known, problems=tuple(problems), settled=not outcome.failed)

    async def _rest(self) -> None:
        """Wait for a reason to look again; after a failure only new contents are one."""
        if await _within(self._pacer.deaf(time.monotonic()), self._fresh):
            return
        if not self._pacer.failing:
            await _within(self._pace.again, self._stirred)


def _report(before: State, after: State, outcome: Outcome) -> None:
    for path in outcome.repaired:
        _log.warning("CDI file was not as we left it: written again", extra={"file": str(path)})
    for path in outcome.removed:
        _log.info("CDI file removed", extra={"file": str(path)})
    for problem in after.problems:
        if problem not in before.problems:
            _log.warning("CDI directory is not as it should be", extra={"problem": problem})
    if before.problems and not after.problems:
        _log.info("CDI directory is as it should be again")


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event; False if it has not come."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _over() -> NetdevError:
    return NetdevError("the CDI directory is no longer looked after: the agent is stopping")
