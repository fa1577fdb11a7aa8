"""Claims that are over and were never unprepared: which are let go, and who is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netdevice_plugin.agent.sweeping import Sweeping
from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.dra.claims import Claims
from netdevice_plugin.errors import AttachmentError, KubeletError
from netdevice_plugin.look import View
from netdevice_plugin.model import Snapshot
from netdevice_plugin.usage.usage import Answer
from tests.unit.dra.claimed import Node, asynchronous, link, ref, result

LINKS = tuple(link(f"eth{number}", number) for number in (1, 2, 3))


def lent(name: str) -> Attachment:
    return Attachment(device=name, phase=Phase.ATTACHED, link=HostLink(name=name, ifindex=7))


def broken(device: str) -> AttachmentError:
    error = AttachmentError("cannot be read")
    error.device = device
    return error


class Scene:
    """Claims of a node, what its kubelet says, and what is where."""

    def __init__(self, root: Path) -> None:
        self.node = Node(root)
        self.node.offer(*LINKS)
        self.claims: Claims = self.node.instance()
        self.answer: Answer | None = Answer()
        self.asked = 0
        self.hooked = True
        self.view: View | None = View(snapshot=Snapshot(interfaces=LINKS))
        self.sweeping = Sweeping(
            self.claims,
            ask=self._ask,
            view=lambda: self.view,
            hooked=lambda _: self.hooked,
        )

    async def prepare(self, *numbers: int) -> None:
        """A claim of each number has the link of that number; the API server was asked."""
        for number in numbers:
            await self.claims.prepare(self.node.give(number, f"eth{number}"))
        self.node.reads.clear()

    async def sweep(self) -> None:
        await self.sweeping.sweep()

    async def _ask(self) -> Answer:
        self.asked += 1
        if self.answer is None:
            raise KubeletError("no kubelet")
        return self.answer


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@asynchronous
async def test_a_claim_that_is_gone_and_that_no_pod_has_is_let_go(scene: Scene) -> None:
    await scene.prepare(1, 2)
    scene.node.forget(ref(1))
    await scene.sweep()
    assert scene.claims.held == {"eth2": ref(2)}
    assert scene.node.reads == [ref(1), ref(2)]


@asynchronous
async def test_of_what_pods_have_the_api_server_is_not_asked(scene: Scene) -> None:
    await scene.prepare(1)
    scene.node.forget(ref(1))
    scene.answer = Answer(claims=frozenset({("ns", "claim-1")}))
    await scene.sweep()
    assert scene.claims.held == {"eth1": ref(1)}
    assert scene.node.reads == []


@asynchronous
async def test_of_what_is_in_containers_not_even_the_kubelet_is_asked(scene: Scene) -> None:
    await scene.prepare(1)
    scene.node.forget(ref(1))
    scene.view = View(snapshot=Snapshot(interfaces=LINKS[1:]), attachments=(lent("eth1"),))
    await scene.sweep()
    assert scene.claims.held == {"eth1": ref(1)}
    assert scene.asked == 0


VIEWS = {
    "nothing is known yet": None,
    "its record is broken": View(snapshot=Snapshot(interfaces=LINKS), problems=(broken("eth1"),)),
    "no record can be read": View(snapshot=Snapshot(interfaces=LINKS), problems=(broken(""),)),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_may_be_in_a_container_is_kept(scene: Scene, view: View | None) -> None:
    scene.view = view

    @asynchronous
    async def keep() -> None:
        await scene.prepare(1)
        scene.node.forget(ref(1))
        await scene.sweep()
        assert scene.claims.held == {"eth1": ref(1)}

    keep()


@asynchronous
async def test_a_link_that_the_runtime_moves_has_to_be_here(scene: Scene) -> None:
    await scene.prepare(1, 2)
    scene.node.forget(ref(1))
    scene.node.forget(ref(2))
    scene.hooked = False
    scene.view = View(snapshot=Snapshot(interfaces=LINKS[1:]))  # eth1 has no record, and is away
    await scene.sweep()
    assert scene.claims.held == {"eth1": ref(1)}
    scene.hooked = True  # eth1 is nowhere: nobody has it
    await scene.sweep()
    assert scene.claims.held == {}


@asynchronous
async def test_without_a_kubelet_or_an_api_server_nothing_is_over(scene: Scene) -> None:
    await scene.prepare(1, 2)
    scene.node.forget(ref(1))
    scene.answer = None
    await scene.sweep()
    assert scene.node.reads == []
    scene.answer = Answer()
    scene.node.away = True
    await scene.sweep()
    assert scene.node.reads == [ref(1)]  # and no other, as long as it is away
    assert scene.claims.held == {"eth1": ref(1), "eth2": ref(2)}


@asynchronous
async def test_a_claim_that_makes_no_sense_is_kept_and_harms_no_other(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.prepare(1, 2)
    scene.node.allocate(ref(1), result("not a name"))
    scene.node.forget(ref(2))
    await scene.sweep()
    assert scene.claims.held == {"eth1": ref(1)}
    assert "Claim that no pod has cannot be let go" in caplog.text


@asynchronous
async def test_a_claim_to_look_is_let_go_as_well(scene: Scene) -> None:
    admin = scene.node.allocate(ref(1), result("eth1", adminAccess=True))
    await scene.claims.prepare(admin)
    scene.node.forget(ref(1))
    scene.view = View(snapshot=Snapshot(interfaces=LINKS), attachments=(lent("eth1"),))
    await scene.sweep()
    assert scene.claims.allocations == ()


@asynchronous
async def test_a_file_that_is_nobodys_goes_when_no_pod_has_had_it_twice(scene: Scene) -> None:
    await scene.prepare(1, 2, 3)
    for number in (1, 2):
        (scene.node.data_dir / "claims" / f"{ref(number).uid}.json").unlink()
    (scene.node.data_dir / "claims" / f"{ref(3).uid}.json").write_text("{")  # it is somebody's
    scene.answer = Answer(claimed=frozenset({f"networking.k8s.io/claim={ref(2).uid}-eth2"}))
    await scene.sweep()
    assert len(scene.node.specs()) == 3
    await scene.sweep()
    assert scene.node.specs().keys() == {ref(2).uid, ref(3).uid}


@asynchronous
async def test_a_file_of_a_claim_that_is_prepared_meanwhile_stays(scene: Scene) -> None:
    await scene.prepare(1)
    (scene.node.data_dir / "claims" / f"{ref(1).uid}.json").unlink()
    (orphan,) = await scene.claims.orphans()
    await scene.prepare(1)
    assert not await scene.claims.remove_orphan(orphan)
    assert scene.node.specs().keys() == {ref(1).uid}


@asynchronous
async def test_what_is_not_ours_in_the_directory_is_passed_over(scene: Scene) -> None:
    await scene.prepare(1)
    (scene.node.cdi_dir / "networking.k8s.io-claim_not a uid.json").write_text("{}")
    (scene.node.cdi_dir / "other.io-claim_00000000-0000-0000-0000-000000000009.json").write_text("")
    (scene.node.cdi_dir / "networking.k8s.io-claims.json").write_text("{}")
    assert await scene.claims.orphans() == frozenset()


@asynchronous
async def test_it_is_done_again_and_again(scene: Scene) -> None:
    await scene.prepare(1, 2)
    sweeping = asyncio.create_task(scene.sweeping.run(first=0, every=0.001))
    for number in (1, 2):
        scene.node.forget(ref(number))
        async with asyncio.timeout(5):
            while f"eth{number}" in scene.claims.held:
                await asyncio.sleep(0)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
