"""One agent in charge of a node: who comes later takes over, who was there ends.

The one in charge holds flock(2) on RUN_DIR/agent.lock, which the kernel releases
whatever becomes of it. A newcomer asks for it in RUN_DIR/agent.next, which it holds
likewise, so that nobody gives way to the dead. An agent that gave way and is started
again as the same instance (a container of a pod that is on its way out) does not ask
again: it waits, in case the other one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import threading
from pathlib import Path

from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import NetdevError, WatchError

LOCK = "agent.lock"
NEXT = "agent.next"
REMEMBERED = 16  # instances that gave way
MAX_NAME = 128  # characters of an instance
MAX_SIZE = 16384  # bytes
BLIND = 1.0  # seconds between looks where no event tells
PATIENCE = 15.0  # seconds after which it is said again that another agent does not give way

_log = logging.getLogger(__name__)


class Turn:
    """An agent's place on its node, from `take` to `release`."""

    def __init__(self, run_dir: Path, instance: str) -> None:
        self._run_dir = run_dir
        self._instance = "".join(c if c.isprintable() else "?" for c in instance[:MAX_NAME])
        self._lock = -1

    async def take(self) -> None:
        """Return once this agent is in charge. Raises NetdevError if there can be no lock."""
        while self._lock < 0:
            file = _open(self._run_dir / LOCK)
            try:
                if _try(file):
                    gave_way = _names(file)[1:]
                else:
                    holder, *gave_way = _names(file) or [""]
                    gave_way = await self._wait(file, holder, gave_way)
                if self._is_there(file):  # or somebody has swept the directory meanwhile
                    self._sign(file, gave_way)
            finally:
                if self._lock != file:
                    os.close(file)

    def _sign(self, file: int, gave_way: list[str]) -> None:
        remembered = [name for name in gave_way if name != self._instance][-REMEMBERED:]
        os.ftruncate(file, 0)
        os.pwrite(file, "\n".join([self._instance, *remembered, ""]).encode(), 0)
        self._lock = file

    def _is_there(self, file: int) -> bool:
        """Whether the next one will find this lock, and not make one of its own."""
        try:
            return os.path.samestat((self._run_dir / LOCK).stat(), os.fstat(file))
        except OSError:
            return False

    async def _wait(self, file: int, holder: str, gave_way: list[str]) -> list[str]:
        """Wait for the lock, and ask for it where that is right; returns who has given way."""
        if self._instance in gave_way:
            _log.info("Another agent has taken over; waiting", extra={"other": holder})
            await _acquire(file)
            return gave_way
        _log.info("Asking the other agent to end", extra={"other": holder})
        claim = self._ask()
        try:
            await _acquire(file)
        finally:
            self._withdraw()
            os.close(claim)
        return [*gave_way, holder]

    def _ask(self) -> int:
        path = self._run_dir / NEXT
        who = hashlib.sha256(self._instance.encode()).hexdigest()
        partial = path.with_name(f".{NEXT}.{who[:16]}")
        claim = _open(partial)
        fcntl.flock(claim, fcntl.LOCK_EX)
        os.ftruncate(claim, 0)  # of an instance that was killed here
        os.pwrite(claim, f"{self._instance}\n".encode(), 0)
        partial.replace(path)
        return claim

    def _withdraw(self) -> None:
        path = self._run_dir / NEXT
        with contextlib.suppress(OSError):
            if _read(path) == self._instance:
                path.unlink()

    async def asked(self) -> str:
        """Return, once another agent wants to take over, which one."""
        stirred = asyncio.Event()
        wake = asyncio.get_running_loop().call_soon_threadsafe
        with Watch(self._run_dir, lambda: wake(stirred.set)) as watch:
            while True:
                stirred.clear()
                try:
                    watch.arm()
                except WatchError as error:
                    why = {"reason": str(error), "remedy": error.hint}
                    _log.warning("Looking every second for who takes over", extra=why)
                    asyncio.get_running_loop().call_later(BLIND, stirred.set)
                if other := self._usurper() or self._claimant():
                    return other
                await stirred.wait()

    def _usurper(self) -> str:
        """Put the lock back if it was swept away; say who was quicker, if somebody was."""
        held = self._lock
        if held < 0 or self._is_there(held):
            return ""
        try:
            file = _open(self._run_dir / LOCK)
        except NetdevError as error:
            _log.error("The lock was removed", extra={"reason": str(error), "remedy": error.hint})
            return ""
        if not _try(file):
            other = (_names(file) or [""])[0]
            os.close(file)
            return other or "nobody knows"
        _log.warning("The lock was removed: made again", extra={"directory": str(self._run_dir)})
        self._sign(file, _names(held)[1:])
        os.close(held)
        return ""

    def _claimant(self) -> str:
        """Who asks, if it lives."""
        try:
            file = os.open(self._run_dir / NEXT, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return ""
        try:
            if _try(file):
                return ""
            return (_names(file) or [""])[0]
        finally:
            os.close(file)

    def release(self) -> None:
        """Let the next one have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


async def _acquire(file: int) -> None:
    """Wait for a lock, in a thread that ends with the process and gives back what comes late."""
    loop = asyncio.get_running_loop()
    got: asyncio.Future[None] = loop.create_future()
    own = os.dup(file)  # the lock is the open file's: whichever is closed last gives it back
    abandoned = threading.Event()

    def tell() -> None:
        if not got.done():
            got.set_result(None)

    def wait() -> None:
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
            if abandoned.is_set():
                fcntl.flock(own, fcntl.LOCK_UN)
            else:
                loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop has ended
            fcntl.flock(own, fcntl.LOCK_UN)
        finally:
            os.close(own)

    threading.Thread(target=wait, name="agent.lock", daemon=True).start()
    try:
        while not got.done():
            await asyncio.wait([got], timeout=PATIENCE)
            if not got.done():
                _log.warning("Another agent is in charge and does not give way yet")
    finally:
        abandoned.set()


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NetdevError(
            f"cannot lock {path}: {error.strerror}",
            hint="runDir has to be a directory of the host's that the agent may write",
        ) from error


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _names(file: int) -> list[str]:
    return os.pread(file, MAX_SIZE, 0).decode("utf-8", "replace").split("\n")[:-1]


def _read(path: Path) -> str:
    return path.read_text(errors="replace").partition("\n")[0]
