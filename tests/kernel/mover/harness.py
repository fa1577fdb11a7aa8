"""The mover as a runtime runs it: a process in the host's namespace with an OCI state on stdin.

Nothing here knows how the mover is written: arguments, exit codes and files are those
of docs/reference/mover.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import IO

from tests.kernel.scratch import Netns

DEVICE = "ndp0"  # the link that most tests lend, and the device's name
SANITIZER_EXIT = 99  # what a sanitizer ends with, so that it is not taken for one of ours

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_SANITIZERS = {
    "ASAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:detect_leaks=1",
    "LSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}",
    "UBSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:halt_on_error=1:print_stacktrace=1",
}


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(path: pathlib.Path) -> Iterator[None]:
    """Put this thread, and what it starts, into a network namespace for a while."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


@dataclasses.dataclass(frozen=True, slots=True)
class At(Netns):
    """A namespace without a name of its own, at a path: a pin, or a process's."""

    @property
    def path(self) -> pathlib.Path:
        """The name is the path."""
        return pathlib.Path(self.name)


def identifier(path: pathlib.Path) -> str:
    """A namespace as records write it: `<st_dev>:<st_ino>`."""
    status = path.stat()
    return f"{status.st_dev}:{status.st_ino}"


@dataclasses.dataclass(frozen=True, slots=True)
class Container:
    """A container as the mover sees one: an id, and a process in the pod's namespace."""

    id: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The init's, on this machine."""
        return self.process.pid

    @property
    def netns(self) -> Netns:
        """Its namespace, for as long as the process lives."""
        return At(f"/proc/{self.pid}/ns/net")

    @property
    def started(self) -> int:
        """When the process started, in clock ticks since boot."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[19])

    def kill(self) -> None:
        """End the process and leave it a zombie."""
        self.process.kill()
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def end(self) -> None:
        """End the process and reap it, as a runtime does before poststop."""
        self.process.kill()
        self.process.wait()

    def state(self, status: str = "creating", **changes: object) -> str:
        """The OCI state that runc gives to createRuntime."""
        state: dict[str, object] = {
            "ociVersion": "1.0.2-dev",
            "id": self.id,
            "status": status,
            "pid": self.pid,
            "bundle": f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{self.id}",
            "annotations": {
                "io.kubernetes.cri.container-name": "app",
                "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.sandbox-id": "a" * 64,
                "io.kubernetes.cri.sandbox-name": "web-0",
                "io.kubernetes.cri.sandbox-namespace": "default",
                "io.kubernetes.cri.sandbox-uid": "3f0c1c9a-8d7e-4f6c-9b0a-0d8a3a1c2b3d",
            },
        }
        return json.dumps({**state, **changes})

    def stopped(self) -> str:
        """The OCI state that runc gives to poststop: it has no pid."""
        state = json.loads(self.state("stopped"))
        del state["pid"]
        return json.dumps(state)


class Containers:
    """Starts the processes that play containers, and ends all that are left."""

    def __init__(self) -> None:
        self._started: list[Container] = []

    def start(self, *enter: str, id: str | None = None) -> Container:
        """A process entered by that command; it is there when this returns.

        It is cat(1), which answers when it runs and ends when the test does.
        """
        process = subprocess.Popen(
            [*enter, "cat"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        container = Container(id or uuid.uuid4().hex * 2, process)
        self._started.append(container)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n", f"{enter} did not start"
        return container

    def of(self, space: Netns, id: str | None = None) -> Container:
        """A container in a pod whose namespace has a mount of its own (containerd, CRI-O)."""
        return self.start("nsenter", f"--net={space.path}", "--", id=id)

    def alone(self, id: str | None = None) -> Container:
        """A container whose namespace dies with it (bare runc, podman without a pod)."""
        return self.start("unshare", "--net", "--", id=id)

    def unprivileged(self) -> Container:
        """A container of a pod with hostUsers: false: a user namespace owns its netns."""
        return self.start("unshare", "--user", "--map-root-user", "--net", "--")

    def end(self) -> None:
        """End and reap all."""
        for container in self._started:
            container.end()
            for stream in (container.process.stdin, container.process.stdout):
                assert stream is not None
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """An attachment file, its values by key."""

    text: str

    @property
    def values(self) -> dict[str, list[str]]:
        """All values of each key, in order."""
        result: dict[str, list[str]] = {}
        for line in self.text.splitlines():
            key, _, value = line.partition("=")
            result.setdefault(key, []).append(value)
        return result

    def one(self, key: str) -> str:
        """The value of a key that occurs once."""
        (value,) = self.values[key]
        return value

    @property
    def holders(self) -> list[str]:
        """The container ids."""
        return [holder.split(" ")[0] for holder in self.values.get("holder", [])]


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """How a run of the mover ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """The single line that a failure prints."""
        (line,) = self.stderr.splitlines()
        assert line.startswith("netdevice-mover: "), line
        return line

    def ok(self) -> Result:
        """Fail unless it did what it was asked for, without a word."""
        assert (self.code, self.stdout, self.stderr) == (0, "", ""), self
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class Mover:
    """The binary, run in a host namespace with a run directory of this test's own.

    `enter` is a command that starts it elsewhere: in a container, say.
    """

    binary: pathlib.Path
    host: Netns
    run_dir: pathlib.Path
    enter: tuple[str, ...] = ()

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, stderr: int | IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Start it; its stdin is open."""
        with inside(self.host.path):
            return subprocess.Popen(
                [*self.enter, self.binary, *args],
                text=True,
                errors="surrogateescape",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr or subprocess.PIPE,
                env={**_SANITIZERS, **(env or {})},
                cwd="/",
            )

    def run(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Result:
        """Run it to its end."""
        return finish(self.start(*args, env=env), stdin)

    def arguments(self, command: str, device: str = DEVICE) -> tuple[str, ...]:
        """What every command begins with."""
        return (command, "--device", device, "--run-dir", str(self.run_dir))

    def attach(
        self,
        container: Container,
        *args: str,
        device: str = DEVICE,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """As createRuntime; the arguments are identity and overrides."""
        return self.run(*self.arguments("attach", device), *args, stdin=container.state(), env=env)

    def detach(
        self, container: Container, device: str = DEVICE, env: Mapping[str, str] | None = None
    ) -> Result:
        """As poststop."""
        return self.run(*self.arguments("detach", device), stdin=container.stopped(), env=env)

    def reclaim(self, *args: str, device: str = DEVICE) -> Result:
        """As `netdevice-plugin reclaim`."""
        return self.run(*self.arguments("reclaim", device), *args)

    def pin(self, device: str = DEVICE) -> pathlib.Path:
        """The bind mount of the pod's namespace."""
        return self.run_dir / "netns" / device

    def record(self, device: str = DEVICE) -> Record:
        """The attachment file; fails when there is none."""
        return Record((self.run_dir / "attachments" / device).read_text())

    def error(self, device: str = DEVICE) -> str:
        """The last failure as errors/DEVICE has it, `STEP: REASON`, without its time."""
        text = (self.run_dir / "errors" / device).read_text()
        assert text.endswith("\n")
        seconds, _, line = text.rstrip("\n").partition(" ")
        assert abs(int(seconds) - time.time()) < 60, text
        return line

    def leftovers(self) -> list[str]:
        """Every file but locks and counters, and every mount, under the run directory."""
        files = [
            str(path.relative_to(self.run_dir))
            for path in sorted(self.run_dir.rglob("*"))
            if not path.is_dir() and path.parent.name not in ("locks", "counters")
        ]
        return [*files, *(f"mount {mount}" for mount in mounts(self.run_dir))]


