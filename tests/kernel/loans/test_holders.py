"""Real processes that end, seen from where an agent may be."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest

from netdevice_plugin.attachments import Attachment, Holder, HostLink, Phase
from netdevice_plugin.loans.holders import Holders
from netdevice_plugin.loans.loan import Life
from netdevice_plugin.loans.seeing import view
from tests.kernel.mover.harness import Container, Containers

NEVER = 1e6  # seconds between looks: whatever is noticed was told by the kernel


@pytest.fixture
def containers() -> Iterator[Containers]:
    started = Containers()
    yield started
    started.end()


def holder(container: Container) -> Holder:
    return Holder(container=container.id, pid=container.pid, start_time=container.started)


def record(*holders: Holder) -> Attachment:
    link = HostLink(name="eth1", ifindex=7)
    return Attachment(device="eth1", phase=Phase.ATTACHED, link=link, holders=holders)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def run(test: Coroutine[object, object, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(limited())


@pytest.mark.parametrize(
    ("pidfds", "interval"), [(None, NEVER), (0, 0.01)], ids=["by pidfd", "by looks"]
)
@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "a zombie"])
def test_an_end_is_noticed(
    pidfds: int | None, interval: float, reaped: bool, containers: Containers
) -> None:
    container, other = containers.start(), containers.start()

    async def test() -> None:
        woken = asyncio.Event()
        holders = Holders(woken.set, pidfds=pidfds, interval=interval)
        one, two = holder(container), holder(other)
        holders.follow([record(one, two)])
        assert holders.seen(one).life is Life.ALIVE
        began = time.monotonic()
        if reaped:
            container.end()
        else:
            container.kill()
        await woken.wait()
        assert holders.seen(one).life is Life.DEAD
        assert began <= holders.seen(one).since <= time.monotonic()
        assert holders.seen(two).life is Life.ALIVE
        holders.close()

    run(test())


def test_a_number_that_another_process_has_now_is_a_dead_holders(containers: Containers) -> None:
    container = containers.start()

    async def test() -> None:
        holders = Holders(lambda: None)
        before = descriptors()
        old = dataclasses.replace(holder(container), start_time=container.started - 1)
        holders.follow([record(old)])
        assert holders.seen(old).life is Life.DEAD
        assert descriptors() == before

    run(test())


@pytest.mark.parametrize("pid", [None, 0, 2**22 + 1, 2**31, 2**64 - 1])
def test_who_has_no_process_is_dead(pid: int | None) -> None:
    async def test() -> None:
        holders = Holders(lambda: None)
        nobody = Holder(container="c", pid=pid, start_time=1)
        holders.follow([record(nobody)])
        assert holders.seen(nobody).life is Life.DEAD

    run(test())


def test_no_descriptor_is_left_of_those_who_are_not_followed_any_more(
    containers: Containers,
) -> None:
    started = [containers.start() for _ in range(10)]

    async def test() -> None:
        holders = Holders(lambda: None, interval=NEVER)
        before = descriptors()
        all_of_them = [holder(one) for one in started]
        holders.follow([record(*all_of_them)])
        assert descriptors() == before + 10
        holders.follow([record(*all_of_them)])
        assert descriptors() == before + 10
        holders.follow([record(*all_of_them[:3])])
        assert descriptors() == before + 3
        holders.close()
        assert descriptors() == before

    run(test())


def test_there_are_no_more_descriptors_than_allowed_and_the_rest_is_looked_at(
    containers: Containers,
) -> None:
    started = [containers.start() for _ in range(5)]

    async def test() -> None:
        woken = asyncio.Event()
        holders = Holders(woken.set, pidfds=2, interval=0.01)
        before = descriptors()
        all_of_them = [holder(one) for one in started]
        holders.follow([record(*all_of_them)])
        assert descriptors() == before + 2
        for one in started:
            one.end()
        while any(holders.seen(one).life is not Life.DEAD for one in all_of_them):
            await woken.wait()
            woken.clear()
        assert descriptors() == before

    run(test())


def test_nothing_is_looked_at_that_the_kernel_tells_of(
    containers: Containers, tmp_path: Path
) -> None:
    """A /proc of files cannot be asked twice: it is gone after the first look."""
    container = containers.start()
    for name in ("self/status", "1/stat", f"{container.pid}/stat"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(Path("/proc", name).read_bytes())
    one = holder(container)

    async def test() -> None:
        woken = asyncio.Event()
        holders = Holders(woken.set, proc=tmp_path, interval=0.01)
        holders.follow([record(one)])
        (tmp_path / str(container.pid) / "stat").unlink()
        await asyncio.sleep(0.1)
        assert holders.seen(one).life is Life.ALIVE
        container.end()
        await woken.wait()
        assert holders.seen(one).life is Life.DEAD

    run(test())


def test_a_directory_that_is_no_proc_shows_nobody(tmp_path: Path) -> None:
    assert view(tmp_path).blind
    assert view(tmp_path / "none").blind
    assert view(Path("/proc")).same_numbers


def pidns() -> tuple[int, int]:
    found = Path("/proc/self/ns/pid").stat()
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def elsewhere(
    script: str, one: Holder, proc: Path, namespace: tuple[int, int] = (0, 0)
) -> Iterator[subprocess.Popen[str]]:
    """The watcher, started by a script to which it is "$@"; `namespace` is on record."""
    watcher = (sys.executable, "-m", "tests.kernel.loans.watcher")
    argv = (*watcher, str(proc), *map(str, (one.pid, one.start_time, *namespace)))
    process = subprocess.Popen(
        ("sh", "-ec", script, "sh", *argv),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PROC": str(proc)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def rest(process: subprocess.Popen[str]) -> list[str]:
    """What it says until it ends, being asked to."""
    out, _ = process.communicate(timeout=20)
    return out.split()


OTHER_NAMESPACE = """
mkdir "$PROC"
exec unshare --mount --pid --fork --kill-child sh -ec '
    mount --bind /proc "$PROC"; mount -t proc proc /proc; exec "$@"' sh "$@"
