"""Claims' status by real HTTP: ours written once, others' left alone, trouble survived."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest

from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.statuses import Statuses
from netdevice_plugin.dra.status import DeviceStatus
from tests.agent.dra.conftest import NODE
from tests.agent.dra.scene import QUICK, Hearing, access, running
from tests.agent.scripted import asynchronous, eventually
from tests.fakes.apiserver import ApiServer, Fault, Manifest, User, release
from tests.unit.dra.listed import DRIVER

POOL = f"{NODE}/netdevice"
REF = ClaimRef(namespace="default", name="claim", uid="u1")
ONE = DeviceStatus(
    pool=POOL, device="eth1", interface="net1", addresses=("192.0.2.1/24",), mac="02:00:00:00:00:01"
)
STATUS = "resourceclaims/status"


def allocated(server: ApiServer, name: str = "claim", **status: object) -> ClaimRef:
    """A claim that was given eth1 of ours, and a device of another driver's."""
    results = [
        {"request": "r", "driver": DRIVER, "pool": POOL, "device": "eth1"},
        {"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "gpu"},
    ]
    exactly = {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 2}
    made = server.cluster.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
        }
    )
    with server.cluster.edit("resourceclaims", name, "default", status=True) as edited:
        here = {"key": "metadata.name", "operator": "In", "values": [NODE]}
        allocation = {
            "devices": {"results": results},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [here]}]},
        }
        edited["status"] = {"allocation": allocation, **status}
    return ClaimRef(namespace="default", name=name, uid=made["metadata"]["uid"])


def told(server: ApiServer, name: str = "claim") -> list[Manifest]:
    status: Manifest = server.cluster.get("resourceclaims", name, "default").get("status") or {}
    found: list[Manifest] = status.get("devices") or []
    return found


@contextlib.asynccontextmanager
async def telling(
    server: ApiServer, user: User | None = None
) -> AsyncIterator[tuple[Statuses, Hearing]]:
    heard = Hearing()
    async with Api(access(server, user)) as api:
        statuses = Statuses(api, driver=DRIVER, node=NODE, observer=heard, timing=QUICK)
        async with running(statuses.run()):
            yield statuses, heard


class _Slow:
    """An API server that answers when it is told to."""

    def __init__(self) -> None:
        self.entries: list[Manifest] = []
        self.stored = asyncio.Event()
        self.answer = asyncio.Event()

    async def update_claim_status(
        self, _: ClaimRef, change: Callable[[Sequence[Manifest]], list[Manifest] | None]
    ) -> bool:
        self.entries = change(self.entries) or []
        self.stored.set()
        await self.answer.wait()
        return True


@asynchronous
async def test_what_is_not_wanted_any_more_when_it_is_written_is_taken_back() -> None:
    slow = _Slow()
    statuses = Statuses(cast(Api, slow), driver=DRIVER, node=NODE, timing=QUICK)
    async with running(statuses.run()):
        statuses.follow({REF: (ONE,)})
        await slow.stored.wait()
        assert slow.entries
        statuses.follow({REF: ()})
        slow.answer.set()
        await eventually(lambda: not slow.entries, "taken back")


@asynchronous
async def test_a_device_in_a_pod_is_told_and_taken_back_when_it_is_home(server: ApiServer) -> None:
    ref = allocated(server)
    async with telling(server) as (statuses, _):
        statuses.follow({ref: (ONE,)})
        await eventually(lambda: told(server), "told")
        (entry,) = told(server)
        assert (entry["driver"], entry["pool"], entry["device"]) == (DRIVER, POOL, "eth1")
        assert entry["networkData"] == {
            "interfaceName": "net1",
            "ips": ["192.0.2.1/24"],
            "hardwareAddress": "02:00:00:00:00:01",
        }
        (condition,) = entry["conditions"]
        assert (condition["type"], condition["status"]) == ("Ready", "True")
        statuses.follow({ref: ()})
        await eventually(lambda: not told(server), "taken back")


@asynchronous
async def test_the_same_is_not_written_twice(server: ApiServer) -> None:
    ref = allocated(server)
    for _ in range(2):
        async with telling(server) as (statuses, _):
            for _ in range(3):
                statuses.follow({ref: (ONE,)})
            await eventually(lambda: told(server), "told")
            statuses.follow({ref: (ONE,)})
            await asyncio.sleep(0.05)  # something that should not happen
    assert server.book.count("update", STATUS) == 1


