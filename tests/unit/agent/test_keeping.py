"""The files of claims looked after: when, how thoroughly, and what is said of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netdevice_plugin.agent.keeping import Keeping
from tests.unit.dra.claimed import Node, asynchronous, link, ref


class Kept:
    """Claims that say what they are told to."""

    def __init__(self) -> None:
        self.problems: tuple[str, ...] = ()
        self.answer: tuple[str, ...] = ()
        self.looks: list[bool] = []

    async def restore(self, *, thoroughly: bool = True) -> tuple[str, ...]:
        self.looks.append(thoroughly)
        return self.answer


@contextlib.asynccontextmanager
async def running(keeping: Keeping) -> AsyncIterator[None]:
    task = asyncio.create_task(keeping.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynchronous
async def test_the_first_look_is_thorough_and_so_is_each_after_a_stir(tmp_path: Path) -> None:
    claims = Kept()
    keeping = Keeping(claims, tmp_path)
    await keeping.look()
    await keeping.look()
    keeping.stir()
    await keeping.look()
    assert claims.looks == [True, False, True]


@asynchronous
async def test_what_is_wrong_is_said_once_and_tried_again_thoroughly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claims = Kept()
    keeping = Keeping(claims, tmp_path)
    await keeping.look()
    claims.answer = ("the CDI file of claim ns/a may be out of date: no space left",)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await keeping.look()
        assert keeping.problem == claims.answer[0]
        claims.answer = ()
        await keeping.look()
    assert keeping.problem == ""
    assert claims.looks == [True, False, True, True, True]
    assert [record.message for record in caplog.records] == [
        "Files of claims are not as they should be",
        "Files of claims are as they should be again",
    ]


def test_a_checkpoint_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    claims = Kept()
    claims.problems = ("claims/x.json: is not JSON",)
    assert Keeping(claims, tmp_path).problem == "claims/x.json: is not JSON"


@asynchronous
async def test_a_file_that_is_removed_is_there_again_at_once(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offer(link("eth1", 1))
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    before = node.specs()
    async with running(Keeping(claims, node.cdi_dir, gap=0)):
        for _ in range(3):
            (path,) = node.cdi_dir.glob(f"*{ref(1).uid}*")
            path.unlink()
            async with asyncio.timeout(5):
                while not node.specs():
                    await asyncio.sleep(0.01)
    assert node.specs() == before


@asynchronous
async def test_a_directory_that_is_removed_is_made_again(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offer(link("eth1", 1))
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    async with running(Keeping(claims, node.cdi_dir, gap=0)):
        node.cdi_dir.rename(tmp_path / "elsewhere")
        async with asyncio.timeout(5):
            while not node.specs():
                await asyncio.sleep(0.01)
