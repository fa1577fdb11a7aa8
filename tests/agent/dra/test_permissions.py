"""What the manifests allow the agent is what it needs, on its own node, and nothing else."""

from __future__ import annotations

import pathlib

import pytest

from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.statuses import Statuses
from tests.agent.dra.conftest import NODE
from tests.agent.dra.scene import QUICK, Hearing, access, publishing, running, shows
from tests.agent.dra.test_statuses import ONE, allocated, told
from tests.agent.scripted import asynchronous, eventually
from tests.fakes.apiserver import ApiServer, Fault, service_account
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
