"""The host, read through a root directory, so that it may be another's than ours.

In a pod the host's files are below a mount of its root. A symbolic link there that
starts with a slash means the host's root and not the pod's, so that each path is
walked by hand. Nothing here waits, not for a FIFO either, and nothing reads more than
it was told to. All raise OSError, and nothing else, for what cannot be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fnmatch
import os
import re
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

SMALL = 1 << 20  # bytes, of a file that people write

_LINKS = 40  # in a row, as the kernel allows
_GLOB = re.compile(r"[*?[]")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_CONTAINER = re.compile(r"kubepods|[0-9a-f]{64}")  # in the name of its control group
_SECONDS = 10  # that a program may take to tell its version
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Run = Callable[[Sequence[str]], str]
Connect = Callable[[Path], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process of the host's own, no container's, that root runs."""

    pid: int
    argv: tuple[str, ...]
    program: str = ""  # path of the file that it runs; empty if that cannot be seen
    started: float | None = None  # unix seconds

    @property
    def name(self) -> str:
        """What it calls itself, without directories."""
        return self.argv[0].rpartition("/")[2].partition(" ")[0]

    def option(self, *names: str) -> str:
        """The value of an option, `--name value` or `--name=value`; the last one counts."""
        return (["", *self.options(*names)])[-1]

    def options(self, *names: str) -> list[str]:
        """All values of an option that may be repeated."""
        words = [word for argument in self.argv for word in argument.split(" ") if word]
        found = []
        for word, following in zip(words, [*words[1:], ""], strict=True):
            name, equals, value = word.partition("=")
            if name in names:
                found.append(value if equals else following)
        return found