def finish(process: subprocess.Popen[str], stdin: str = "") -> Result:
    """Give it its stdin and wait for its end; a sanitizer's report fails at once."""
    stdout, stderr = process.communicate(stdin, timeout=90)
    result = Result(process.returncode, stdout, stderr or "")
    assert result.code != SANITIZER_EXIT, result.stderr
    assert result.code in {0, 1, 2, 3, 4, -signal.SIGKILL}, result
    assert "Sanitizer" not in result.stderr, result.stderr
    assert "runtime error" not in result.stderr, result.stderr
    return result


def mounts(below: pathlib.Path) -> list[str]:
    """Mount points below a directory, the last one first."""
    prefix = f"{below}/"
    table = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split(" ")[4] for line in table]
    return [point for point in points if point.startswith(prefix)][::-1]


def unmount(below: pathlib.Path) -> None:
    """Undo all mounts below a directory."""
    for point in mounts(below):
        subprocess.run(["umount", "--lazy", point], check=True)


def identity(host: Netns, name: str = DEVICE) -> tuple[str, ...]:
    """The identity arguments that a CDI file written now would have for a link."""
    (link,) = host.json("link", "show", "dev", name)
    kind = link.get("linkinfo", {}).get("info_kind", "")
    arguments = [("--link", name), ("--link-ifindex", str(link["ifindex"]))]
    if link.get("address"):
        arguments.append(("--link-mac", link["address"]))
    if kind:
        arguments.append(("--link-kind", kind))
    return tuple(itertools.chain.from_iterable(arguments))
