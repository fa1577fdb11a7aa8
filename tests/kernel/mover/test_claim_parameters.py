"""What a claim's parameters ask for is in the pod, and what they refuse the kernel refuses too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netdevice_plugin.dra.parameters import (
    InvalidParametersError,
    Parameters,
    Route,
    mover_options,
    sysctls,
)
from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, identity
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns
from tests.unit.dra.parameters import decoded
from tests.unit.dra.test_parameters import VALID
from tests.unit.dra.test_parameters_docs import EXAMPLES

V4, V6 = "192.0.2.10/24", "2001:db8::10/64"
# As a pod comes from CNI.
OWN = (
    "link add eth0 type veth peer name eth0p",
    "link set eth0p up",
    "link set eth0 up",
    "addr add 10.244.0.7/24 dev eth0",
    "addr add fd00:244::7/64 dev eth0 nodad",
    "route add default via 10.244.0.1 dev eth0",
    "route add default via fd00:244::1 dev eth0",
)

Fields = dict[str, Any]


@pytest.fixture
def lent(fast_mover: Mover, pod: Netns, containers: Containers) -> Iterator[Container]:
    """A container for the link; afterwards both namespaces are as they were."""
    pod.sysctl("ipv6/conf/default/accept_dad", "0")
    pod.batch(OWN)
    own = settled(pod)
    make_up(fast_mover.host)
    before = settled(fast_mover.host)
    container = containers.of(pod)
    yield container
    fast_mover.detach(container).ok()
    assert_same(fast_mover.host, before)
    assert_same(pod, own)


def attach(mover: Mover, container: Container, **fields: object) -> None:
    options = mover_options(decoded(**fields))
    mover.attach(container, *identity(mover.host), *options).ok()


def route(destination: str = "198.51.100.0/24", **keys: object) -> Fields:
    return {"destination": destination, **keys}


def routes(space: Netns, family: str, *selector: str) -> set[str]:
    """Routes through the link: destination, gateway, source, metric, as far as there are any."""
    found = space.json(family, "route", "show", "dev", DEVICE, *selector)
    keys = ("dst", "gateway", "prefsrc", "scope", "metric")
    return {
        " ".join(f"{key} {entry[key]}" for key in keys if entry.get(key, "global") != "global")
        for entry in found
        if entry["protocol"] == "static"
    }


def defaults(space: Netns) -> set[str]:
    return {
        f"{entry['gateway']} {entry['dev']}"
        for family in ("-4", "-6")
        for entry in space.json(family, "route", "show", "default")
    }


ASKED = {case: fields for case, (fields, _) in VALID.items()}
ASKED |= {"-".join(example): example for example in EXAMPLES}


@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_the_mover_reads_what_is_made_of_parameters(fast_mover: Mover, fields: Fields) -> None:
    options = mover_options(decoded(**fields))
    result = fast_mover.run(*fast_mover.arguments("attach"), "--link", DEVICE, *options, stdin="")
    assert "OCI state" in result.reason  # which is looked at once the arguments are right


def test_link_and_addresses_are_as_asked(fast_mover: Mover, pod: Netns, lent: Container) -> None:
    attach(
        fast_mover,
        lent,
        interfaceName="net1",
        mtu=1300,
        mac="0a:00:00:00:00:01",
        addresses=[V4, V6],
        neighbours=[
            {"address": "192.0.2.1", "mac": "02:00:00:00:00:fe"},
            {"address": "2001:db8::99", "proxy": True},
        ],
    )
    (link,) = pod.json("addr", "show", "dev", "net1")
    assert (link["mtu"], link["address"]) == (1300, "0a:00:00:00:00:01")
    found = {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]}
    assert {one for one in found if not one.startswith("fe80")} == {V4, V6}
    (neighbour,) = pod.json("neighbour", "show", "dev", "net1", "nud", "permanent", "192.0.2.1")
    assert neighbour["lladdr"] == "02:00:00:00:00:fe"
    (proxy,) = pod.json("-6", "neighbour", "show", "proxy", "dev", "net1")
    assert proxy["dst"] == "2001:db8::99"


def test_routes_and_rules_are_as_asked(fast_mover: Mover, pod: Netns, lent: Container) -> None:
    attach(
        fast_mover,
        lent,
        addresses=[V4, V6],
        routes=[
            route(gateway="192.0.2.1", source="192.0.2.10", metric=7),
            route("203.0.113.1/32", scope="link"),
            route("10.0.0.0/8", gateway="203.0.113.1"),
            route("10.9.0.0/16", gateway="172.16.0.1", onlink=True),
            route("default", gateway="192.0.2.1", table=100),
            route("2001:db8:9::/48", gateway="fe80::1"),
        ],
        rules=[
            {"from": "192.0.2.10/32", "table": 100, "priority": 1000},
            {"from": "::/0", "iif": True, "fwmark": "0x10/0xff", "table": 100, "priority": 1001},
        ],
    )
    assert routes(pod, "-4") == {
        "dst 198.51.100.0/24 gateway 192.0.2.1 prefsrc 192.0.2.10 metric 7",
        "dst 203.0.113.1 scope link",
        "dst 10.0.0.0/8 gateway 203.0.113.1",
        "dst 10.9.0.0/16 gateway 172.16.0.1",
    }
    assert routes(pod, "-4", "table", "100") == {"dst default gateway 192.0.2.1"}
    assert routes(pod, "-6") == {"dst 2001:db8:9::/48 gateway fe80::1 metric 1024"}
    (rule,) = pod.json("-4", "rule", "show", "priority", "1000")
    assert (rule["src"], rule["table"]) == ("192.0.2.10", "100")
    (rule,) = pod.json("-6", "rule", "show", "priority", "1001")
    assert (rule["iif"], rule["fwmark"], rule["fwmask"]) == (DEVICE, "0x10", "0xff")


def test_the_default_route_is_by_the_first_address(
    fast_mover: Mover, pod: Netns, lent: Container
) -> None:
    attach(fast_mover, lent, addresses=[V4, V6], gateway=True)
    assert defaults(pod) == {f"192.0.2.1 {DEVICE}", f"2001:db8::1 {DEVICE}"}


def test_the_default_route_that_is_written_leaves_the_other_family(
    fast_mover: Mover, pod: Netns, lent: Container
) -> None:
    written = [route("default", gateway="192.0.2.254")]
    attach(fast_mover, lent, addresses=[V4, V6], gateway=True, routes=written)
    assert defaults(pod) == {f"192.0.2.254 {DEVICE}", "fd00:244::1 eth0"}


def test_no_address_is_kept_unless_it_is_to_be(
    fast_mover: Mover, pod: Netns, lent: Container
) -> None:
    attach(fast_mover, lent, keepHostAddresses=False)
    (link,) = pod.json("addr", "show", "dev", DEVICE)
    assert [one for one in link["addr_info"] if one["scope"] == "global"] == []
    assert routes(pod, "-4") == set()


def test_settings_are_as_asked(fast_mover: Mover, pod: Netns, lent: Container) -> None:
    attach(
        fast_mover,
        lent,
        interfaceName="net.1",
        sysctls={"net.ipv4.conf.rp_filter": 2, "net.ipv6.neigh.gc_stale_time": 77},
        ethtool={"features": {"tx-tcp-segmentation": False}},
    )
    assert pod.sysctl("ipv4/conf/net.1/rp_filter") == "2"
    assert pod.sysctl("ipv6/neigh/net.1/gc_stale_time") == "77"


def test_every_setting_at_once(fast_mover: Mover, pod: Netns, lent: Container) -> None:
    asked = {name: most for name, (_, most) in sysctls.ALLOWED.items()}
    attach(fast_mover, lent, keepHostAddresses=False, sysctls=asked)
    for name, most in asked.items():
        family, group, key = sysctls.path(name).split("/")
        assert pod.sysctl(f"{family}/{group}/{DEVICE}/{key}") == str(most), name


# The rules that are checked beforehand are the kernel's.

ROUTES: dict[str, tuple[list[str], list[Fields]]] = {
    "gateway near": ([V4], [route(gateway="192.0.2.1")]),
    "gateway out of reach": ([V4], [route(gateway="203.0.113.1")]),
    "gateway out of reach in IPv6": ([V6], [route("2001:db8:9::/48", gateway="2001:db8:7::1")]),
    "gateway onlink": ([V4], [route(gateway="203.0.113.1", onlink=True)]),
    "gateway link-local": ([V6], [route("2001:db8:9::/48", gateway="fe80::1")]),
    "gateway behind a route": (
        ["192.0.2.10/32"],
        [route("203.0.113.1/32"), route(gateway="203.0.113.1")],
    ),
    "gateway behind a later route": (
        ["192.0.2.10/32"],
        [route(gateway="203.0.113.1"), route("203.0.113.1/32")],
    ),
    "gateway onlink is the link itself": ([V4], [route(gateway="192.0.2.10", onlink=True)]),
    "source of the link": ([V4], [route(source="192.0.2.10")]),
    "source of nobody": ([V4], [route(source="192.0.2.11")]),
    "source of nobody in IPv6": ([V6], [route("2001:db8:9::/48", source="2001:db8::11")]),
    "scope of a gateway": ([V4], [route(gateway="192.0.2.1", scope="link")]),
    "scope host": ([V4], [route(scope="host")]),
    "same place in IPv6": (
        [V6],
        [route("2001:db8:9::/48"), route("2001:db8:9::/48", metric=1024)],
    ),
    "other metric": ([V4], [route(metric=5), route(metric=6)]),
}


@pytest.mark.parametrize("case", ROUTES)
def test_a_route_is_taken_if_the_kernel_takes_it(
    fast_mover: Mover, pod: Netns, containers: Containers, case: str
) -> None:
    addresses, asked = ROUTES[case]
    try:
        decoded(addresses=addresses, routes=asked)
    except InvalidParametersError:
        taken = False
    else:
        taken = True
    make_up(fast_mover.host)
    unchecked = Parameters(addresses=tuple(addresses), routes=tuple(Route(**one) for one in asked))
    result = fast_mover.attach(
        containers.of(pod), *identity(fast_mover.host), *mover_options(unchecked)
    )
    assert (result.code == 0) == taken, result


def test_every_setting_that_is_allowed_takes_its_least_and_its_most(pod: Netns) -> None:
    pod.batch([f"link add {DEVICE} type veth peer name peer0", f"link set {DEVICE} up"])

    def refused() -> list[str]:
        found = []
        for name, bounds in sysctls.ALLOWED.items():
            family, group, key = sysctls.path(name).split("/")
            path = Path("/proc/sys/net", family, group, DEVICE, key)
            for value in map(str, reversed(bounds)):
                path.write_text(value)
                if path.read_text().strip() != value:
                    found.append(f"{name}={value}")
        return found

    assert pod.call(refused) == []
