"""Compile the mover's parsers for their tests, and speak with the driver that runs them."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
SOURCES = ROOT / "netdevice_plugin" / "mover" / "src"
PARSERS = (
    *("text.c", "address.c", "names.c", "json.c", "ocistate.c", "counters.c"),
    *("args.c", "values.c", "phrases.c", "linkwords.c", "parser.c", "vfwords.c", "settings.c"),
    "help.c",
)

WARNINGS = (
    *("-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes"),
    *("-Wmissing-prototypes", "-Werror"),
)
SANITIZERS = (
    *("-g", "-O1", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
ZIG = (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-Os")
COMPILERS = {
    "sanitized": ("clang" if shutil.which("clang") else "cc", *SANITIZERS),
    "musl": (*ZIG, "-static", "-fno-sanitize=undefined"),  # the C library that is shipped
}


def mover_sources(names: Iterable[str] = PARSERS) -> tuple[str, ...]:
    """Paths of the mover's own sources."""
    return tuple(str(SOURCES / name) for name in names)


def compile_c(out: pathlib.Path, *argv: str) -> pathlib.Path:
    """Run a compiler, whose every warning is an error."""
    cache = str(ROOT / "build" / "zig")
    zig = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    command = (*argv, *WARNINGS, "-I", str(SOURCES), "-o", str(out))
    result = subprocess.run(
        command, env={**zig, **os.environ}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise AssertionError(f"{' '.join(command)}\n{result.stderr}")
    return out


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a parser said: keys may repeat, text is bytes."""

    fields: tuple[tuple[str, str], ...]

    def number(self, key: str) -> int:
        """A number; the last one of that key."""
        return int(dict(self.fields)[key])

    def text(self, key: str) -> bytes:
        """The last text of that key."""
        return bytes.fromhex(dict(self.fields)[key])

    def all(self, key: str) -> list[str]:
        """Every value of a key that repeats, as it was written."""
        return [value for name, value in self.fields if name == key]

    def texts(self, key: str) -> list[str]:
        """Every text of a key that repeats."""
        return [bytes.fromhex(value).decode() for name, value in self.fields if name == key]


class Driver:
    """One process that runs parsers; when it dies, what it said of that is the failure."""

    def __init__(self, binary: pathlib.Path) -> None:
        self._process = subprocess.Popen(
            [binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __call__(self, name: str, payload: bytes) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(b"%s %d\n%s" % (name.encode(), len(payload), payload))
            self._process.stdin.flush()
        except BrokenPipeError:
            self._died(name, payload)
        lines: collections.deque[tuple[str, str]] = collections.deque()
        while (line := self._process.stdout.readline().decode()) != "\n":
            if not line:
                self._died(name, payload)
            key, _, value = line[:-1].partition(" ")
            lines.append((key, value))
        return Answer(tuple(lines))

    def options(self, *argv: str | bytes) -> Answer:
        """Parse a command line, without the program's name."""
        return self("options", b"".join(_bytes(word) + b"\0" for word in argv))

    def close(self) -> None:
        """End it; a sanitizer's complaint at exit fails too."""
        _, said = self._process.communicate(timeout=10)
        assert self._process.returncode == 0, said.decode()

    def _died(self, name: str, payload: bytes) -> None:
        _, said = self._process.communicate(timeout=10)
        raise AssertionError(f"{name} {payload[:500]!r}: {said.decode(errors='replace')}")


def _bytes(word: str | bytes) -> bytes:
    return word.encode() if isinstance(word, str) else word


def build_driver(out: pathlib.Path, compiler: Sequence[str]) -> pathlib.Path:
    """Compile driver.c and the parsers with it."""
    sources = mover_sources((*PARSERS, "files.c", "steps.c"))
    return compile_c(out, *compiler, str(HERE / "driver.c"), *sources)
