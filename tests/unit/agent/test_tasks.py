"""Tasks end together, and none dies unseen."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from netdevice_plugin.agent.tasks import first_of
from netdevice_plugin.errors import NetdevError


async def fail(error: Exception) -> None:
    raise error


def test_the_first_that_ends_ends_the_others() -> None:
    ended: list[str] = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("other")

    async def play() -> None:
        await first_of(other(), asyncio.sleep(0))

    asyncio.run(play())
    assert ended == ["other"]


def test_what_the_first_died_of_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(first_of(asyncio.Event().wait(), fail(ZeroDivisionError())))


@pytest.mark.parametrize("bug_first", [True, False])
def test_a_bug_comes_before_what_may_follow_from_it(bug_first: bool) -> None:
    errors: list[Exception] = [NetdevError("it is stopping"), KeyError("a bug")]
    with pytest.raises(KeyError):
        asyncio.run(first_of(*map(fail, errors[::-1] if bug_first else errors)))


def test_who_cancels_sees_them_all_end() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    async def play() -> None:
        both = asyncio.ensure_future(first_of(work(1), work(2)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        both.cancel()
        await asyncio.wait([both])
        assert both.cancelled()

    asyncio.run(play())
    assert sorted(ended) == [1, 2]


@pytest.mark.timeout(20)
def test_a_thread_that_hangs_keeps_the_process_no_longer_than_that() -> None:
    code = (
        "import threading\n"
        "from netdevice_plugin.agent.tasks import end_soon\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "end_soon(0.1)\n"
    )
    command = (sys.executable, "-c", code)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Something does not end" in result.stderr


def test_who_ends_in_time_is_left_alone() -> None:
    code = "from netdevice_plugin.agent.tasks import end_soon; end_soon(60)"
    result = subprocess.run((sys.executable, "-c", code), capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
