"""Every failure that this library raises on purpose; anything else is a bug.

Nothing here prints or exits. This module imports nothing of ours.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping


class Error(Exception):
    """Base of the tree; `hint` says what the caller can do about it.

    `exit_code` is what a command line should end with: 2 where an argument or an
    input is wrong as given, else 1.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InvalidNameError(Error):
    """A qualified name, an annotation or a file name breaks the rules for it."""

    exit_code = 2


class StoreError(Error):
    """The file system refused: a Spec file could not be read, written, removed or watched."""


class InjectionError(Error):
    """The edits cannot be applied: a host device is missing or of another type."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, and where; prints as one line without control characters."""

    source: str  # the file, or what stands for it: "<stdin>"
    path: str = ""  # place in the file: devices[0].containerEdits.hooks[1].path
    message: str

    def __str__(self) -> str:
        parts = (self.source, self.path, self.message)
        return ": ".join(printable(part) for part in parts if part)


class ProblemsError(Error):
    """Several things are wrong at once; `problems` has all of them, in the order of the file."""

    def __init__(self, problems: Iterable[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems]
        if len(lines) != 1:
            lines.insert(0, f"{len(lines)} problems:")
        super().__init__("\n  ".join(lines), hint=hint)


class SpecError(ProblemsError):
    """A CDI Spec is not valid, or cannot be read as one."""


class OciError(ProblemsError):
    """An OCI runtime configuration is not one that edits can be applied to."""

    exit_code = 2


class UnresolvedError(Error):
    """Some of the devices that were asked for cannot be had; none is given out.

    `reasons` maps each of them, in the order asked, to one line that says why.
    """

    def __init__(self, reasons: Mapping[str, str], *, hint: str = "") -> None:
        self.reasons = dict(reasons)
        devices = ", ".join(f"{printable(name)} ({why})" for name, why in self.reasons.items())
        plural = "device" if len(self.reasons) == 1 else "devices"
        super().__init__(f"cannot resolve CDI {plural} {devices}", hint=hint)


def printable(text: str) -> str:
    r"""Escape what would break a line or a terminal, `\n` for a newline and so on."""
    return text if text.isprintable() else ascii(text)[1:-1]


def quoted(text: str, limit: int = 60) -> str:
    """Quote a value for a message, cut where it is so long that it would hide the rest."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")


def reason(error: OSError) -> str:
    """What the kernel said, without number and path, which the message has already."""
    return os.strerror(error.errno) if error.errno else str(error)
