"""Rings, channels and features of NICs: as asked for in the pod, as they were at home."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.kernel.mover.driver import set_feature, set_numbers, settings
from tests.kernel.mover.dump import Dump, assert_same, difference, eventually, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers, Result
from tests.vm.nics import HOST, Nic, Nics, dress
from tests.vm.node import Node

CHECKSUM = "tx-checksum-ip-generic"
WANTED: dict[str, dict[str, int]] = {
    "pf0": {"ring/rx": 512, "ring/tx": 1024, "channels/combined": 1, "feature/rx-gro": 0},
    "vf0": {"ring/rx": 128, "ring/tx": 512, f"feature/{CHECKSUM}": 0},
    "virtio": {"feature/tx-nocache-copy": 1, "feature/rx-gro": 0},
}


def options(wanted: dict[str, int]) -> tuple[str, ...]:
    """The arguments that ask for them."""
    words = []
    for key, number in wanted.items():
        group, _, name = key.partition("/")
        value = ("off", "on")[number] if group == "feature" else str(number)
        words.append(f"--{group}={name}={value}")
    return tuple(words)


def found(there: Dump, keys: dict[str, int]) -> dict[str, object]:
    """Of what a driver is set to, those that are asked for."""
    values = {key: there[key] for key in keys}
    return {key: v["active"] if isinstance(v, dict) else v for key, v in values.items()}


def spoil(container: Container, name: str) -> None:
    """What a pod can do to the settings that were asked for; not those alone."""
    if name == "pf0":
        set_numbers(container.netns, DEVICE, "channels", combined=2)
    if name != "virtio":
        set_numbers(container.netns, DEVICE, "ring", rx=256, tx=256)
    set_feature(container.netns, DEVICE, "rx-gro", True)


def complete() -> Dump:
    """The host, with what the driver of `ndp0` is set to."""
    return {**settled(HOST), **settings(HOST, DEVICE)}


def assert_driver(before: Dump) -> Dump:
    """The driver of `ndp0` is set to what it was; returns that."""
    driver = settings(HOST, DEVICE)
    assert difference({key: before[key] for key in driver}, driver) == []
    return driver


def assert_home(node: Node, before: Dump) -> None:
    """All is as it was: links, what hangs on them, and the driver of `ndp0`."""
    driver = assert_driver(before)
    assert_same(HOST, {key: before[key] for key in before.keys() - driver.keys()})
    assert node.mover.leftovers() == []


@pytest.fixture(params=list(WANTED))
def nic(request: pytest.FixtureRequest, all_nics: Nics) -> Iterator[Nic]:
    """A NIC that is called `ndp0` and has a bit of everything."""
    taken: Nic = getattr(all_nics, request.param)
    HOST.ip("link", "set", taken.link, "name", DEVICE)
    dress()
    yield taken
    assert eventually(HOST, lambda: bool(taken.link)), f"{taken.name} did not come home"
    taken.reset()


def test_a_nic_is_set_as_asked_in_the_pod_and_at_home_what_it_was(
    nic: Nic, node: Node, containers: Containers
) -> None:
    before = complete()
    wanted = WANTED[nic.name]
    assert not found(before, wanted).items() & wanted.items()  # or nothing would be shown
    container = containers.alone()
    node.offer().attach(container, *options(wanted)).ok()
    assert found(settings(container.netns, DEVICE), wanted) == wanted
    spoil(container, nic.name)
    container.end()
    node.mover.detach(container).ok()
    assert_home(node, before)


@pytest.mark.parametrize("nic", ["pf0"], indirect=True)
def test_a_nic_that_fell_back_to_the_host_has_its_settings_back(
    nic: Nic, node: Node, containers: Containers
) -> None:
    before = complete()
    container = containers.alone()
    node.offer().attach(container, *options(WANTED[nic.name])).ok()
    HOST.run("umount", node.mover.pin())  # or its namespace would outlive it
    container.end()
    assert eventually(HOST, lambda: bool(nic.link))
    node.mover.reclaim().ok()
    assert_home(node, before)


REFUSED = {
    "more than there is room for": (
        ("--ring=rx=512", "--ring=tx=4097"),
        "look at the link's driver: ring tx=4097, where it has at most 4096: Invalid argument",
    ),
    "a number that the driver rounds": (
        ("--channels=combined=1", "--ring=rx=100"),
        "change the link's driver in the pod: ring rx=100, of which the driver makes 104: ",
    ),
    "a ring that it does not have": (
        ("--ring=rx-jumbo=64",),
        "look at the link's driver: ring rx-jumbo=64, where it has at most 0: Invalid argument",
    ),
    "no channel": (
        ("--feature=rx-gro=off", "--channels=combined=0"),
        "change the link's driver in the pod: channels combined=0: Invalid argument",
    ),
}


@pytest.mark.parametrize("nic", ["pf0"], indirect=True)
@pytest.mark.parametrize(("args", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_nic_cannot_be_set_to_leaves_it_as_it_was(
    nic: Nic, args: tuple[str, ...], reason: str, node: Node, containers: Containers
) -> None:
    before = complete()
    result = node.offer().attach(containers.alone(), *args)
    assert result.code == 1
    assert reason in result.reason
    (node.run_dir / "errors" / DEVICE).unlink()
    assert_home(node, before)


@pytest.mark.parametrize("nic", ["pf0"], indirect=True)
@pytest.mark.parametrize("command", ["attach", "detach"])
def test_a_mover_that_is_killed_as_it_sets_a_nic_leaves_no_setting_of_the_pod(
    nic: Nic, command: str, node: Node, containers: Containers
) -> None:
    before = complete()
    offer = node.offer(mover=node.stepped)
    log = node.run_dir.parent / "steps"

    def lend(env: dict[str, str]) -> Result:
        container = containers.alone()
        attach_env = env if command == "attach" else None
        result = offer.attach(container, *options(WANTED[nic.name]), env=attach_env)
        container.end()
        if command == "detach":
            result = node.stepped.detach(container, env=env)
        node.mover.reclaim().ok()
        return result

    lend({"NDM_STEP_LOG": str(log)}).ok()
    steps = [line.split(" ")[:2] for line in log.read_text().splitlines()]
    numbers = [number for number, name in steps if name == "ethtool"]
    assert len(numbers) == 6  # before and after channels, ring, features
    for number in numbers:
        assert lend({"NDM_STEP_KILL": number}).code == -signal.SIGKILL
        assert_driver(before)  # all else waits for a carrier
    assert_home(node, before)


def test_sysctls_are_those_of_the_vlan(all_nics: Nics, node: Node, containers: Containers) -> None:
    container = containers.alone()
    offer = node.offer(all_nics.virtio.name)
    offer.attach(container, "--vlan=7 name net1", "--sysctl=ipv4/conf/rp_filter=2").ok()
    space = container.netns
    assert space.sysctl("ipv4/conf/net1/rp_filter") == "2"
    assert space.sysctl(f"ipv4/conf/{all_nics.virtio.name}/rp_filter") != "2"
    node.mover.detach(container, all_nics.virtio.name).ok()
