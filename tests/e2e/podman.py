"""podman in a node, on one OCI runtime."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess

from tests.e2e import image
from tests.e2e.node import Node

# Even root may not raise these where CAP_SYS_RESOURCE is missing, and podman tries.
LIMITS = ("--ulimit=nofile=1024:4096", "--ulimit=nproc=1024:4096")


@dataclasses.dataclass(frozen=True, slots=True)
class Podman:
    """Its storage lies in the node's memory; its containers have no network of podman's."""

    node: Node
    runtime: str  # runc or crun
    image: str = image.NAME

    @property
    def cgroup(self) -> str:
        """The option that keeps a container, or a pod, below the node's cgroup."""
        return f"--cgroup-parent=/{self.node.cgroup}"

    def command(self, *args: str) -> tuple[str, ...]:
        """A podman command line."""
        state = (f"--root=/run/lib/{self.runtime}", f"--runroot=/run/{self.runtime}")
        drivers = ("--storage-driver=overlay", "--cgroup-manager=cgroupfs")
        tmp = (f"--tmpdir=/run/tmp-{self.runtime}", "--events-backend=none")
        return ("podman", *state, *tmp, *drivers, f"--runtime={self.runtime}", *args)

    def __call__(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman and wait for it."""
        return self.node.run(*self.command(*args), check=check)

    def load(self, archive: pathlib.Path) -> None:
        """Import the image."""
        self("load", "--quiet", "--input", str(archive))

    def run_args(self, *options: str, command: tuple[str, ...], network: str = "none") -> list[str]:
        """The arguments of `podman run`; options come before the image."""
        networked = (f"--network={network}",) if network else ()
        return ["run", self.cgroup, *LIMITS, *networked, *options, self.image, *command]

    def run(
        self, *options: str, command: tuple[str, ...], network: str = "none", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`podman run` in the foreground."""
        return self(*self.run_args(*options, command=command, network=network), check=check)

    def start(self, *options: str, network: str = "none") -> str:
        """Start a container that sleeps, in the background; returns its id."""
        command = ("sleep", "infinity")
        return self.run("--detach", *options, command=command, network=network).stdout.strip()

    def sh(self, container: str, script: str) -> str:
        """Run a shell script in a container."""
        return self("exec", container, "sh", "-c", script).stdout

    def pid(self, container: str, which: str = "Pid") -> int:
        """The container's first process; `ConmonPid` is the one that watches it."""
        return int(self("inspect", f"--format={{{{.State.{which}}}}}", container).stdout)

    def remove_all(self) -> None:
        """Leave no container and no pod; for the end of a test."""
        self("pod", "rm", "--all", "--force", "--time=0")
        # podman 5 fails once for a container whose conmon was killed, and then knows of it.
        self("rm", "--all", "--force", "--time=0", check=False)
        self("rm", "--all", "--force", "--time=0")
