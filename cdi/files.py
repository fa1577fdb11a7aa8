"""Spec files on disk: their names, and reading, writing and removing one of them.

A file is written under a temporary name in the same directory and renamed:
runtimes see that at once (they watch for renames, not for new names) and never
see half of it. The temporary name ends neither in .json nor in .yaml, or they
would load it. Its writer holds a lock on it, so that whoever comes later can
tell the rest of a crash from work in progress, in any pid namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import stat
from collections.abc import Iterator

from cdi import codec, names, syntax
from cdi.errors import InvalidNameError, Problem, SpecError, StoreError, quoted, reason
from cdi.model import Spec
from cdi.syntax import Format

EXTENSIONS: tuple[Format, ...] = ("json", "yaml")
NAME_LIMIT = 255  # bytes; NAME_MAX of Linux file systems

_TEMPORARY = re.compile(r"\.cdi-[0-9a-f]{16}\.tmp")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # a FIFO must not block
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def file_name(kind: str, *, transient_id: str = "", format: Format = "json") -> str:
    """Name the file for a kind as the reference library does: vendor-class[_id].json.

    A transient id tells files of one kind apart, a claim's UID say; slashes in it
    become underscores. Raises InvalidNameError.
    """
    vendor, class_name = names.split_kind(kind)
    suffix = "_" + transient_id.replace("/", "_") if transient_id else ""
    return checked_name(f"{vendor}-{class_name}{suffix}.{format}")


def checked_name(name: str) -> str:
    """Return the name if a Spec file in a directory can have it; raises InvalidNameError."""
    encoded = name.encode(errors="surrogateescape")
    if format_of(name) is None:
        raise InvalidNameError(f"file name {quoted(name)} must end in .json or .yaml")
    if "/" in name or "\0" in name or len(encoded) > NAME_LIMIT:
        raise InvalidNameError(f"{quoted(name)} cannot name a file in a directory")
    return name


def format_of(name: str) -> Format | None:
    """The format that a file name stands for; runtimes load no others."""
    extension = name.rpartition(".")[2] if "." in name else ""
    return next((known for known in EXTENSIONS if known == extension), None)


def load(path: str | os.PathLike[str], *, format: Format | None = None) -> Spec:
    """Read a Spec file; raises SpecError, also for what cannot be read at all.

    The format follows from the name; where that does not tell, from the content.
    """
    source = os.fspath(path)
    try:
        data = read_bytes(source)
    except OSError as error:
        problem = Problem(source=source, message=f"cannot be read: {reason(error)}")
        raise SpecError([problem]) from error
    chosen = format or format_of(source) or syntax.sniff(data)
    return codec.loads(data, source=source, format=chosen)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file, to one byte past what `syntax` accepts; raises OSError.

    Neither a FIFO nor a device can make it wait or run on.
    """
    with os.fdopen(os.open(path, _READ), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a regular file")
        return file.read(syntax.MAX_BYTES + 1)


def write(
    spec: Spec,
    directory: str | os.PathLike[str],
    *,
    name: str = "",
    transient_id: str = "",
    format: Format | None = None,
) -> bool:
    """Write a Spec into a directory, whole or not at all; True if the file has changed.

    Without `name` it is `file_name`'s, JSON unless `format` says otherwise; a
    given name has its extension. The directory is made if missing (0755), the
    file is 0644 whatever the umask. The same bytes are not written again, because
    every write makes the runtimes read all their files anew. Raises SpecError
    before anything is touched, InvalidNameError and StoreError.
    """
    if name and transient_id:
        raise InvalidNameError("a file name and a transient id cannot both be given")
    chosen = format or format_of(name) or "json"
    if not name:
        name = file_name(spec.kind, transient_id=transient_id, format=chosen)
    elif format_of(checked_name(name)) != chosen:
        raise InvalidNameError(f"file name {quoted(name)} is not one for {chosen}")
    path = pathlib.Path(directory, name)
    data = codec.dumps(spec, chosen, source=os.fspath(path))
    return write_bytes(path, data)


def write_bytes(
    path: pathlib.Path, data: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> bool:
    """Replace a file, whole or not at all; True if it has changed. Raises StoreError.

    `owner` is a user and a group; without it the file is the writer's.
    """
    try:
        _make_directory(path.parent)
        if is_current(path, data, mode):
            return False
        _sweep(path.parent)
        _replace(path, data, mode, owner)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {reason(error)}") from error
    return True


def is_current(path: pathlib.Path, data: bytes, mode: int = 0o644) -> bool:
    """Whether a file is just what `write_bytes` would make of it."""
    try:
        with os.fdopen(os.open(path, _READ | os.O_NOFOLLOW), "rb") as file:
            status = os.fstat(file.fileno())
            same = stat.S_ISREG(status.st_mode) and status.st_size == len(data)
            same = same and stat.S_IMODE(status.st_mode) == mode
            return same and file.read(len(data) + 1) == data
    except OSError:
        return False


def remove(directory: str | os.PathLike[str], name: str) -> bool:
    """Remove a Spec file; False if there was none. Raises StoreError."""
    path = pathlib.Path(directory, checked_name(name))
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {reason(error)}") from error
    return True


def _make_directory(directory: pathlib.Path) -> None:
    if directory.is_dir():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir()
        directory.chmod(0o755)  # mkdir's mode is subject to the umask


def _replace(
    path: pathlib.Path, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> None:
    with _temporary(path.parent) as (temporary, descriptor):
        if owner:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)  # last: a change of owner drops set-user-ID
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
        temporary.rename(path)
    _sync_directory(path.parent)


@contextlib.contextmanager
def _temporary(directory: pathlib.Path) -> Iterator[tuple[pathlib.Path, int]]:
    """Make a locked file to write to, and leave none behind."""
    path, descriptor = _create(directory)
    while not _lock(descriptor) or not os.fstat(descriptor).st_nlink:
        os.close(descriptor)  # swept by another writer before it was locked
        path, descriptor = _create(directory)
    try:
        yield path, descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _create(directory: pathlib.Path) -> tuple[pathlib.Path, int]:
    path = directory / f".cdi-{os.urandom(8).hex()}.tmp"
    return path, os.open(path, _CREATE, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(directory: pathlib.Path) -> None:
    """Remove what crashed writers left behind; a temporary file without a lock has none."""
    for path in directory.iterdir():
        if not _TEMPORARY.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(path, _READ | os.O_NOFOLLOW)
            try:
                if _lock(descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)


def _sync_directory(directory: pathlib.Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
