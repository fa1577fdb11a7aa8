"""Who still lives, of those that have a link.

Where the agent is among the host's processes the kernel tells of an end at once, by
pidfd, and nothing is polled. Where it only sees the host's /proc, it looks at each
holder every few seconds, as long as there is one. Where it sees neither, or other
processes than those that a record numbers, nobody is ever called dead.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from netdevice_plugin.attachments import Attachment, Holder
from netdevice_plugin.loans.loan import Life, Seen
from netdevice_plugin.loans.seeing import PROC, view

INTERVAL = 5.0  # seconds between two looks at those that the kernel does not tell of


@dataclasses.dataclass(slots=True)
class _Followed:
    holder: Holder
    seen: Seen
    foreign: bool  # its number is another process's for us, or nobody's
    pidfd: int = -1


_Key = tuple[str, int | None, int | None]


def _key(holder: Holder) -> _Key:
    return holder.container, holder.pid, holder.start_time


class Holders:
    """Follows the holders of all records; to be used in a running event loop.

    `wake` is called when one is seen in another state than before. `proc` is the
    host's, under whatever path. No more than `pidfds` descriptors are kept open, by
    default half of what the process may have; who is beyond that is looked at.
    """

    def __init__(
        self,
        wake: Callable[[], object],
        *,
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
        pidfds: int | None = None,
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._interval = interval
        self._view = view(proc)
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._spare = soft // 2 if pidfds is None else pidfds
        self._followed: dict[_Key, _Followed] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def blind(self) -> str:
        """Why nothing can be seen of any holder; empty where it can."""
        return self._view.blind

    def follow(self, records: Iterable[Attachment]) -> None:
        """Follow the holders of these records, and nobody else any more."""
        listed = [(record, holder) for record in records for holder in record.holders]
        wanted = {_key(holder): holder for _, holder in listed}
        foreign = {_key(holder) for record, holder in listed if self._view.is_foreign(record)}
        for key in self._followed.keys() - wanted.keys():
            self._release(self._followed.pop(key))
        for key in wanted.keys() - self._followed.keys():
            self._followed[key] = self._begin(wanted[key], foreign=key in foreign)
        self._set_timer()

    def seen(self, holder: Holder) -> Seen:
        """How a holder is that is followed."""
        return self._followed[_key(holder)].seen

    def close(self) -> None:
        """Follow nobody."""
        self.follow(())

    def _begin(self, holder: Holder, *, foreign: bool) -> _Followed:
        followed = _Followed(holder, Seen(Life.UNKNOWN, self._clock()), foreign)
        knows = self._view.same_numbers and not foreign
        if holder.pid is not None and knows and self._spare > 0:
            try:
                followed.pidfd = os.pidfd_open(holder.pid)
            except (OSError, OverflowError):
                pass  # it has ended, or the kernel or seccomp has no pidfds for us: look
            else:
                self._spare -= 1
                loop = asyncio.get_running_loop()
                loop.add_reader(followed.pidfd, self._ended, followed)
        # Looked at only now: the pidfd is that of the process seen here, or of none.
        self._look(followed)
        return followed

    def _ended(self, followed: _Followed) -> None:
        """Whoever had the number has ended: if that was not the holder, it had before."""
        self._become(followed, Life.DEAD)
        self._wake()

    def _become(self, followed: _Followed, life: Life) -> bool:
        if life is Life.DEAD:
            self._release(followed)
        changed = life is not followed.seen.life
        if changed:
            followed.seen = Seen(life, self._clock())
        return changed

    def _release(self, followed: _Followed) -> None:
        if followed.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(followed.pidfd)
            os.close(followed.pidfd)
            followed.pidfd = -1
            self._spare += 1

    def _look(self, followed: _Followed) -> bool:
        return self._become(followed, self._view.life(followed.holder, foreign=followed.foreign))

    def _waiting(self) -> list[_Followed]:
        """List those that only a look can tell of."""
        if self._view.blind:
            return []
        return [
            one
            for one in self._followed.values()
            if one.pidfd < 0 and not one.foreign and one.seen.life is not Life.DEAD
        ]

    def _set_timer(self) -> None:
        waiting = bool(self._waiting())
        if waiting and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._interval, self._look_again)
        elif not waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        self._timer = None
        if any([self._look(one) for one in self._waiting()]):  # noqa: C419 - at each of them
            self._wake()
        self._set_timer()
