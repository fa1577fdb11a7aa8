"""Claims prepared and unprepared: whose a device is, and what is on disk by then."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from netdevice_plugin.dra.claims import Claims, Prepared
from netdevice_plugin.dra.locking import FILE, Turn
from netdevice_plugin.errors import ClaimError, NetdevError, ParameterError
from netdevice_plugin.model import Injection
from tests.unit.dra.claimed import (
    DRIVER,
    NODE,
    POOL,
    Node,
    asynchronous,
    claim,
    config,
    link,
    ref,
    result,
)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.offer(*(link(f"eth{number}", number) for number in range(1, 5)))
    return made


def names(prepared: tuple[Prepared, ...]) -> list[str]:
    return [one.cdi_device for one in prepared]


@asynchronous
async def test_a_claim_gets_its_devices_by_names_of_its_own(node: Node) -> None:
    claims = node.instance()
    one = node.give(1, "eth1", "eth2")
    prepared = await claims.prepare(one)
    assert names(prepared) == [
        f"{DRIVER}/claim={one.uid}-eth1",
        f"{DRIVER}/claim={one.uid}-eth2",
    ]
    assert [device.name for device in node.specs()[one.uid].devices] == [
        f"{one.uid}-eth1",
        f"{one.uid}-eth2",
    ]
    assert claims.held == {"eth1": one, "eth2": one}
    assert node.checkpoints() == {one.uid}
    assert node.changes == 1


@asynchronous
async def test_the_same_again_is_the_same_and_writes_nothing(node: Node) -> None:
    claims = node.instance()
    one = node.give(1, "eth1")
    first = await claims.prepare(one)
    files = [*node.cdi_dir.iterdir(), *(node.data_dir / "claims").iterdir()]
    before = [path.stat() for path in files]
    assert await claims.prepare(one) == first
    assert [path.stat().st_ino for path in files] == [it.st_ino for it in before]


@asynchronous
async def test_an_agent_that_starts_anew_knows_what_was_prepared(node: Node) -> None:
    one = node.give(1, "eth1")
    first = await node.instance().prepare(one)
    claims = node.instance()
    await claims.load()
    assert claims.held == {"eth1": one}
    assert [each.claim for each in claims.allocations] == [one]
    assert await claims.prepare(one) == first


@asynchronous
async def test_the_cdi_file_is_written_again_after_a_reboot(node: Node) -> None:
    one = node.give(1, "eth1")
    await node.instance().prepare(one)
    [path] = node.cdi_dir.iterdir()
    path.unlink()
    await node.instance().prepare(one)
    assert path.exists()


@asynchronous
async def test_while_the_api_server_is_away_what_was_prepared_is_prepared_again(
    node: Node,
) -> None:
    one = node.give(1, "eth1", interfaceName="net0", addresses=["192.0.2.7/24"])
    first = await node.instance().prepare(one)
    before = node.specs()
    next(node.cdi_dir.iterdir()).unlink()
    node.away = True
    assert await node.instance().prepare(one) == first
    assert node.specs() == before


@asynchronous
async def test_while_the_api_server_is_away_nothing_new_is_prepared(node: Node) -> None:
    node.away = True
    with pytest.raises(ClaimError, match="connection refused"):
        await node.instance().prepare(ref(1))
    assert node.checkpoints() == set()


@asynchronous
async def test_a_claim_of_that_uid_under_another_name_is_not_taken_for_it(node: Node) -> None:
    one = node.give(1, "eth1")
    claims = node.instance()
    await claims.prepare(one)
    node.away = True
    with pytest.raises(ClaimError, match="cannot be read"):
        await claims.prepare(ref(1, "other"))


@asynchronous
async def test_an_api_server_that_does_not_answer_is_not_waited_for_for_ever(
    node: Node,
) -> None:
    node.patience = 0.05
    claims = node.instance()
    node.waiting = asyncio.Event()
    with pytest.raises(ClaimError, match=r"no answer from the API server within 0\.05 s"):
        await claims.prepare(node.give(1, "eth1"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node, one: node.forget(one), "claim ns/claim-1 is gone"),
        (
            lambda node, one: node.server.update(
                {("ns", "claim-1"): claim(ref(2), [result("eth1")])}
            ),
            "is another one by now: its uid is '00000000-0000-0000-0000-000000000002'",
        ),
        (
            lambda node, one: node.server["ns", "claim-1"].pop("status"),
            "claim ns/claim-1 is not allocated",
        ),
        (
            lambda node, one: node.allocate(one, result("eth1", driver="else.example.com")),
            f"has no device of {DRIVER} on the node {NODE}",
        ),
        (
            lambda node, one: node.allocate(one, result("eth1", pool=f"worker-2/{POOL}")),
            f"has no device of {DRIVER} on the node {NODE}",
        ),
        (
            lambda node, one: node.allocate(one, result("eth1", pool=f"{NODE}/slow")),
            "there is no pool slow here",
        ),
        (lambda node, one: node.links.pop("eth1"), "the pool fast does not offer it"),
        (
            lambda node, one: node.offer(link("eth1", 1), fault="it has no carrier"),
            "device eth1 is unhealthy: it has no carrier",
        ),
    ],
    ids=["gone", "uid", "not allocated", "driver", "node", "pool", "device", "unhealthy"],
)
@asynchronous
async def test_what_cannot_be_given_is_refused_and_nothing_is_written(
    node: Node, change: Callable[[Node, object], object], message: str
) -> None:
    one = node.give(1, "eth1")
    change(node, one)
    claims = node.instance()
    with pytest.raises(ClaimError) as refused:
        await claims.prepare(one)
    assert message in str(refused.value)
    assert refused.value.hint
    assert claims.held == {}
    assert node.checkpoints() == set()
    assert node.specs() == {}
    assert node.observer.told == [f"failed {type(refused.value).__name__}"]


@asynchronous
async def test_a_device_that_gets_unhealthy_stays_the_claims(node: Node) -> None:
    one = node.give(1, "eth1")
    first = await node.instance().prepare(one)
    node.offer(link("eth1", 1), fault="it has no carrier")
    assert await node.instance().prepare(one) == first


@asynchronous
async def test_wrong_parameters_are_refused_and_name_the_field(node: Node) -> None:
    one = node.give(1, "eth1", mtu="big")
    with pytest.raises(ParameterError, match=r"config\[0\]\.opaque\.parameters\.mtu"):
        await node.instance().prepare(one)
    assert node.checkpoints() == set()


@asynchronous
async def test_two_links_of_one_name_are_refused(node: Node) -> None:
    one = node.give(1, "eth1", "eth2", interfaceName="net0")
    with pytest.raises(ParameterError, match="net0"):
        await node.instance().prepare(one)


@asynchronous
async def test_a_device_is_never_in_two_claims(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    with pytest.raises(ClaimError, match="claim ns/claim-1 has the device eth1"):
        await claims.prepare(node.give(2, "eth1"))
    with pytest.raises(ClaimError, match="claim ns/claim-1 has the device eth1"):
        await node.instance().prepare(node.give(2, "eth1", "eth2"))
    assert node.checkpoints() == {ref(1).uid}
    assert claims.held == {"eth1": ref(1)}


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.forget(ref(1)),
        lambda node: node.server.update({("ns", "claim-1"): claim(ref(7), [result("eth1")])}),
        lambda node: node.server["ns", "claim-1"].pop("status"),
        lambda node: node.allocate(ref(1), result("eth2")),
        lambda node: node.allocate(ref(1), result("eth1", adminAccess=True)),
    ],
    ids=["gone", "another", "not allocated", "has another device", "only looks at it"],
)
@asynchronous
async def test_a_claim_that_is_over_is_no_obstacle(
    node: Node, change: Callable[[Node], object]
) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    change(node)
    two = node.give(2, "eth1")
    assert names(await claims.prepare(two)) == [f"{DRIVER}/claim={two.uid}-eth1"]
    assert claims.held == {"eth1": two}
    assert node.checkpoints() == node.specs().keys() == {two.uid}
    assert "taken over" in node.observer.told


@asynchronous
async def test_a_holder_that_nobody_can_ask_keeps_its_device(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    node.server["ns", "claim-1"] = claim(ref(1), "nonsense")  # type: ignore[arg-type]
    with pytest.raises(ClaimError, match="has the device eth1, and cannot be asked"):
        await claims.prepare(node.give(2, "eth1"))
    assert claims.held == {"eth1": ref(1)}


@asynchronous
async def test_a_claim_that_was_allocated_anew_leaves_its_old_device(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    await claims.prepare(node.give(1, "eth2"))
    assert claims.held == {"eth2": ref(1)}
    await claims.prepare(node.give(2, "eth1"))
    assert claims.held == {"eth1": ref(2), "eth2": ref(1)}


@asynchronous
async def test_who_only_looks_takes_nothing_and_moves_nothing(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    node.offer(link("eth2", 2), fault="it has no carrier")
    both = [result(device, "all", adminAccess=True) for device in ("eth1", "eth2")]
    two = node.allocate(ref(2), *both)
    assert names(await claims.prepare(two)) == [
        f"{DRIVER}/claim={two.uid}-eth1.admin",
        f"{DRIVER}/claim={two.uid}-eth2.admin",
    ]
    assert claims.held == {"eth1": ref(1)}
    for device in node.specs()[two.uid].devices:
        assert device.edits.env == ("NETDEVICE_ALL=eth1,eth2",)
        assert device.edits.hooks == ()
    await claims.unprepare(two)
    assert claims.held == {"eth1": ref(1)}


@asynchronous
async def test_a_device_can_be_had_and_looked_at(node: Node) -> None:
    one = node.allocate(ref(1), result("eth1"), result("eth1", "look", adminAccess=True))
    claims = node.instance()
    assert names(await claims.prepare(one)) == [
        f"{DRIVER}/claim={one.uid}-eth1",
        f"{DRIVER}/claim={one.uid}-eth1.admin",
    ]
    assert claims.held == {"eth1": one}


@asynchronous
async def test_unprepare_takes_all_away_and_again_is_nothing(node: Node) -> None:
    claims = node.instance()
    one = node.give(1, "eth1")
    await claims.prepare(one)
    node.forget(one)  # it may be gone from the API server by then
    await claims.unprepare(one)
    assert claims.held == {}
    assert node.checkpoints() == set()
    assert node.specs() == {}
    await claims.unprepare(one)
    assert node.observer.told[-2:] == ["unprepared", "unprepared"]


@asynchronous
async def test_what_another_instance_did_is_known(node: Node) -> None:
    old, new = node.instance(), node.instance()
    one = node.give(1, "eth1")
    await old.prepare(one)
    with pytest.raises(ClaimError, match="has the device eth1"):
        await new.prepare(node.give(2, "eth1"))
    assert new.held == {"eth1": one}
    await new.unprepare(one)
    await old.prepare(node.give(2, "eth1"))
    assert old.held == {"eth1": ref(2)}


@asynchronous
async def test_only_one_process_changes_claims_at_a_time(node: Node) -> None:
    claims = node.instance()
    await claims.load()
    with (node.data_dir / FILE).open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        preparing = asyncio.create_task(claims.prepare(node.give(1, "eth1")))
        await asyncio.sleep(0.05)
        assert node.checkpoints() == set()
        fcntl.flock(other, fcntl.LOCK_UN)
        await preparing
    assert node.checkpoints() == {ref(1).uid}


@asynchronous
async def test_a_turn_that_does_not_come_is_an_error(tmp_path: Path) -> None:
    async def taken() -> None:
        await asyncio.sleep(0)

    async with Turn(tmp_path, taken):
        with pytest.raises(ClaimError, match=r"serialize\.lock is locked") as refused:
            async with Turn(tmp_path, taken, patience=0.02):
                pass
    assert refused.value.hint
    async with Turn(tmp_path, taken):
        pass


@asynchronous
async def test_a_lock_that_is_removed_is_made_anew(node: Node) -> None:
    claims = node.instance()
    await claims.load()
    (node.data_dir / FILE).unlink()
    await claims.prepare(node.give(1, "eth1"))
    assert (node.data_dir / FILE).exists()


@asynchronous
async def test_a_directory_that_cannot_be_is_an_error(node: Node) -> None:
    node.data_dir.parent.mkdir()
    node.data_dir.write_text("in the way")
    with pytest.raises(ClaimError, match=r"cannot lock .*serialize\.lock"):
        await node.instance().prepare(node.give(1, "eth1"))


@asynchronous
async def test_a_cdi_file_that_cannot_be_written_takes_all_back(node: Node) -> None:
    node.cdi_dir.write_text("in the way")
    claims = node.instance()
    with pytest.raises(ClaimError, match=r"cannot write .*claim_"):
        await claims.prepare(node.give(1, "eth1"))
    assert claims.held == {}
    assert node.checkpoints() == set()
    node.cdi_dir.unlink()
    await claims.prepare(node.give(1, "eth1"))
    assert node.checkpoints() == {ref(1).uid}


@asynchronous
async def test_a_claim_that_was_prepared_stays_so_though_its_file_cannot_be_written(
    node: Node,
) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    next(node.cdi_dir.iterdir()).unlink()
    node.cdi_dir.rmdir()
    node.cdi_dir.write_text("in the way")
    with pytest.raises(ClaimError, match="cannot write"):
        await claims.prepare(ref(1))
    assert claims.held == {"eth1": ref(1)}
    assert node.checkpoints() == {ref(1).uid}


@asynchronous
async def test_a_claim_whose_files_cannot_be_removed_keeps_its_device(node: Node) -> None:
    claims = node.instance()
    await claims.prepare(node.give(1, "eth1"))
    [path] = node.cdi_dir.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(ClaimError, match="cannot remove"):
        await claims.unprepare(ref(1))
    assert claims.held == {"eth1": ref(1)}
    path.rmdir()
    await claims.unprepare(ref(1))
    assert claims.held == {}


@asynchronous
async def test_64_claims_at_once_are_all_prepared(node: Node) -> None:
    node.offer(*(link(f"net{number}", number) for number in range(64)))
    refs = [node.give(100 + number, f"net{number}") for number in range(64)]
    claims = node.instance()
    began = time.monotonic()
    await asyncio.gather(*map(claims.prepare, refs))
    took = time.monotonic() - began
    assert len(claims.held) == 64
    assert node.specs().keys() == node.checkpoints() == {one.uid for one in refs}
    assert took < 20
    await asyncio.gather(*map(claims.unprepare, refs))
    assert claims.held == {}
    assert node.specs() == {}


@asynchronous
async def test_of_many_claims_at_once_for_a_device_one_gets_it(node: Node) -> None:
    refs = [node.give(number, "eth1") for number in range(1, 9)]
    claims = node.instance()
    answers = await asyncio.gather(*map(claims.prepare, refs), return_exceptions=True)
    assert len([one for one in answers if isinstance(one, tuple)]) == 1
    assert len(node.checkpoints()) == 1
    assert all("has the device eth1" in str(one) for one in answers if isinstance(one, Exception))


@asynchronous
async def test_claims_and_two_instances_in_any_order_never_share_a_device(node: Node) -> None:
    """Every claim wants two of four devices; prepared and unprepared by either instance."""
    pairs = [("eth1", "eth2"), ("eth2", "eth3"), ("eth3", "eth4"), ("eth4", "eth1")]
    refs = [node.give(number, *pairs[number % 4]) for number in range(1, 13)]
    instances = [node.instance(), node.instance()]

    async def strive(number: int) -> None:
        for attempt in range(3):
            claims = instances[(number + attempt) % 2]
            with contextlib.suppress(ClaimError):
                await claims.prepare(refs[number])
                mine = {device for device, whose in claims.held.items() if whose == refs[number]}
                assert mine == set(pairs[(number + 1) % 4])
                await claims.unprepare(refs[number])

    await asyncio.gather(*map(strive, range(12)))
    assert node.checkpoints() == set()
    assert node.specs() == {}


@asynchronous
async def test_what_is_begun_is_finished_though_nobody_waits(node: Node) -> None:
    claims = node.instance()
    node.waiting = asyncio.Event()
    one = node.give(1, "eth1")
    asking = asyncio.create_task(claims.prepare(one))
    while not node.reads:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    node.waiting.set()
    while not claims.held:
        await asyncio.sleep(0.001)
    assert claims.held == {"eth1": one}


@asynchronous
async def test_at_the_end_nobody_is_waited_for(node: Node) -> None:
    claims = node.instance()
    await claims.load()
    known = node.give(2, "eth2")
    await claims.prepare(known)
    node.waiting = asyncio.Event()
    reading = asyncio.create_task(claims.prepare(node.give(1, "eth1")))
    while len(node.reads) < 2:
        await asyncio.sleep(0)
    with (node.data_dir / FILE).open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        locked = asyncio.create_task(claims.unprepare(known))
        await asyncio.sleep(0.02)
        async with asyncio.timeout(1):
            await claims.close()
    for asking in (reading, locked):
        with pytest.raises(ClaimError, match=r"is locked|before the agent ended"):
            await asking
    assert node.checkpoints() == {known.uid}


@asynchronous
async def test_at_the_end_what_is_being_written_is_written(node: Node) -> None:
    halt, reached = threading.Event(), threading.Event()

    def step(name: str) -> None:
        if name == "CDI file":
            reached.set()
            halt.wait(20)

    node.step = step
    claims = node.instance()
    asking = asyncio.create_task(claims.prepare(node.give(1, "eth1")))
    await asyncio.to_thread(reached.wait, 20)
    closing = asyncio.create_task(claims.close())
    await asyncio.sleep(0.02)
    assert not closing.done()
    halt.set()
    await closing
    assert len(await asking) == 1
    assert node.specs().keys() == {ref(1).uid}


@asynchronous
async def test_a_file_that_cannot_be_read_harms_no_other_claim(node: Node) -> None:
    await node.instance().prepare(node.give(1, "eth1"))
    broken = node.data_dir / "claims" / f"{ref(2).uid}.json"
    broken.write_text("{")
    claims = node.instance()
    await claims.load()
    assert claims.held == {"eth1": ref(1)}
    [problem] = claims.problems
    assert problem.startswith(f"{broken}: is not JSON; remove the file")
    await claims.prepare(node.give(2, "eth2"))
    await claims.load()
    assert claims.problems == ()
    broken.write_text("{")
    await claims.unprepare(ref(2))
    assert not broken.exists()


@asynchronous
async def test_parameters_of_other_requests_do_not_count(node: Node) -> None:
    configs = [
        config({"interfaceName": "net1"}, requests=["req-eth1"]),
        config({"mtu": "nonsense"}, requests=["of-another-driver"]),
    ]
    one = node.allocate(ref(1), result("eth1", "req-eth1"), configs=configs)
    await node.instance().prepare(one)
    [device] = node.specs()[one.uid].devices
    assert device.edits.env == ("NETDEVICE_REQ_ETH1=net1",)
    content = json.loads((node.data_dir / "claims" / f"{one.uid}.json").read_bytes())
    assert len(content["claim"]["status"]["allocation"]["devices"]["config"]) == 1


@asynchronous
async def test_a_pool_that_the_runtime_moves_has_names_and_nothing_else(node: Node) -> None:
    node.injection = Injection.NATIVE
    with pytest.raises(ParameterError, match="mtu: cannot be had"):
        await node.instance().prepare(node.give(1, "eth1", mtu=1400))
    await node.instance().prepare(node.give(1, "eth1", interfaceName="net0"))
    [device] = node.specs()[ref(1).uid].devices
    [moved] = device.edits.net_devices
    assert (moved.host_interface_name, moved.name) == ("eth1", "net0")


KILLS = ("checkpoint", "CDI file", "prepared", "no CDI file", "no checkpoint", "unprepared")


def killed(node: Node, at: str, work: Callable[[Claims], object]) -> None:
    """Do it in a process that is killed at a step, if it comes there."""
    child = os.fork()
    if child == 0:
        try:
            node.step = lambda name: os.kill(os.getpid(), 9) if name == at else None
            asyncio.run(work(node.instance()))  # type: ignore[arg-type]
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"never came to {at!r}"


@pytest.mark.parametrize("at", KILLS[:3])
def test_a_kill_while_preparing_leaves_what_the_next_attempt_completes(node: Node, at: str) -> None:
    one = node.give(1, "eth1", "eth2")
    killed(node, at, lambda claims: claims.prepare(one))
    claims = node.instance()

    async def again() -> None:
        await claims.load()
        assert node.specs().keys() <= node.checkpoints()  # no file of what is nobody's
        if node.checkpoints():
            node.give(2, "eth1")
            with pytest.raises(NetdevError, match="has the device eth1"):
                await claims.prepare(ref(2))
        first = await claims.prepare(one)
        assert await node.instance().prepare(one) == first

    asyncio.run(again())
    assert claims.held == {"eth1": one, "eth2": one}
    assert node.specs().keys() == node.checkpoints() == {one.uid}
    assert [path.name for path in node.cdi_dir.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("at", KILLS[3:])
def test_a_kill_while_unpreparing_leaves_what_the_next_attempt_completes(
    node: Node, at: str
) -> None:
    one = node.give(1, "eth1")
    asyncio.run(node.instance().prepare(one))
    killed(node, at, lambda claims: claims.unprepare(one))
    assert node.specs().keys() <= node.checkpoints()
    claims = node.instance()
    asyncio.run(claims.unprepare(one))
    assert claims.held == {}
    assert node.specs() == {}
    assert node.checkpoints() == set()
    asyncio.run(claims.prepare(node.give(2, "eth1")))


@pytest.mark.parametrize("at", KILLS[3:5] + KILLS[:3])
def test_a_kill_while_taking_over_leaves_what_the_next_attempt_completes(
    node: Node, at: str
) -> None:
    asyncio.run(node.instance().prepare(node.give(1, "eth1")))
    node.forget(ref(1))
    two = node.give(2, "eth1")
    killed(node, at, lambda claims: claims.prepare(two))
    claims = node.instance()
    asyncio.run(claims.prepare(two))
    assert claims.held == {"eth1": two}
    assert node.specs().keys() == node.checkpoints() == {two.uid}
