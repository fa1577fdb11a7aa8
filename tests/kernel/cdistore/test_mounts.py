"""What file systems do to the CDI directory: full, read-only, mounted over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdevice_plugin.cdistore import Pace
from tests.unit.cdistore.devices import FILE, POOL, names
from tests.unit.cdistore.running import agent, until, whole, within_patience

KIND = POOL.kind


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few pages."""
    directory = tmp_path / "cdi"
    directory.mkdir()
    mount("-t", "tmpfs", "-o", "size=32k", "ndp-test", directory)
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return


@within_patience
async def test_on_a_full_disk_the_old_file_stays_until_there_is_room_again(small: Path) -> None:
    async with agent(small) as an:
        await an.write("eth1")
        fill(small / "filler")
        state = await an.write("eth1", "eth2", "eth3", "eth4")
        assert state.known == {KIND: {"eth1"}}
        assert state.problems == (
            f"cannot write {small / FILE}: No space left on device; free space on its file system",
        )
        assert (small / FILE).read_bytes() == whole("eth1")
        assert names(small) == ["filler", FILE]
        (small / "filler").unlink()
        state = await an.told(lambda state: state.settled)
        assert state.known == {KIND: {"eth1", "eth2", "eth3", "eth4"}}
        assert names(small) == [FILE]


@within_patience
async def test_what_is_on_a_read_only_file_system_is_used_until_it_can_be_changed(
    small: Path,
) -> None:
    async with agent(small) as an:
        await an.write("eth1", "eth2")
    mount("-o", "remount,ro", small)
    async with agent(small) as an:  # started now, it knows the file from reading it
        assert (await an.write("eth1", "eth2")).settled  # nothing to write
        state = await an.write("eth2", "eth3")
        assert state.known == {KIND: {"eth2"}}
        assert state.problems == (
            f"cannot write {small / FILE}: Read-only file system; mount the directory read-write",
        )
        mount("-o", "remount,rw", small)
        await an.told(lambda state: state.settled)
        assert (small / FILE).read_bytes() == whole("eth2", "eth3")


@within_patience
async def test_what_is_mounted_over_the_directory_gets_the_files(small: Path) -> None:
    async with agent(small, Pace(check=0.01, first=0.01, again=0.1)) as an:
        await an.write("eth1")
        mount("-t", "tmpfs", "-o", "size=32k", "ndp-test", small)
        try:
            await until((small / FILE).exists)
            assert an.store.known(KIND) == {"eth1"}
        finally:
            subprocess.run(["umount", "--lazy", small], check=True)
        (small / FILE).unlink()
        await until((small / FILE).exists)
