"""A host with one of everything that this kernel can make."""

from __future__ import annotations

from netdevice_plugin import inventory
from netdevice_plugin.model import Interface, Snapshot
from tests.kernel.scratch import Netns

NOT_UTF8 = "\udcff\udcfe"  # the bytes ff fe, as os.fsdecode gives them
LONGEST = "abcdefghijklmno"

LINKS = (
    "link add up0 type veth peer name up1",
    "link add mac0 link up0 type macvlan mode bridge",
    "link add tunnel0 type vxlan id 5 dstport 4789 dev up0",
    "link add over0 link tunnel0 type macvlan",
    "link add br0 type bridge",
    "link add port0 type veth peer name port1",
    "link set port0 master br0",
    "link add ifb7 address 02:00:00:00:00:07 mtu 1400 type ifb",
    "tuntap add tap0 mode tap",
    "tuntap add tun0 mode tun",
    f"link add {LONGEST} type ifb",
    "link add a.b type ifb",
    "link add UPPER type ifb",
    "link set ifb7 alias Uplink\xe9",
    "link property add dev ifb7 altname ns:1 altname enp0s31f6-with-a-long-name",
    *(f"link set {name} up" for name in ("up0", "up1", "mac0", "br0", "port0", "port1", "ifb7")),
)

ADDRESSES = (
    "addr add 192.0.2.1/24 broadcast 192.0.2.255 label up0:one metric 50 dev up0",
    "addr add 192.0.2.9/24 dev up0 valid_lft 3600 preferred_lft 1800",
    "addr add 198.51.100.1 peer 198.51.100.2/32 dev up0 noprefixroute",
    "addr add 192.0.2.129/25 scope link dev mac0",
    "addr add 2001:db8::1/64 dev up0 nodad noprefixroute",
    "addr add 2001:db8:1::1/64 dev up0 nodad valid_lft 7200 preferred_lft 0",
    "addr add 2001:db8:2::1 peer 2001:db8:2::2/128 dev up0 nodad metric 77",
)

ROUTES = (
    "route add 203.0.113.0/26 via 192.0.2.3 dev up0 src 192.0.2.9 metric 7 proto static",
    "route add 203.0.113.64/26 dev mac0 table 1000 scope link",
    "route add 203.0.113.128/26 via inet6 fe80::3 dev up0",
    "route add 203.0.113.192/26 encap ip6 id 3 dst 2001:db8::9 dev up0",
    "route add default table 100 nexthop via 192.0.2.4 dev up0 nexthop via 192.0.2.130 dev mac0",
    "route add blackhole 10.9.0.0/16",
    "route add 10.8.0.0/16 via 192.0.2.3 proto bgp",
    "nexthop add id 5 via 192.0.2.5 dev up0",
    "nexthop add id 6 via 192.0.2.131 dev mac0",
    "nexthop add id 7 group 5/6",
    "route add 10.7.0.0/16 nhid 7",
    "route add 10.6.0.0/16 nhid 5",
)

ROUTES6 = (
    "route add default via 2001:db8:1::fe dev up0 metric 9",
    "route add 2001:db8:f::/48 nexthop via 2001:db8:1::2 dev up0 nexthop via fe80::4 dev up1",
)


def build(host: Netns) -> None:
    """Make the links first: addresses and routes need them."""
    host.batch(LINKS)
    host.ip("link", "add", NOT_UTF8, "type", "ifb")
    host.batch(ADDRESSES)
    host.batch(ROUTES)
    host.run("ip", "-6", "-batch", "-", stdin="\n".join(ROUTES6) + "\n")


def look(host: Netns) -> Snapshot:
    """Take a snapshot of the namespace."""
    return host.call(inventory.snapshot)


def link(snapshot: Snapshot, name: str) -> Interface:
    """The interface of that name, which must be there."""
    found = snapshot.named(name)
    assert found is not None, f"{name} is not among {[i.name for i in snapshot.interfaces]}"
    return found