class Host:
    """A host below `root`.

    `own` is whether it is the one that we run on, so that its programs can be run.
    `owner` is the user whose files and processes are trusted.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        own: bool | None = None,
        owner: int = 0,
        run: Run | None = None,
        connect: Connect | None = None,
    ) -> None:
        self.root = root.absolute()
        self.own = self.root == Path("/") if own is None else own
        self.owner = owner
        self._run = run or run_program
        self._connect = connect or connect_to

    def real(self, path: str | os.PathLike[str]) -> str:
        """Resolve symbolic links as the host would; what is not there stays as it is."""
        text = os.fspath(path)
        if "\0" in text:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), ascii(text))
        pending = _parts(text)
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                done = done[:-1]
                continue
            try:
                target = os.readlink(self.root.joinpath(*done, part))  # noqa: PTH115 - half the time
            except OSError:  # no link, or not there
                done.append(part)
                continue
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), text)
            if target.startswith("/"):
                done = []
            pending += _parts(target)
        return "/" + "/".join(done)

    def local(self, path: str | os.PathLike[str]) -> Path:
        """Say where we find a path of the host's."""
        return self.root / self.real(path)[1:]

    def read(self, path: str | os.PathLike[str], limit: int = SMALL) -> bytes:
        """Read a regular file, whole."""
        data = self.head(path, limit + 1)
        if len(data) > limit:
            raise OSError(f"it is larger than {limit} bytes")
        return data

    def head(self, path: str | os.PathLike[str], size: int) -> bytes:
        """Read a regular file's first bytes."""
        return _head(self.local(path), size)

    def text(self, path: str | os.PathLike[str], limit: int = SMALL) -> str:
        """Read a file as text; bytes that are no UTF-8 survive as surrogates."""
        return self.read(path, limit).decode("utf-8", "surrogateescape")

    def word(self, path: str | os.PathLike[str]) -> str:
        """Read a file of one line, as those in /proc and /sys; empty if it cannot be read."""
        try:
            return self.text(path, 4096).strip()
        except OSError:
            return ""

    def stat(self, path: str | os.PathLike[str]) -> os.stat_result:
        """Look at what a path leads to."""
        return self.local(path).lstat()

    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Whether there is anything that we can see."""
        with contextlib.suppress(OSError):
            self.stat(path)
            return True
        return False

    def is_dir(self, path: str | os.PathLike[str]) -> bool:
        """Whether there is a directory that we can see."""
        with contextlib.suppress(OSError):
            return stat.S_ISDIR(self.stat(path).st_mode)
        return False

    def names(self, directory: str | os.PathLike[str]) -> list[str]:
        """List a directory, sorted."""
        return sorted(os.listdir(self.local(directory)))  # noqa: PTH208 - names are meant

    def glob(self, pattern: str) -> list[str]:
        """List the paths that match, sorted; none if there is none."""
        found = [""]
        for part in _parts(pattern)[::-1]:
            found = [path for parent in found for path in self._matches(parent, part)]
        return found

    def _matches(self, parent: str, part: str) -> Iterator[str]:
        if not _GLOB.search(part):
            if self.exists(f"{parent}/{part}"):
                yield f"{parent}/{part}"
            return
        with contextlib.suppress(OSError):
            for name in fnmatch.filter(self.names(parent or "/"), part):
                if not name.startswith(".") or part.startswith("."):
                    yield f"{parent}/{name}"

    def attribute(self, path: str | os.PathLike[str], name: str) -> bytes:
        """Read an extended attribute; empty if there is none, or no such thing."""
        with contextlib.suppress(OSError):
            return os.getxattr(self.local(path), name)
        return b""

    def namespace(self, process: str, kind: str) -> str:
        """Name a namespace of a process, such as net:[4026531840]; empty if it cannot be seen."""
        with contextlib.suppress(OSError):
            return os.readlink(self.root / "proc" / process / "ns" / kind)  # noqa: PTH115
        return ""

    def mountinfo(self) -> str:
        """Read the mount table that container runtimes have.

        Ours, if the host is our own; else that of its first process: what is in
        /host/proc/self is our pod's.
        """
        with contextlib.suppress(OSError):
            return self.text(f"/proc/{'self' if self.own else '1'}/mountinfo", 8 * SMALL)
        return self.text("/proc/self/mountinfo", 8 * SMALL)

    def trusted(self, path: str | os.PathLike[str]) -> str:
        """Say who else could put another file in a path's place; empty if nobody but root."""
        real = PurePosixPath(self.real(path))
        for place in (real, *real.parents):
            status = self.stat(place)
            if status.st_uid != self.owner:
                return f"{place} belongs to user {status.st_uid}"
            loose = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
            if loose and (place != PurePosixPath("/") or self.own):
                return f"{place} can be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
        return ""

    def runnable(self, path: str | os.PathLike[str]) -> bool:
        """Whether it is a program that only root can have put there, so that we may run it."""
        with contextlib.suppress(OSError):
            return self.executable(path) and not self.trusted(path)
        return False

    def executable(self, path: str | os.PathLike[str]) -> bool:
        """Whether it is a program, whoever put it there; it is not run."""
        with contextlib.suppress(OSError):
            mode = self.stat(path).st_mode
            return stat.S_ISREG(mode) and bool(mode & 0o111)
        return False

    def seen_by(self, pid: int) -> Host | None:
        """Take the root directory that a process has; None if we may not."""
        root = self.root / "proc" / str(pid) / "root"
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(root.stat().st_mode):
                return Host(root, own=False, owner=self.owner, connect=self._connect)
        return None

    def output(self, path: str, *arguments: str) -> str:
        """Run a program of ours to its end, and return what it printed."""
        return self._run((str(self.local(path)), *arguments))

    def listens(self, path: str | os.PathLike[str]) -> str:
        """Connect to a socket and say why that cannot be done; empty if it can."""
        try:
            if not stat.S_ISSOCK(self.stat(path).st_mode):
                return "is not a socket"
            self._connect(self.local(path))
        except FileNotFoundError:
            return "is not there"
        except ConnectionRefusedError:
            return "is there, but nobody listens on it"
        except OSError as error:
            return f"cannot be connected to: {reason(error)}"
        return ""

    def processes(self) -> tuple[Process, ...]:
        """List the processes of the host's own that root runs; containers' are left out."""
        boot = self._boot()
        with contextlib.suppress(OSError):
            pids = [name for name in self.names("/proc") if name.isdecimal()]
            return tuple(found for pid in pids if (found := self._process(pid, boot)))
        return ()

    def _process(self, pid: str, boot: int | None) -> Process | None:
        here = self.root / "proc" / pid
        try:
            argv = _head(here / "cmdline", SMALL).rstrip(b"\0").split(b"\0")
            if not argv[0] or here.stat().st_uid != self.owner or self._is_elsewhere(here):
                return None
            program = ""
            with contextlib.suppress(OSError):
                program = os.readlink(here / "exe").removesuffix(" (deleted)")  # noqa: PTH115
            return Process(int(pid), tuple(map(os.fsdecode, argv)), program, _started(here, boot))
        except OSError:  # it has ended, or is none of our business
            return None

    def _is_elsewhere(self, process: Path) -> bool:
        """Whether a process has another root than the host's: a container's.

        Without privileges that cannot be seen, but its control group can.
        """
        with contextlib.suppress(OSError):
            theirs, ours = (process / "root").stat(), self.root.stat()
            return (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino)
        with contextlib.suppress(OSError):
            group = _head(process / "cgroup", SMALL)
            return bool(_CONTAINER.search(group.decode("ascii", "replace")))
        return False

    def _boot(self) -> int | None:
        with contextlib.suppress(OSError):
            found = re.search(r"^btime ([0-9]{1,18})$", self.text("/proc/stat"), re.MULTILINE)
            return int(found[1]) if found else None
        return None


def _parts(path: str) -> list[str]:
    """The parts of a path, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _head(path: Path, size: int) -> bytes:
    """Read what may be anything: a FIFO, too, which nobody writes to."""
    with os.fdopen(os.open(path, _READ), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a regular file")
        return file.read(size)


def _started(process: Path, boot: int | None) -> float | None:
    with contextlib.suppress(OSError):
        # The second field, the command in parentheses, may itself hold spaces and parentheses.
        fields = _head(process / "stat", SMALL).rpartition(b")")[2].split()
        if boot is not None and len(fields) > 19 and fields[19].isdigit():
            return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None


def reason(error: OSError) -> str:
    """Put it in the kernel's words, without number and path."""
    return os.strerror(error.errno) if error.errno else str(error)


def run_program(argv: Sequence[str]) -> str:
    """Run a program for at most ten seconds; raises OSError if it cannot be run or fails."""
    try:
        result = subprocess.run(
            argv,
            env={"PATH": _PATH, "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"it took more than {_SECONDS} seconds") from error
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines() or [""]
        raise OSError(f"it ended with {result.returncode}: {said[-1][:200]}".removesuffix(": "))
    return result.stdout.decode(errors="replace")


def connect_to(path: Path) -> None:
    """Connect to a unix socket, whatever the length of its path; raises OSError."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
