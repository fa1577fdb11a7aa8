"""Claims over a real socket, in both versions: every claim of a call is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from netdevice_plugin.dra.claim import ClaimRef
from tests.agent.dra.dialled import Client, Kubelet, eventually, served, server
from tests.unit.dra.claimed import DRIVER, NODE, POOL, Node, asynchronous, link, ref, result

BOTH = pytest.mark.parametrize("version", ["v1", "v1beta1"])


@pytest.fixture
def node(short_path: Path) -> Node:
    made = Node(short_path)
    made.offer(*(link(f"eth{number}", number) for number in range(1, 5)))
    return made


@contextlib.asynccontextmanager
async def client(node: Node, version: str = "v1") -> AsyncIterator[Client]:
    kubelet = Kubelet(node.data_dir.parents[1])
    async with served(kubelet, server(kubelet, node.instance())) as to:
        yield Client(to, version)


@BOTH
@asynchronous
async def test_a_claim_is_prepared_and_unprepared(node: Node, version: str) -> None:
    one = node.allocate(ref(1), result("eth1", "nics/fast"), result("eth2", "nics/fast"))
    async with client(node, version) as kubelet:
        answers = await kubelet.prepare(one)
        assert answers.keys() == {one.uid}
        assert answers[one.uid].error == ""
        assert [
            (list(d.request_names), d.pool_name, d.device_name, list(d.cdi_device_ids))
            for d in answers[one.uid].devices
        ] == [
            (["nics"], f"{NODE}/{POOL}", f"eth{n}", [f"{DRIVER}/claim={one.uid}-eth{n}"])
            for n in (1, 2)
        ]
        assert await kubelet.unprepare(one) == {one.uid: ""}
        assert await kubelet.unprepare(one) == {one.uid: ""}
    assert node.checkpoints() == set()


@BOTH
@asynchronous
async def test_what_was_never_prepared_is_unprepared(node: Node, version: str) -> None:
    async with client(node, version) as kubelet:
        assert await kubelet.unprepare(ref(8), ref(9)) == {ref(8).uid: "", ref(9).uid: ""}


@asynchronous
async def test_a_share_is_told_where_the_version_has_it(node: Node) -> None:
    one = node.allocate(ref(1), result("eth1", shareID="s-1"))
    async with client(node) as kubelet:
        [device] = (await kubelet.prepare(one))[one.uid].devices
        assert device.share_id == "s-1"
        kubelet.version = "v1beta1"
        [device] = (await kubelet.prepare(one))[one.uid].devices
        assert "share_id" not in device.DESCRIPTOR.fields_by_name
        plain = node.give(2, "eth2")
        kubelet.version = "v1"
        [device] = (await kubelet.prepare(plain))[plain.uid].devices
        assert not device.HasField("share_id")


@BOTH
@asynchronous
async def test_one_claims_error_is_no_others(node: Node, version: str) -> None:
    good, bad = node.give(1, "eth1"), node.give(2, "eth9")
    async with client(node, version) as kubelet:
        answers = await kubelet.prepare(good, bad, ref(3))
    assert answers.keys() == {one.uid for one in (good, bad, ref(3))}
    assert answers[good.uid].error == ""
    assert "eth9" in answers[bad.uid].error
    assert "delete the pod" in answers[bad.uid].error
    assert answers[ref(3).uid].error.startswith("claim ns/claim-3 is gone")
    assert not answers[bad.uid].devices


@asynchronous
async def test_the_same_claim_twice_in_a_call_is_answered_once(node: Node) -> None:
    one = node.give(1, "eth1")
    async with client(node) as kubelet:
        answers = await kubelet.prepare(one, one)
    assert answers[one.uid].error == ""
    assert len(node.reads) == 1


@pytest.mark.parametrize(
    ("refs", "what"),
    [
        ([ClaimRef(namespace="ns", name="c", uid="")], r"claims\[0\]\.uid: '' is no uid"),
        ([ref(1), ClaimRef(namespace="ns", name="c", uid="../../etc")], r"claims\[1\]\.uid"),
        ([ClaimRef(namespace="ns", name="c", uid="u" * 64)], "is no uid"),
        ([ClaimRef(namespace="ns", name="c", uid="a\0b")], "is no uid"),
        ([ClaimRef(namespace="", name="c", uid="u")], r"claims\[0\]\.namespace: '' is no name"),
        ([ClaimRef(namespace="ns", name="a/b", uid="u")], r"claims\[0\]\.name"),
        ([ClaimRef(namespace="ns", name="n" * 254, uid="u")], r"claims\[0\]\.name"),
        ([ref(1), ref(1, "other")], "has the same uid as"),
        ([ref(number) for number in range(257)], "257 claims in one call: 256 at most"),
    ],
    ids=lambda value: "" if isinstance(value, list) else value[:24],
)
@asynchronous
async def test_a_call_that_says_nothing_sensible_is_refused(
    node: Node, refs: list[ClaimRef], what: str
) -> None:
    async with client(node) as kubelet:
        for call in (kubelet.prepare, kubelet.unprepare):
            with pytest.raises(grpc.aio.AioRpcError, match=what) as refused:
                await call(*refs)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert node.reads == []


@asynchronous
async def test_bytes_that_are_no_message_are_refused(node: Node) -> None:
    async with client(node) as kubelet:
        method = "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources"
        call: Any = kubelet.to.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\xff" * 40)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await kubelet.unprepare(ref(1)) == {ref(1).uid: ""}


@asynchronous
async def test_a_call_for_no_claim_is_answered(node: Node) -> None:
    async with client(node) as kubelet:
        assert await kubelet.prepare() == {}


@asynchronous
async def test_a_bug_is_the_claims_answer_and_in_the_log(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = node.give(1, "eth1"), node.give(2, "eth2")
    node.links["eth2"] = 7  # type: ignore[assignment]
    async with client(node) as kubelet:
        answers = await kubelet.prepare(good, bad)
    assert answers[good.uid].error == ""
    assert answers[bad.uid].error == "netdevice-plugin has a bug: see its log"
    assert "Call failed" in caplog.text


@asynchronous
async def test_an_error_is_utf8_and_not_for_ever(node: Node) -> None:
    odd = node.give(1, "eth1")
    node.links["eth1"] = "\ud800" + "x" * 10_000
    async with client(node) as kubelet:
        answer = (await kubelet.prepare(odd))[odd.uid]
    assert 1000 < len(answer.error) < 3000


@asynchronous
async def test_a_kubelet_that_gives_up_finds_the_work_done_when_it_tries_again(
    node: Node,
) -> None:
    one = node.give(1, "eth1")
    node.waiting = asyncio.Event()
    async with client(node) as kubelet:
        asking = asyncio.create_task(kubelet.prepare(one))
        await eventually(lambda: node.reads)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        node.waiting.set()
        await eventually(lambda: node.checkpoints() == {one.uid})
        assert (await kubelet.prepare(one))[one.uid].error == ""


@asynchronous
async def test_claims_that_wait_for_the_api_server_keep_nobody_waiting(node: Node) -> None:
    slow, quick = node.give(1, "eth1"), node.give(2, "eth2")
    node.waiting = asyncio.Event()
    async with client(node) as kubelet:
        asking = asyncio.create_task(kubelet.prepare(slow))
        await eventually(lambda: node.reads)
        assert await kubelet.unprepare(quick) == {quick.uid: ""}
        node.waiting.set()
        assert (await asking)[slow.uid].error == ""


@asynchronous
async def test_64_claims_in_one_call_are_prepared(node: Node) -> None:
    node.offer(*(link(f"net{number}", number) for number in range(64)))
    refs = [node.give(number + 1, f"net{number}") for number in range(64)]
    async with client(node) as kubelet:
        answers = await kubelet.prepare(*refs)
        assert answers.keys() == {one.uid for one in refs}
        assert {answer.error for answer in answers.values()} == {""}
        assert set((await kubelet.unprepare(*refs)).values()) == {""}
