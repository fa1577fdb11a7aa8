"""The mover counts what it does, for who cannot be there each time. It counts nothing twice."""

from __future__ import annotations

import signal
import subprocess

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, finish, identity
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns


def counters(mover: Mover) -> dict[str, str]:
    """The device's file: what stands behind `runs=attach`, `failed=attach`, ..."""
    lines = (mover.run_dir / "counters" / DEVICE).read_text().splitlines()
    assert lines[0] == "format=1"
    return dict(line.split(" ", 1) for line in lines[1:])


def runs(mover: Mover, command: str) -> tuple[int, ...]:
    """How many moved the link, had nothing to do, and failed."""
    return tuple(map(int, counters(mover)[f"runs={command}"].split()))


def failures(mover: Mover) -> set[str]:
    """COMMAND COUNT STEP of each step that failed."""
    lines = (mover.run_dir / "counters" / DEVICE).read_text().splitlines()
    return {line.removeprefix("failed=") for line in lines if line.startswith("failed=")}


def test_a_loan_is_one_attach_and_one_detach(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    assert (runs(mover, "attach"), runs(mover, "detach")) == ((1, 0, 0), (0, 0, 0))
    mover.detach(container).ok()
    assert (runs(mover, "attach"), runs(mover, "detach")) == ((1, 0, 0), (1, 0, 0))
    assert failures(mover) == set()
    for command in ("attach", "detach"):
        took, *times = map(int, counters(mover)[f"times={command}"].split())
        assert 0 < took < 60_000_000
        assert sum(times) == 1


def test_only_what_moves_the_link_has_a_time(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    first, second = containers.of(pod), containers.of(pod)
    mover.attach(first, *args).ok()
    mover.attach(second, *args).ok()
    first.end()
    mover.detach(first).ok()
    second.end()
    mover.detach(second).ok()
    mover.detach(second).ok()
    mover.reclaim().ok()
    assert runs(mover, "attach") == (1, 1, 0)
    assert runs(mover, "detach") == (1, 2, 0)
    assert runs(mover, "reclaim") == (0, 1, 0)
    assert sum(map(int, counters(mover)["times=attach"].split()[1:])) == 1
    assert sum(map(int, counters(mover)["times=detach"].split()[1:])) == 1


def test_failures_are_counted_by_their_step(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    on_host = containers.of(mover.host)
    for _ in range(2):
        assert mover.attach(on_host, *args).code == 1
    for route in ("10.98.0.0/16 via 172.31.0.1", "10.99.0.0/16 via 172.31.0.2"):
        assert mover.attach(containers.of(pod), *args, "--route", route).code == 1
    mover.attach(containers.of(pod), *args).ok()
    other = containers.alone()
    assert mover.attach(other, *args, "--wait", "0").code == 3
    assert runs(mover, "attach") == (1, 0, 5)
    assert failures(mover) == {
        "attach 2 find the pod",
        "attach 2 add in the pod the route",
        "attach 1 take the device",
    }


def test_a_detach_that_fails_is_counted_though_it_exits_with_zero(
    mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    container.netns.run("ip", "link", "del", DEVICE)
    assert mover.detach(container).code == 0
    assert mover.reclaim().code == 4
    assert mover.reclaim("--forget").code == 0
    assert runs(mover, "detach") == (0, 0, 1)
    assert runs(mover, "reclaim") == (0, 1, 1)
    assert failures(mover) == {"detach 1 bring the link home", "reclaim 1 bring the link home"}


def test_a_loan_of_what_was_lost_counts_as_no_failure(mover: Mover, containers: Containers) -> None:
    make_up(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    container.netns.run("ip", "link", "del", DEVICE)
    mover.detach(container)
    make_up(mover.host)
    container = containers.of(mover.host)
    mover.attach(containers.alone(), *identity(mover.host)).ok()
    assert runs(mover, "attach") == (2, 0, 0)
    assert mover.attach(container, *identity(mover.host, "up0")).code == 1
    assert "attach 1 find the pod" in failures(mover)


def test_failures_at_once_are_all_counted(mover: Mover, containers: Containers) -> None:
    make_up(mover.host)
    container = containers.of(mover.host)
    words = (*mover.arguments("attach"), *identity(mover.host))
    started = [mover.start(*words) for _ in range(8)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(container.state())
        process.stdin.flush()
    assert [finish(process).code for process in started] == [1] * 8
    assert runs(mover, "attach") == (0, 0, 8)


def test_a_file_that_is_damaged_is_begun_anew(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    path = mover.run_dir / "counters" / DEVICE
    path.write_bytes(path.read_bytes()[:-5])
    mover.detach(container).ok()
    assert (runs(mover, "attach"), runs(mover, "detach")) == ((0, 0, 0), (1, 0, 0))


def test_no_loan_fails_for_what_cannot_be_counted(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    mover.run_dir.mkdir()
    (mover.run_dir / "counters").write_text("in the way")
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_a_mover_killed_at_any_step_leaves_counters_whole(
    fast_mover: Mover, containers: Containers
) -> None:
    make_up(fast_mover.host)
    args = identity(fast_mover.host)
    done = killed = 0
    while done == 0:
        killed += 1
        container = containers.alone()
        step = {"NDM_STEP_KILL": str(killed)}
        done += fast_mover.attach(container, *args, env=step).code != -signal.SIGKILL
        container.end()
        fast_mover.reclaim().ok()
        moved, idle, failed = runs(fast_mover, "reclaim")
        assert moved + idle == killed
        assert (failed, failures(fast_mover)) == (0, set())
        assert [path.name for path in (fast_mover.run_dir / "counters").iterdir()] == [DEVICE]
    moved, *others = runs(fast_mover, "attach")
    assert others == [0, 0]
    assert moved == 2  # the last, and the one that was killed when it had been counted


def test_what_waits_for_the_lock_has_its_time_in_it(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = identity(mover.host)
    holder, waiter = containers.alone(), containers.of(pod)
    mover.attach(holder, *args).ok()
    process = mover.start(*mover.arguments("attach"), *args)
    assert process.stdin is not None
    process.stdin.write(waiter.state())
    process.stdin.close()
    process.stdin = None
    try:
        process.wait(0.3)
    except subprocess.TimeoutExpired:
        holder.end()
        mover.detach(holder).ok()
    finish(process).ok()
    assert runs(mover, "attach") == (2, 0, 0)
    assert int(counters(mover)["times=attach"].split()[0]) > 300_000
