"""An agent that is killed at any step of a kubelet's call, and the one that comes after it."""

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
from tests.agent.dra.victim import scene
from tests.unit.dra.claimed import asynchronous, ref

ROOT = Path(__file__).parents[3]
ONE, TWO = ref(1), ref(2)


@contextlib.asynccontextmanager
async def victim(root: Path, at: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "tests.agent.dra.victim", str(root), at)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def killed(process: asyncio.subprocess.Process, call: asyncio.Future[object]) -> None:
    """See a call end as it does when who works on it is gone."""
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("at", ["checkpoint", "CDI file", "prepared"])
@asynchronous
async def test_killed_while_preparing(short_path: Path, at: str) -> None:
    kubelet, node = Kubelet(short_path), scene(short_path)
    async with victim(short_path, at) as process, channel(await kubelet.take()) as to:
        await killed(process, asyncio.ensure_future(Client(to).prepare(ONE)))
    assert node.specs().keys() <= node.checkpoints()
    [left] = kubelet.found()
    async with running(one := server(kubelet, node.instance(), "next")):
        await eventually(lambda: kubelet.found() == [one.paths.registration])
        assert not left.exists()
        async with channel(await kubelet.take()) as to:
            if at != "checkpoint":
                assert "has the device eth1" in (await Client(to).prepare(TWO))[TWO.uid].error
            answer = (await Client(to).prepare(ONE))[ONE.uid]
            assert answer.error == ""
            assert [device.device_name for device in answer.devices] == ["eth1", "eth2"]
            assert "has the device eth1" in (await Client(to).prepare(TWO))[TWO.uid].error
    assert node.specs().keys() == node.checkpoints() == {ONE.uid}


@pytest.mark.parametrize("at", ["no CDI file", "no checkpoint", "unprepared"])
@asynchronous
async def test_killed_while_unpreparing(short_path: Path, at: str) -> None:
    kubelet, node = Kubelet(short_path), scene(short_path)
    async with victim(short_path, at) as process, channel(await kubelet.take()) as to:
        assert (await Client(to).prepare(ONE))[ONE.uid].error == ""
        await killed(process, asyncio.ensure_future(Client(to).unprepare(ONE)))
    assert node.specs().keys() <= node.checkpoints()
    async with running(one := server(kubelet, node.instance(), "next")):
        await eventually(lambda: kubelet.found() == [one.paths.registration])
        async with channel(await kubelet.take()) as to:
            assert await Client(to).unprepare(ONE) == {ONE.uid: ""}
            assert (await Client(to).prepare(TWO))[TWO.uid].error == ""
    assert node.specs().keys() == node.checkpoints() == {TWO.uid}


@asynchronous
async def test_killed_and_the_node_started_anew(short_path: Path) -> None:
    """The kubelet's directory outlives a boot; /var/run/cdi does not."""
    kubelet, node = Kubelet(short_path), scene(short_path)
    async with victim(short_path, "no such step") as process, channel(await kubelet.take()) as to:
        assert (await Client(to).prepare(ONE))[ONE.uid].error == ""
        process.kill()
        await process.wait()
    before = node.specs()
    for path in node.cdi_dir.iterdir():
        path.unlink()
    node.away = True  # the API server may come later
    claims = node.instance()
    await claims.load()
    assert claims.held == {"eth1": ONE, "eth2": ONE}
    async with running(one := server(kubelet, claims, "next")):
        await eventually(lambda: kubelet.found() == [one.paths.registration])
        async with channel(await kubelet.take()) as to:
            assert (await Client(to).prepare(ONE))[ONE.uid].error == ""
    assert node.specs() == before
