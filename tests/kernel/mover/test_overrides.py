"""What the arguments ask for is in the pod; what the host had is back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, identity
from tests.kernel.mover.links import KINDS, MAC, make_up
from tests.kernel.scratch import Netns


@pytest.fixture
def lent(mover: Mover, pod: Netns, containers: Containers) -> Iterator[Container]:
    """A container for the link; whatever was attached comes home as it was."""
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    yield container
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def addresses(space: Netns) -> list[tuple[str, int]]:
    """The link's addresses but for the link-local one."""
    (link,) = space.json("addr", "show", "dev", DEVICE)
    return [
        (entry["local"], entry["prefixlen"])
        for entry in link["addr_info"]
        if entry["scope"] == "global"
    ]


def route(space: Netns, destination: str, *args: str) -> dict[str, Any]:
    """The single route to that destination."""
    family = "-6" if ":" in destination else "-4"
    found = space.json(family, "route", "show", *args)
    (entry,) = (entry for entry in found if entry["dst"] == destination)
    return entry


def test_as_names_it_in_the_pod(mover: Mover, pod: Netns, lent: Container) -> None:
    mover.attach(lent, *identity(mover.host), "--as", "net1").ok()
    assert "net1" in pod.links()
    assert DEVICE not in pod.links()


def test_mtu_holds_in_the_pod(mover: Mover, pod: Netns, lent: Container) -> None:
    mover.attach(lent, *identity(mover.host), "--mtu", "1300").ok()
    assert pod.links()[DEVICE]["mtu"] == 1300


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "veth"])
def test_mtu_and_mac_hold_for_every_kind(
    kind: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, kind)
    before = settled(mover.host)
    container = containers.of(pod)
    mac = MAC if kind == "ifb" else "02:00:00:00:be:ef"  # ifb's cannot be changed
    args = ("--mtu", "1300", "--as", "net1", *(("--mac", mac) if kind != "ifb" else ()))
    mover.attach(container, *identity(mover.host), *args).ok()
    link = pod.links()["net1"]
    assert (link["mtu"], link["address"]) == (1300, mac)
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_mac_holds_in_the_pod(mover: Mover, pod: Netns, lent: Container) -> None:
    mover.attach(lent, *identity(mover.host), "--mac", "02:00:00:00:BE:EF").ok()
    assert pod.links()[DEVICE]["address"] == "02:00:00:00:be:ef"


def test_addresses_replace_the_hosts(mover: Mover, pod: Netns, lent: Container) -> None:
    args = ("--address", "10.7.0.1/24", "--address", "10.8.0.1/32", "--address", "fd00::7/64")
    mover.attach(lent, *identity(mover.host), *args).ok()
    assert addresses(pod) == [("10.7.0.1", 24), ("10.8.0.1", 32), ("fd00::7", 64)]


def test_no_addresses_means_no_inherited_routes_either(
    mover: Mover, pod: Netns, lent: Container
) -> None:
    mover.attach(lent, *identity(mover.host), "--no-addresses").ok()
    assert addresses(pod) == []
    assert pod.json("-4", "route", "show", "table", "all", "dev", DEVICE) == []


def test_a_default_route_goes_through_the_link(mover: Mover, pod: Netns, lent: Container) -> None:
    args = ("--route", "default via 10.1.0.1", "--route", "default via fe80::1")
    mover.attach(lent, *identity(mover.host), *args).ok()
    assert route(pod, "default")["gateway"] == "10.1.0.1"
    (six,) = (r for r in pod.json("-6", "route", "show") if r["dst"] == "default")
    assert six["gateway"] == "fe80::1"


def test_routes_replace_the_inherited_ones(mover: Mover, pod: Netns, lent: Container) -> None:
    mover.attach(lent, *identity(mover.host), "--route", "10.99.0.0/16 via 10.1.0.2").ok()
    destinations = {entry["dst"] for entry in pod.json("-4", "route", "show")}
    assert destinations == {"10.1.0.0/24", "10.99.0.0/16"}


def test_a_route_has_all_that_it_asks_for(mover: Mover, pod: Netns, lent: Container) -> None:
    args = (
        "--address",
        "10.1.0.5/24",
        "--address",
        "10.1.0.6/24",
        "--route",
        "10.99.0.0/16 via 172.31.0.1 src 10.1.0.6 metric 50 table 100 onlink",
    )
    mover.attach(lent, *identity(mover.host), *args).ok()
    entry = route(pod, "10.99.0.0/16", "table", "100")
    assert entry["gateway"] == "172.31.0.1"
    assert entry["prefsrc"] == "10.1.0.6"
    assert entry["metric"] == 50
    assert "onlink" in entry["flags"]


def test_an_ipv6_route_has_all_that_it_asks_for(mover: Mover, pod: Netns, lent: Container) -> None:
    wanted = "2001:db8:99::/48 via 2001:db8:1::1 src 2001:db8:1::5 metric 50 table 100"
    mover.attach(lent, *identity(mover.host), "--route", wanted).ok()
    entry = route(pod, "2001:db8:99::/48", "table", "100")
    assert entry["gateway"] == "2001:db8:1::1"
    assert entry["prefsrc"] == "2001:db8:1::5"
    assert entry["metric"] == 50


def test_a_route_may_need_another_one_of_them(mover: Mover, pod: Netns, lent: Container) -> None:
    args = ("--route", "172.31.0.1", "--route", "default via 172.31.0.1", "--no-addresses")
    mover.attach(lent, *identity(mover.host), "--route", "172.31.0.1/32", *args[2:]).ok()
    assert route(pod, "default")["gateway"] == "172.31.0.1"


def test_all_of_them_at_once(mover: Mover, pod: Netns, lent: Container) -> None:
    args = (
        *("--as", DEVICE, "--mtu", "1280", "--mac", "02:00:00:00:be:ef"),
        *("--address", "10.7.0.1/24", "--address", "fd00::7/64"),
        *("--route", "default via 10.7.0.254", "--route", "default via fd00::1 metric 7"),
    )
    mover.attach(lent, *identity(mover.host), *args).ok()
    link = pod.links()[DEVICE]
    assert (link["mtu"], link["address"]) == (1280, "02:00:00:00:be:ef")
    assert addresses(pod) == [("10.7.0.1", 24), ("fd00::7", 64)]
    assert route(pod, "default")["gateway"] == "10.7.0.254"


def test_as_may_be_an_altname_of_the_link(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host, "veth", f"link property add dev {DEVICE} altname enp3s0f0np0")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), "--as", "enp3s0f0np0").ok()
    assert "enp3s0f0np0" in pod.links()
    mover.detach(container).ok()
    assert_same(mover.host, before)
