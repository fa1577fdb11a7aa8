"""How long slices are away in bad times, on a clock that goes on when all wait."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest

from benchmarks.virtual import Ledger, Slices, run, until
from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.errors import UnreachableError
from netdevice_plugin.dra.cluster.publisher import Publisher
from tests.unit.dra.listed import DRIVER, NODE, listed, listing

RESET = UnreachableError("connection reset")


@contextlib.asynccontextmanager
async def publishing(ledger: Ledger, seed: int = 1) -> AsyncIterator[tuple[Publisher, Slices]]:
    """One node's publisher with the waits of every day, whose slice is there."""
    slices = ledger.at(NODE)
    chance = random.Random(seed).random  # noqa: S311 - no secret
    publisher = Publisher(cast(Api, slices), driver=DRIVER, node=NODE, chance=chance)
    publisher.publish([listing(listed("eth1"))])
    task = asyncio.create_task(publisher.run())
    try:
        await until(lambda: bool(slices.slices) and not publisher.problem, 1)
        yield publisher, slices
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def watches(ledger: Ledger) -> int:
    """How many were asked for."""
    return sum(count for (_, verb), count in ledger.asked.items() if verb == "watch")


@pytest.mark.parametrize("error", [None, RESET], ids=["it just ends", "it is reset"])
@pytest.mark.parametrize("period", [3.0, 10.0, 50.0])
def test_a_watch_that_is_ended_again_and_again_is_opened_again_within_a_second(
    period: float, error: Exception | None
) -> None:
    """As by a load balancer that ends what was idle for 50 s."""

    async def scene() -> None:
        ledger = Ledger()
        async with publishing(ledger) as (_, slices):
            for _ in range(100):
                await asyncio.sleep(period)
                before = watches(ledger)
                slices.cut(error)
                await until(lambda: watches(ledger) > before, 1.2)  # noqa: B023 - awaited here

    run(scene())


def test_a_watch_that_is_ended_at_once_is_opened_later_and_later() -> None:
    async def scene() -> int:
        ledger = Ledger()
        async with publishing(ledger) as (_, slices):
            before = watches(ledger)
            for _ in range(6000):
                await asyncio.sleep(0.1)
                slices.cut(RESET)
            return watches(ledger) - before

    assert run(scene()) < 40  # in ten minutes


@pytest.mark.parametrize("seed", range(10))
def test_a_server_that_is_back_and_has_forgotten_is_listed_within_a_second(seed: int) -> None:
    async def scene() -> float:
        ledger = Ledger()
        async with publishing(ledger, seed) as (_, slices):
            ledger.leave()
            slices.cut(RESET)
            slices.compact()
            await asyncio.sleep(600)
            ledger.away = False
            tried = watches(ledger)
            await until(lambda: watches(ledger) > tried, 61)
            return await until(lambda: watches(ledger) > tried + 1, 61)

    assert run(scene()) < 1.2


def test_a_server_that_forgets_at_once_is_listed_later_and_later() -> None:
    async def scene() -> int:
        ledger = Ledger()
        async with publishing(ledger) as (_, slices):
            slices.cut(RESET)
            before = watches(ledger)
            for _ in range(6000):
                slices.compact()
                await asyncio.sleep(0.1)
            return watches(ledger) - before

    assert run(scene()) < 60  # in ten minutes


@pytest.mark.parametrize("seed", range(10))
def test_in_a_storm_slices_are_back_in_time(seed: int) -> None:
    """Kubelets start, people delete, watches end, the API server is away: every few seconds."""

    async def scene() -> list[float]:
        ledger, dice, found = Ledger(), random.Random(seed), []  # noqa: S311 - no secret
        async with publishing(ledger, seed) as (_, slices):
            for _ in range(100):
                await asyncio.sleep(dice.expovariate(1 / 4))
                match dice.randrange(3):
                    case 0:
                        slices.wipe()
                    case 1:
                        slices.cut(None)
                    case _:
                        ledger.leave()
                        await asyncio.sleep(0.3)
                        ledger.away = False
                found.append(await until(lambda: bool(slices.slices), 100))
        return [seconds for seconds in found if seconds]

    away = run(scene())
    assert max(away) < 20
    assert sum(away) / len(away) < 6
