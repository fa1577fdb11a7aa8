"""A link that cannot be as it was is home all the same, and gets there when it can."""

from __future__ import annotations

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, identity, mounts
from tests.kernel.mover.links import MAC, make_up
from tests.kernel.scratch import Netns

CLASHES = {
    "a link has its name": (
        [f"link add {DEVICE} type veth peer name clash1"],
        [f"link del {DEVICE}"],
    ),
    "an altname is its name": (
        [
            "link add clash0 type veth peer name clash1",
            f"link property add dev clash0 altname {DEVICE}",
        ],
        ["link del clash0"],
    ),
    "a link has its altname": (
        ["link add alternative type veth peer name clash1"],
        ["link del alternative"],
    ),
}


@pytest.mark.parametrize("end", ["pod lives", "pod died"])
@pytest.mark.parametrize(("clash", "cure"), CLASHES.values(), ids=CLASHES.keys())
def test_a_name_that_was_taken_meanwhile_strands_the_link_until_it_is_free(
    clash: list[str], cure: list[str], end: str, mover: Mover, containers: Containers
) -> None:
    make_up(mover.host, "veth", f"link property add dev {DEVICE} altname alternative")
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    mover.host.batch(clash)
    if end == "pod died":
        container.end()

    result = mover.detach(container)

    assert result.code == 0, result
    assert DEVICE in result.reason
    assert result.reason == f"netdevice-mover: {DEVICE}: {mover.error()}"
    assert mover.record().one("phase") == "stranded"
    assert mover.record().one("error")
    (home,) = (link for link in mover.host.links().values() if link["address"] == MAC)
    assert home["mtu"] == 1400
    mover.host.batch(cure)
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def names_of_one_link(name: str, *others: str) -> list[str]:
    """Commands that make a link with one name and others beside it."""
    altnames = [f"link property add dev {name} altname {other}" for other in others]
    return [f"link add {name} type veth peer name clash1", *altnames]


@pytest.mark.parametrize("spares", [1, 2, 12])
@pytest.mark.parametrize("end", ["pod lives", "pod died"])
def test_where_spare_names_are_taken_as_well_the_link_comes_home_under_another(
    end: str, spares: int, mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    number = mover.host.links()[DEVICE]["ifindex"]
    spare = [f"ndp{number}", *(f"ndp{number}-{i}" for i in range(1, 13))]
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    mover.host.batch(names_of_one_link(DEVICE, *spare[:spares]))
    if end == "pod died":
        container.end()

    result = mover.detach(container)

    assert result.code == 0, result
    assert "give the link its name back" in result.reason
    assert mover.record().one("phase") == "stranded"
    home = mover.host.links()[spare[spares]]
    assert (home["address"], home["ifindex"], home["mtu"]) == (MAC, number, 1400)
    assert mover.reclaim().code == 1
    mover.host.ip("link", "del", DEVICE)
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


@pytest.mark.parametrize("end", ["pod lives", "pod died"])
def test_a_link_that_gets_no_name_on_the_host_stays_pinned_until_there_is_one(
    end: str, mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    number = mover.host.links()[DEVICE]["ifindex"]
    spare = [f"ndp{number}", *(f"ndp{number}-{i}" for i in range(1, 100))]
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    mover.host.batch(names_of_one_link(DEVICE, *spare[:50]))
    mover.host.batch([f"link property add dev clash1 altname {name}" for name in spare[50:]])
    if end == "pod died":
        container.end()

    assert mover.detach(container).code == 0

    for _ in range(2):
        result = mover.reclaim()
        assert result.code == 1, result
        assert "move the link home: links on the host have its name" in result.reason
        assert mover.record().one("phase") == "returning"
        assert mounts(mover.run_dir) == [str(mover.pin())]
    mover.host.ip("link", "del", DEVICE)
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_link_whose_own_altname_is_the_spare_name_comes_home(
    mover: Mover, containers: Containers
) -> None:
    """The kernel moves it and then refuses the name: it is home, with an error."""
    make_up(mover.host)
    number = mover.host.links()[DEVICE]["ifindex"]
    mover.host.ip("link", "property", "add", "dev", DEVICE, "altname", f"ndp{number}")
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host), "--as", "net1").ok()
    mover.host.batch(names_of_one_link(DEVICE))
    container.end()
    assert mover.detach(container).code == 0
    assert mover.record().one("phase") == "stranded"
    assert "net1" in mover.host.links()
    mover.host.ip("link", "del", DEVICE)
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_the_next_attach_lends_a_stranded_link_once_it_can_be_as_it_was(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    first, second = containers.alone(), containers.of(pod)
    mover.attach(first, *args).ok()
    mover.host.ip("link", "add", DEVICE, "type", "veth", "peer", "name", "clash1")
    assert mover.detach(first).code == 0
    mover.host.ip("link", "del", DEVICE)
    mover.attach(second, *args).ok()
    assert DEVICE in pod.links()
    mover.detach(second).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_route_that_cannot_come_back_strands_the_link_with_all_else(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", "link add other0 type veth peer name other1", "link set other1 up")
    mover.host.sysctl("ipv6/conf/other0/disable_ipv6", "1")
    route = f"10.5.0.0/24 nexthop via 10.1.0.1 dev {DEVICE} nexthop via 10.2.0.1 dev other0"
    mover.host.batch(
        ["link set other0 up", "addr add 10.2.0.5/24 dev other0", f"route add {route}"]
    )
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.host.ip("link", "set", "other0", "down")
    result = mover.detach(container)
    assert result.code == 0, result
    assert "10.5.0.0/24" in result.reason
    assert mover.record().one("phase") == "stranded"
    mover.host.ip("link", "set", "other0", "up")
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("10.5.0.0/24 via 10.1.0.1", "10.5.0.0/24 via 192.0.2.7"),
        ("2001:db8:5::/48 via 2001:db8:1::1", "2001:db8:5::/48 via 2001:db8:ffff::7"),
    ],
    ids=["IPv4", "IPv6"],
)
def test_a_route_that_the_host_got_meanwhile_stays_beside_the_links_own(
    own: str, other: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", f"route add {own} dev {DEVICE}")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.host.batch([f"route add {other}"])
    mover.detach(container).ok()
    mover.host.batch([f"route del {other}"])  # fails if it is not there any more
    assert_same(mover.host, before)
