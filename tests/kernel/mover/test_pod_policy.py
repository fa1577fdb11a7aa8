"""Rules, neighbours, scopes and default routes in the pod: each is there, and undone."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.mover.dump import Dump, assert_same, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, identity
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns

# A pod as it comes from CNI: a link of its own with default routes, and what it may have set.
OWN = (
    "link add eth0 type veth peer name eth0p",
    "link set eth0p up",
    "link set eth0 up",
    "addr add 10.244.0.7/24 dev eth0",
    "addr add fd00:244::7/64 dev eth0 nodad",
    "route add default via 10.244.0.1 dev eth0",
    "route add default via 10.244.0.2 dev eth0 metric 50",
    "route add default via 10.244.0.3 dev eth0 table 100",
    "route add default via fd00:244::1 dev eth0",
    "rule add from 10.1.0.0/24 table 100 priority 300",
    "rule add fwmark 7 table 100 priority 301",
)


@pytest.fixture
def own(pod: Netns) -> Dump:
    """The pod as it was before."""
    pod.sysctl("ipv6/conf/default/accept_dad", "0")
    pod.batch(OWN)
    return settled(pod)


@pytest.fixture
def lent(mover: Mover, pod: Netns, own: Dump, containers: Containers) -> Iterator[Container]:
    """A container for the link; afterwards both namespaces are as they were."""
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    yield container
    mover.detach(container).ok()
    failed = {f"errors/{device}" for device in (DEVICE, "ndp1")}  # attaches that were to fail
    assert set(mover.leftovers()) <= failed
    assert_same(mover.host, before)
    assert_same(pod, own)


def rules(space: Netns, family: str) -> list[dict[str, Any]]:
    """Those that the mover made, without what each of them has."""
    found = [rule for rule in space.json(family, "rule", "show") if rule.get("protocol") == "110"]
    marks = {"protocol", "suppress_ifgroup"}
    return [{key: rule[key] for key in rule.keys() - marks} for rule in found]


def defaults(space: Netns, family: str = "-4", *args: str) -> list[str]:
    """The default routes, in the order in which they count: `gateway dev`."""
    found = space.json(family, "route", "show", "default", *args)
    return [f"{route['gateway']} {route['dev']}" for route in found]


ANY = {"src": "all"}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("from 10.1.0.5/32 table 7", {"src": "10.1.0.5", "table": "7", "priority": 299}),
        (
            "from 10.1.0.0/24 to 10.9.0.0/16 table 70000 priority 9",
            {"src": "10.1.0.0", "srclen": 24, "dst": "10.9.0.0", "dstlen": 16}
            | {"table": "70000", "priority": 9},
        ),
        (
            "to 2001:db8:9::/48 table 7 priority 9",
            ANY | {"dst": "2001:db8:9::", "dstlen": 48, "table": "7", "priority": 9},
        ),
        (
            "from 0.0.0.0/0 fwmark 255 table 7 priority 9",
            ANY | {"fwmark": "0xff", "table": "7", "priority": 9},
        ),
        (
            "from ::/0 fwmark 16/240 table 7 priority 9",
            ANY | {"fwmark": "0x10", "fwmask": "0xf0", "table": "7", "priority": 9},
        ),
        (
            "from 0.0.0.0/0 iif self table 7 priority 9",
            ANY | {"iif": "net1", "table": "7", "priority": 9},
        ),
        (
            "oif self from ::/0 table 7 priority 4294967295",
            ANY | {"oif": "net1", "table": "7", "priority": 4294967295},
        ),
    ],
)  # fmt: skip
def test_a_rule_has_all_that_it_asks_for(
    text: str, meant: dict[str, Any], mover: Mover, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *identity(mover.host), "--as", "net1", "--rule", text).ok()
    families = ("-6", "-4") if "::" in text else ("-4", "-6")
    assert [rules(pod, family) for family in families] == [[meant], []]


def test_a_rule_of_no_family_is_for_both(mover: Mover, pod: Netns, lent: Container) -> None:
    mover.attach(lent, *identity(mover.host), "--rule", "iif self table 7 priority 9").ok()
    meant = [ANY | {"iif": DEVICE, "table": "7", "priority": 9}]
    assert (rules(pod, "-4"), rules(pod, "-6")) == (meant, meant)


def test_a_rule_like_one_of_the_pods_leaves_that_alone(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    rule = ("--rule", "from 10.1.0.0/24 table 100 priority 300")
    mover.attach(container, *identity(mover.host), *rule).ok()
    assert len([r for r in pod.json("rule", "show") if r["priority"] == 300]) == 2
    mover.detach(container).ok()
    assert_same(pod, own)


def test_each_of_two_devices_removes_its_own_of_two_rules_alike(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.batch(["link add ndp1 type veth peer name ndp1p"])
    container = containers.of(pod)
    rule = ("--rule", "from 10.1.0.0/24 table 7 priority 9")
    mover.attach(container, *identity(mover.host), *rule).ok()
    mover.attach(container, *identity(mover.host, "ndp1"), *rule, device="ndp1").ok()
    assert len(rules(pod, "-4")) == 2
    mover.detach(container).ok()
    assert len(rules(pod, "-4")) == 1
    mover.detach(container, device="ndp1").ok()
    assert_same(pod, own)


def test_a_rule_that_asks_for_less_than_another_goes_as_well(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    selectors = ("from 10.1.0.0/24 table 7", "from 10.1.0.0/24 iif self table 7")
    for order, *ends in itertools.product(
        itertools.permutations(selectors), ("", " priority 9"), ("", " priority 9")
    ):
        pair = [("--rule", selector + end) for selector, end in zip(order, ends, strict=True)]
        mover.attach(container, *identity(mover.host), *pair[0], *pair[1]).ok()
        assert len(rules(pod, "-4")) == 2
        mover.detach(container).ok()
        assert rules(pod, "-4") == []
    assert_same(pod, own)


def test_a_device_that_fails_leaves_the_rule_of_another_alone(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.batch(["link add ndp1 type veth peer name ndp1p"])
    container = containers.of(pod)
    rule = ("--rule", "from 10.1.0.0/24 table 7 priority 9")
    mover.attach(container, *identity(mover.host), *rule).ok()
    broken = (*rule, "--route", "10.98.0.0/16 via 172.31.0.1")
    result = mover.attach(container, *identity(mover.host, "ndp1"), *broken, device="ndp1")
    assert result.code == 1
    assert len(rules(pod, "-4")) == 1
    mover.detach(container).ok()
    assert_same(pod, own)


def test_neighbours_are_there_for_good_and_go_with_the_link(
    mover: Mover, pod: Netns, lent: Container
) -> None:
    args = (
        *("--neighbour", "10.1.0.1 lladdr 02:00:00:00:00:99"),
        *("--neighbour", "2001:db8:1::1 lladdr 02:00:00:00:00:98"),
        *("--neighbour", "proxy 10.1.0.77", "--neighbour", "proxy 2001:db8:1::77"),
    )
    mover.attach(lent, *identity(mover.host), *args).ok()
    permanent = pod.json("neigh", "show", "nud", "permanent", "dev", DEVICE)
    assert {(entry["dst"], entry["lladdr"]) for entry in permanent} == {
        ("10.1.0.1", "02:00:00:00:00:99"),
        ("2001:db8:1::1", "02:00:00:00:00:98"),
    }
    proxies = pod.json("neigh", "show", "proxy", "dev", DEVICE)
    assert {entry["dst"] for entry in proxies} == {"10.1.0.77", "2001:db8:1::77"}


@pytest.mark.parametrize("scope", ["global", "link", "host"])
def test_a_route_has_the_scope_that_it_asks_for(
    scope: str, mover: Mover, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *identity(mover.host), "--route", f"10.99.0.0/16 scope {scope}").ok()
    (route,) = pod.json("-4", "route", "show", "10.99.0.0/16", "table", "all")
    assert route["scope"] == scope


def test_a_gateway_takes_the_place_of_the_pods_own(
    mover: Mover, pod: Netns, lent: Container
) -> None:
    args = ("--gateway", "--route", "default via 10.1.0.1", "--route", "default via 2001:db8:1::1")
    mover.attach(lent, *identity(mover.host), *args).ok()
    assert defaults(pod) == [f"10.1.0.1 {DEVICE}", "10.244.0.2 eth0"]
    assert defaults(pod, "-6") == [f"2001:db8:1::1 {DEVICE}"]
    assert defaults(pod, "-4", "table", "100") == ["10.244.0.3 eth0"]


def test_a_gateway_of_a_worse_metric_is_the_only_one_all_the_same(
    mover: Mover, pod: Netns, lent: Container
) -> None:
    args = ("--gateway", "--route", "default via 10.1.0.1 metric 60")
    mover.attach(lent, *identity(mover.host), *args).ok()
    assert defaults(pod) == [f"10.1.0.1 {DEVICE}"]
    assert defaults(pod, "-6") == ["fd00:244::1 eth0"]


def test_a_gateway_may_be_of_another_table(mover: Mover, pod: Netns, lent: Container) -> None:
    args = ("--gateway", "--route", "default via 10.1.0.1 table 100")
    mover.attach(lent, *identity(mover.host), *args).ok()
    assert defaults(pod, "-4", "table", "100") == [f"10.1.0.1 {DEVICE}"]
    assert defaults(pod) == ["10.244.0.1 eth0", "10.244.0.2 eth0"]


def test_equal_cost_default_routes_of_the_pods_come_back(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    pod.batch(
        [
            *OWN[:5],
            "route add default metric 7 nexthop via 10.244.0.1 weight 3 nexthop via 10.244.0.2",
            "route add default metric 7 nexthop via fd00:244::1 weight 3 nexthop via fd00:244::2",
            "nexthop add id 9 via 10.244.0.9 dev eth0",
            "route add default nhid 9 metric 8",
            "route add blackhole default metric 9",
        ]
    )
    own = settled(pod)
    make_up(mover.host)
    container = containers.of(pod)
    routes = ("default via 10.1.0.1 metric 10", "default via 2001:db8:1::1 metric 10")
    args = ("--gateway", "--route", routes[0], "--route", routes[1])
    mover.attach(container, *identity(mover.host), *args).ok()
    assert defaults(pod) == [f"10.1.0.1 {DEVICE}"]
    assert defaults(pod, "-6") == [f"2001:db8:1::1 {DEVICE}"]
    mover.detach(container).ok()
    assert_same(pod, own)


@pytest.fixture
def gateway(mover: Mover, pod: Netns, lent: Container) -> Iterator[Container]:
    """A pod whose default route is one of a device, and a second device for it."""
    routes = ("default via 10.1.0.1 metric 60", "default via 2001:db8:1::1")
    args = ("--gateway", "--route", routes[0], "--route", routes[1])
    mover.attach(lent, *identity(mover.host), *args).ok()
    mover.host.batch(["link add ndp1 type veth peer name ndp1p"])
    yield lent
    mover.host.ip("link", "del", "ndp1")


@pytest.mark.parametrize("route", ["default via 10.8.0.1 metric 60", "default via 2001:db8:8::1"])
def test_the_place_of_another_devices_gateway_cannot_be_taken(
    route: str, mover: Mover, pod: Netns, gateway: Container
) -> None:
    seen = settled(pod)
    args = ("--address", "10.8.0.5/24", "--address", "2001:db8:8::5/64", "--gateway")
    for more in ((), ("--gateway",)):
        result = mover.attach(
            gateway,
            *identity(mover.host, "ndp1"),
            *args[:4],
            *more,
            "--route",
            route,
            device="ndp1",
        )
        assert result.code == 1
        assert "by another device's --gateway; ask for another metric" in result.reason
        assert_same(pod, seen)


@pytest.mark.parametrize("first", [DEVICE, "ndp1"])
@pytest.mark.parametrize("metric", [10, 70])
def test_two_gateways_may_leave_in_any_order(
    first: str, metric: int, mover: Mover, pod: Netns, gateway: Container
) -> None:
    args = ("--address", "10.8.0.5/24", "--gateway", "--route")
    route = f"default via 10.8.0.1 metric {metric}"
    mover.attach(gateway, *identity(mover.host, "ndp1"), *args, route, device="ndp1").ok()
    both = [f"10.1.0.1 {DEVICE}", "10.8.0.1 ndp1"]
    assert defaults(pod) == (both if metric > 60 else both[::-1])
    mover.detach(gateway, device=first).ok()
    own = ["10.244.0.1 eth0", "10.244.0.2 eth0"]
    if first == DEVICE:
        place = 1 if metric < 50 else 2
        assert defaults(pod) == [*own[:place], both[1], *own[place:]]
        mover.detach(gateway, device="ndp1").ok()
        assert defaults(pod) == own
    else:
        assert defaults(pod) == [both[0]]


@pytest.mark.parametrize(
    "route",
    [
        "default via 10.1.0.1",
        "default via 10.1.0.1 metric 50",
        "default via 10.1.0.1 table 100",
        "default via 2001:db8:1::1",
        "default via 2001:db8:1::1 metric 1024",
    ],
)
def test_a_default_route_where_the_pod_has_one_is_refused_before_anything_is_touched(
    route: str, mover: Mover, lent: Container
) -> None:
    result = mover.attach(lent, *identity(mover.host), "--route", route)
    assert result.code == 1
    assert "look for default routes in the pod: the pod has the route default via" in result.reason
    assert "--gateway" in result.reason
    assert not mover.pin().exists()


def test_a_default_route_beside_the_pods_needs_no_gateway(
    mover: Mover, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *identity(mover.host), "--route", "default via 10.1.0.1 metric 70").ok()
    assert defaults(pod) == ["10.244.0.1 eth0", "10.244.0.2 eth0", f"10.1.0.1 {DEVICE}"]


ALL = (
    *("--as", "net1", "--address", "10.7.0.5/24", "--address", "2001:db8:7::5/64"),
    *("--gateway", "--route", "default via 10.7.0.1", "--route", "default via 2001:db8:7::1"),
    *("--route", "10.99.0.0/16 via 10.7.0.1 table 7", "--rule", "from 10.7.0.5 table 7"),
    *("--rule", "iif self table 7 priority 9", "--rule", "fwmark 7 table 100 priority 301"),
    *("--neighbour", "10.7.0.1 lladdr 02:00:00:00:00:99", "--neighbour", "proxy 10.7.0.77"),
)


def test_a_second_container_of_the_pod_finds_it_and_the_last_one_takes_it_back(
    mover: Mover, pod: Netns, lent: Container, containers: Containers
) -> None:
    args = (*identity(mover.host), *ALL)
    mover.attach(lent, *args).ok()
    seen = settled(pod)
    second = containers.of(pod)
    mover.attach(second, *args).ok()
    assert_same(pod, seen)
    mover.detach(second).ok()
    assert_same(pod, seen)


def test_what_a_second_container_asks_for_changes_nothing(
    mover: Mover, pod: Netns, lent: Container, containers: Containers
) -> None:
    args = identity(mover.host)
    mover.attach(lent, *args, *ALL).ok()
    seen, record = settled(pod), mover.record().text
    other = ("--address", "10.8.0.5/24", "--mtu", "1280", "--rule", "from 10.8.0.5 table 8")
    second = containers.of(pod)
    mover.attach(second, *args, "--as", "net1", *other, "--vlan", "5", "--vrf", "blue table 8").ok()
    assert_same(pod, seen)
    mover.detach(second).ok()
    assert mover.record().text == record


def test_a_record_that_an_older_mover_wrote_anew_brings_the_link_home(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), *ALL).ok()
    new = ("pod.rule=", "pod.default=", "pod.vlan=", "pod.vrf=", "link.ethtool=")
    lines = mover.record().text.splitlines(keepends=True)
    path = mover.run_dir / "attachments" / DEVICE
    path.write_text("".join(line for line in lines if not line.startswith(new)))
    assert path.read_text() != "".join(lines)
    mover.detach(container).ok()
    assert_same(mover.host, before)
    assert len(rules(pod, "-4")) == 3  # nobody knows of them


def test_an_ipv6_address_is_usable_at_once(mover: Mover, pod: Netns, lent: Container) -> None:
    pod.sysctl("ipv6/conf/default/accept_dad", "1")
    args = (*identity(mover.host), "--address", "2001:db8:7::5/64")
    mover.attach(lent, *args, "--route", "2001:db8:8::/48 src 2001:db8:7::5").ok()
    shown = pod.ip("-6", "-o", "addr", "show", "dev", DEVICE, "to", "2001:db8:7::5")
    assert "2001:db8:7::5/64" in shown
    assert "tentative" not in shown
    pod.sysctl("ipv6/conf/default/accept_dad", "0")


def test_what_the_pod_did_away_with_meanwhile_is_no_failure(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), *ALL).ok()
    pod.batch(["rule del priority 9", "route del default dev net1", "link del eth0"])
    pod.ip("-6", "rule", "del", "priority", "9")
    mover.detach(container).ok()
    assert_same(mover.host, before)
    assert (rules(pod, "-4"), rules(pod, "-6"), defaults(pod)) == ([], [], [])
    assert mover.leftovers() == []


def test_a_default_route_that_the_pod_chose_meanwhile_stays_the_first(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    route = ("--gateway", "--route", "default via 10.1.0.1")
    mover.attach(container, *identity(mover.host), *route).ok()
    pod.batch(["route replace default via 10.244.0.9 dev eth0"])
    mover.detach(container).ok()
    assert defaults(pod) == ["10.244.0.9 eth0", "10.244.0.1 eth0", "10.244.0.2 eth0"]


def test_a_link_that_the_pod_destroyed_leaves_nothing_of_ours(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), *ALL).ok()
    pod.ip("link", "del", "net1")
    mover.detach(container)
    assert mover.record().one("phase") == "lost"
    assert_same(pod, own)


def test_a_pod_whose_processes_are_gone_gives_the_link_back(
    mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host), *ALL).ok()
    container.end()
    mover.detach(container).ok()
    assert_same(mover.host, before)
    assert mover.leftovers() == []


def test_an_attach_that_fails_at_its_very_end_leaves_host_and_pod_as_they_were(
    mover: Mover, pod: Netns, own: Dump, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    args = (*identity(mover.host), *ALL)
    mover.attach(container, *args).ok()
    pages = len(mover.record().text) // 4096 + 1
    mover.detach(container).ok()
    # Room for the record, but not for the next one beside it.
    size = f"size={(2 * pages - 1) * 4096}"
    directory = str(mover.run_dir / "attachments")
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", directory], check=True)
    result = mover.attach(container, *args)
    assert result.code == 1
    assert "write the record: No space left on device" in result.reason
    assert_same(mover.host, before)
    assert_same(pod, own)


REFUSED = {
    "a neighbour's MAC too long": ("--neighbour", "10.7.0.2 lladdr 02:00:00:00:00:00:00:01"),
    "a neighbour's MAC too short": ("--neighbour", "10.7.0.2 lladdr 02:00"),
    "a neighbour twice": ("--neighbour", "10.7.0.1 lladdr 02:00:00:00:00:01"),
    "a gateway out of reach": ("--route", "10.98.0.0/16 via 172.31.0.1"),
    "a scope that the gateway cannot have": ("--route", "10.98.0.0/16 via 10.7.0.1 scope host"),
    # With a kernel that has both, at the route.
    "a VLAN or VRF that the kernel does not have": (
        *("--vrf", "blue table 10", "--vlan", "4000"),
        *("--route", "10.98.0.0/16 via 172.31.0.1"),
    ),
    "a VLAN's name that is taken": ("--vlan", "7 name eth0"),
    "a VRF's name that is taken": ("--vrf", "eth0 table 10"),
}


@pytest.mark.parametrize("args", REFUSED.values(), ids=REFUSED.keys())
def test_a_step_that_fails_leaves_host_and_pod_as_they_were(
    args: tuple[str, ...], mover: Mover, own: Dump, lent: Container
) -> None:
    before = settled(mover.host)
    result = mover.attach(lent, *identity(mover.host), *ALL, *args)
    assert result.code == 1
    assert result.reason == f"netdevice-mover: {DEVICE}: {mover.error()}"
    assert_same(mover.host, before)
    assert_same(lent.netns, own)
    assert mover.leftovers() == [f"errors/{DEVICE}"]
