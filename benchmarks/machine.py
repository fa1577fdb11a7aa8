"""What the numbers were taken on, and whether it had anything else to do."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import time


class Load:
    """How busy the processors are with what is not ours.

    Kernel threads count as others: some of what they do is for us.
    """

    def __init__(self) -> None:
        self._wall, self._idle, self._own = _times()

    def others(self) -> float:
        """The share of all processors' time that others took since this was made."""
        wall, idle, own = (now - then for now, then in zip(_times(), self._start, strict=True))
        capacity = wall * (os.cpu_count() or 1)
        return max(0.0, (capacity - idle - own) / capacity) if capacity else 0.0

    @property
    def _start(self) -> tuple[float, float, float]:
        return self._wall, self._idle, self._own


def _times() -> tuple[float, float, float]:
    """Seconds: by the clock, idle on all processors, and used by us and our children."""
    first = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0]
    fields = [int(field) for field in first.split()[1:]]
    own = os.times()
    used = own.user + own.system + own.children_user + own.children_system
    return time.monotonic(), (fields[3] + fields[4]) / os.sysconf("SC_CLK_TCK"), used


def wait_until_quiet(patience: float, *, below: float = 0.1) -> bool:
    """Wait until others take less than that share for three seconds; False when it never is."""
    end = time.monotonic() + patience
    while True:
        load = Load()
        time.sleep(3 if patience else 0.1)
        if load.others() < below:
            return True
        if time.monotonic() >= end:
            return False


def describe() -> tuple[str, ...]:
    """Machine, kernel and date, a line each."""
    now = datetime.datetime.now(tz=datetime.UTC)
    return (
        f"{os.cpu_count()} x {_model()}, {_memory()} MiB, {platform.machine()}",
        f"Linux {platform.release()}, Python {platform.python_version()}, {now:%Y-%m-%d %H:%M} UTC",
    )


def _model() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "processor"


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
