"""Everything that can be set on a link on the host is there again when it comes home."""

from __future__ import annotations

import time

import pytest

from tests.kernel.mover.configurations import COMMANDS, SETTINGS
from tests.kernel.mover.dump import assert_same, difference, glance, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, identity
from tests.kernel.mover.links import KINDS, RICH, make, make_other, make_up
from tests.kernel.scratch import Netns


def assert_round_trip(mover: Mover, pod: Netns, containers: Containers) -> None:
    """The link goes into a pod and comes home, and the host is as it was."""
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    container.end()
    mover.detach(container).ok()
    assert_same(mover.host, before)
    assert mover.leftovers() == []


def configure(host: Netns, path: str, values: dict[str, str]) -> None:
    """Set the link's settings below /proc/sys/net/PATH."""
    for key, value in values.items():
        host.sysctl(f"{path}/{DEVICE}/{key}", value)


@pytest.mark.parametrize("commands", COMMANDS.values(), ids=COMMANDS.keys())
def test_what_was_set_is_set_again(
    commands: list[str], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    make_other(mover.host)
    plain = settled(mover.host)
    mover.host.batch(commands)
    assert difference(plain, settled(mover.host)), "these commands change nothing"
    assert_round_trip(mover, pod, containers)


@pytest.mark.parametrize("path", SETTINGS)
def test_settings_of_the_link_are_set_again(
    path: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    configure(mover.host, path, SETTINGS[path])
    assert_round_trip(mover, pod, containers)


def test_a_link_without_ipv6_comes_home_without_it(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.sysctl(f"ipv6/conf/{DEVICE}/disable_ipv6", "1")
    assert_round_trip(mover, pod, containers)


def test_ipv6_comes_home_where_the_host_has_it_off_by_default(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    mover.host.sysctl("ipv6/conf/default/disable_ipv6", "1")
    make(mover.host, "veth")
    mover.host.sysctl(f"ipv6/conf/{DEVICE}/disable_ipv6", "0")
    mover.host.batch([f"link set {DEVICE} up", f"addr add 2001:db8:1::5/64 dev {DEVICE}"])
    assert_round_trip(mover, pod, containers)


def test_settings_do_not_follow_a_default_that_changed_before(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.sysctl("ipv4/conf/default/rp_filter", "2")
    mover.host.sysctl("ipv6/conf/default/accept_ra", "0")
    mover.host.sysctl("ipv6/conf/default/hop_limit", "9")
    assert_round_trip(mover, pod, containers)


def test_a_stable_secret_and_its_addresses_come_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.sysctl(f"ipv6/conf/{DEVICE}/stable_secret", "2001:db8::1234:5678:9abc:def0")
    mover.host.batch([f"link set {DEVICE} down", f"link set {DEVICE} up"])
    assert_round_trip(mover, pod, containers)


def test_an_ipv6_token_comes_home(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    mover.host.ip("token", "set", "::1:2:3:4", "dev", DEVICE)
    assert_round_trip(mover, pod, containers)


def test_lifetimes_run_on_while_the_link_is_lent(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    began = time.monotonic()
    mover.host.ip(
        "addr", "add", "10.3.0.1/24", "dev", DEVICE, "valid_lft", "1000", "preferred_lft", "500"
    )
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    path = mover.run_dir / "attachments" / DEVICE
    record = mover.record()
    earlier = int(record.one("recorded")) - 600
    path.write_text(record.text.replace(f"recorded={earlier + 600}", f"recorded={earlier}"))
    mover.detach(container).ok()
    (link,) = mover.host.json("addr", "show", "dev", DEVICE)
    (address,) = (a for a in link["addr_info"] if a["local"] == "10.3.0.1")
    passed = time.monotonic() - began
    assert 400 - passed - 2 <= address["valid_life_time"] <= 400  # each side counts whole seconds


def test_an_address_that_ran_out_while_the_link_was_lent_stays_away(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    for address in ("10.3.0.1/24", "2001:db8:3::1/64"):
        mover.host.ip(
            "addr", "add", address, "dev", DEVICE, "valid_lft", "100", "preferred_lft", "100"
        )
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    path = mover.run_dir / "attachments" / DEVICE
    record = mover.record()
    earlier = int(record.one("recorded")) - 600
    path.write_text(record.text.replace(f"recorded={earlier + 600}", f"recorded={earlier}"))
    mover.detach(container).ok()
    assert_same(mover.host, before)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_it_at_once_comes_home(
    kind: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, kind)
    make_other(mover.host)
    mover.host.batch(RICH)
    configure(mover.host, "ipv4/conf", {"arp_ignore": "2", "rp_filter": "2", "proxy_arp": "1"})
    configure(mover.host, "ipv6/conf", {"accept_ra": "0", "hop_limit": "33"})
    configure(mover.host, "ipv4/neigh", {"base_reachable_time_ms": "12345"})
    assert_round_trip(mover, pod, containers)


@pytest.mark.parametrize("name", ["a.b", "UPPER", "fifteen-letters", "ünï", "-dash", "a=b"])
def test_links_of_odd_names_come_home(
    name: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.ip("link", "set", "dev", DEVICE, "name", name)
    mover.host.sysctl(f"ipv4/conf/{name}/rp_filter", "2")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host, name)).ok()
    assert name in pod.links()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_text_of_the_link_cannot_write_into_the_record(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.ip("link", "set", DEVICE, "alias", "a\nphase=lost\n\\x41\t\x7f")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert mover.record().one("phase") == "attached"
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_a_link_with_many_addresses_and_routes_comes_home(
    fast_mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(
        fast_mover.host,
        "veth",
        *(f"addr add 10.3.{n // 200}.{n % 200 + 1}/32 dev {DEVICE}" for n in range(300)),
        *(f"addr add 2001:db8:3::{n + 1:x}/128 dev {DEVICE}" for n in range(100)),
        *(f"route add 10.{100 + n // 250}.{n % 250}.0/24 via 10.1.0.1" for n in range(1500)),
        *(f"route add 2001:db8:{n + 4096:x}::/48 via fe80::1 dev {DEVICE}" for n in range(200)),
    )
    assert_round_trip(fast_mover, pod, containers)


def test_a_link_with_more_routes_than_a_record_holds_stays_on_the_host(
    fast_mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(
        fast_mover.host,
        "veth",
        *(
            f"route add 10.{100 + n // 65536}.{n // 256 % 256}.{n % 256}/32 via 10.1.0.1"
            for n in range(40_000)
        ),
    )
    before = settled(fast_mover.host, glance)
    result = fast_mover.attach(containers.of(pod), *identity(fast_mover.host))
    assert result.code == 1
    assert "more" in result.reason
    assert_same(fast_mover.host, before, glance)
