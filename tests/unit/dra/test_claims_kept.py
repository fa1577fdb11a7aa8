"""Claims that stay prepared: their files kept right, and let go when nobody says it is over."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.errors import ClusterError
from tests.unit.dra.claimed import Node, asynchronous, link, ref


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.offer(*(link(f"eth{number}", number) for number in range(1, 5)))
    return made


@asynchronous
async def test_files_are_put_right_at_the_start(node: Node) -> None:
    await node.instance().prepare(node.give(1, "eth1"))
    await node.instance().prepare(node.give(2, "eth2"))
    node.mover = Path("/opt/elsewhere/netdevice-mover")
    del node.links["eth2"]
    node.away = True
    claims = node.instance()
    (problem,) = await claims.restore()
    paths = {uid: spec.devices[0].edits.hooks[0].path for uid, spec in node.specs().items()}
    assert paths[ref(1).uid] == "/opt/elsewhere/netdevice-mover"
    assert paths[ref(2).uid] == "/opt/netdevice-plugin/bin/netdevice-mover"
    assert problem.startswith("the CDI file of claim ns/claim-2 may be out of date: ")
    node.offer(link("eth2", 8))
    assert await claims.restore() == ()
    assert node.specs()[ref(2).uid].devices[0].edits.hooks[0].path == str(node.mover)


@asynchronous
async def test_a_cdi_file_that_somebody_removes_or_changes_is_written_again(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    claims = node.instance()
    for number in (1, 2, 3):
        await claims.prepare(node.give(number, f"eth{number}"))
    before = node.specs()
    files = {number: next(node.cdi_dir.glob(f"*{ref(number).uid}*")) for number in (1, 2, 3)}
    untouched = files[3].stat().st_ino
    files[1].unlink()
    files[2].write_text("{}")
    assert await claims.restore(thoroughly=False) == ()
    assert node.specs() == before
    assert files[3].stat().st_ino == untouched
    said = [r.__dict__["claim"] for r in caplog.records if "written again" in r.message]
    assert said == ["ns/claim-1", "ns/claim-2"]


@asynchronous
async def test_only_files_that_were_touched_are_looked_into(node: Node) -> None:
    steps: list[str] = []
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    node.step = steps.append
    watched = node.instance()
    await watched.restore()
    assert steps == ["checkpoint", "CDI file", "prepared"]
    await watched.restore(thoroughly=False)
    assert len(steps) == 3


@asynchronous
async def test_what_is_being_prepared_is_left_to_who_prepares_it(node: Node) -> None:
    steps: list[str] = []
    restored: list[tuple[str, ...]] = []
    claims = node.instance()
    loop = asyncio.get_running_loop()

    def look(step: str) -> None:
        steps.append(step)
        if step == "CDI file":
            work = asyncio.run_coroutine_threadsafe(claims.restore(thoroughly=False), loop)
            restored.append(work.result(10))

    node.step = look
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    assert restored == [()]
    assert steps == ["checkpoint", "CDI file", "prepared"]


@asynchronous
async def test_a_directory_that_is_full_is_told_and_tried_again(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    shutil.rmtree(node.cdi_dir)
    node.cdi_dir.write_text("no directory")
    (problem,) = await claims.restore(thoroughly=False)
    assert "cannot write" in problem
    assert claims.held == {"eth1": ref(1)}
    node.cdi_dir.unlink()
    assert await claims.restore(thoroughly=False) == ()
    assert node.specs().keys() == {ref(1).uid}


@asynchronous
async def test_checkpoints_that_cannot_be_read_say_what_to_do(node: Node) -> None:
    node.data_dir.mkdir(parents=True)
    (node.data_dir / "claims").write_text("no directory")
    (problem,) = await node.instance().restore()
    assert "claims: Not a directory; no claim is served until" in problem


@asynchronous
async def test_a_device_is_the_claims_before_anything_is_written(node: Node) -> None:
    held: list[Mapping[str, ClaimRef]] = []
    node.step = lambda _: held.append(claims.held)
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    assert held[0] == {"eth1": ref(1)}


@asynchronous
async def test_a_claim_that_is_over_and_was_never_unprepared_is_let_go(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    claims = node.instance()
    for number in (1, 2, 3):
        await claims.prepare(node.give(number, f"eth{number}"))
    node.forget(ref(1))
    del node.server["ns", "claim-2"]["status"]["allocation"]
    gone = [await claims.let_go(one, lambda: True) for one in claims.allocations]
    assert gone == [True, True, False]
    assert claims.held == {"eth3": ref(3)}
    assert node.specs().keys() == node.checkpoints() == {ref(3).uid}
    said = [r.__dict__["reason"] for r in caplog.records if r.message.startswith("Claim let go")]
    assert said == ["get claim: not found", "claim ns/claim-2 is not allocated"]


@asynchronous
async def test_a_claim_is_not_let_go_from_ignorance(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    (one,) = claims.allocations
    node.away = True
    with pytest.raises(ClusterError):
        await claims.let_go(one, lambda: True)
    node.away = False
    node.forget(ref(1))
    assert not await claims.let_go(one, lambda: False)  # its link is in a pod after all
    assert claims.held == {"eth1": ref(1)}


@asynchronous
async def test_a_claim_that_is_another_by_now_is_not_let_go(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    (one,) = claims.allocations
    await claims.prepare(node.give(1, "eth2"))
    node.forget(ref(1))
    assert not await claims.let_go(one, lambda: True)
    assert claims.held == {"eth2": ref(1)}
