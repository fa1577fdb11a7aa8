"""One agent in charge of a node, whoever comes, dies or is started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest

from netdevice_plugin.agent.turn import LOCK, NEXT, Turn
from netdevice_plugin.errors import NetdevError


def play(scene: Awaitable[None]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            await scene

    asyncio.run(run())


def names(run_dir: Path) -> list[str]:
    return (run_dir / LOCK).read_text().splitlines()


def test_the_first_one_is_in_charge_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        turn = Turn(tmp_path / "run", "one")
        await turn.take()
        assert names(tmp_path / "run") == ["one"]
        turn.release()

    play(scene())


def test_the_next_one_asks_and_gets_it_when_the_first_gives_way(tmp_path: Path) -> None:
    async def scene() -> None:
        first, second = Turn(tmp_path, "one"), Turn(tmp_path, "two")
        await first.take()
        taking = asyncio.ensure_future(second.take())
        assert await first.asked() == "two"
        assert not taking.done()
        first.release()
        await taking
        assert names(tmp_path) == ["two", "one"]
        assert not (tmp_path / NEXT).exists()
        second.release()

    play(scene())


def test_who_gave_way_waits_and_asks_nobody(tmp_path: Path) -> None:
    async def scene() -> None:
        first, second = Turn(tmp_path, "one"), Turn(tmp_path, "two")
        await first.take()
        taking = asyncio.ensure_future(second.take())
        await first.asked()
        first.release()
        await taking
        again = Turn(tmp_path, "one")
        waiting = asyncio.ensure_future(again.take())
        asked = asyncio.ensure_future(second.asked())
        done, _ = await asyncio.wait([waiting, asked], timeout=0.3)
        assert not done
        asked.cancel()
        second.release()  # it ends for another reason
        await waiting
        assert names(tmp_path) == ["one"]
        again.release()

    play(scene())


def test_a_claimant_that_died_is_not_given_way_to(tmp_path: Path) -> None:
    async def scene() -> None:
        first = Turn(tmp_path, "one")
        await first.take()
        (tmp_path / NEXT).write_text("dead\n")  # nobody holds its lock
        asked = asyncio.ensure_future(first.asked())
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
        second = Turn(tmp_path, "two")
        taking = asyncio.ensure_future(second.take())
        assert await asked == "two"
        first.release()
        await taking
        second.release()

    play(scene())


def test_a_claimant_that_is_stopped_takes_its_claim_back(tmp_path: Path) -> None:
    async def scene() -> None:
        first, second = Turn(tmp_path, "one"), Turn(tmp_path, "two")
        await first.take()
        taking = asyncio.ensure_future(second.take())
        await first.asked()
        taking.cancel()
        await asyncio.wait([taking])
        assert not (tmp_path / NEXT).exists()
        asked = asyncio.ensure_future(first.asked())
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
        asked.cancel()
        await asyncio.wait([asked])
        first.release()
        third = Turn(tmp_path, "three")
        await third.take()  # the thread that waited for the second gives back what it gets
        third.release()

    play(scene())


def test_after_sigkill_the_next_one_is_in_charge_at_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from netdevice_plugin.agent.turn import Turn\n"
        "async def main():\n"
        "    turn = Turn(Path(sys.argv[1]), 'one'); await turn.take()\n"
        "    print('in charge', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    command = (sys.executable, "-c", code, str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in charge\n"
        process.send_signal(signal.SIGKILL)

    async def scene() -> None:
        turn = Turn(tmp_path, "two")
        await turn.take()
        assert names(tmp_path)[0] == "two"
        turn.release()

    play(scene())


@pytest.mark.parametrize("instance", ["../../up", "a\nb", "\0", "x" * 10_000, "\udcff", "é"])
def test_an_instance_may_be_called_anything(tmp_path: Path, instance: str) -> None:
    async def scene() -> None:
        run_dir = tmp_path / "in" / "run"
        first, second = Turn(run_dir, "one"), Turn(run_dir, instance)
        await first.take()
        taking = asyncio.ensure_future(second.take())
        assert await first.asked()
        first.release()
        await taking
        assert names(run_dir)[1:] == ["one"]
        assert [path.name for path in run_dir.iterdir()] == [LOCK]
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
        second.release()

    play(scene())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"\n" * 3, b"x" * 100_000])
def test_whatever_the_lock_says_the_next_one_gets_it(tmp_path: Path, content: bytes) -> None:
    async def scene() -> None:
        first = Turn(tmp_path, "one")
        await first.take()
        (tmp_path / LOCK).write_bytes(content)
        second = Turn(tmp_path, "two")
        taking = asyncio.ensure_future(second.take())
        await first.asked()
        first.release()
        await taking
        assert names(tmp_path)[0] == "two"
        second.release()

    play(scene())


def test_who_gave_way_is_not_remembered_for_ever(tmp_path: Path) -> None:
    async def scene() -> None:
        before = Turn(tmp_path, "0")
        await before.take()
        for number in range(1, 30):
            after = Turn(tmp_path, str(number))
            taking = asyncio.ensure_future(after.take())
            await before.asked()
            before.release()
            await taking
            before = after
        assert names(tmp_path) == ["29", *map(str, range(13, 29))]
        before.release()

    play(scene())


def test_a_run_directory_that_cannot_be_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    turn = Turn(tmp_path / "file" / "run", "one")
    with pytest.raises(NetdevError, match=r"cannot lock .*: Not a directory"):
        asyncio.run(turn.take())


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / LOCK).symlink_to(target)
    with pytest.raises(NetdevError, match="cannot lock"):
        asyncio.run(Turn(run_dir, "one").take())
    assert target.read_text() == "precious"


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number is all

    async def scene() -> None:
        for number in range(5):
            turn = Turn(tmp_path, str(number))
            await turn.take()
            turn.release()

    play(scene())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_lock_that_is_swept_away_is_put_back(tmp_path: Path) -> None:
    async def scene() -> None:
        run_dir = tmp_path / "run"
        first, second = Turn(run_dir, "one"), Turn(run_dir, "two")
        await first.take()
        asked = asyncio.ensure_future(first.asked())
        await asyncio.sleep(0)
        shutil.rmtree(run_dir)
        while not (run_dir / LOCK).exists():
            await asyncio.sleep(0.01)
        assert names(run_dir) == ["one"]
        taking = asyncio.ensure_future(second.take())
        assert await asked == "two"
        assert not taking.done()
        first.release()
        await taking
        second.release()

    play(scene())


def test_who_waited_for_a_lock_that_was_swept_away_asks_anew(tmp_path: Path) -> None:
    async def scene() -> None:
        first, second = Turn(tmp_path, "one"), Turn(tmp_path, "two")
        await first.take()
        taking = asyncio.ensure_future(second.take())
        while not (tmp_path / NEXT).exists():
            await asyncio.sleep(0)
        (tmp_path / NEXT).unlink()
        (tmp_path / LOCK).unlink()
        assert await first.asked() == "two"
        assert not taking.done()
        first.release()
        await taking
        assert names(tmp_path) == ["two", "one"]
        second.release()

    play(scene())


def test_who_was_quicker_to_make_another_lock_is_given_way_to(tmp_path: Path) -> None:
    async def scene() -> None:
        first, second = Turn(tmp_path, "one"), Turn(tmp_path, "two")
        await first.take()
        (tmp_path / LOCK).unlink()
        await second.take()
        assert await first.asked() == "two"
        first.release()
        second.release()

    play(scene())
