"""Who has a device, who may take it, and when it goes home."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import (
    DEVICE,
    Container,
    Containers,
    Mover,
    finish,
    identity,
)
from tests.kernel.mover.links import KINDS, make_up
from tests.kernel.scratch import Netns, netns


def assert_lent(mover: Mover, pod: Netns, *holders: Container) -> None:
    """The link is in that pod, recorded for these containers."""
    assert DEVICE in pod.links()
    assert DEVICE not in mover.host.links()
    assert mover.record().one("phase") == "attached"
    assert mover.record().holders == [holder.id for holder in holders]


def test_attaching_again_for_the_same_container_changes_nothing(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    container = containers.of(pod)
    mover.attach(container, *args).ok()
    inside_before = settled(pod)
    mover.attach(container, *args).ok()
    assert_same(pod, inside_before)
    assert_lent(mover, pod, container)
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_the_link_goes_home_with_the_last_container_of_the_pod(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    first, second = containers.of(pod), containers.of(pod)
    mover.attach(first, *args).ok()
    inside_before = settled(pod)
    mover.attach(second, *args).ok()
    assert_lent(mover, pod, first, second)
    first.end()
    mover.detach(first).ok()
    assert_lent(mover, pod, second)
    assert_same(pod, inside_before)
    second.end()
    mover.detach(second).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_holder_that_died_without_poststop_does_not_keep_the_link(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    first, second = containers.of(pod), containers.of(pod)
    mover.attach(first, *args).ok()
    mover.attach(second, *args).ok()
    first.end()
    mover.detach(second).ok()
    assert_same(mover.host, before)


def test_a_late_poststop_takes_nothing_from_the_successor_in_the_pod(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    old = containers.of(pod)
    mover.attach(old, *args).ok()
    old.end()
    new = containers.of(pod)
    mover.attach(new, *args).ok()
    mover.detach(old).ok()
    assert DEVICE in pod.links()
    assert mover.record().holders == [new.id]
    mover.detach(new).ok()
    assert_same(mover.host, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_whose_holder_died_heals_at_its_next_use(
    kind: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, kind)
    before = settled(mover.host)
    args = identity(mover.host)
    old = containers.alone()
    mover.attach(old, *args).ok()
    old.netns.batch([f"link set {DEVICE} mtu 1300", f"addr flush dev {DEVICE}"])
    old.end()
    new = containers.of(pod)
    mover.attach(new, *args).ok()
    assert_lent(mover, pod, new)
    link = pod.links()[DEVICE]
    assert link["mtu"] == 1400
    mover.detach(old).ok()
    assert_lent(mover, pod, new)
    mover.detach(new).ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_detaching_twice_is_nothing_to_do(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(container).ok()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_detaching_what_was_never_attached_is_nothing_to_do(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    mover.detach(containers.of(pod)).ok()
    mover.detach(containers.of(pod), device="unknown").ok()
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_stranger_detaches_nothing(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    container, stranger = containers.of(pod), containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(stranger).ok()
    assert_lent(mover, pod, container)


@pytest.mark.parametrize("status", [{"pid": 0}, {"status": "running"}, {"root": "/", "pid": 0}])
def test_poststop_is_understood_from_every_runtime(
    status: dict[str, object], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    state = json.dumps({**json.loads(container.stopped()), **status}, indent=4)
    mover.run(*mover.arguments("detach"), stdin=state.replace("/", "\\/")).ok()
    assert_same(mover.host, before)


def test_a_live_holder_in_another_pod_is_named_and_left_alone(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    holder = containers.of(pod)
    mover.attach(holder, *args).ok()
    record = mover.record()
    with netns("other") as other:
        result = mover.attach(containers.of(other), *args, "--wait", "50")
        assert result.code == 3, result
        assert DEVICE in result.reason
        assert holder.id in result.reason
        assert DEVICE not in other.links()
    assert result.reason == f"netdevice-mover: {DEVICE}: {mover.error()}"
    assert mover.record() == record
    assert_lent(mover, pod, holder)


def test_attach_waits_for_a_holder_that_ends(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    holder, waiter = containers.alone(), containers.of(pod)
    mover.attach(holder, *args).ok()
    process = mover.start(*mover.arguments("attach"), *args, "--wait", "60000")
    assert process.stdin is not None
    process.stdin.write(waiter.state())
    process.stdin.close()
    process.stdin = None
    holder.end()
    finish(process).ok()
    assert_lent(mover, pod, waiter)
    mover.detach(waiter).ok()
    assert_same(mover.host, before)


def test_attach_looks_again_before_it_gives_up(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    holder, waiter = containers.alone(), containers.of(pod)
    mover.attach(holder, *args).ok()
    process = mover.start(*mover.arguments("attach"), *args, "--wait", "500")
    assert process.stdin is not None
    process.stdin.write(waiter.state())
    process.stdin.close()
    process.stdin = None
    mover.reclaim("--force").ok()
    finish(process).ok()
    assert_lent(mover, pod, waiter)
    mover.detach(waiter).ok()
    assert_same(mover.host, before)


def test_a_zombie_holds_nothing(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    zombie, container = containers.alone(), containers.of(pod)
    mover.attach(zombie, *args).ok()
    zombie.kill()
    mover.attach(container, *args, "--wait", "0").ok()
    assert_lent(mover, pod, container)
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_a_pid_that_another_process_has_now_holds_nothing(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    holder, container = containers.alone(), containers.of(pod)
    mover.attach(holder, *args).ok()
    text = mover.record().text
    path = mover.run_dir / "attachments" / DEVICE
    path.write_text(
        text.replace(f" {holder.pid} {holder.started} ", f" {holder.pid} {holder.started - 1} ")
    )
    assert path.read_text() != text
    mover.attach(container, *args, "--wait", "0").ok()
    assert_lent(mover, pod, container)


def test_a_restarted_container_keeps_its_id_and_gets_the_link(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    name = uuid.uuid4().hex
    first = containers.alone(id=name)
    mover.attach(first, *args).ok()
    first.end()
    second = containers.of(pod, id=name)
    mover.attach(second, *args).ok()
    assert_lent(mover, pod, second)
    mover.detach(second).ok()
    assert_same(mover.host, before)


def test_a_container_restarted_in_its_pod_is_one_holder(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    name = uuid.uuid4().hex
    first = containers.of(pod, id=name)
    mover.attach(first, *args).ok()
    first.end()
    second = containers.of(pod, id=name)
    mover.attach(second, *args).ok()
    assert_lent(mover, pod, second)
    assert int(mover.record().one("holder").split(" ")[1]) == second.pid
    mover.detach(second).ok()
    assert_same(mover.host, before)


def test_many_containers_of_one_pod_may_have_the_device(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    all_of_them = [containers.of(pod) for _ in range(12)]
    for container in all_of_them:
        mover.attach(container, *args).ok()
    assert_lent(mover, pod, *all_of_them)
    for container in all_of_them:
        assert DEVICE in pod.links()
        mover.detach(container).ok()
    assert_same(mover.host, before)


def test_restarts_without_poststop_do_not_fill_the_record(
    fast_mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(fast_mover.host)
    args = identity(fast_mover.host)
    for _ in range(40):
        container = containers.of(pod)
        fast_mover.attach(container, *args).ok()
        container.end()
    assert len(fast_mover.record().holders) <= 2
    fast_mover.reclaim().ok()


def test_a_second_container_finds_the_link_under_its_name_whatever_the_first_made_of_it(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    first, second = containers.of(pod), containers.of(pod)
    mover.attach(first, *args).ok()
    pod.ip("link", "set", DEVICE, "name", "renamed0")
    mover.attach(second, *args).ok()
    assert_lent(mover, pod, first, second)
    mover.detach(first).ok()
    mover.detach(second).ok()
    assert_same(mover.host, before)


def test_reclaim_leaves_a_live_holder_alone_unless_forced(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    result = mover.reclaim()
    assert result.code == 3, result
    assert container.id in result.reason
    assert_lent(mover, pod, container)
    mover.reclaim("--force").ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)
    mover.detach(container).ok()
    assert_same(mover.host, before)


@pytest.mark.parametrize("kind", KINDS)
def test_reclaim_brings_home_what_a_dead_holder_left(
    kind: str, mover: Mover, containers: Containers
) -> None:
    make_up(mover.host, kind)
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    container.end()
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_two_devices_of_one_container_are_apart(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.host.batch(["link add second type veth peer name second1", "link set second up"])
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.attach(container, *identity(mover.host, "second"), device="second").ok()
    assert {DEVICE, "second"} <= pod.links().keys()
    mover.detach(container).ok()
    assert "second" in pod.links()
    mover.detach(container, device="second").ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)
