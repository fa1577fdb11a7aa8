"""The mover's `reclaim`, run beside the event loop: when, how often, and whether it can work."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from netdevice_plugin import mover
from netdevice_plugin.errors import MoverError
from netdevice_plugin.loans.reconcile import GAP, retry
from netdevice_plugin.loans.seeing import PROC, view
from netdevice_plugin.mover import Exit, Outcome

LIMIT = 60.0  # seconds for one run; it waits up to 20 for the device's lock
AT_ONCE = 4  # runs

_FAREWELL = 1.0  # seconds that those at work have when the agent ends
_MEANING: dict[int, str] = {
    Exit.DONE: "home",
    Exit.FAILED: "failed",
    Exit.USAGE: "not understood",
    Exit.HELD: "held by a container that lives",
    Exit.LOST: "lost",
}
# Bits of CapEff, capabilities(7): to change links; to enter namespaces and undo mounts.
_TO_MOVE = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
# From a container: to get at the mounts of process 1, and to make them one's own.
_TO_ENTER = {"CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19}

_NOTHING = object()  # what no attempt is about
_log = logging.getLogger(__name__)


async def reclaim(
    device: str, run_dir: Path, *, path: Path = mover.BUNDLED, limit: float = LIMIT
) -> Outcome:
    """Run the mover to its end, or to its death if that takes too long.

    To be killed loses nothing: whoever works on the device next goes on. Raises
    MoverError if it cannot be started.
    """
    argv = (str(mover.binary(path)), "reclaim", "--device", device, "--run-dir", str(run_dir))
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        raise MoverError(f"cannot run {argv[0]}: {error}") from error
    try:
        async with asyncio.timeout(limit):
            _, said = await process.communicate()
    except TimeoutError:
        return Outcome(-signal.SIGKILL, f"{device}: did not end within {limit:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode(errors="replace").strip().removeprefix(f"{mover.NAME}: ")
    return Outcome(process.returncode or 0, text)


def capable(run_dir: Path) -> str:
    """Why `reclaim` cannot work here; empty where it can.

    In a container the mover goes to the mounts of process 1, where the pins are. If
    it could not, it would not see them, and refuse.
    """
    shown = view(PROC)
    if shown.blind or not shown.same_numbers:
        return f"it needs the host's PID namespace: {shown.blind or 'its /proc is another'}"
    status = (PROC / "self" / "status").read_text()
    try:
        at_home = os.path.samestat(_stat("self/ns/mnt"), _stat("1/ns/mnt"))
        same = at_home or os.path.samestat(run_dir.stat(), _stat(f"1/root{run_dir}"))
    except PermissionError:
        missing = lacking(status, _TO_MOVE | _TO_ENTER)
        return f"it needs {' and '.join(missing) or 'to be let at the mounts of process 1'}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    missing = lacking(status, _TO_MOVE if at_home else _TO_MOVE | _TO_ENTER)
    if missing:
        return f"it needs {' and '.join(missing)}"
    return "" if same else f"{run_dir} is not the host's"


def _stat(path: str) -> os.stat_result:
    return (PROC / path).stat()


def lacking(status: str, wanted: Mapping[str, int]) -> tuple[str, ...]:
    """List the capabilities that a process does not have in effect; from its /proc/PID/status."""
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return tuple(name for name, bit in wanted.items() if not int(mask, 16) >> bit & 1)


Run = Callable[[str], Awaitable[Outcome]]


@dataclasses.dataclass(slots=True)
class _Try:
    """What is remembered of a device that was tried."""

    failures: int  # a success counts, until its record is seen to be gone
    ended: float
    about: object
    stirred: bool = False


class Reclaims:
    """Has links brought home: a few at a time, and again, ever later, what did not get there.

    `told` hears the exit code of each run, and then `wake` is called: there is room
    for another.
    """

    def __init__(
        self,
        run: Run,
        *,
        told: Callable[[int], object],
        wake: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
        at_once: int = AT_ONCE,
    ) -> None:
        self._run = run
        self._told = told
        self._wake = wake
        self._clock = clock
        self._at_once = at_once
        self._tries: dict[str, _Try] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def stir(self) -> None:
        """Some link has changed: what could not be put back may find its place now."""
        for tried in self._tries.values():
            tried.stirred = True

    def want(self, wanted: Mapping[str, object], now: float) -> float | None:
        """Start what is due of these devices; say when the next one is, if that is not told.

        The value is what the attempt is about: once that is another, what failed
        before does not count. What is not wanted any more is forgotten.
        """
        for device in self._tries.keys() - wanted.keys():
            self._forget(device, now)
        due = {
            device: self._due(device, about, now)
            for device, about in wanted.items()
            if device not in self._running
        }
        for device in sorted(due, key=lambda one: due[one]):
            if due[device] <= now and len(self._running) < self._at_once:
                self._start(device, wanted[device])
                del due[device]
        if len(self._running) >= self._at_once:
            return None
        return min(due.values(), default=None)

    def at_work(self, device: str) -> bool:
        """Whether a run of ours is at work on a device."""
        return device in self._running

    async def close(self) -> None:
        """Let those at work end, but not for long."""
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=_FAREWELL)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _forget(self, device: str, now: float) -> None:
        """Forget a device, but not that it was tried a moment ago."""
        tried = self._tries[device]
        if now < tried.ended + GAP:
            tried.about = _NOTHING
        else:
            del self._tries[device]

    def _due(self, device: str, about: object, now: float) -> float:
        tried = self._tries.get(device)
        if tried is None:
            return now
        changed = about != tried.about
        return retry(tried.failures, tried.ended, stirred=tried.stirred, changed=changed)

    def _start(self, device: str, about: object) -> None:
        before = self._tries.get(device)
        failures = before.failures if before and before.about == about else 0
        task = asyncio.get_running_loop().create_task(self._try(device, about, failures))
        self._running[device] = task

    async def _try(self, device: str, about: object, failures: int) -> None:
        began = self._clock()
        try:
            try:
                outcome = await self._run(device)
            except MoverError as error:
                outcome = Outcome(Exit.FAILED, str(error))
            self._told(outcome.code)
            _tell(device, outcome, self._clock() - began)
        finally:
            self._tries[device] = _Try(failures + 1, self._clock(), about)
            del self._running[device]
            self._wake()


def _tell(device: str, outcome: Outcome, seconds: float) -> None:
    meaning = _MEANING.get(outcome.code, "ended by a signal")
    extra = {
        "device": device,
        "outcome": meaning,
        "code": outcome.code,
        "seconds": round(seconds, 3),
    }
    if outcome.code == Exit.DONE:
        _log.info("Brought link home", extra=extra)
    else:
        _log.warning("Could not bring link home", extra=extra | {"reason": outcome.message})
