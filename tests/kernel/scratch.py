"""Scratch network namespaces: the only places where the kernel tests make links."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000


@dataclasses.dataclass(frozen=True, slots=True)
class Netns:
    """A named network namespace of this test's own."""

    name: str

    @property
    def path(self) -> pathlib.Path:
        """Where it is mounted."""
        return pathlib.Path("/run/netns", self.name)

    def popen(self, *argv: str | os.PathLike[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command in the namespace, with the mounts of this machine."""
        command = ("nsenter", f"--net={self.path}", "--", *map(str, argv))
        return subprocess.Popen(command, text=True, **options)

    def run(
        self, *argv: str | os.PathLike[str], stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace and fail, with all it said, when it fails."""
        command = ["nsenter", f"--net={self.path}", "--", *map(str, argv)]
        result = subprocess.run(
            command, input=stdin or "", text=True, capture_output=True, check=False
        )
        if check and result.returncode:
            raise AssertionError(f"{command}: {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function in the namespace, in a thread of its own that ends with it."""
        with ThreadPoolExecutor(1, initializer=self.enter) as thread:
            return thread.submit(function).result()

    def enter(self) -> None:
        """Move this thread, for good, into the namespace; os.setns came with Python 3.12."""
        with self.path.open() as file:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(self.path))

    def ip(self, *args: str) -> str:
        """Run ip(8) there."""
        return self.run("ip", *args).stdout

    def batch(self, lines: Sequence[str]) -> None:
        """Run many ip(8) commands there in one process."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def json(self, *args: str) -> list[dict[str, Any]]:
        """What `ip -j -d` says."""
        result: list[dict[str, Any]] = json.loads(self.ip("-j", "-d", *args) or "[]")
        return [entry for entry in result if entry]

    def links(self) -> dict[str, dict[str, Any]]:
        """Its links by name."""
        return {link["ifname"]: link for link in self.json("link", "show")}

    def sysctl(self, key: str, value: str | None = None) -> str:
        """Read, or write, /proc/sys/net/KEY as the namespace sees it."""
        if value is not None:
            self.run("tee", f"/proc/sys/net/{key}", stdin=value)
        return self.run("cat", f"/proc/sys/net/{key}").stdout.strip()


@contextlib.contextmanager
def netns(role: str) -> Iterator[Netns]:
    """A new namespace with loopback up, gone afterwards with all its links."""
    space = Netns(f"ndp-{role}-{uuid.uuid4().hex[:8]}")
    subprocess.run(["ip", "netns", "add", space.name], check=True)
    try:
        space.ip("link", "set", "lo", "up")
        yield space
    finally:
        subprocess.run(["ip", "netns", "del", space.name], check=True)


def supports(kind: str) -> bool:
    """Ask the kernel whether it can make links of that kind."""
    with netns("probe") as space:
        return space.run("ip", "link", "add", "probe0", "type", kind, check=False).returncode == 0
