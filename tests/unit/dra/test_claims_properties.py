"""Any sequence of what a cluster can do to claims, against a model of a few lines."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netdevice_plugin.dra.claims import Claims
from netdevice_plugin.errors import ClaimError
from tests.unit.dra.claimed import Node, link, ref

Step = tuple[str, int, set[str]]

DEVICES = ("eth0", "eth1", "eth2")

numbers = st.integers(1, 3)
nothing = st.just(set[str]())
steps = st.one_of(
    st.tuples(st.just("allocate"), numbers, st.sets(st.sampled_from(DEVICES), min_size=1)),
    st.tuples(st.just("prepare"), numbers, nothing),
    st.tuples(st.just("prepare"), numbers, nothing),
    st.tuples(st.sampled_from(("unprepare", "deallocate")), numbers, nothing),
    st.tuples(st.sampled_from(("away", "back", "back", "reboot", "restart")), st.just(0), nothing),
)


class Model:
    """What has to come of it: by number of the claim, the devices."""

    def __init__(self) -> None:
        self.allocated: dict[int, set[str]] = {}
        self.prepared: dict[int, set[str]] = {}
        self.away = False

    def prepare(self, number: int) -> bool:
        """Say whether a claim gets its devices, and note that it has."""
        if self.away:
            return number in self.prepared
        wanted = self.allocated.get(number)
        if not wanted:
            return False
        others = {n for n, has in self.prepared.items() if n != number and has & wanted}
        if any(self.allocated.get(other, set()) & wanted for other in others):
            return False
        for other in others:
            del self.prepared[other]
        self.prepared[number] = wanted
        return True


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, min_size=25, max_size=40), st.booleans())
def test_claims_have_what_the_model_has(sequence: Sequence[Step], alternate: bool) -> None:
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_follow(Node(Path(root)), sequence, alternate=alternate))


async def _follow(node: Node, sequence: Sequence[Step], *, alternate: bool) -> None:
    model = Model()
    node.offer(*(link(name, number) for number, name in enumerate(DEVICES, 1)))
    instances = [node.instance(), node.instance()]
    for count, step in enumerate(sequence):
        await _do(node, model, instances[count % 2 if alternate else 0], step)
        if step[0] == "restart":
            instances = [node.instance(), node.instance()]
        _compare(node, model)
    fresh = node.instance()
    await fresh.load()
    assert fresh.held == {
        device: ref(number) for number, has in model.prepared.items() for device in has
    }


async def _do(node: Node, model: Model, claims: Claims, step: Step) -> None:
    what, number, devices = step
    if what == "allocate":
        node.give(number, *sorted(devices))
        model.allocated[number] = devices
    elif what == "deallocate":
        node.server.pop(("ns", ref(number).name), None)
        model.allocated.pop(number, None)
    elif what in ("away", "back"):
        node.away = model.away = what == "away"
    elif what == "reboot":
        for path in node.cdi_dir.glob("*"):
            path.unlink()
    elif what == "prepare":
        try:
            prepared = await claims.prepare(ref(number))
        except ClaimError:
            assert not model.prepare(number)
        else:
            assert model.prepare(number)
            assert {one.result.device for one in prepared} == model.prepared[number]
            assert ref(number).uid in node.specs()
    elif what == "unprepare":
        await claims.unprepare(ref(number))
        model.prepared.pop(number, None)


def _compare(node: Node, model: Model) -> None:
    uids = {ref(number).uid for number in model.prepared}
    assert node.checkpoints() == uids
    assert node.specs().keys() <= uids
    owned = [device for has in model.prepared.values() for device in has]
    assert len(owned) == len(set(owned))
