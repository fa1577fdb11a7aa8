"""What a pod does to the link that it was lent stays in the pod."""

from __future__ import annotations

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers, Mover, identity
from tests.kernel.mover.links import KINDS, make_up
from tests.kernel.scratch import Netns, netns

CHANGES = {
    "renames it": [f"link set {DEVICE} down", f"link set {DEVICE} name eth7"],
    "gives it the name of a host's link": [
        f"link set {DEVICE} down",
        f"link set {DEVICE} name up0",
    ],
    "swaps its name with its own link's": [
        f"link set {DEVICE} down",
        f"link set {DEVICE} name eth7",
        f"link add {DEVICE} type veth peer name decoy",
    ],
    "changes its MAC": [f"link set {DEVICE} address 02:00:00:00:be:ef"],
    "changes its MTU": [f"link set {DEVICE} mtu 1300"],
    "changes its MTU to less than IPv6 needs": [f"link set {DEVICE} mtu 1000"],
    "changes its alias": [f'link set {DEVICE} alias "mine now"'],
    "adds an altname": [f"link property add dev {DEVICE} altname mine"],
    "adds an altname that a host's link has": [f"link property add dev {DEVICE} altname up0"],
    "adds its own name as an altname": [
        f"link set {DEVICE} down",
        f"link set {DEVICE} name eth7",
        f"link property add dev eth7 altname {DEVICE}",
    ],
    "changes its queue": [f"link set {DEVICE} txqueuelen 3 group 9"],
    "adds addresses": [
        f"addr add 172.16.0.1/12 dev {DEVICE}",
        f"addr add 2001:db8:9::1/64 dev {DEVICE}",
    ],
    "adds a default route": [f"route add default via 10.1.0.1 dev {DEVICE}"],
    "takes its addresses": [f"addr flush dev {DEVICE}"],
    "makes it promiscuous": [f"link set {DEVICE} promisc on allmulticast on"],
    "switches ARP and multicast off": [f"link set {DEVICE} arp off multicast off"],
    "sets it down": [f"link set {DEVICE} down"],
    "generates no addresses": [f"link set {DEVICE} addrgenmode none"],
    "sets a token": [f"token set ::7 dev {DEVICE}"],
    "adds neighbours": [f"neigh add 10.1.0.9 lladdr 02:00:00:00:00:01 dev {DEVICE} nud permanent"],
    "stacks a link on it": [f"link add link {DEVICE} name stacked type macvlan mode bridge"],
    "puts it under a bridge": ["link add br0 type bridge", f"link set {DEVICE} master br0"],
}


@pytest.mark.parametrize("commands", CHANGES.values(), ids=CHANGES.keys())
def test_what_the_pod_does_does_not_leak(
    commands: list[str], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", f"link property add dev {DEVICE} altname kept")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    pod.batch(commands)
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_many_changes_leaks(
    kind: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, kind)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    pod.batch(
        [
            f"link set {DEVICE} down",
            *([f"link set {DEVICE} address 02:00:00:00:be:ef"] if kind != "ifb" else []),
            f"link set {DEVICE} mtu 1300 txqueuelen 3 group 9",
            f"link set {DEVICE} promisc on allmulticast on alias mine",
            f"link property add dev {DEVICE} altname up0",
            f"link set {DEVICE} name lent0",
            "link set lent0 up",
            "addr add 172.16.0.1/12 dev lent0",
        ]
    )
    pod.sysctl("ipv4/conf/lent0/rp_filter", "2")
    pod.sysctl("ipv6/conf/lent0/accept_ra", "0")
    pod.sysctl("ipv6/conf/lent0/stable_secret", "2001:db8::1")
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_the_pods_own_defaults_do_not_come_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    pod.sysctl("ipv4/conf/default/rp_filter", "2")
    pod.sysctl("ipv4/conf/default/forwarding", "1")
    pod.sysctl("ipv6/conf/default/accept_ra", "0")
    pod.sysctl("ipv6/conf/default/hop_limit", "7")
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_the_pods_other_links_are_left_alone(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    pod.batch(["link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up"])
    pod.batch(["addr add 10.244.0.7/24 dev eth0", "route add default via 10.244.0.1"])
    make_up(mover.host)
    before = settled(pod)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(container).ok()
    assert_same(pod, before)


def test_a_link_that_the_pod_deleted_is_lost(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    pod.ip("link", "del", DEVICE)
    assert_lost(mover, container)


def test_a_link_that_the_pod_gave_away_is_lost(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    with netns("third") as third:
        pod.ip("link", "set", DEVICE, "netns", third.name)
        assert_lost(mover, container)


def test_a_link_that_was_away_from_the_pod_and_got_another_number_there_comes_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), "--as", "net1").ok()
    number = pod.links()["net1"]["ifindex"]
    with netns("third") as third:
        pod.ip("link", "set", "net1", "netns", third.name)
        pod.ip("link", "add", "index", str(number), "other0", "type", "ifb")
        third.ip("link", "set", "net1", "netns", pod.name)
    assert pod.links()["net1"]["ifindex"] != number
    container.end()
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def assert_lost(mover: Mover, container: Container) -> None:
    """Detach says so without failing the runtime; reclaim says so, and forgets it when told."""
    container.end()
    result = mover.detach(container)
    assert result.code == 0, result
    assert DEVICE in result.reason
    assert result.reason == f"netdevice-mover: {DEVICE}: {mover.error()}"
    assert mover.record().one("phase") == "lost"
    assert mover.record().one("error")
    again = mover.reclaim()
    assert again.code == 4, again
    assert DEVICE in again.reason
    forgotten = mover.reclaim("--forget")
    assert forgotten.code == 0, forgotten
    assert not (mover.run_dir / "attachments" / DEVICE).exists()
    assert not mover.pin().exists()


def test_a_lost_link_that_is_on_the_host_again_is_found(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    with netns("third") as third:
        pod.ip("link", "set", DEVICE, "netns", third.name)
        assert mover.detach(container).code == 0
        assert mover.record().one("phase") == "lost"
        third.ip("link", "set", DEVICE, "netns", mover.host.name)
    assert mover.reclaim().code == 0
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_link_that_the_pod_put_back_itself_is_restored(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), "--as", "net1").ok()
    pod.ip("link", "set", "net1", "netns", mover.host.name)
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)
