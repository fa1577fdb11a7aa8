"""A VF is not lost by a mover that is killed, at whichever step."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Result
from tests.vm.nics import HOST, Nic, Nics, dress
from tests.vm.node import Node

STRIDE = 4  # tests/kernel/mover/test_killed.py has each step; here a round takes a second


@pytest.fixture
def vf(all_nics: Nics) -> Iterator[Nic]:
    """A VF that is called `ndp0` and has a bit of everything."""
    HOST.ip("link", "set", all_nics.vf1.link, "name", DEVICE)
    dress()
    yield all_nics.vf1
    all_nics.vf1.reset()


def each_step(run: Callable[[dict[str, str]], Result]) -> int:
    """Run with a kill at the first step, a later one, ..., until a run gets to its end."""
    for step in itertools.count(1, STRIDE):
        result = run({"NDM_STEP_KILL": str(step)})
        if result.code != -signal.SIGKILL:
            return step
    raise AssertionError("unreachable")


def test_an_attach_that_is_killed_is_undone_by_reclaim(
    vf: Nic, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    offer = node.offer(mover=node.stepped)

    def attach(env: dict[str, str]) -> Result:
        container = containers.alone()
        result = offer.attach(container, env=env)
        container.end()
        node.mover.reclaim().ok()
        assert_same(HOST, before)
        return result

    assert each_step(attach) > 10
    assert node.mover.leftovers() == []


def test_a_detach_that_is_killed_is_finished_by_reclaim(
    vf: Nic, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    offer = node.offer()

    def detach(env: dict[str, str]) -> Result:
        container = containers.alone()
        offer.attach(container).ok()
        container.end()
        result = node.stepped.detach(container, env=env)
        node.mover.reclaim().ok()
        assert_same(HOST, before)
        return result

    assert each_step(detach) > 10
    assert node.mover.leftovers() == []
