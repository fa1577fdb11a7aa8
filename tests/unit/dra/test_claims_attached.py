"""Claims for NICs that are attached for them: asked for once, and theirs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from netdevice_plugin.dra import holdings
from netdevice_plugin.errors import ClaimError, ParameterError, PortError
from netdevice_plugin.model import Interface
from netdevice_plugin.serving.bell import Bell
from tests.unit.dra.claimed import Node, asynchronous, config, link, ref, result

DEVICE = "fast-0"
ADDRESS = "192.0.2.10/24"  # from which a default route follows, which a class asks for


class Provider:
    """Attaches NICs to a node. `late` ones are not here when it says what they are."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.asked: list[tuple[str, str, Mapping[str, str], str]] = []
        self.nics: dict[str, Interface] = {}  # by request
        self.fails: PortError | None = None
        self.late = False
        self.bell = Bell()
        self.answers = asyncio.Event()
        self.answers.set()

    async def attach(self, pool: str, request: str, parameters: Mapping[str, str], mac: str) -> str:
        self.asked.append((pool, request, parameters, mac))
        self.bell.ring()
        await self.answers.wait()
        if self.fails:
            raise self.fails
        number = 20 + len(self.nics)
        nic = self.nics.setdefault(request, link(f"ens{number}", number, "0000:00:05.0"))
        if not self.late:
            self.arrive(request)
        return nic.mac

    def arrive(self, request: str) -> None:
        self.node.offer_on_demand(request.partition("/")[2], self.nics[request])

    def requests(self) -> list[str]:
        return [request for _, request, _, _ in self.asked]


def scene(root: Path) -> tuple[Node, Provider]:
    node = Node(root)
    provider = Provider(node)
    node.attach = provider.attach
    node.offer_on_demand(DEVICE)
    return node, provider


def request(number: int, device: str = DEVICE) -> str:
    return holdings.request(ref(number), device)


def moved(node: Node, number: int) -> list[str]:
    """The arguments of the mover in a claim's file."""
    [device] = node.specs()[ref(number).uid].devices
    return list(device.edits.hooks[0].args)


