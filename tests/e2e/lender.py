"""The host's side of a test: makes links, offers them through CDI, awaits their return."""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import sys

from tests.e2e.links import Link
from tests.e2e.node import Node
from tests.e2e.waiting import until
from tests.kernel.mover.dump import Dump, assert_same, dump, settled
from tests.kernel.mover.harness import At
from tests.kernel.scratch import Netns

KIND = "networking.k8s.io/netdevice"
RUN_DIR = "/run/netdevice-plugin"
_PODS = re.compile(r"[/ ]veth[0-9a-f]{8}\b")
CDI = "/run/cdi"


class Lender:
    """The links of one test; each is remembered as it was when it was made."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._host = At(f"/proc/{node.pid}/ns/net")
        self._before: Dump = {}
        self._links: list[Link] = []
        self._attachments = node.path(f"{RUN_DIR}/attachments")
        self._attachments.mkdir(parents=True, exist_ok=True)

    def lend(self, kind: str = "ifb") -> Link:
        """Make a link and offer it, with those made before."""
        link = self.make(kind)
        self.generate()
        return link

    def make(self, kind: str = "ifb") -> Link:
        """Make a link, for somebody else to offer."""
        number = len(self._links) + 1
        link = Link(
            node=self.node,
            name=f"lan{number}",
            kind=kind,
            ipv4=f"192.0.2.{number}/32",
            ipv6=f"2001:db8:{number}::1/64",
            route=f"203.0.113.{8 * number}/29",
        )
        self._links.append(link)
        link.add()
        self._before = settled(self._host, _dump)
        return link

    def take_away(self, link: Link) -> None:
        """Remove a link whose offer stays."""
        link.delete()
        self._before = settled(self._host, _dump)

    def boot(self) -> None:
        """Have every link anew, and nothing lent, as a node's reboot does."""
        for link in self._links:
            link.delete()
        self._attachments.mkdir(parents=True)
        self.remake(*self._links)

    def remake(self, *links: Link) -> None:
        """Make links again that are gone, as a boot does: of the same names, else new ones."""
        for link in links:
            link.add()
        self._before = settled(self._host, _dump)

    def device(self, link: Link) -> str:
        """The link's name for a container runtime."""
        return f"{KIND}={link.name}"

    def record(self, link: Link) -> pathlib.Path:
        """The record that exists exactly while the link is lent."""
        return self._attachments / link.name

    def lent(self, link: Link, unlike: str = "") -> None:
        """Return when the link is in a container, by a record that is not the one given."""

        def attached() -> bool:
            with contextlib.suppress(FileNotFoundError):
                record = self.record(link).read_text()
                return "phase=attached\n" in record and record != unlike
            return False

        until(self._attachments, attached, f"{link.name} is lent")

    def returned(self, *links: Link) -> None:
        """Return when the links are home, and fail if the host is not exactly as it was."""
        records = [self.record(link) for link in links]

        def gone() -> bool:
            return not any(record.exists() for record in records)

        until(self._attachments, gone, f"{', '.join(link.name for link in links)} home")
        self.untouched()

    def untouched(self) -> None:
        """Fail if anything on the host differs from when the last link was made."""
        assert not list(self._attachments.iterdir())
        assert not list(self.node.path(f"{RUN_DIR}/netns").glob("*")), "a pin is left"
        assert_same(self._host, self._before, _dump)

    def last_error(self, link: Link) -> str:
        """What the mover said last; some runtimes hide what a hook prints."""
        return self.node.path(f"{RUN_DIR}/errors/{link.name}").read_text()

    def reclaim(
        self, link: Link, *options: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Bring a link home by hand."""
        return self.cli("reclaim", *options, link.name, check=check)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `netdevice-plugin` on the node."""
        return self.node.run(sys.executable, "-m", "netdevice_plugin", *arguments, check=check)

    def close(self) -> None:
        """Remove the links, fetched home first if the test has failed to."""
        for link in self._links:
            if self.record(link).exists():
                self.reclaim(link, "--force", check=False)
            self.record(link).unlink(missing_ok=True)
            link.delete()

    def generate(self) -> str:
        """Write the CDI file of all links; returns what changed."""
        names = ",".join(link.name for link in self._links)
        return self.cli("cdi", "generate", "--interfaces", names, "--output", CDI).stdout


def _dump(host: Netns) -> Dump:
    """All of the host but the links that CNI makes for pods."""
    return {key: value for key, value in dump(host).items() if not _PODS.search(key)}


def assert_inside(link: Link, said: str) -> None:
    """Fail unless what `look` printed in a container is the link as the host had it."""
    assert f"inet {link.ipv4}" in said, said
    assert f"inet6 {link.ipv6}" in said, said
    assert f"{link.route} dev {link.name}" in said, said
    assert f"mtu={link.mtu}\n" in said, said


def look(link: Link) -> str:
    """A shell script that prints what a container sees of the link."""
    name = link.name
    mtu = f"echo mtu=$(cat /sys/class/net/{name}/mtu)"
    return f"ip -o address show dev {name} && ip route && {mtu}"
