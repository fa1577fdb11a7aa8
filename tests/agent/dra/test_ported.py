"""An agent that is killed at any step of a claim for NICs that are attached for it.

Whatever the step, the claim has its NICs in the end, nobody else has, and when it is over there
is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.agent.dra.dialled import Client, Kubelet, channel, eventually, running, server
from tests.agent.dra.ported import DEVICES, Scene
from tests.unit.dra.claimed import asynchronous, ref

ROOT = Path(__file__).parents[3]
ONE, TWO = ref(1), ref(2)


@contextlib.asynccontextmanager
async def victim(root: Path, at: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "tests.agent.dra.ported", str(root), at)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def successor(kubelet: Kubelet, root: Path) -> AsyncIterator[tuple[Scene, Client]]:
    """The agent that comes after, and a way to it."""
    scene = Scene(root)
    task = asyncio.create_task(scene.run())
    try:
        async with running(one := server(kubelet, scene.claims, "next")):
            await eventually(lambda: kubelet.found() == [one.paths.registration])
            async with channel(await kubelet.take()) as to:
                yield scene, Client(to)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def killed(process: asyncio.subprocess.Process, call: asyncio.Future[object]) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("at", ["request", "NIC", "checkpoint", "CDI file", "prepared"])
@asynchronous
async def test_killed_while_preparing(short_path: Path, at: str) -> None:
    kubelet = Kubelet(short_path)
    async with victim(short_path, at) as process, channel(await kubelet.take()) as to:
        await killed(process, asyncio.ensure_future(Client(to).prepare(ONE)))
    async with successor(kubelet, short_path) as (scene, client):
        before = {one["mac"] for one in scene.hypervisor.ports}
        assert len(before) == (0 if at == "request" else 2)
        answer = (await client.prepare(ONE))[ONE.uid]
        assert answer.error == ""
        assert [one.device_name for one in answer.devices] == list(DEVICES)
        macs = {one["mac"] for one in scene.hypervisor.ports}
        assert before in (set(), macs)
        assert len(macs) == 2
        assert "has the device fast-0" in (await client.prepare(TWO))[TWO.uid].error
        assert await client.unprepare(ONE) == {ONE.uid: ""}
        await eventually(lambda: scene.hypervisor.ports == [])


@asynchronous
async def test_killed_while_preparing_what_is_over_by_then(short_path: Path) -> None:
    kubelet = Kubelet(short_path)
    async with victim(short_path, "NIC") as process, channel(await kubelet.take()) as to:
        await killed(process, asyncio.ensure_future(Client(to).prepare(ONE)))
    async with successor(kubelet, short_path) as (scene, client):
        assert await client.unprepare(ONE) == {ONE.uid: ""}
        while (await client.prepare(TWO))[TWO.uid].error:
            await asyncio.sleep(0.05)  # the kubelet tries again: there is no room at first
        await eventually(lambda: len(scene.hypervisor.ports) == 1)
        assert scene.hypervisor.ports[0]["request"] == f"{TWO.uid}/fast-0"


@pytest.mark.parametrize("at", ["no CDI file", "no checkpoint", "unprepared"])
@asynchronous
async def test_killed_while_unpreparing(short_path: Path, at: str) -> None:
    kubelet = Kubelet(short_path)
    async with victim(short_path, at) as process, channel(await kubelet.take()) as to:
        assert (await Client(to).prepare(ONE))[ONE.uid].error == ""
        await killed(process, asyncio.ensure_future(Client(to).unprepare(ONE)))
    async with successor(kubelet, short_path) as (scene, client):
        assert await client.unprepare(ONE) == {ONE.uid: ""}
        await eventually(lambda: scene.hypervisor.ports == [])
