"""Features and channels are in the pod as asked for, and at home what they were.

Rings, and all of it on NICs: tests/vm/test_driver.py.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import pytest

from tests.kernel.mover.driver import is_on, set_feature, set_numbers, settings
from tests.kernel.mover.dump import Dump, assert_same, difference, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, Result, identity
from tests.kernel.mover.links import KINDS, MAC, make_up
from tests.kernel.scratch import Netns

GRO = "rx-gro"  # off on a veth
TSO = "tx-tcp-segmentation"
GATHER = "tx-scatter-gather"  # without it there is no TSO
LOOK = "look at the link's driver"
CHANGE = "change the link's driver in the pod"
SETTINGS = ("--channels", "rx=2", "--channels", "tx=3", "--feature", f"{GRO}=on")


def queues(host: Netns) -> None:
    """A veth pair of four queues a side, up, with addresses."""
    host.batch(
        [
            f"link add {DEVICE} address {MAC} numrxqueues 4 numtxqueues 4 type veth "
            "peer name peer0 numrxqueues 4 numtxqueues 4",
            "link set peer0 up",
            f"link set {DEVICE} up",
            f"addr add 10.1.0.5/24 dev {DEVICE}",
        ]
    )
    host.sysctl("ipv6/conf/peer0/disable_ipv6", "1")


def complete(space: Netns) -> Dump:
    """A dump with what the driver is set to."""
    return {**settled(space), **settings(space, DEVICE)}


def assert_home(mover: Mover, before: Dump) -> None:
    """All is as it was: the link, what hangs on it, and its driver."""
    assert mover.leftovers() == []
    driver = settings(mover.host, DEVICE)
    assert difference({key: before[key] for key in driver}, driver) == []
    assert_same(mover.host, {key: before[key] for key in before.keys() - driver.keys()})


@pytest.fixture
def before(mover: Mover) -> Dump:
    """The host, with the link of several queues."""
    queues(mover.host)
    return complete(mover.host)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "macvlan"])
def test_features_are_as_asked_in_the_pod_and_as_they_were_at_home(
    kind: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, kind)
    home = complete(mover.host)
    container = containers.of(pod)
    was = {name: is_on(mover.host, DEVICE, name) for name in ("tx-nocache-copy", GATHER)}
    args = [f"--feature={name}={'off' if on else 'on'}" for name, on in was.items()]
    mover.attach(container, *identity(mover.host), "--as", "net1", *args).ok()
    assert {name: not is_on(pod, "net1", name) for name in was} == was
    assert mover.record().values["link.ethtool"] == [
        f"feature/{name}={'on' if on else 'off'}" for name, on in was.items()
    ]
    mover.detach(container).ok()
    assert_home(mover, home)


def test_a_feature_that_a_macvlan_has_of_its_lower_link_is_refused(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "macvlan")
    home = complete(mover.host)
    args = ("--feature", "tx-generic-segmentation=off")
    result = mover.attach(containers.of(pod), *identity(mover.host), *args)
    assert f"{CHANGE}: feature tx-generic-segmentation=off, which stays on: " in result.reason
    (mover.run_dir / "errors" / DEVICE).unlink()
    assert_home(mover, home)


def test_channels_are_as_asked_in_the_pod_and_as_they_were_at_home(
    mover: Mover, pod: Netns, containers: Containers, before: Dump
) -> None:
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), *SETTINGS).ok()
    there = settings(pod, DEVICE)
    assert (there["channels/rx"], there["channels/tx"]) == (2, 3)
    record = mover.record().values["link.ethtool"]
    assert record == ["channels/rx=4", "channels/tx=4", f"feature/{GRO}=off"]
    mover.detach(container).ok()
    assert_home(mover, before)


def test_a_link_whose_pod_died_has_its_driver_settings_back(
    mover: Mover, containers: Containers, before: Dump
) -> None:
    container = containers.alone()
    mover.attach(container, *identity(mover.host), *SETTINGS).ok()
    container.end()
    mover.reclaim().ok()
    assert_home(mover, before)


def test_nothing_is_recorded_of_the_driver_that_is_not_asked_to_change(
    mover: Mover, pod: Netns, containers: Containers, before: Dump
) -> None:
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert "link.ethtool" not in mover.record().values


def test_what_the_pod_did_to_the_settings_that_were_asked_for_is_undone(
    mover: Mover, pod: Netns, containers: Containers, before: Dump
) -> None:
    container = containers.of(pod)
    args = ("--feature", f"{TSO}=on", "--feature", f"{GATHER}=on")
    mover.attach(container, *identity(mover.host), *SETTINGS, *args).ok()
    set_numbers(pod, DEVICE, "channels", rx=1, tx=1)
    set_feature(pod, DEVICE, TSO, False)
    set_feature(pod, DEVICE, GATHER, False)
    mover.detach(container).ok()
    assert_home(mover, before)


def test_a_feature_that_cannot_be_changed_may_be_asked_for_as_it_is(
    mover: Mover, pod: Netns, containers: Containers, before: Dump
) -> None:
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), "--feature", "loopback=off").ok()
    assert "link.ethtool" not in mover.record().values
    mover.detach(container).ok()
    assert_home(mover, before)


@pytest.mark.parametrize("wanted", ["on", "off"])
def test_a_feature_that_was_wanted_at_home_but_off_is_wanted_and_off_again(
    wanted: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    queues(mover.host)
    set_feature(mover.host, DEVICE, GATHER, False)
    assert not is_on(mover.host, DEVICE, TSO)
    home = complete(mover.host)
    container = containers.of(pod)
    args = ("--feature", f"{TSO}={wanted}", "--feature", f"{GATHER}={wanted}")
    mover.attach(container, *identity(mover.host), *args).ok()
    assert is_on(pod, DEVICE, TSO) == (wanted == "on")
    mover.detach(container).ok()
    assert_home(mover, home)


REFUSED = {
    "an unknown feature": (
        ("--feature", "warp=on"),
        f"{LOOK}: feature warp=on, which the kernel does not know: ",
    ),
    "a fixed feature": (
        ("--feature", "loopback=on"),
        f"{LOOK}: feature loopback=on, which cannot be changed: ",
    ),
    "a feature for lack of another": (
        ("--feature", f"{GATHER}=off", "--feature", f"{TSO}=on"),
        f"{CHANGE}: feature {TSO}=on, which stays off: ",
    ),
    "a ring of a link without": (("--ring", "rx=64"), f"{LOOK}: ring rx=64: "),
    "too many channels": (
        ("--channels", "rx=5"),
        f"{LOOK}: channels rx=5, where it has at most 4: Invalid argument",
    ),
    "channels that it cannot have": (
        ("--channels", "combined=1"),
        f"{LOOK}: channels combined=1, where it has at most 0: Invalid argument",
    ),
    "no channel": (
        ("--channels", "rx=0", "--channels", "tx=1", "--feature", f"{GRO}=on"),
        f"{CHANGE}: channels rx=0 tx=1: Invalid argument",
    ),
    "a step behind": ((*SETTINGS, "--route", "10.99.0.0/16 via 172.31.0.1"), "add in the pod the "),
}


@pytest.mark.parametrize(("args", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_set_leaves_the_link_as_it_was(
    args: tuple[str, ...], reason: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    queues(mover.host)
    before = complete(mover.host)
    pod_before = settled(pod)
    result = mover.attach(containers.of(pod), *identity(mover.host), *args)
    assert result.code == 1
    assert result.reason.startswith(f"netdevice-mover: {DEVICE}: {reason}")
    assert mover.leftovers() == [f"errors/{DEVICE}"]
    (mover.run_dir / "errors" / DEVICE).unlink()
    assert_home(mover, before)
    assert_same(pod, pod_before)


def test_a_driver_that_refuses_what_it_had_strands_the_device_with_all_else_restored(
    mover: Mover, pod: Netns, containers: Containers, before: Dump
) -> None:
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), *SETTINGS).ok()
    path = mover.run_dir / "attachments" / DEVICE
    path.write_text(path.read_text().replace("channels/rx=4", "channels/rx=9"))
    result = mover.detach(container)
    assert "give the link its driver's settings back: channels rx=9 tx=4: " in result.reason
    assert mover.record().one("phase") == "stranded"
    changed = [line.split("/")[0] for line in difference(before, complete(mover.host))]
    assert set(changed) == {"-channels", "+channels"}
    path.write_text(path.read_text().replace("channels/rx=9", "channels/rx=4"))
    mover.reclaim().ok()
    assert_home(mover, before)


@pytest.mark.parametrize("line", ["", "rx=4", "ring/rx", "ring/rx=x", "feature/x=1", "none/rx=1"])
def test_a_record_with_a_wrong_setting_is_an_error_and_stays(
    line: str, mover: Mover, pod: Netns, containers: Containers, before: Dump
) -> None:
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host), *SETTINGS).ok()
    path = mover.run_dir / "attachments" / DEVICE
    good = path.read_text()
    path.write_text(f"{good}link.ethtool={line}\n")
    assert "read the record" in mover.detach(container).reason
    path.write_text(good)
    mover.detach(container).ok()
    assert_home(mover, before)


def each_step() -> Iterator[dict[str, str]]:
    """Environments in which a mover is killed at the first step, the second, ..."""
    for number in itertools.count(1):
        yield {"NDM_STEP_KILL": str(number)}


@pytest.mark.parametrize("what", ["attach", "rollback", "detach"])
def test_a_mover_killed_at_any_step_leaves_no_setting_of_the_pod(
    what: str, fast_mover: Mover, containers: Containers
) -> None:
    mover = fast_mover
    queues(mover.host)
    home = complete(mover.host)
    broken = ("--route", "10.99.0.0/16 via 172.31.0.1") if what == "rollback" else ()
    args = (*identity(mover.host), *SETTINGS, "--sysctl", "ipv4/conf/rp_filter=2", *broken)
    for steps, env in enumerate(each_step()):
        container = containers.alone()
        result: Result = mover.attach(container, *args, env=None if what == "detach" else env)
        container.end()
        if what == "detach":
            result = mover.detach(container, env=env)
        mover.reclaim().ok()
        for error in (mover.run_dir / "errors").iterdir():
            error.unlink()  # of the rollback
        assert_home(mover, home)
        if result.code != -signal.SIGKILL:
            assert steps > 20
            break
