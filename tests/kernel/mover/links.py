"""Host links of each kind that this project lends and that this kernel has."""

from __future__ import annotations

from tests.kernel.mover.harness import DEVICE
from tests.kernel.scratch import Netns

KINDS = ("veth", "macvlan", "ifb", "tap", "vxlan")
MAC = "02:00:5e:10:00:01"
PARENT = "parent0"

_MAKE = {
    "veth": [
        f"link add {DEVICE} address {MAC} type veth peer name peer0",
        "link set peer0 up",
    ],
    "macvlan": [f"link add {DEVICE} link {PARENT} address {MAC} type macvlan mode bridge"],
    "ifb": [f"link add {DEVICE} address {MAC} type ifb"],
    "tap": [f"tuntap add {DEVICE} mode tap", f"link set {DEVICE} address {MAC}"],
    "tun": [f"tuntap add {DEVICE} mode tun"],
    "vxlan": [
        f"link add {DEVICE} address {MAC} type vxlan id 42 dev {PARENT} "
        "remote 192.0.2.9 dstport 4789"
    ],
}


def make(host: Netns, kind: str, *commands: str) -> None:
    """Make the link `ndp0`, down, then run ip(8) commands."""
    host.batch(_MAKE[kind])
    if kind == "veth":  # or the peer gets an address when its carrier comes
        host.sysctl("ipv6/conf/peer0/disable_ipv6", "1")
    if commands:
        host.batch(commands)


def make_up(host: Netns, kind: str = "veth", *commands: str) -> None:
    """Make the link `ndp0`, up, with an address of each family and a route, then run commands."""
    make(
        host,
        kind,
        f"link set {DEVICE} mtu 1400 up",
        f"addr add 10.1.0.5/24 dev {DEVICE}",
        f"addr add 2001:db8:1::5/64 dev {DEVICE}",
        f"route add 10.9.0.0/16 via 10.1.0.1 dev {DEVICE}",
        *commands,
    )


def make_other(host: Netns, name: str = "other0") -> None:
    """Another link, up, for the other hops of multipath routes."""
    host.batch(
        [
            f"link add {name} type veth peer name {name}p",
            f"link set {name}p up",
            f"link set {name} up",
            f"addr add 10.2.0.5/24 dev {name}",
            f"addr add 2001:db8:2::5/64 dev {name}",
        ]
    )


# A bit of everything but for lifetimes that end: each move may round them up by a second.
RICH = (
    f"link property add dev {DEVICE} altname enp3s0f0np0 altname a-name-of-over-fifteen-bytes",
    f'link set {DEVICE} alias "rack 7 = \\ port" txqueuelen 17 group 42',
    f"link set {DEVICE} promisc on allmulticast on",
    f"addr add 10.3.0.9/24 dev {DEVICE} label {DEVICE}:web",
    f"addr add 10.3.0.1/24 broadcast + dev {DEVICE}",
    f"addr add 10.4.0.1 peer 10.4.0.2/32 dev {DEVICE} metric 7",
    f"addr add 2001:db8:3::1/64 dev {DEVICE} nodad noprefixroute preferred_lft 0",
    f"route add 10.5.0.1/32 dev {DEVICE}",
    f"route add 10.6.0.0/24 via 10.5.0.1 dev {DEVICE} metric 50 mtu lock 1300 proto static",
    f"route add 10.6.0.0/24 via 10.1.0.1 dev {DEVICE} table 20000 src 10.3.0.1",
    f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} table 100 proto 187",
    f"neigh add 10.1.0.1 lladdr 02:00:00:00:00:aa dev {DEVICE} nud permanent",
)
