"""The bundled mover: where it is, how it gets onto the host, how it is run by hand.

The binary is built into the package by hack/build_mover.py; its contract is
docs/reference/mover.md. Nothing here knows what a link is.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import subprocess
from pathlib import Path

from netdevice_plugin.errors import MoverError

NAME = "netdevice-mover"
BUNDLED = Path(__file__).parent / "bin" / NAME


class Exit(enum.IntEnum):
    """What the mover's exit codes mean."""

    DONE = 0  # or nothing to do
    FAILED = 1  # and everything undone
    USAGE = 2  # wrong arguments or OCI state
    HELD = 3  # by another live container
    LOST = 4  # there is no link to be found


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `message` is its line of reason, empty when there is none."""

    code: int  # an `Exit`, or minus the signal that killed it
    message: str


def binary(path: Path = BUNDLED) -> Path:
    """The bundled mover, which a checkout has only once it is built.

    Raises MoverError where it is missing or may not be executed.
    """
    if not os.access(path, os.X_OK):
        raise MoverError(
            f"{path}: no mover that can be executed",
            hint="reinstall netdevice-plugin; in a checkout run: python -m hack.build_mover",
        )
    return path


def install(directory: Path, source: Path = BUNDLED) -> bool:
    """Put the mover into a directory of the host; False where the same one already is.

    A hook may be running it, and power may fail: it is replaced by a rename, whole
    or not at all, with mode 0755. Missing directories are made. Raises MoverError.
    """
    content = binary(source).read_bytes()
    target = directory / NAME
    try:
        if _is_installed(target, content):
            return False
        directory.mkdir(parents=True, exist_ok=True)
        _replace(target, content)
    except OSError as error:
        raise MoverError(f"cannot install {target}: {error.strerror}") from error
    return True


def run(command: str, *args: str, path: Path = BUNDLED, stdin: str = "") -> Outcome:
    """Run the mover to its end, as `run("reclaim", "--device", "eth1")`.

    Every failure that the mover reports is an Outcome; MoverError means that it
    could not be started at all.
    """
    argv = (str(binary(path)), command, *args)
    try:
        result = subprocess.run(
            argv,
            input=stdin.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL byte among the arguments
        raise MoverError(f"cannot run {argv[0]}: {error}") from error
    said = result.stderr.decode(errors="replace").strip()
    return Outcome(result.returncode, said.removeprefix(f"{NAME}: "))


def _is_installed(target: Path, content: bytes) -> bool:
    """Whether the file is there with these bytes, and anybody may execute it."""
    try:
        return target.stat().st_mode & 0o7777 == 0o755 and target.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(target: Path, content: bytes) -> None:
    """Write beside the target, on the same file system, and rename over it."""
    partial = target.with_name(f".{NAME}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o755)  # whatever the umask
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
