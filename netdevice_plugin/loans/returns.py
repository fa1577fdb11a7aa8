"""Taking links back: which of them, and how the mover fared with each."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from netdevice_plugin import mover
from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.loans import loan
from netdevice_plugin.loans.loan import Life
from netdevice_plugin.loans.seeing import PROC, view
from netdevice_plugin.model import device_name, is_dns_label
from netdevice_plugin.mover import Exit, Outcome

RunMover = Callable[..., Outcome]

_WORST_FIRST = (Exit.FAILED, Exit.LOST, Exit.HELD)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """How to take links back."""

    dry_run: bool = False
    force: bool = False  # from a container that lives, too
    forget: bool = False  # drop the record of one that is not found


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """How it went with one device; `text` is a line, the reason where `code` is not 0."""

    code: int
    text: str


def named(devices: Iterable[str], run_dir: Path, known: Sequence[Attachment]) -> tuple[str, ...]:
    """Find devices by their name, or that of their link.

    Raises ConfigError, before anything is done, if one is not lent. A record that
    cannot be read is one all the same: the mover may know better.
    """
    found, problems = [], []
    for name in dict.fromkeys(devices):
        candidates = (name, device_name(name))
        has = (one for one in candidates if _has_record(run_dir, one))
        if device := next(has, ""):
            found.append(device)
        else:
            problems.append(name)
    if problems:
        lent = ", ".join(one.device for one in known) or "nothing"
        names = ", ".join(name[:80] for name in problems)
        raise ConfigError(f"not lent: {names}", hint=f"lent: {lent}")
    return tuple(found)


def _has_record(run_dir: Path, device: str) -> bool:
    return is_dns_label(device) and os.path.lexists(run_dir / "attachments" / device)


def abandoned(known: Iterable[Attachment], run_dir: Path) -> tuple[str, ...]:
    """List the devices that no living container has, and no mover is at work on."""
    judge = view(PROC).judge
    return tuple(
        one.device
        for one in known
        if loan.why_reclaim(one, judge)
        and not (one.phase in loan.AT_WORK and locked(run_dir, one.device))
    )


def unseen(known: Iterable[Attachment]) -> tuple[str, ...]:
    """List the devices of which it cannot be told from here whether anybody has them."""
    judge = view(PROC).judge
    lives = {
        one.device: {judge(one, holder) for holder in one.holders}
        for one in known
        if one.phase is Phase.ATTACHED
    }
    return tuple(
        device for device, seen in lives.items() if Life.UNKNOWN in seen and Life.ALIVE not in seen
    )


def locked(run_dir: Path, device: str) -> bool:
    """Whether a mover is at work: it holds the device's lock meanwhile.

    Where that cannot be told one may be.
    """
    try:
        with (run_dir / "locks" / device).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def foretell(device: str, known: Sequence[Attachment], flags: Flags) -> Result:
    """Say what `take_back` would do, as far as the record tells."""
    record = next((one for one in known if one.device == device), None)
    if record is None:
        return Result(Exit.FAILED, f"{device}: its record cannot be read")
    judge = view(PROC).judge
    living = loan.may_live(record, judge)
    reason = loan.why_reclaim(record, judge)
    if not reason and not flags.force:
        return Result(Exit.HELD, f"{device}: held by {', '.join(map(loan.describe, living))}")
    name = record.link.name
    how = f"would delete {name} in the pod" if record.born else f"would bring {name} home"
    if flags.forget:
        how += ", or forget it where that fails"
    reason = reason or f"taken from {', '.join(map(loan.describe, living))}"
    return Result(Exit.DONE, f"{device}: {how} ({reason})")


def take_back(device: str, run_dir: Path, flags: Flags, run: RunMover = mover.run) -> Result:
    """Bring a link home by the mover; raises MoverError if that cannot be started.

    To forget a link is the last resort: it is first looked for without.
    """
    force = ("--force",) if flags.force else ()
    arguments = ("--device", device, "--run-dir", str(run_dir), *force)
    outcome = run("reclaim", *arguments)
    if outcome.code == Exit.DONE:
        return Result(Exit.DONE, f"{device}: home")
    if flags.forget and outcome.code in (Exit.LOST, Exit.FAILED):
        forgotten = run("reclaim", *arguments, "--forget")
        if forgotten.code == Exit.DONE:
            return Result(Exit.DONE, f"{device}: forgotten")
    code = outcome.code if outcome.code in _WORST_FIRST else Exit.FAILED
    return Result(code, outcome.message or f"{device}: the mover ended with {outcome.code}")


def each(
    devices: Iterable[str], run_dir: Path, flags: Flags, known: Sequence[Attachment]
) -> Iterator[Result]:
    """Do it, or say what would be done, one device after the other."""
    for device in devices:
        if flags.dry_run:
            yield foretell(device, known, flags)
        else:
            yield take_back(device, run_dir, flags)


def worst(codes: Iterable[int]) -> int:
    """Pick the exit code: failed before lost before held."""
    seen = set(codes)
    return next((code for code in _WORST_FIRST if code in seen), Exit.DONE)
