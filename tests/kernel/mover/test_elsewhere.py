"""A mover that does not see the host's mounts or processes destroys nothing."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import subprocess
import sys

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.elsewhere import OWN_NUMBERS, OWN_PROCESSES, hidden_from
from tests.kernel.mover.harness import (
    DEVICE,
    Container,
    Containers,
    Mover,
    Result,
    identifier,
    identity,
    mounts,
)
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns

ROOT = pathlib.Path(__file__).parents[3]


def at(mover: Mover, *enter: str) -> Mover:
    """The mover, started elsewhere."""
    return dataclasses.replace(mover, enter=enter)


def assert_refused(mover: Mover, result: Result, code: int, record: str) -> None:
    """It says what is wrong, and has touched neither pin nor record nor link."""
    assert result.code == code, result
    assert f"{DEVICE}: look for the pin: from here {mover.pin()} is not" in result.reason
    assert "run this on the host" in result.reason
    assert mover.record().text == record
    assert mounts(mover.run_dir) == [str(mover.pin())]
    assert DEVICE not in mover.host.links()


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        *itertools.product(("detach", "reclaim", "reclaim --force"), ("sys_chroot", "sys_ptrace")),
        ("attach", "sys_chroot"),  # which cannot look at the pod without the other
    ],
)
def test_where_the_pin_is_not_seen_nothing_is_touched(
    command: str, lacks: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    container = containers.alone()
    mover.attach(container, *args).ok()
    record = mover.record().text
    there = at(mover, *hidden_from(mover.pin(), lacks=lacks))
    if command != "reclaim --force":
        container.end()
    match command.split():
        case ["detach"]:
            assert_refused(mover, there.detach(container), 0, record)
        case ["attach"]:
            assert_refused(mover, there.attach(containers.of(pod), *args), 1, record)
        case [_, *flags]:
            assert_refused(mover, there.reclaim(*flags), 1, record)
    container.end()
    mover.reclaim().ok()
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_stranded_link_is_not_forgotten_where_a_pin_is_not_seen(
    mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    path = mover.run_dir / "attachments" / DEVICE
    record = path.read_text().replace("phase=attached", "phase=lost")
    path.write_text(record)
    there = at(mover, *hidden_from(mover.pin()))
    assert_refused(mover, there.reclaim("--forget"), 1, record)


@pytest.mark.parametrize("command", ["detach", "reclaim --force"])
def test_a_container_whose_first_process_is_not_the_hosts_does_not_take_it_for_that(
    command: str, mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    container.end()
    record = mover.record().text
    there = at(mover, *hidden_from(mover.pin(), processes=OWN_PROCESSES))
    if command == "detach":
        assert_refused(mover, there.detach(container), 0, record)
    else:
        assert_refused(mover, there.reclaim("--force"), 1, record)
    mover.reclaim().ok()
    assert_same(mover.host, before)


@pytest.mark.parametrize("end", ["pod lives", "pod died"])
def test_on_the_host_a_pin_that_is_not_there_is_lost(
    end: str, stepped_binary: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Played on a node made of namespaces, so that process 1 is its own."""
    node = (
        *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("--propagation", "private", "--", sys.executable, "-m", "tests.kernel.mover.unpinned"),
    )
    done = subprocess.run(
        (*node, str(stepped_binary), str(tmp_path / "run"), end),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------ processes


def test_the_record_says_in_which_namespace_the_numbers_of_processes_are(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.attach(containers.of(pod), *identity(mover.host)).ok()
    assert mover.record().one("pidns") == identifier(pathlib.Path("/proc/self/ns/pid"))


@pytest.mark.parametrize("place", [OWN_PROCESSES, OWN_NUMBERS], ids=["own /proc", "others' /proc"])
@pytest.mark.parametrize("life", ["alive", "dead"])
def test_from_another_pid_namespace_nobody_is_called_dead(
    life: str, place: tuple[str, ...], mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    if life == "dead":
        container.end()
    record = mover.record()
    there = at(mover, *place)

    result = there.reclaim()

    assert result.code == 3, result
    assert container.id in result.reason
    assert "cannot be told in this PID namespace" in result.reason
    assert mover.record() == record
    assert there.reclaim("--force").code == 0
    assert mover.leftovers() == []
    assert_same(mover.host, before)


def test_a_detach_from_another_pid_namespace_leaves_the_link_to_other_containers(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    args = identity(mover.host)
    one, other = containers.of(pod), containers.of(pod)
    mover.attach(one, *args).ok()
    mover.attach(other, *args).ok()
    at(mover, *OWN_PROCESSES).detach(one).ok()
    assert DEVICE in pod.links()
    assert mover.record().holders == [other.id]
    at(mover, *OWN_PROCESSES).detach(other).ok()
    assert_same(mover.host, before)


def test_a_record_without_the_namespace_is_judged_by_the_processes_that_are_seen(
    mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    container.end()
    path = mover.run_dir / "attachments" / DEVICE
    path.write_text(re.sub(r"(?m)^pidns=.*\n", "", path.read_text()))
    at(mover, *OWN_PROCESSES).reclaim().ok()
    assert_same(mover.host, before)


def attach_there(mover: Mover, pod: Netns, container: Container, *args: str) -> Result:
    """Attach for a container that is in another PID namespace, as its runtime would there."""
    script = f"""
        nsenter --net={pod.path} sleep 60 >/dev/null 2>&1 </dev/null &
        while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do
            sleep 0.01
        done
        sed "s/999999/$!/" | "$@" || exit $?"""
    there = at(mover, *OWN_PROCESSES, "sh", "-ec", script, "sh")
    state = container.state(pid=999999)
    return there.run(*there.arguments("attach"), *args, stdin=state)


@pytest.mark.parametrize("life", ["alive", "dead"])
@pytest.mark.parametrize("wait", ["0", "50"])
def test_an_attach_from_another_pid_namespace_takes_the_link_from_nobody(
    wait: str, life: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    holder, other = containers.alone(), containers.alone()
    mover.attach(holder, *args).ok()
    if life == "dead":
        holder.end()
    record = mover.record()
    result = attach_there(mover, pod, other, *args, "--wait", wait)
    assert result.code == 3, result
    assert holder.id in result.reason
    assert mover.record() == record


def test_one_record_is_of_one_pid_namespace(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    holder, other = containers.of(pod), containers.of(pod)
    mover.attach(holder, *args).ok()
    record = mover.record()
    result = attach_there(mover, pod, other, *args)
    assert result.code == 1, result
    assert "another PID namespace" in result.reason
    assert mover.record() == record
    mover.detach(holder).ok()
    assert attach_there(mover, pod, other, *args).code == 0
    assert mover.record().one("pidns") != record.one("pidns")
    assert mover.reclaim().code == 3
