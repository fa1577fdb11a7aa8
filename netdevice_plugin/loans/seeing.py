"""What a /proc shows of those that have a link: whose processes it has, and who lives."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from netdevice_plugin import attachments
from netdevice_plugin.attachments import Attachment, Holder
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.loans.loan import Life

PROC = Path("/proc")


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What a /proc shows; `blind` says why it tells nothing of the host's processes."""

    proc: Path = PROC
    same_numbers: bool = False  # a process has the number there that it has for us
    blind: str = ""
    pidns: tuple[int, int] | None = None  # st_dev, st_ino of its namespace, if we may know

    def is_foreign(self, record: Attachment) -> bool:
        """Whether its holders' numbers are of other processes than those that we see."""
        return None not in (record.pidns, self.pidns) and record.pidns != self.pidns

    def life(self, holder: Holder, *, foreign: bool) -> Life:
        """Look for a holder; nobody is called dead who may be out of sight."""
        if self.blind or foreign:
            return Life.UNKNOWN
        try:
            if attachments.alive(holder, self.proc):
                return Life.ALIVE
        except AttachmentError:
            return Life.UNKNOWN
        return Life.DEAD if self._sees_everybody() else Life.UNKNOWN

    def judge(self, record: Attachment, holder: Holder) -> Life:
        """Look for a holder of a record."""
        return self.life(holder, foreign=self.is_foreign(record))

    def _sees_everybody(self) -> bool:
        """Whether it means anything that a process is not there: see proc(5), hidepid."""
        try:
            return bool((self.proc / "1" / "stat").read_bytes())
        except OSError:
            return False


def view(proc: Path) -> View:
    """Find out whose processes a /proc shows: ours, those of a namespace around us, or others'.

    In a namespace of its own an agent is process 1, as none is on a host.
    """
    try:
        lines = (proc / "self" / "status").read_text().splitlines()
        numbers = next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
    except (OSError, ValueError, StopIteration):
        return View(proc, blind=f"{proc} does not show the host's processes")
    if numbers == ["1"]:
        return View(proc, blind=f"{proc} shows this container's processes, not the host's")
    same_numbers = len(numbers) == 1
    return View(proc, same_numbers=same_numbers, pidns=_pidns(proc, ours=same_numbers))


def _pidns(proc: Path, *, ours: bool) -> tuple[int, int] | None:
    """Identify the namespace of a /proc: that of its process 1, or ours if that is it."""
    for process in ("1", "self") if ours else ("1",):
        with contextlib.suppress(OSError):
            found = (proc / process / "ns" / "pid").stat()
            return found.st_dev, found.st_ino
    return None
