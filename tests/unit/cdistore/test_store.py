"""The store in an event loop, in a real directory, with others at work there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

import cdi
from cdi import files
from netdevice_plugin.cdistore import CdiStore, Pace, State
from netdevice_plugin.errors import NetdevError
from netdevice_plugin.model import Device, Frontend, Pool
from tests.unit.cdistore.devices import (
    CONFIG,
    FILE,
    OTHER,
    POOL,
    names,
    no_file_larger_than,
)
from tests.unit.cdistore.running import agent, until, whole, within_patience

KIND = POOL.kind


def said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What we logged; watchdog complains when it is stopped while things happen."""
    return [one for one in caplog.records if one.name.startswith("netdevice_plugin")]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "cdi"


@within_patience
async def test_what_is_known_is_on_disk_when_write_returns(directory: Path) -> None:
    async with agent(directory) as an:
        assert an.store.state == State()
        state = await an.write("eth1", "eth2")
        assert (directory / FILE).read_bytes() == whole("eth1", "eth2")
        assert state == State(known={KIND: frozenset({"eth1", "eth2"})}, settled=True)
        assert an.store.state is state
        assert an.store.known(KIND) == {"eth1", "eth2"}
        assert an.store.known(OTHER.kind) == frozenset()
        assert await an.write("eth2") == State(known={KIND: frozenset({"eth2"})}, settled=True)
        assert (directory / FILE).read_bytes() == whole("eth2")
    assert not an.heard  # of what write returned


@within_patience
async def test_the_end_removes_nothing_and_nothing_is_written_after_it(directory: Path) -> None:
    async with agent(directory) as an:
        await an.write("eth1")
    assert names(directory) == [FILE]
    with pytest.raises(NetdevError, match="the agent is stopping"):
        await an.write("eth2")