@asynchronous
async def test_the_nic_is_the_one_that_was_attached(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    claims = node.instance()
    whose = node.give(1, DEVICE)
    [prepared] = await claims.prepare(whose)
    assert prepared.cdi_device.endswith(f"-{DEVICE}")
    assert provider.asked == [("fast", request(1), {}, "")]
    words = moved(node, 1)
    assert words[words.index("--device") + 1] == DEVICE
    assert words[words.index("--link") + 1] == "ens20"
    assert words[words.index("--link-mac") + 1] == link("", 20).mac
    assert await claims.prepare(whose) == (prepared,)
    assert len(provider.asked) == 1
    [known] = claims.allocations
    assert holdings.asked([known]) == {request(1): link("", 20).mac}
    await claims.unprepare(whose)
    assert not claims.allocations
    assert not node.checkpoints()


@asynchronous
async def test_the_claim_has_the_device_before_anybody_is_asked(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    provider.answers.clear()
    claims = node.instance()
    preparing = asyncio.ensure_future(claims.prepare(node.give(1, DEVICE)))
    await provider.bell.until(lambda: bool(provider.asked))
    assert node.checkpoints() == {ref(1).uid}
    assert claims.held == {DEVICE: ref(1)}
    assert not node.specs()
    assert await claims.restore() == ()  # which has nothing to write
    provider.answers.set()
    await preparing


@asynchronous
async def test_a_slow_provider_is_found_again(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    node.arrival = 0.05
    provider.answers.clear()
    claims = node.instance()
    whose = node.give(1, DEVICE)
    with pytest.raises(ClaimError, match="the NIC of fast-0 is being attached"):
        await claims.prepare(whose)
    provider.answers.set()
    provider.late = True
    with pytest.raises(ClaimError, match="is being attached"):
        await claims.prepare(whose)
    provider.arrive(request(1))
    await claims.prepare(whose)
    assert provider.requests() == [request(1)] * 2
    assert moved(node, 1)


@pytest.mark.parametrize("away", [False, True], ids=["API server", "none"])
@asynchronous
async def test_another_agent_knows_which_nic_it_was(tmp_path: Path, *, away: bool) -> None:
    node, provider = scene(tmp_path)
    whose = node.give(1, DEVICE)
    await node.instance().prepare(whose)
    before = node.specs()
    node.away = away
    claims = node.instance()
    await claims.load()
    await claims.prepare(whose)
    assert (len(provider.asked), node.specs()) == (1, before)


@asynchronous
async def test_a_nic_that_went_is_asked_for_with_its_mac(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    whose = node.give(1, DEVICE)
    claims = node.instance()
    await claims.prepare(whose)
    node.offer_on_demand(DEVICE)
    assert await claims.restore() == ()
    assert moved(node, 1)  # its file is as it was
    await claims.prepare(whose)
    assert [mac for *_, mac in provider.asked] == ["", link("", 20).mac]


@asynchronous
async def test_the_nic_of_the_claim_before_is_nobodys(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    claims = node.instance()
    await claims.prepare(first := node.give(1, DEVICE))
    node.forget(first)
    await claims.unprepare(first)  # and what is offered does not tell yet
    await claims.prepare(node.give(2, DEVICE))
    assert provider.requests() == [request(1), request(2)]
    assert "ens21" in moved(node, 2)


@asynchronous
async def test_a_claim_takes_over_the_device_and_not_the_nic(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    claims = node.instance()
    await claims.prepare(first := node.give(1, DEVICE))
    node.forget(first)  # which the kubelet never unprepared
    await claims.prepare(node.give(2, DEVICE))
    assert node.checkpoints() == {ref(2).uid}
    assert "ens21" in moved(node, 2)
    assert holdings.asked(claims.allocations).keys() == {request(2)}
    assert provider.requests() == [request(1), request(2)]


@asynchronous
async def test_two_that_claim_one_device_have_no_port_each(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    claims = node.instance()
    await claims.prepare(node.give(1, DEVICE))
    with pytest.raises(ClaimError, match="has the device fast-0"):
        await claims.prepare(node.give(2, DEVICE))
    assert provider.requests() == [request(1)]
    assert node.checkpoints() == {ref(1).uid}


@asynchronous
async def test_a_refusal_is_told_and_the_claim_keeps_the_device(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    claims = node.instance()
    provider.fails = PortError("quota exceeded", hint="raise it")
    with pytest.raises(ClaimError, match=r"device fast-0: no NIC: quota exceeded") as caught:
        await claims.prepare(node.give(1, DEVICE))
    assert caught.value.hint == "raise it"
    assert node.checkpoints() == {ref(1).uid}
    await claims.unprepare(ref(1))
    assert not node.checkpoints()


@asynchronous
async def test_what_else_is_wrong_is_found_before_anybody_is_asked(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    claims = node.instance()
    with pytest.raises(ParameterError, match="vf: the device is no virtual function"):
        await claims.prepare(node.give(1, DEVICE, vf={"vlan": 5}))
    assert not provider.asked
    assert not node.checkpoints()


@asynchronous
async def test_several_nics_of_a_claim_are_asked_for_at_once(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    node.offer_on_demand("fast-1")
    node.offer(link("eth9", 9))
    provider.answers.clear()
    preparing = asyncio.ensure_future(
        node.instance().prepare(node.give(1, DEVICE, "fast-1", "eth9"))
    )
    await provider.bell.until(lambda: len(provider.asked) == 2)
    provider.answers.set()
    assert len(await preparing) == 3


@asynchronous
async def test_what_a_claim_may_only_look_at_is_not_attached(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    whose = node.allocate(ref(1), result(DEVICE, adminAccess=True))
    await node.instance().prepare(whose)
    assert not provider.asked


@asynchronous
async def test_the_classes_word_and_the_claims_are_the_ports(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    node.claim_parameters = ("securityGroups",)
    configs = [
        config({"port": {"network": "red", "subnet": "b1"}}, source="FromClass"),
        config({"port": {"network": "blue"}, "gateway": True}, source="FromClass"),
        config({"port": {"network": "green"}}, source="FromClass", requests=["other"]),
        config({"port": {"securityGroups": "web,db", "subnet": "b1"}, "addresses": [ADDRESS]}),
    ]
    await node.instance().prepare(node.allocate(ref(1), result(DEVICE), configs=configs))
    [(_, _, parameters, _)] = provider.asked
    assert parameters == {"network": "blue", "subnet": "b1", "securityGroups": "web,db"}


@asynchronous
async def test_a_claim_says_nothing_that_only_a_class_may(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    node.claim_parameters = ("securityGroups",)
    configs = [
        config({"port": {"network": "blue"}}, source="FromClass"),
        config({"port": {"network": "red", "securityGroups": "web"}}),
    ]
    with pytest.raises(ParameterError, match=r"port\[network\]: is not among .*claimParameters"):
        await node.instance().prepare(node.allocate(ref(1), result(DEVICE), configs=configs))
    assert not provider.asked
    assert not node.checkpoints()


@asynchronous
async def test_a_nic_that_is_there_has_no_port_to_ask_for(tmp_path: Path) -> None:
    node, _ = scene(tmp_path)
    node.offer(link("eth9", 9))
    with pytest.raises(ParameterError, match="port: the NIC is there already"):
        await node.instance().prepare(node.give(1, "eth9", port={"network": "blue"}))


@asynchronous
async def test_a_claim_that_another_instance_unprepares_meanwhile_is_over(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    provider.answers.clear()
    claims = node.instance()
    preparing = asyncio.ensure_future(claims.prepare(node.give(1, DEVICE)))
    await provider.bell.until(lambda: bool(provider.asked))
    await node.instance().unprepare(ref(1))
    provider.answers.set()
    with pytest.raises(ClaimError, match="was unprepared meanwhile"):
        await preparing
    assert not node.checkpoints()
    assert holdings.asked(claims.allocations) == {}


@asynchronous
async def test_an_agent_that_ends_waits_for_nobody(tmp_path: Path) -> None:
    node, provider = scene(tmp_path)
    node.arrival = 600
    provider.answers.clear()
    claims = node.instance()
    preparing = asyncio.ensure_future(claims.prepare(node.give(1, DEVICE)))
    await provider.bell.until(lambda: bool(provider.asked))
    await claims.close()
    with pytest.raises(ClaimError, match="is being attached"):
        await preparing
