"""Host links in a node: each of a kind that this kernel has, with all that a mover may lose."""

from __future__ import annotations

import dataclasses

from tests.e2e.node import Node


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A link that the node has to lend, and what a container must find on it."""

    node: Node
    name: str
    kind: str
    ipv4: str
    ipv6: str
    route: str
    mtu: int = 1400

    def add(self) -> None:
        """Make it, set it up, give it addresses, a route and settings of its own."""
        for line in _MAKE[self.kind]:
            self.node.ip(*line.format(self.name).split())
        name = self.name
        self.node.ip("link", "set", name, "mtu", str(self.mtu), "txqueuelen", "77", "alias", "lent")
        self.node.ip("address", "add", self.ipv4, "dev", name)
        self.node.ip("address", "add", self.ipv6, "dev", name, "nodad")
        self.node.ip("link", "set", name, "up")
        self.node.ip("route", "add", self.route, "dev", name, "metric", "42")
        self.node.ip("route", "add", "2001:db8:ffff::/48", "dev", name, "table", f"10{name[-1]}")
        setting = f"/proc/sys/net/ipv4/conf/{name}/rp_filter"
        self.node.run("tee", setting, stdin="2")

    def delete(self) -> None:
        """Remove it if it is here."""
        self.node.run("ip", "link", "delete", self.name, check=False)
        self.node.run("ip", "link", "delete", f"{self.name}-b", check=False)


_MAKE: dict[str, tuple[str, ...]] = {
    "ifb": ("link add {0} type ifb",),
    "veth": ("link add {0} type veth peer name {0}-b", "link set {0}-b up"),
    "macvlan": (
        "link add {0}-b type ifb",
        "link set {0}-b up",
        "link add {0} link {0}-b type macvlan",
    ),
    "tap": ("tuntap add dev {0} mode tap",),
    "vxlan": ("link add {0} type vxlan id 7 dstport 4789 remote 198.18.0.1",),
}

MADE_KINDS = tuple(_MAKE)