@within_patience
async def test_who_waits_at_the_end_is_told(directory: Path) -> None:
    store = CdiStore(directory)
    waiting = asyncio.create_task(store.write({}, CONFIG))
    await asyncio.sleep(0)
    running = asyncio.create_task(store.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(NetdevError, match="the agent is stopping"):
        await waiting


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"attach", b"detach"))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="removed"),
        pytest.param(lambda path: path.write_bytes(b""), id="truncated"),
        pytest.param(edit, id="edited in place"),
        pytest.param(lambda path: path.chmod(0), id="hidden"),
        pytest.param(lambda path: path.rename(path.with_suffix(".old")), id="moved"),
        pytest.param(lambda path: shutil.rmtree(path.parent), id="directory removed"),
        pytest.param(lambda path: shutil.rmtree(path.parent.parent), id="parent removed"),
    ],
)
@within_patience
async def test_what_others_do_is_undone_at_once_and_said(
    directory: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    path = directory / FILE
    async with agent(directory) as an:
        for number in range(1, 4):  # whatever is watched afterwards is watched
            await an.write("eth1", ifindex=number)
            damage(path)
            await until(lambda: len(said(caplog)) == number)  # noqa: B023
            assert files.is_current(path, whole("eth1", ifindex=number))
    assert {record.message for record in said(caplog)} == {
        "CDI file was not as we left it: written again"
    }
    assert {vars(record)["file"] for record in said(caplog)} == {str(path)}


class Adversary(FileSystemEventHandler):
    """Another program that has its own idea of the file, and acts on every change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.overwritten = 0

    def on_moved(self, event: FileSystemEvent) -> None:
        if event.dest_path == str(self._path):
            self.overwritten += 1
            self._path.write_text("mine")


@contextlib.contextmanager
def watched(path: Path, handler: FileSystemEventHandler) -> Iterator[None]:
    observer = Observer()
    observer.schedule(handler, str(path))
    observer.start()
    try:
        yield
    finally:
        observer.stop()
        observer.join()


@within_patience
async def test_with_another_program_there_is_no_race_and_in_the_end_we_have_the_last_word(
    directory: Path,
) -> None:
    path = directory / FILE
    pace = Pace(check=0.01, first=0.01, cap=0.5, calm=0.6, again=0.1)
    async with agent(directory, pace) as an:
        await an.write("eth1")
        adversary = Adversary(path)
        began = asyncio.get_running_loop().time()
        with watched(directory, adversary):
            path.write_text("mine")
            state = await an.told(lambda state: bool(state.problems))
            await until(lambda: adversary.overwritten >= 6)
            took = asyncio.get_running_loop().time() - began
        assert state.problems == (
            f"{directory}: another program keeps changing our files, which are put right less"
            " and less often; find it and stop it",
        )
        assert took > 0.01 + 0.02 + 0.04 + 0.08 + 0.16
        await an.told(lambda state: not state.problems)
        assert path.read_bytes() == whole("eth1")


@within_patience
async def test_new_contents_are_written_at_once_whatever_others_do(directory: Path) -> None:
    slow = Pace(first=60, cap=60)
    async with agent(directory, slow) as an:
        await an.write("eth1")
        (directory / FILE).unlink()
        await until((directory / FILE).exists)  # and from here on, deaf for a minute
        await an.write("eth2")
        assert (directory / FILE).read_bytes() == whole("eth2")


class Attempts(FileSystemEventHandler):
    """Counts files that are begun, and times that one of ours is read."""

    def __init__(self) -> None:
        self.begun = 0
        self.read = 0

    def on_created(self, event: FileSystemEvent) -> None:
        self.begun += str(event.src_path).endswith(".tmp")

    def on_opened(self, event: FileSystemEvent) -> None:
        self.read += str(event.src_path).endswith(".json")


@within_patience
async def test_what_it_does_itself_keeps_it_busy_neither_after_success_nor_after_failure(
    directory: Path,
) -> None:
    directory.mkdir(parents=True)
    attempts = Attempts()
    with watched(directory, attempts):
        async with agent(directory) as an:
            await an.write("eth1")
            await asyncio.sleep(0.5)
            assert attempts.begun == 1
            assert attempts.read <= 3
        (directory / FILE).unlink()
        (directory / FILE).mkdir()
        attempts.begun = 0
        async with agent(directory, Pace(check=0.01, first=0.1, cap=10)) as an:
            assert not (await an.write("eth1")).settled
            await asyncio.sleep(1)  # at 0, 0.1, 0.3, 0.7
            assert attempts.begun <= 4


@within_patience
async def test_what_cannot_be_written_is_tried_until_it_can(directory: Path) -> None:
    (directory / FILE).mkdir(parents=True)
    async with agent(directory) as an:
        state = await an.write("eth1")
        assert not state.settled
        assert state.known == {KIND: frozenset()}
        assert state.problems == (
            f"cannot write {directory / FILE}: Is a directory; remove what is in its place",
        )
        (directory / FILE).rmdir()
        assert (await an.told(lambda state: state.settled)).problems == ()
        assert an.store.known(KIND) == {"eth1"}
        assert (directory / FILE).read_bytes() == whole("eth1")


@within_patience
async def test_on_a_full_disk_it_goes_on_with_what_is_there(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with agent(directory) as an:
        await an.write("eth1")
        with no_file_larger_than(len(whole("eth1")) + 100):
            state = await an.write("eth1", "eth2")
            assert state.known == {KIND: {"eth1"}}
            assert not state.settled
            assert (directory / FILE).read_bytes() == whole("eth1")
        await an.told(lambda state: state.settled)
        assert an.store.known(KIND) == {"eth1", "eth2"}
    assert [record.levelname for record in said(caplog)] == ["WARNING"]  # once


@within_patience
async def test_that_it_is_well_again_is_said(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (directory / FILE).mkdir(parents=True)
    async with agent(directory) as an:
        await an.write("eth1")
        (directory / FILE).rmdir()
        await an.told(lambda state: state.settled)
    assert [record.message for record in said(caplog)] == [
        "CDI directory is not as it should be",
        "CDI directory is as it should be again",
    ]


@within_patience
async def test_a_device_that_another_file_takes_away_is_told_and_so_is_its_return(
    directory: Path,
) -> None:
    async with agent(directory) as an:
        await an.write("eth1", "eth2")
        edits = cdi.ContainerEdits(env=("A=1",))
        theirs = cdi.Spec(kind=KIND, devices=(cdi.Device(name="eth2", edits=edits),))
        cdi.write(theirs, directory, name="theirs.json")
        state = await an.told(lambda state: bool(state.problems))
        assert state.known == {KIND: {"eth1"}}
        assert state.settled  # there is nothing that we could do
        cdi.remove(directory, "theirs.json")
        assert (await an.told(lambda state: not state.problems)).known == {KIND: {"eth1", "eth2"}}


@within_patience
async def test_a_change_that_the_kernel_tells_nobody_of_is_found_in_time(
    directory: Path, tmp_path: Path
) -> None:
    """A file system mounted over the directory makes no event; here it is moved away."""
    async with agent(directory, Pace(check=0.01, first=0.01, again=0.1)) as an:
        await an.write("eth1")
        directory.rename(tmp_path / "elsewhere")
        await until((directory / FILE).exists)


@within_patience
async def test_the_newest_contents_win_and_those_overtaken_are_not_written(
    directory: Path,
) -> None:
    directory.mkdir(parents=True)
    attempts = Attempts()
    with watched(directory, attempts):
        async with agent(directory) as an:
            states = await asyncio.gather(*(an.write(f"eth{n}", "last") for n in range(100)))
            assert {frozenset(state.known[KIND]) for state in states} == {
                frozenset(("eth99", "last"))
            }
            assert (directory / FILE).read_bytes() == whole("eth99", "last")
    assert attempts.begun <= 2


@within_patience
async def test_a_write_that_is_given_up_harms_no_other(directory: Path) -> None:
    async with agent(directory) as an:
        for number in range(50):
            given_up = asyncio.create_task(an.write(f"eth{number}"))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            given_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await given_up
        state = await an.write("last")
        assert state.known == {KIND: {"last"}}
        assert (directory / FILE).read_bytes() == whole("last")


@within_patience
async def test_cancelled_at_any_time_it_leaves_a_whole_file_and_no_rest(directory: Path) -> None:
    async with agent(directory) as an:
        await an.write("eth1")
    for number in range(30):
        async with agent(directory) as an:
            writing = asyncio.create_task(an.write("eth1", *map(str, range(number * 3))))
            await asyncio.sleep(number / 3000)
        with contextlib.suppress(NetdevError):
            await writing
        assert names(directory) == [FILE]
        assert cdi.load(directory / FILE).devices[-1].name == "eth1"


@within_patience
async def test_two_pools_of_one_kind_are_a_mistake(directory: Path) -> None:
    async with agent(directory) as an:
        twice: dict[Pool, tuple[Device, ...]] = {
            POOL: (),
            Pool(name=POOL.name, frontend=Frontend.DRA): (),
        }
        with pytest.raises(ValueError, match="two pools of one kind"):
            await an.store.write(twice, CONFIG)


@within_patience
async def test_without_a_watch_the_files_are_true_all_the_same(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "schedule", refuse)
    async with agent(directory) as an:
        state = await an.write("eth1")
        assert state.known == {KIND: {"eth1"}}
        assert not state.settled
        assert state.problems == (
            f"cannot watch {directory}: No space left on device; fs.inotify.max_user_watches and"
            " max_user_instances (sysctl) limit watches",
        )
        monkeypatch.undo()
        await an.told(lambda state: state.settled)
        (directory / FILE).unlink()
        await until((directory / FILE).exists)
