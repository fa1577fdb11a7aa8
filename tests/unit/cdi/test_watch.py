"""The watch, on real directories; every wait is for a registry, with a limit that is never met."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import threading
from collections.abc import Awaitable, Callable

import pytest
from watchdog import events

import cdi
from cdi.watch import Watcher, _Handler
from tests.unit.cdi import specs

LIMIT = 30


def run(directories: list[pathlib.Path], body: Callable[[Watcher], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(LIMIT), Watcher(directories) as watcher:
            await body(watcher)

    asyncio.run(whole())


async def until(watcher: Watcher, *devices: str) -> cdi.Registry:
    """Take registries until one has these devices of vendor.com/net."""
    wanted = [f"vendor.com/net={device}" for device in devices]
    async for registry in watcher:
        if list(registry.devices) == wanted:
            return registry
    raise AssertionError("a watcher ends only when it is closed")


def put(directory: pathlib.Path, *devices: str, name: str = "a.json") -> None:
    cdi.write(specs.hook_spec("vendor.com/net", *devices), directory, name=name)


def test_the_present_state_comes_first_and_then_every_change(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "eth1")

    async def body(watcher: Watcher) -> None:
        assert list((await anext(watcher)).devices) == ["vendor.com/net=eth1"]
        put(tmp_path, "eth1", "eth2")
        await until(watcher, "eth1", "eth2")
        cdi.remove(tmp_path, "a.json")
        await until(watcher)

    run([tmp_path], body)


def test_a_directory_is_noticed_when_it_appears_goes_and_comes_again(
    tmp_path: pathlib.Path,
) -> None:
    low, high = tmp_path / "etc" / "cdi", tmp_path / "run" / "cdi"

    async def body(watcher: Watcher) -> None:
        await until(watcher)
        put(high, "eth1")
        await until(watcher, "eth1")
        shutil.rmtree(high.parent)
        await until(watcher)
        put(low, "eth2")
        put(high, "eth3")
        await until(watcher, "eth2", "eth3")
        high.rename(tmp_path / "gone")
        await until(watcher, "eth2")
        put(high, "eth4")
        await until(watcher, "eth2", "eth4")
        put(high, "eth5")
        await until(watcher, "eth2", "eth5")

    run([low, high], body)


def test_a_file_that_is_written_in_place_is_an_error_until_it_is_whole(
    tmp_path: pathlib.Path,
) -> None:
    data = cdi.dumps(specs.hook_spec())

    async def body(watcher: Watcher) -> None:
        await until(watcher)
        with (tmp_path / "a.json").open("wb", buffering=0) as file:
            file.write(data[:50])
            async for registry in watcher:
                if registry.problems:
                    break
            file.write(data[50:])
        registry = await until(watcher, "eth1")
        assert registry.problems == ()

    run([tmp_path], body)


def test_other_files_and_our_own_reading_wake_nobody(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "cdi"
    put(directory, "eth1")

    async def body(watcher: Watcher) -> None:
        await until(watcher, "eth1")
        (directory / "notes.txt").write_text("x")
        (tmp_path / "other").mkdir()
        (directory / "a.json").read_bytes()
        put(directory, "eth2", name="last.json")
        changes = [await anext(watcher)]
        while "vendor.com/net=eth2" not in changes[-1].devices:
            changes.append(await anext(watcher))
        assert len(changes) == 1

    run([directory], body)


def test_one_directory_under_two_names_is_watched_for_both(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    async def body(watcher: Watcher) -> None:
        await until(watcher)
        put(tmp_path / "real", "eth1")
        registry = await until(watcher, "eth1")
        assert registry.devices["vendor.com/net=eth1"].file.priority == 1

    run([tmp_path / "link", tmp_path / "real"], body)


class Gated(Watcher):
    """Says when it reads, and waits for leave to."""

    def __init__(self, directories: list[pathlib.Path]) -> None:
        super().__init__(directories)
        self.reading = asyncio.Event()
        self.gate = threading.Event()

    def _read(self) -> cdi.Registry:
        self._loop.call_soon_threadsafe(self.reading.set)
        assert self.gate.wait(LIMIT)
        return super()._read()


def test_a_wait_that_is_cancelled_while_it_reads_loses_no_change(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "eth1")

    async def body() -> None:
        async with asyncio.timeout(LIMIT), Gated([tmp_path]) as watcher:
            waiting = asyncio.ensure_future(anext(watcher))
            await watcher.reading.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            watcher.gate.set()
            await until(watcher, "eth1")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("event", "wakes"),
    [
        (events.FileMovedEvent("/d/.cdi-0.tmp", "/d/a.json"), True),
        (events.FileCreatedEvent("/d/a.yaml"), True),
        (events.FileModifiedEvent("/d/.a.json"), True),
        (events.FileClosedEvent("/d/a.json"), True),
        (events.FileDeletedEvent("/d/a.json"), True),
        (events.FileOpenedEvent("/d/a.json"), False),
        (events.FileClosedNoWriteEvent("/d/a.json"), False),
        (events.FileModifiedEvent("/d/.cdi-0.tmp"), False),
        (events.FileCreatedEvent("/d/a.txt"), False),
        (events.DirModifiedEvent("/d"), False),
        (events.DirCreatedEvent("/d/below"), True),
        (events.DirDeletedEvent("/d/other"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, events.FileSystemEvent) else None,
)
def test_only_what_changes_a_spec_file_or_a_directory_in_question_wakes(
    event: events.FileSystemEvent, wakes: bool
) -> None:
    """Our own reading above all does not, or we would read for ever."""
    woken: list[bool] = []
    handler = _Handler(frozenset(("", "below")), lambda: woken.append(True))
    handler.dispatch(event)
    assert bool(woken) == wakes