"""


@pytest.mark.parametrize("recorded", [True, False])
def test_from_a_namespace_of_its_own_the_hosts_proc_is_looked_at(
    recorded: bool, containers: Containers, tmp_path: Path
) -> None:
    container = containers.start()
    namespace = pidns() if recorded else (0, 0)
    with elsewhere(OTHER_NAMESPACE, holder(container), tmp_path / "proc", namespace) as process:
        assert lines(process, 2) == ["sees", "alive"]
        container.end()
        assert lines(process, 1) == ["dead"]


def test_from_a_namespace_of_its_own_nobody_is_called_dead(containers: Containers) -> None:
    container = containers.start()
    script = 'exec unshare --mount --pid --fork --kill-child --mount-proc "$@"'
    one = holder(container)
    container.end()
    with elsewhere(script, one, Path("/proc")) as process:
        assert lines(process, 2) == ["blind", "unknown"]
        assert rest(process) == ["unknown"]


@pytest.mark.parametrize("life", ["alive", "dead"])
def test_behind_another_first_process_of_its_own_nobody_is_called_dead(
    life: str, containers: Containers
) -> None:
    """As in a container with an init of its own, whose /proc looks as if it were a host's."""
    container = containers.start()
    script = """
        exec unshare --pid --fork --kill-child --mount-proc sh -c '"$@"; exit' sh "$@" """
    one = holder(container)
    if life == "dead":
        container.end()
    with elsewhere(script, one, Path("/proc"), pidns()) as process:
        assert lines(process, 2) == ["sees", "unknown"]
        assert rest(process) == ["unknown"]


def test_the_number_of_a_foreign_holder_is_no_process_of_ours(containers: Containers) -> None:
    container = containers.start()
    device, inode = pidns()

    async def test() -> None:
        holders = Holders(lambda: None, interval=0.01)
        before = descriptors()
        one = holder(container)
        holders.follow([dataclasses.replace(record(one), pidns=(device, inode + 1))])
        assert holders.seen(one).life is Life.UNKNOWN
        assert descriptors() == before
        container.end()
        await asyncio.sleep(0.05)
        assert holders.seen(one).life is Life.UNKNOWN
        holders.close()

    run(test())


# Without capabilities root is nobody in particular to who may be looked at.
HIDDEN = """
mkdir "$PROC"
exec unshare --mount sh -ec '
    mount -t proc -o hidepid={} proc "$PROC"
    exec setpriv --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all -- "$@"' sh "$@"
"""


@pytest.mark.parametrize("mode", ["noaccess", "invisible"])
def test_who_is_hidden_is_not_dead_until_the_kernel_says_so(
    mode: str, containers: Containers, tmp_path: Path
) -> None:
    container = containers.start()
    with elsewhere(HIDDEN.format(mode), holder(container), tmp_path / "proc") as process:
        assert lines(process, 2) == ["sees", "unknown"]
        container.end()
        assert lines(process, 1) == ["dead"]


def test_who_has_ended_unseen_is_not_called_dead_where_others_are_hidden(
    containers: Containers, tmp_path: Path
) -> None:
    container = containers.start()
    one = holder(container)
    container.end()
    with elsewhere(HIDDEN.format("invisible"), one, tmp_path / "proc") as process:
        assert lines(process, 2) == ["sees", "unknown"]
