from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdevice_plugin.directory import Watch

PATIENCE = 10  # seconds


class Follower:
    """Looks at a directory whenever it is told of a change, as the agent does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._looks: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._changed = threading.Event()
        self._ended = False
        self.watch = Watch(directory, self._changed.set)
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Follower:
        self.watch.__enter__()
        self._changed.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._changed.set()
        self._thread.join()
        self.watch.__exit__(None, None, None)

    def expect(self, names: list[str] | None) -> None:
        while self._looks.get(timeout=PATIENCE) != names:
            pass

    def _follow(self) -> None:
        while self._changed.wait() and not self._ended:
            self._changed.clear()
            self.watch.arm()
            try:
                self._looks.put(sorted(path.name for path in self._directory.iterdir()))
            except FileNotFoundError:
                self._looks.put(None)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "cdi"


@pytest.fixture
def follower(directory: Path) -> Iterator[Follower]:
    with Follower(directory) as follower:
        follower.expect(None)
        yield follower


def test_a_directory_is_watched_as_soon_as_it_is_there_and_until_it_is_gone(
    directory: Path, follower: Follower
) -> None:
    for _ in range(3):
        directory.mkdir(parents=True)
        follower.expect([])
        (directory / "file").write_text("")
        follower.expect(["file"])
        shutil.rmtree(directory.parent)
        follower.expect(None)


def test_a_directory_made_anew_at_once_is_watched_though_its_number_is_the_same(
    directory: Path, follower: Follower
) -> None:
    directory.mkdir(parents=True)
    follower.expect([])
    for number in range(10):
        directory.rmdir()
        directory.mkdir()
        follower.expect([])
        (directory / str(number)).write_text("")
        follower.expect([str(number)])
        (directory / str(number)).unlink()
        follower.expect([])
