"""What the manifests allow the agent is what it needs, on its own node, and nothing else."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib

import pytest

from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.statuses import Statuses
from tests.agent.dra.conftest import NODE
from tests.agent.dra.scene import QUICK, Hearing, access, publishing, running, shows
from tests.agent.dra.test_statuses import ONE, allocated, told
from tests.agent.scripted import asynchronous, eventually
from tests.fakes.apiserver import ApiServer, Fault, release, service_account
from tests.unit.dra.listed import DRIVER, listed, listing

DEPLOY = pathlib.Path(__file__).parents[3] / "deploy/components/dra"
USER = service_account("netdevice-plugin", "netdevice-plugin", NODE)


@pytest.fixture
def guarded(server: ApiServer) -> ApiServer:
    """A server with the roles and the policy that we ship."""
    for name in ("rbac.yaml", "policy.yaml"):
        server.apply_file(DEPLOY / name)
    return server


@asynchronous
async def test_slices_need_no_more_than_is_shipped(guarded: ApiServer) -> None:
    async with publishing(guarded, user=USER) as (publisher, heard):
        publisher.publish([listing(listed("eth1"))])
        made = await shows(guarded, "eth1")
        # A conflict, which is looked into.
        slow = guarded.fault(Fault(verb="update", resource="resourceslices", delay=0.2, times=1))
        publisher.publish([listing(listed("eth1"), listed("eth2"))])
        await eventually(lambda: guarded.book.count("update", "resourceslices"), "writes")
        with guarded.cluster.edit("resourceslices", made["metadata"]["name"]) as edited:
            edited["spec"]["devices"][0]["name"] = "eth666"
        await shows(guarded, "eth1", "eth2")
        publisher.publish([])
        await eventually(lambda: not guarded.cluster.slices(NODE, DRIVER), "deleted")
        assert slow.times == -1
        assert "ForbiddenError" not in heard.failures
    forbidden = [one for one in guarded.book.find() if one.code == 403]
    assert forbidden == []


@asynchronous
async def test_status_needs_no_more_than_is_shipped(guarded: ApiServer) -> None:
    ref = allocated(guarded)
    heard = Hearing()
    async with Api(access(guarded, USER)) as api:
        statuses = Statuses(api, driver=DRIVER, node=NODE, observer=heard, timing=QUICK)
        async with running(statuses.run()):
            statuses.follow({ref: (ONE,)})
            await eventually(lambda: told(guarded) or heard.failures, "told")
    assert heard.failures == []


@asynchronous
async def test_slices_of_another_node_are_refused(guarded: ApiServer) -> None:
    other = service_account("netdevice-plugin", "netdevice-plugin", "worker-2")
    async with publishing(guarded, user=other) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await eventually(lambda: "own node only" in publisher.problem, publisher.problem)
    assert guarded.cluster.slices() == []


def put(server: ApiServer, path: str, body: object) -> tuple[int, str]:
    """Write as the agent may."""
    headers = {
        "Authorization": f"Bearer {server.token(USER)}",
        "Content-Type": "application/json",
    }
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("PUT", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("message", "")


def test_what_a_claim_is_given_is_nothing_that_the_agent_may_write(guarded: ApiServer) -> None:
    guarded.reconfigure(release(35))  # which does not look by itself whose device it is
    ref = allocated(guarded)
    claim = guarded.cluster.get("resourceclaims", ref.name, ref.namespace)
    path = f"/apis/resource.k8s.io/v1/namespaces/{ref.namespace}/resourceclaims/{ref.name}/status"

    def change(**changes: object) -> tuple[int, str]:
        return put(guarded, path, {**claim, "status": {**claim["status"], **changes}})

    gpu = {"driver": "gpu.example.com", "pool": "p", "device": "gpu"}
    user = {"resource": "pods", "name": "pod", "uid": "1"}
    for changes, why in (
        ({"devices": [gpu]}, "own driver's devices of its own node only"),
        ({"reservedFor": [user]}, "may not change for whom a claim is reserved"),
        ({"allocation": None, "devices": []}, "may not change what a claim is given"),
    ):
        code, said = change(**changes)
        assert (code, why in said) == (422, True), said
    ours = {"driver": DRIVER, "pool": f"{NODE}/netdevice", "device": "eth1"}
    assert change(devices=[ours])[0] == 200
