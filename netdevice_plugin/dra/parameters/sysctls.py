"""The settings of a link that a claim may ask for, and the values that each can have.

A list of what is allowed, not of what is forbidden: these concern how one link
deals with packets and neighbours. Left out is what opens the pod's loopback
(route_localnet) or follows a sender's route (accept_source_route), what the
mover sets itself (mtu, stable_secret), and what not every kernel since 5.10 has.
Bounds are the kernel's own, or narrower (Documentation/networking/ip-sysctl.rst).
"""

from __future__ import annotations

from collections.abc import Mapping

_SWITCH = (0, 1)
_COUNT = (0, 100)  # probes, packets
_SECONDS = (0, 86_400)
_MILLISECONDS = (100, 86_400_000)  # kept in ticks of up to 10
_TICKS = (0, 8_640_000)  # hundredths of a second (USER_HZ)
_BYTES = (0, 2**24)

_CONF4 = {
    "accept_local": _SWITCH,
    "accept_redirects": _SWITCH,
    "arp_accept": (0, 1),
    "arp_announce": (0, 2),
    "arp_filter": _SWITCH,
    "arp_ignore": (0, 8),
    "arp_notify": _SWITCH,
    "bc_forwarding": _SWITCH,
    "disable_policy": _SWITCH,
    "disable_xfrm": _SWITCH,
    "drop_gratuitous_arp": _SWITCH,
    "drop_unicast_in_l2_multicast": _SWITCH,
    "force_igmp_version": (0, 3),
    "forwarding": _SWITCH,
    "ignore_routes_with_linkdown": _SWITCH,
    "log_martians": _SWITCH,
    "promote_secondaries": _SWITCH,
    "proxy_arp": _SWITCH,
    "proxy_arp_pvlan": _SWITCH,
    "rp_filter": (0, 2),
    "secure_redirects": _SWITCH,
    "send_redirects": _SWITCH,
    "shared_media": _SWITCH,
    "src_valid_mark": _SWITCH,
}
_CONF6 = {
    "accept_dad": (0, 2),
    "accept_ra": (0, 2),
    "accept_ra_defrtr": _SWITCH,
    "accept_ra_from_local": _SWITCH,
    "accept_ra_min_hop_limit": (0, 255),
    "accept_ra_mtu": _SWITCH,
    "accept_ra_pinfo": _SWITCH,
    "accept_redirects": _SWITCH,
    "addr_gen_mode": (0, 3),
    "autoconf": _SWITCH,
    "dad_transmits": (0, 10),
    "disable_ipv6": _SWITCH,
    "disable_policy": _SWITCH,
    "drop_unicast_in_l2_multicast": _SWITCH,
    "drop_unsolicited_na": _SWITCH,
    "enhanced_dad": _SWITCH,
    "force_mld_version": (0, 2),
    "forwarding": _SWITCH,
    "hop_limit": (1, 255),
    "ignore_routes_with_linkdown": _SWITCH,
    "keep_addr_on_down": (-1, 1),
    "max_addresses": (0, 1024),
    "max_desync_factor": _SECONDS,
    "ndisc_notify": _SWITCH,
    "ndisc_tclass": (0, 255),
    "proxy_ndp": _SWITCH,
    "regen_max_retry": _COUNT,
    "router_solicitation_delay": (0, 60),
    "router_solicitation_interval": (1, 3600),
    "router_solicitations": (-1, 100),
    "suppress_frag_ndisc": _SWITCH,
    "temp_prefered_lft": (0, 2**31 - 1),
    "temp_valid_lft": (0, 2**31 - 1),
    "use_oif_addrs_only": _SWITCH,
    "use_tempaddr": (-1, 2),
}
_NEIGH = {
    "anycast_delay": _TICKS,
    "app_solicit": _COUNT,
    "base_reachable_time_ms": _MILLISECONDS,
    "delay_first_probe_time": _SECONDS,
    "gc_stale_time": _SECONDS,
    "locktime": _TICKS,
    "mcast_resolicit": _COUNT,
    "mcast_solicit": _COUNT,
    "proxy_delay": _TICKS,
    "proxy_qlen": (0, 4096),
    "retrans_time_ms": _MILLISECONDS,
    "ucast_solicit": _COUNT,
    "unres_qlen_bytes": _BYTES,
}
_GROUPS = {
    "ipv4.conf": _CONF4,
    "ipv6.conf": _CONF6,
    "ipv4.neigh": _NEIGH,
    "ipv6.neigh": _NEIGH,
}

# "net.ipv4.conf.rp_filter", as a claim has it, without the link -> least and most.
ALLOWED: Mapping[str, tuple[int, int]] = {
    f"net.{group}.{key}": bounds for group, keys in _GROUPS.items() for key, bounds in keys.items()
}


def path(name: str) -> str:
    """What the mover calls a setting: net.ipv4.conf.rp_filter is ipv4/conf/rp_filter."""
    return name.removeprefix("net.").replace(".", "/")


def why_not(name: str, *, suggest: bool = True) -> str:
    """Say what is wrong with a name that is not allowed, and perhaps what was meant."""
    import difflib  # noqa: PLC0415 - only mistakes need it

    words = name.split(".")
    shortened = ".".join((*words[:3], *words[4:]))
    if len(words) == 5 and shortened in ALLOWED:
        return f"is written without the name of the link: {shortened}"
    close = difflib.get_close_matches(name.lower()[:60], ALLOWED, 1) if suggest else ()
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"is not a setting that a claim may change{meant}"