@asynchronous
async def test_entries_of_others_and_the_allocation_are_left_alone(server: ApiServer) -> None:
    theirs = {"driver": "gpu.example.com", "pool": "p", "device": "gpu", "data": {"a": 1}}
    ref = allocated(server, devices=[theirs])
    async with telling(server) as (statuses, _):
        before = server.cluster.get("resourceclaims", "claim", "default")
        statuses.follow({ref: (ONE,)})
        await eventually(lambda: len(told(server)) == 2, "told")
        after = server.cluster.get("resourceclaims", "claim", "default")
        assert told(server)[0] == theirs
        assert after["status"]["allocation"] == before["status"]["allocation"]
        assert after["spec"] == before["spec"]
        statuses.follow({})
        await eventually(lambda: told(server) == [theirs], "taken back")


@asynchronous
async def test_what_another_writes_at_the_same_time_is_kept(server: ApiServer) -> None:
    ref = allocated(server)
    theirs = {"driver": "gpu.example.com", "pool": "p", "device": "gpu", "data": {"a": 1}}
    slow = server.fault(Fault(verb="update", resource=STATUS, delay=0.2, times=1))
    async with telling(server) as (statuses, heard):
        statuses.follow({ref: (ONE,)})
        await eventually(lambda: server.book.count("update", STATUS) == 1, "writes")
        with server.cluster.edit("resourceclaims", "claim", "default", status=True) as edited:
            edited["status"]["devices"] = [theirs]
        await eventually(lambda: len(told(server)) == 2, "told")
        assert told(server)[0] == theirs
        assert slow.times == -1
        assert heard.failures == []


@asynchronous
async def test_a_claim_that_is_gone_is_forgotten(server: ApiServer) -> None:
    ref = allocated(server)
    gone = ClaimRef(namespace="default", name="none", uid="u")
    another = ClaimRef(namespace="default", name="claim", uid="another")
    async with telling(server) as (statuses, heard):
        statuses.follow({gone: (ONE,), another: (ONE,), ref: (ONE,)})
        await eventually(lambda: told(server), "told")
        await asyncio.sleep(0.05)  # something that should not happen
        assert server.book.count("get", "resourceclaims") == 3
        assert heard.failures == []
        assert statuses.problem == ""


@asynchronous
async def test_what_an_agent_before_has_told_is_looked_at(server: ApiServer) -> None:
    ref = allocated(server)
    async with telling(server) as (statuses, _):
        statuses.follow({ref: (ONE,)})
        await eventually(lambda: told(server), "told")
    async with telling(server) as (statuses, _):
        statuses.follow({ref: ()})
        await eventually(lambda: not told(server), "taken back")


@asynchronous
async def test_a_refusal_is_logged_once_with_the_remedy(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    refs = [allocated(server, f"claim{number}") for number in range(3)]
    nobody = User("system:serviceaccount:kube-system:agent", ("system:authenticated",))
    async with telling(server, nobody) as (statuses, heard):
        statuses.follow(dict.fromkeys(refs, (ONE,)))
        await eventually(lambda: len(heard.failures) > 2, "refused")
    records = [one for one in caplog.records if "cannot be written" in one.message]
    assert len(records) == 1
    assert "resourceclaims/driver" in records[0].__dict__["remedy"]


@asynchronous
async def test_an_api_server_that_is_away_is_caught_up_with(server: ApiServer) -> None:
    ref = allocated(server)
    async with telling(server) as (statuses, heard):
        server.go_away()
        statuses.follow({ref: (ONE,)})
        await eventually(lambda: len(heard.failures) > 1, "noticed")
        server.come_back()
        await eventually(lambda: told(server), "told")
        await eventually(lambda: statuses.problem == "", "settled")


@asynchronous
async def test_what_the_server_will_never_take_is_given_up(server: ApiServer) -> None:
    bad, good = allocated(server, "bad"), allocated(server, "good")
    other = DeviceStatus(pool=POOL, device="eth9")  # was not allocated
    async with telling(server) as (statuses, heard):
        statuses.follow({bad: (other,), good: (ONE,)})
        await eventually(lambda: told(server, "good"), "told")
        await asyncio.sleep(0.05)  # something that should not happen
        assert len(heard.failures) == 1
        statuses.follow({bad: (ONE,), good: (ONE,)})
        await eventually(lambda: told(server, "bad"), "told")


def test_v1beta1_has_status_too() -> None:
    @asynchronous
    async def talk() -> None:
        ref = allocated(server)
        async with telling(server) as (statuses, _):
            statuses.follow({ref: (ONE,)})
            await eventually(lambda: told(server), "told")

    with ApiServer(release(33, versions=("v1beta1",))) as server:
        server.cluster.add_node(NODE)
        talk()


@asynchronous
async def test_many_claims_at_once_are_all_told(server: ApiServer) -> None:
    refs = [allocated(server, f"claim{number}") for number in range(24)]
    async with telling(server) as (statuses, heard):
        statuses.follow(dict.fromkeys(refs, (ONE,)))
        await eventually(lambda: heard.writes == ["status"] * 24, "told")
        assert all(told(server, ref.name) for ref in refs)
