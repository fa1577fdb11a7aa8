"""A host and a pod to play in: scratch namespaces, a link, and a process for the container."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator

from benchmarks.spawn import FailedError
from netdevice_plugin import mover
from tests.kernel.mover import links
from tests.kernel.mover.harness import DEVICE, Container, Containers, identity, unmount
from tests.kernel.scratch import Netns, netns

# On nodes records are in /run, a tmpfs; a container that runs this may have a disk there.
_TMPFS = "/dev/shm"  # noqa: S108 - a directory of our own in it


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """One link on the host, with an address of each family and a route through a gateway."""

    host: Netns
    pod: Netns
    container: Container
    directory: pathlib.Path

    @property
    def creating(self) -> bytes:
        """What createRuntime gets on stdin."""
        return self.container.state().encode()

    @property
    def stopped(self) -> bytes:
        """What poststop gets."""
        return self.container.stopped().encode()

    def attach(self) -> tuple[str, ...]:
        """The mover's command line, as the CDI file has it."""
        return (*self.command("attach"), *identity(self.host))

    def detach(self) -> tuple[str, ...]:
        """Likewise."""
        return self.command("detach")

    def command(self, command: str, device: str = DEVICE) -> tuple[str, ...]:
        """What each of its command lines begins with."""
        own = ("--device", device, "--run-dir", str(self.directory))
        return (str(mover.binary()), command, *own)

    def at_home(self) -> list[str]:
        """The link's addresses and routes on the host, in words that can be compared."""
        found = []
        for address in self.host.json("address", "show", "dev", DEVICE)[0]["addr_info"]:
            found.append(f"{address['local']}/{address['prefixlen']}")
        for family in ("-4", "-6"):
            for route in self.host.json(family, "route", "show", "dev", DEVICE):
                found.append(f"{route['dst']} via {route.get('gateway', '-')}")
        return sorted(found)

    def check(self, before: list[str]) -> None:
        """Fail unless the link is home as it was."""
        now = self.at_home()
        if now != before:
            raise FailedError(f"{DEVICE} came home with {now}, not {before}")


@contextlib.contextmanager
def stage(kind: str) -> Iterator[Stage]:
    """Set it up, with a link of that kind; all gone afterwards."""
    containers = Containers()
    with (
        netns("host") as host,
        netns("pod") as pod,
        tempfile.TemporaryDirectory(prefix="ndp-bench-", dir=_TMPFS) as name,
    ):
        directory = pathlib.Path(name)
        host.sysctl("ipv6/conf/default/accept_dad", "0")
        host.batch(
            [
                f"link add {links.PARENT} type veth peer name parent1",
                "link set parent1 up",
                f"link set {links.PARENT} up",
            ]
        )
        links.make_up(host, kind)
        try:
            yield Stage(host, pod, containers.of(pod), directory)
        finally:
            containers.end()
            unmount(directory)
