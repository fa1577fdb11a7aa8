"""What can be set on a link, each entry on top of a link that `links.make_up` made."""

from __future__ import annotations

from tests.kernel.mover.harness import DEVICE

LINK = {
    "altnames": [
        f"link property add dev {DEVICE} altname enp3s0f0np0 altname a-name-of-over-fifteen-bytes"
    ],
    "alias": [f'link set {DEVICE} alias "rack 7 = \\ port ü"'],
    "txqueuelen": [f"link set {DEVICE} txqueuelen 17"],
    "group": [f"link set {DEVICE} group 42"],
    "smallest MTU for IPv6": [f"link set {DEVICE} mtu 1280"],
    "changed MAC": [f"link set {DEVICE} address 02:00:00:00:be:ef"],
    "promiscuous": [f"link set {DEVICE} promisc on"],
    "all multicast": [f"link set {DEVICE} allmulticast on"],
    "no ARP": [f"link set {DEVICE} arp off"],
    "no multicast": [f"link set {DEVICE} multicast off"],
    "dynamic": [f"link set {DEVICE} dynamic on"],
    "down": [f"link set {DEVICE} down"],
}
IPV4 = {
    "label": [f"addr add 10.3.0.1/24 dev {DEVICE} label {DEVICE}:web"],
    "peer": [f"addr add 10.3.0.1 peer 10.4.0.1/32 dev {DEVICE}"],
    "broadcast": [f"addr add 10.3.0.1/24 broadcast + dev {DEVICE}"],
    "odd broadcast": [f"addr add 10.3.0.1/24 broadcast 10.3.0.77 dev {DEVICE}"],
    "secondary in their order": [
        f"addr add 10.3.0.{last}/24 dev {DEVICE}" for last in (9, 1, 5, 200, 3)
    ],
    "lifetimes": [f"addr add 10.3.0.1/24 dev {DEVICE} valid_lft 1000 preferred_lft 500"],
    "deprecated": [f"addr add 10.3.0.1/24 dev {DEVICE} valid_lft 1000 preferred_lft 0"],
    "metric": [f"addr add 10.3.0.1/24 dev {DEVICE} metric 77"],
    "noprefixroute": [f"addr add 10.3.0.1/24 dev {DEVICE} noprefixroute"],
    "scope link": [f"addr add 169.254.7.7/16 dev {DEVICE} scope link"],
    "scope host": [f"addr add 10.3.0.1/32 dev {DEVICE} scope host"],
    "one prefix of many lengths": [
        f"addr add 10.3.0.1/{length} dev {DEVICE}" for length in (8, 16, 24, 32)
    ],
    "none": [f"addr flush dev {DEVICE}"],
}
IPV6 = {
    "nodad": [f"addr add 2001:db8:3::1/64 dev {DEVICE} nodad"],
    "managed temporary": [f"addr add 2001:db8:3::1/64 dev {DEVICE} mngtmpaddr"],
    "noprefixroute": [f"addr add 2001:db8:3::1/64 dev {DEVICE} noprefixroute"],
    "lifetimes": [f"addr add 2001:db8:3::1/64 dev {DEVICE} valid_lft 1000 preferred_lft 500"],
    "deprecated": [f"addr add 2001:db8:3::1/64 dev {DEVICE} preferred_lft 0"],
    "metric": [f"addr add 2001:db8:3::1/64 dev {DEVICE} metric 77"],
    "home": [f"addr add 2001:db8:3::1/64 dev {DEVICE} home"],
    "peer": [f"addr add 2001:db8:3::1 peer 2001:db8:4::1/128 dev {DEVICE}"],
    "unique local and site local": [
        f"addr add fd00::1/64 dev {DEVICE}",
        f"addr add fec0::1/64 dev {DEVICE}",
    ],
    "several in their order": [
        f"addr add 2001:db8:3::{last}/64 dev {DEVICE}" for last in (9, 1, 5, 200, 3)
    ],
    "no link-local address": [f"addr flush dev {DEVICE} scope link"],
    "a link-local address of its own": [
        f"addr flush dev {DEVICE} scope link",
        f"addr add fe80::77/64 dev {DEVICE}",
    ],
    "no generated addresses": [
        f"addr flush dev {DEVICE} scope link",
        f"link set {DEVICE} addrgenmode none",
    ],
    "random generated addresses": [
        f"link set {DEVICE} addrgenmode random",
        f"link set {DEVICE} down",
        f"link set {DEVICE} up",
    ],
}
ROUTES = {
    "chained gateways": [
        f"route add 10.5.0.0/24 via 10.1.0.1 dev {DEVICE}",
        f"route add 10.6.0.0/24 via 10.5.0.1 dev {DEVICE} onlink",
        f"route add 10.7.0.1/32 dev {DEVICE}",
        f"route add 10.0.0.0/8 via 10.7.0.1 dev {DEVICE}",
    ],
    "chained IPv6 gateways": [
        f"route add 2001:db8:7::1/128 dev {DEVICE}",
        f"route add 2001:db8:6::/48 via 2001:db8:7::1 dev {DEVICE}",
    ],
    "a gateway outside of every prefix": [
        f"route add 10.5.0.0/24 via 172.16.0.1 dev {DEVICE} onlink"
    ],
    "scopes": [
        f"route add 10.5.0.0/24 dev {DEVICE} scope link",
        f"route add 10.6.0.0/24 dev {DEVICE} scope global",
        f"route add 10.7.0.0/24 dev {DEVICE} scope host",
    ],
    "preferred source": [
        f"addr add 10.1.0.6/24 dev {DEVICE}",
        f"route add 10.5.0.0/24 via 10.1.0.1 dev {DEVICE} src 10.1.0.6",
        f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} src 2001:db8:1::5",
    ],
    "metrics": [
        f"route add 10.5.0.0/24 via 10.1.0.1 dev {DEVICE} metric 50 mtu lock 1300 "
        "advmss 1200 initcwnd 20 rto_min 50ms quickack 1",
        f"route add 10.5.0.0/24 via 10.1.0.2 dev {DEVICE} metric 60 congctl reno",
        f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} metric 50 mtu 1300 hoplimit 9",
    ],
    "other tables": [
        f"route add 10.5.0.0/24 via 10.1.0.1 dev {DEVICE} table 100",
        f"route add 10.5.0.0/24 via 10.1.0.1 dev {DEVICE} table 20000",
        f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} table 20000",
    ],
    "protocols": [
        f"route add 10.{number}.0.0/24 via 10.1.0.1 dev {DEVICE} proto {protocol}"
        for number, protocol in enumerate(("static", "boot", "dhcp", "ra", "187"), 20)
    ]
    + [f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} proto 187"],
    "type of service": [f"route add 10.5.0.0/24 tos 0x10 via 10.1.0.1 dev {DEVICE}"],
    "multipath through one link": [
        f"route add 10.5.0.0/24 nexthop via 10.1.0.1 dev {DEVICE} weight 3 "
        f"nexthop via 10.1.0.2 dev {DEVICE} weight 1",
        f"route add 2001:db8:6::/48 nexthop via fe80::1 dev {DEVICE} weight 3 "
        f"nexthop via fe80::2 dev {DEVICE} weight 1",
    ],
    "multipath through two links": [
        f"route add 10.5.0.0/24 nexthop via 10.1.0.1 dev {DEVICE} weight 3 "
        "nexthop via 10.2.0.1 dev other0 weight 1",
        f"route add 2001:db8:6::/48 nexthop via fe80::1 dev {DEVICE} weight 3 "
        "nexthop via fe80::2 dev other0 weight 1",
    ],
    "multipath with the other link first": [
        f"route add 10.5.0.0/24 nexthop via 10.2.0.1 dev other0 nexthop via 10.1.0.1 dev {DEVICE}",
        "route add 2001:db8:6::/48 nexthop via fe80::2 dev other0 "
        f"nexthop via fe80::1 dev {DEVICE}",
    ],
    "nexthop objects": [
        f"nexthop add id 10 via 10.1.0.1 dev {DEVICE}",
        f"nexthop add id 11 via fe80::1 dev {DEVICE}",
        f"nexthop add id 12 dev {DEVICE} protocol 187",
        "route add 10.5.0.0/24 nhid 10",
        "route add 2001:db8:6::/48 nhid 11",
        "route add 10.6.0.0/24 nhid 12 table 100",
    ],
    "a group of nexthops, all of the link": [
        f"nexthop add id 10 via 10.1.0.1 dev {DEVICE}",
        f"nexthop add id 11 via 10.1.0.2 dev {DEVICE}",
        "nexthop add id 20 group 10,3/11",
        "route add 10.5.0.0/24 nhid 20",
    ],
    "a group of nexthops through two links": [
        f"nexthop add id 10 via 10.1.0.1 dev {DEVICE}",
        "nexthop add id 11 via 10.2.0.1 dev other0",
        "nexthop add id 20 group 10,3/11",
        "route add 10.5.0.0/24 nhid 20",
    ],
    "an IPv4 route with an IPv6 gateway": [f"route add 10.5.0.0/24 via inet6 fe80::1 dev {DEVICE}"],
    "an IPv6 route with an expiry": [
        f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} expires 1000"
    ],
    "an IPv6 route with a preference": [
        f"route add 2001:db8:6::/48 via fe80::1 dev {DEVICE} pref high"
    ],
    "an IPv6 route for one source": [
        f"route add 2001:db8:6::/48 from 2001:db8:1::/64 via fe80::1 dev {DEVICE}"
    ],
    "routes that lead nowhere": [
        "route add blackhole 10.5.0.0/24",
        "route add unreachable 2001:db8:6::/48",
        f"route add 10.0.0.0/8 via 10.1.0.1 dev {DEVICE}",
    ],
    "the administrator removed kernel routes": [
        f"route del 10.9.0.0/16 dev {DEVICE}",
        f"route del 10.1.0.0/24 dev {DEVICE}",
        f"route del 2001:db8:1::/64 dev {DEVICE}",
        f"route del fe80::/64 dev {DEVICE}",
    ],
    "the administrator removed the route to a gateway": [f"route del 10.1.0.0/24 dev {DEVICE}"],
    "the administrator moved a kernel route": [
        f"route del 10.1.0.0/24 dev {DEVICE}",
        f"route add 10.1.0.0/24 dev {DEVICE} src 10.1.0.5 metric 500",
    ],
    "alike but for the gateway, in their order": [
        f"route append 10.5.0.0/24 via 10.1.0.{last} dev {DEVICE}" for last in (9, 2, 5)
    ],
    "several to one destination": [
        f"route add 10.5.0.0/24 via 10.1.0.{last} dev {DEVICE} metric {last}" for last in (9, 2, 5)
    ],
    "multicast and broadcast": [
        f"route add multicast 239.1.0.0/16 dev {DEVICE}",
        f"route add broadcast 10.3.0.255 dev {DEVICE} table local",
        f"route add local 10.77.0.0/16 dev {DEVICE} table local",
    ],
}
NEIGHBOURS = {
    "permanent neighbours": [
        f"neigh add 10.1.0.1 lladdr 02:00:00:00:00:aa dev {DEVICE} nud permanent",
        f"neigh add fe80::1 lladdr 02:00:00:00:00:aa dev {DEVICE} nud permanent router",
    ]
}
COMMANDS = {
    f"{area}: {name}": commands
    for area, entries in {
        "link": LINK,
        "IPv4": IPV4,
        "IPv6": IPV6,
        "routes": ROUTES,
        "neighbours": NEIGHBOURS,
    }.items()
    for name, commands in entries.items()
}
SETTINGS = {
    "ipv4/conf": {
        "accept_local": "1",
        "accept_redirects": "0",
        "accept_source_route": "0",
        "arp_accept": "1",
        "arp_announce": "2",
        "arp_evict_nocarrier": "0",
        "arp_filter": "1",
        "arp_ignore": "1",
        "arp_notify": "1",
        "bc_forwarding": "1",
        "disable_policy": "1",
        "disable_xfrm": "1",
        "drop_gratuitous_arp": "1",
        "drop_unicast_in_l2_multicast": "1",
        "force_igmp_version": "2",
        "forwarding": "1",
        "ignore_routes_with_linkdown": "1",
        "log_martians": "1",
        "medium_id": "7",
        "promote_secondaries": "1",
        "proxy_arp": "1",
        "proxy_arp_pvlan": "1",
        "route_localnet": "1",
        "rp_filter": "2",
        "secure_redirects": "0",
        "send_redirects": "0",
        "shared_media": "0",
        "src_valid_mark": "1",
        "tag": "9",
    },
    "ipv4/neigh": {
        "anycast_delay": "50",
        "app_solicit": "1",
        "base_reachable_time_ms": "12345",
        "gc_stale_time": "99",
        "locktime": "40",
        "mcast_resolicit": "2",
        "mcast_solicit": "5",
        "proxy_qlen": "11",
        "retrans_time_ms": "555",
        "ucast_solicit": "7",
        "unres_qlen": "55",
    },
    "ipv6/conf": {
        "accept_dad": "2",
        "accept_ra": "2",
        "accept_ra_defrtr": "0",
        "accept_ra_mtu": "0",
        "accept_ra_pinfo": "0",
        "accept_redirects": "0",
        "accept_untracked_na": "1",
        "addr_gen_mode": "1",
        "autoconf": "0",
        "dad_transmits": "0",
        "drop_unsolicited_na": "1",
        "force_tllao": "1",
        "forwarding": "1",
        "hop_limit": "33",
        "keep_addr_on_down": "1",
        "max_addresses": "5",
        "mtu": "1300",
        "ndisc_notify": "1",
        "optimistic_dad": "1",
        "proxy_ndp": "1",
        "router_solicitations": "0",
        "temp_prefered_lft": "777",
        "use_tempaddr": "2",
    },
    "ipv6/neigh": {
        "base_reachable_time_ms": "23456",
        "gc_stale_time": "88",
        "retrans_time_ms": "666",
        "ucast_solicit": "6",
    },
}
