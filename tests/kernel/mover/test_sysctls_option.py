"""--sysctl sets what a link's files under /proc/sys/net say in the pod, and nowhere else."""

from __future__ import annotations

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, identity
from tests.kernel.mover.links import make, make_up
from tests.kernel.scratch import Netns

WANTED = {
    "ipv4/conf/rp_filter": "2",
    "ipv4/conf/arp_ignore": "1",
    "ipv4/neigh/base_reachable_time_ms": "12000",
    "ipv6/conf/accept_ra": "0",
    "ipv6/conf/keep_addr_on_down": "-1",
    "ipv6/conf/addr_gen_mode": "1",
    "ipv6/neigh/gc_stale_time": "77",
}


def options(wanted: dict[str, str]) -> tuple[str, ...]:
    """The arguments that ask for them."""
    return tuple(word for key, value in wanted.items() for word in ("--sysctl", f"{key}={value}"))


def found(space: Netns, link: str, keys: dict[str, str]) -> dict[str, str]:
    """What the link's files say."""
    files = {key: key.rpartition("/") for key in keys}
    return {key: space.sysctl(f"{area}/{link}/{file}") for key, (area, _, file) in files.items()}


def test_settings_are_as_asked_in_the_pod_and_as_they_were_at_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.sysctl(f"ipv4/conf/{DEVICE}/rp_filter", "1")
    before = settled(mover.host)
    container = containers.of(pod)
    args = ("--as", "net1", "--mtu", "1350", *options(WANTED))
    mover.attach(container, *identity(mover.host), *args).ok()
    assert found(pod, "net1", WANTED) == WANTED
    assert pod.sysctl("ipv4/conf/default/rp_filter") != "2"
    assert found(pod, "lo", {"ipv4/conf/arp_ignore": ""}) == {"ipv4/conf/arp_ignore": "0"}
    mover.detach(container).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_ipv6_can_be_switched_off_for_the_link(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    off = {"ipv6/conf/disable_ipv6": "1"}
    mover.attach(container, *identity(mover.host), *options(off)).ok()
    assert found(pod, DEVICE, off) == off
    assert pod.json("-6", "addr", "show", "dev", DEVICE) == []
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_settings_of_ipv6_can_be_had_of_a_link_whose_mtu_was_too_small_for_it(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make(mover.host, "veth", f"link set {DEVICE} mtu 1000 up")
    before = settled(mover.host)
    container = containers.of(pod)
    wanted = {"ipv6/conf/accept_ra": "0"}
    mover.attach(container, *identity(mover.host), "--mtu", "1400", *options(wanted)).ok()
    assert found(pod, DEVICE, wanted) == wanted
    mover.detach(container).ok()
    assert_same(mover.host, before)


REFUSED = {
    "ipv4/conf/warp=1": "No such file or directory",
    "ipv6/neigh/rp_filter=1": "No such file or directory",
    "ipv4/conf/rp_filter=high": "Invalid argument",
    "ipv6/conf/addr_gen_mode=9": "Invalid argument",
}


@pytest.mark.parametrize(("setting", "reason"), REFUSED.items(), ids=REFUSED.keys())
def test_a_setting_that_the_kernel_refuses_leaves_the_link_on_the_host(
    setting: str, reason: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    pod_before = settled(pod)
    args = ("--sysctl", "ipv4/conf/arp_ignore=1", "--sysctl", setting)
    result = mover.attach(containers.of(pod), *identity(mover.host), *args)
    assert result.code == 1
    path, _, value = setting.partition("=")
    area, _, key = path.rpartition("/")
    line = f"/proc/sys/net/{area}/{DEVICE}/{key}={value}: {reason}"
    assert result.reason == (
        f"netdevice-mover: {DEVICE}: change the link's settings in the pod: {line}"
    )
    assert_same(mover.host, before)
    assert_same(pod, pod_before)
