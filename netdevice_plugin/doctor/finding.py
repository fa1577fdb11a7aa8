"""What a check has to say: one line, how bad it is, and what to do about it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable


class Level(enum.Enum):
    """How bad it is; of the three the last is the worst."""

    OK = "ok"
    WARN = "warn"  # it works, but will not always, or could not be judged
    FAIL = "fail"  # a container with a device does not start, or a link does not come home


# 1 and 2 are what any command ends with that could not do its work at all.
EXIT_CODES = {Level.OK: 0, Level.WARN: 5, Level.FAIL: 6}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One line. `check` is a name for programs, which stays; docs/reference/doctor.md has all."""

    level: Level
    check: str  # theme/name: containerd/cdi
    subject: str  # what was looked at: a file, a program, a link
    text: str  # what follows the subject and a colon
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}" if self.subject else self.text


def ok(check: str, subject: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(Level.OK, check, subject, text)


def warn(check: str, subject: str, text: str, remedy: str) -> Finding:
    """Say what will not always work, or could not be judged."""
    return Finding(Level.WARN, check, subject, text, remedy)


def fail(check: str, subject: str, text: str, remedy: str) -> Finding:
    """Say what does not work."""
    return Finding(Level.FAIL, check, subject, text, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """Pick the level of the worst; OK of none."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def some(names: Iterable[str], limit: int = 12) -> str:
    """List names, but no more than fit a line."""
    listed = list(names)
    shown = listed[:limit]
    if len(listed) > limit:
        shown.append(f"and {len(listed) - limit} more")
    return " ".join(shown)
