"""Slices kept as they should be: by real HTTP, whatever the API server and others do meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from urllib.parse import parse_qs

import pytest

from netdevice_plugin.dra.cluster.api import Api
from netdevice_plugin.dra.cluster.publisher import Publisher
from netdevice_plugin.model import Pool
from netdevice_plugin.offering import Listing
from tests.agent.dra.conftest import NODE
from tests.agent.dra.scene import QUICK, Hearing, access, names, publishing, running, shows
from tests.agent.scripted import asynchronous, eventually
from tests.fakes.apiserver import ApiServer, Fault, Manifest, release, service_account
from tests.unit.dra.listed import DRIVER, POOL, VETH, listed, listing

OTHER = Pool(name="other", frontend=POOL.frontend)
SLICES = "resourceslices"


def writes(server: ApiServer) -> int:
    return sum(server.book.count(verb, SLICES) for verb in ("create", "update", "delete"))


@asynchronous
async def test_what_is_listed_is_published_and_belongs_to_the_node(server: ApiServer) -> None:
    async with publishing(server) as (publisher, heard):
        assert publisher.problem == "not asked yet"
        publisher.publish([listing(listed("eth1"), listed("eth2"))])
        made = await shows(server, "eth1", "eth2")
        await eventually(lambda: publisher.problem == "", "settled")
        assert heard.states[-1] == (1, 2)
        node = server.cluster.get("nodes", NODE)
        owner = made["metadata"]["ownerReferences"]
        assert [one["uid"] for one in owner] == [node["metadata"]["uid"]]
        assert made["spec"]["pool"]["name"] == f"{NODE}/netdevice"


@asynchronous
async def test_nothing_is_asked_without_a_selector_nor_written_before_it_is_wanted(
    server: ApiServer,
) -> None:
    async with publishing(server):
        await eventually(lambda: server.watches == 1, "it watches")
    asked = [*server.book.find("list", SLICES), *server.book.find("watch", SLICES)]
    assert len(asked) == 2
    selector = f"spec.nodeName={NODE},spec.driver={DRIVER}"
    assert [parse_qs(one.query)["fieldSelector"] for one in asked] == [[selector]] * 2
    assert writes(server) == 0


@asynchronous
async def test_a_change_is_one_write(server: ApiServer) -> None:
    async with publishing(server) as (publisher, heard):
        publisher.publish([listing(listed("eth1")), listing(listed("eth8"), pool=OTHER)])
        await eventually(lambda: names(server) == ["eth1", "eth8"], "published")
        publisher.publish(
            [listing(listed("eth1"), listed("eth2")), listing(listed("eth8"), pool=OTHER)]
        )
        await eventually(lambda: names(server) == ["eth1", "eth2", "eth8"], "published")
        await eventually(lambda: heard.writes == ["create", "create", "update"], "settled")
        publisher.publish(
            [listing(listed("eth1"), listed("eth2")), listing(listed("eth8"), pool=OTHER)]
        )
        await asyncio.sleep(0.05)
        assert len(heard.writes) == 3


@asynchronous
async def test_an_empty_pool_is_a_slice_and_one_that_is_gone_is_none(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing()])
        await eventually(lambda: len(server.cluster.slices(NODE, DRIVER)) == 1, "published")
        publisher.publish([])
        await eventually(lambda: not server.cluster.slices(NODE, DRIVER), "deleted")


@asynchronous
async def test_what_the_kubelet_wipes_is_published_again(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        first = await shows(server, "eth1")
        server.cluster.wipe_slices(NODE)
        await eventually(lambda: server.cluster.slices(NODE, DRIVER), "published again")
        second = await shows(server, "eth1")
        assert first["metadata"]["uid"] != second["metadata"]["uid"]


@asynchronous
async def test_what_somebody_edits_is_put_right(server: ApiServer) -> None:
    async with publishing(server) as (publisher, heard):
        publisher.publish([listing(listed("eth1"))])
        made = await shows(server, "eth1")
        with server.cluster.edit(SLICES, made["metadata"]["name"]) as edited:
            edited["spec"]["devices"][0]["name"] = "eth666"
        await eventually(lambda: heard.writes == ["create", "update"], "put right")
        await shows(server, "eth1")


@asynchronous
async def test_our_own_writes_are_nobody_elses(server: ApiServer) -> None:
    async with publishing(server, chance=lambda: 1.0) as (publisher, heard):
        for count in range(1, 20):
            devices = [listed(f"eth{number}") for number in range(count)]
            publisher.publish([listing(*devices)])
            await shows(server, *(one.device.name for one in devices))
        await asyncio.sleep(0.1)  # something that should not happen
        assert len(heard.writes) == 19
        assert server.book.count("get", "nodes") == 1


@asynchronous
async def test_slices_of_others_are_left_alone(server: ApiServer) -> None:
    foreign = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "foreign"},
        "spec": {
            "driver": "gpu.example.com",
            "nodeName": NODE,
            "pool": {"name": NODE, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu"}],
        },
    }
    server.cluster.create(foreign)
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
        publisher.publish([])
        await eventually(lambda: not server.cluster.slices(NODE, DRIVER), "deleted")
    assert [one["metadata"]["name"] for one in server.cluster.slices()] == ["foreign"]


@pytest.mark.parametrize("resetting", [False, True], ids=["refused", "reset"])
@asynchronous
async def test_an_api_server_that_was_away_is_caught_up_with(
    server: ApiServer, resetting: bool
) -> None:
    async with publishing(server) as (publisher, heard):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
        server.go_away(resetting=resetting)
        await eventually(lambda: publisher.problem, "noticed")
        publisher.publish([listing(listed("eth2"))])
        await asyncio.sleep(0.3)
        assert len(heard.failures) < 20
        server.book.clear()
        server.come_back()
        await shows(server, "eth2")
        await eventually(lambda: publisher.problem == "", "settled")
        # The watch went on where it was: nothing is listed again.
        assert server.book.count("list", SLICES) == 0


@asynchronous
async def test_an_old_position_is_listed_anew(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
        server.go_away()
        await eventually(lambda: publisher.problem, "noticed")
        server.cluster.wipe_slices(NODE)
        server.compact()
        server.come_back()
        await shows(server, "eth1")
        assert server.book.count("list", SLICES) == 2


@pytest.mark.parametrize("abruptly", [False, True])
@asynchronous
async def test_a_watch_that_is_cut_goes_on(server: ApiServer, abruptly: bool) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
        for _ in range(3):
            server.cut_watches(abruptly=abruptly)
        await eventually(lambda: server.watches == 1, "watches again")
        server.cluster.wipe_slices(NODE)
        await shows(server, "eth1")
        assert server.book.count("list", SLICES) == 1


@pytest.mark.parametrize("minor", [32, 33, 34, 35])
def test_older_releases_are_spoken_to_in_their_version(minor: int) -> None:
    @asynchronous
    async def talk() -> None:
        async with publishing(server) as (publisher, heard):
            publisher.publish([listing(listed("eth1"))])
            await shows(server, "eth1")
            publisher.publish([listing(listed("eth1"), listed("eth2"))])
            await shows(server, "eth1", "eth2")
            await eventually(lambda: heard.writes == ["create", "update"], "settled")

    with ApiServer(release(minor)) as server:
        server.cluster.add_node(NODE)
        talk()


def test_an_upgrade_of_the_control_plane_is_followed() -> None:
    @asynchronous
    async def talk() -> None:
        async with publishing(server) as (publisher, _):
            publisher.publish([listing(listed("eth1"))])
            await shows(server, "eth1")
            server.reconfigure(release(34))
            publisher.publish([listing(listed("eth2"))])
            await shows(server, "eth2")

    with ApiServer(release(32)) as server:
        server.cluster.add_node(NODE)
        talk()


@pytest.mark.parametrize(("minor", "there"), [(36, ["eth1", "eth2"]), (34, ["eth1"])])
def test_an_unhealthy_device_has_a_taint_or_is_left_out(minor: int, there: list[str]) -> None:
    @asynchronous
    async def talk() -> None:
        async with publishing(server) as (publisher, _):
            publisher.publish([listing(listed("eth1"), listed("eth2", "it has no carrier"))])
            made = await shows(server, *there)
            tainted = [one["name"] for one in made["spec"]["devices"] if one.get("taints")]
            assert tainted == there[1:]
            await eventually(lambda: publisher.problem == "", "settled")

    with ApiServer(release(minor)) as server:
        server.cluster.add_node(NODE)
        talk()


@asynchronous
async def test_a_node_that_is_made_anew_owns_new_slices(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
        server.cluster.remove_node(NODE)
        await eventually(lambda: f'"{NODE}" not found' in publisher.problem, publisher.problem)
        node = server.cluster.add_node(NODE)
        await eventually(lambda: server.cluster.slices(NODE, DRIVER), "published again")
        made = await shows(server, "eth1")
        assert made["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


@asynchronous
async def test_a_storm_costs_two_writes_a_second_and_ends_right(server: ApiServer) -> None:
    pace = dataclasses.replace(QUICK, writes=2)
    async with publishing(server, pace) as (publisher, heard):
        publisher.publish([listing(listed("eth0"))])
        await shows(server, "eth0")
        started = time.monotonic()
        number = 0
        while time.monotonic() - started < 1.2:
            number += 1
            publisher.publish([listing(listed(f"eth{number}"))])
            await asyncio.sleep(0.002)
        await shows(server, f"eth{number}")
        seconds = time.monotonic() - started
        assert number > 100
        assert len(heard.writes) <= 2 * seconds + 2


@asynchronous
async def test_slices_that_all_have_news_take_turns(server: ApiServer) -> None:
    def everything(mtu: int) -> list[Listing]:
        links = (dataclasses.replace(VETH, name=f"eth{n:03}", mtu=mtu) for n in range(300))
        return [listing(*map(listed, links))]

    async with publishing(server) as (publisher, heard):

        async def one_more() -> None:
            before = len(heard.writes)
            await eventually(lambda: len(heard.writes) > before, "written")

        publisher.publish(everything(1500))
        await eventually(lambda: heard.states == [(3, 300)], "published")
        for mtu in range(1501, 1507):
            publisher.publish(everything(mtu))
            await one_more()
        await eventually(lambda: publisher.problem == "" and len(heard.states) > 1, "settled")
    written = [one.name for one in server.book.find("update", SLICES)]
    assert len(written) > 6
    assert all(len({*written[n : n + 3]}) == 3 for n in range(len(written) - 2))
    for one in server.cluster.slices(NODE, DRIVER):
        assert {each["attributes"]["mtu"]["int"] for each in one["spec"]["devices"]} == {1506}


@asynchronous
async def test_what_is_forbidden_is_told_with_what_is_missing(server: ApiServer) -> None:
    user = service_account("kube-system", "agent", NODE)
    async with publishing(server, user=user) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await eventually(lambda: "resourceslices" in publisher.problem, "told")
        assert "refuses to list resourceslices" in publisher.problem
        role = {
            "kind": "ClusterRole",
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "r"},
            "rules": [
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
                {
                    "apiGroups": ["resource.k8s.io"],
                    "resources": [SLICES],
                    "verbs": ["get", "list", "watch", "create", "update", "delete"],
                },
            ],
        }
        binding = {
            "kind": "ClusterRoleBinding",
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "b"},
            "roleRef": {
                "kind": "ClusterRole",
                "name": "r",
                "apiGroup": "rbac.authorization.k8s.io",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "kube-system"}],
        }
        server.apply(role, binding)
        await shows(server, "eth1")
        await eventually(lambda: publisher.problem == "", "settled")


@asynchronous
async def test_a_server_that_asks_to_wait_is_left_alone_for_so_long(server: ApiServer) -> None:
    server.fault(Fault(verb="create", resource=SLICES, code=429, retry_after=1, times=1))
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await eventually(lambda: server.book.count("create", SLICES) == 2, "tried again")
    first, second = server.book.find("create", SLICES)
    assert 1 <= second.at - first.at < 3


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
@asynchronous
async def test_a_lost_answer_does_nothing_twice(server: ApiServer, verb: str) -> None:
    async with publishing(server) as (publisher, _):
        if verb != "create":
            publisher.publish([listing(listed("eth1"))])
            await shows(server, "eth1")
        server.fault(Fault(verb=verb, resource=SLICES, lost=True, times=1))
        if verb == "delete":
            publisher.publish([])
            await eventually(lambda: not server.cluster.slices(NODE, DRIVER), "deleted")
        else:
            publisher.publish([listing(listed("eth2"))])
            await shows(server, "eth2")
        await eventually(lambda: publisher.problem == "", "settled")
        await asyncio.sleep(0.1)
        assert len(server.cluster.slices(NODE, DRIVER)) == (verb != "delete")


@pytest.mark.parametrize("code", [500, 503, 504])
@asynchronous
async def test_errors_of_the_server_are_survived(server: ApiServer, code: int) -> None:
    server.fault(Fault(code=code, times=6))
    async with publishing(server) as (publisher, heard):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
        await eventually(lambda: publisher.problem == "", "settled")
        assert heard.failures


@asynchronous
async def test_a_second_agent_takes_over_what_the_first_has_published(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1"))])
        await shows(server, "eth1")
    async with publishing(server) as (publisher, heard):
        publisher.publish([listing(listed("eth1"))])
        await eventually(lambda: publisher.problem == "", "settled")
        assert heard.writes == []


@asynchronous
async def test_all_of_ours_is_removed_on_demand(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1")), listing(listed("eth8"), pool=OTHER)])
        await eventually(lambda: names(server) == ["eth1", "eth8"], "published")
        again = publisher
    async with publishing(server) as (publisher, _):
        await publisher.remove()
    assert again is not publisher
    assert server.cluster.slices(NODE, DRIVER) == []


@asynchronous
async def test_two_thousand_devices_are_published_in_time(server: ApiServer) -> None:
    async with publishing(server) as (publisher, _):
        started = time.monotonic()
        publisher.publish([listing(*(listed(f"eth{number}") for number in range(2048)))])
        await eventually(lambda: len(names(server)) == 2048, "published")
        assert time.monotonic() - started < 10  # 3 s on a machine of one's own: see benchmarks
        assert {one["spec"]["pool"]["resourceSliceCount"] for one in server.cluster.slices()} == {
            16
        }


@asynchronous
async def test_a_pool_that_no_server_takes_keeps_no_other_from_being_published(
    server: ApiServer,
) -> None:
    node = ".".join(["a" * 60] * 4) + "a"
    server.cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    heard = Hearing()
    async with Api(access(server)) as api:
        publisher = Publisher(api, driver=DRIVER, node=node, observer=heard, timing=QUICK)
        async with running(publisher.run()):
            short = dataclasses.replace(POOL, name="fastnics")
            publisher.publish([listing(listed("eth1")), listing(listed("eth2"), pool=short)])
            await eventually(lambda: heard.states, "synced")
            assert "254 characters" in publisher.problem
            publisher.publish([listing(pool=short)])
            await eventually(lambda: not publisher.problem, "nothing is wrong")
    (one,) = server.cluster.slices(node)
    assert one["spec"]["pool"]["name"] == f"{node}/fastnics"


@asynchronous
async def test_a_pool_that_is_refused_keeps_no_other_waiting(server: ApiServer) -> None:
    server.fault(Fault(verb="create", resource="resourceslices", code=422, times=1))
    patient = dataclasses.replace(QUICK, first_retry=3600, longest_retry=3600)
    async with publishing(server, patient) as (publisher, _):
        second = dataclasses.replace(POOL, name="second")
        publisher.publish([listing(listed("eth1")), listing(listed("eth2"), pool=second)])
        await shows(server, "eth2")
        await eventually(lambda: publisher.problem not in ("", "not asked yet"), "said")


@asynchronous
async def test_a_pool_whose_changes_are_refused_keeps_no_other_waiting(server: ApiServer) -> None:
    second = dataclasses.replace(POOL, name="second")
    async with publishing(server) as (publisher, _):
        publisher.publish([listing(listed("eth1")), listing(listed("eth2"), pool=second)])
        await eventually(lambda: names(server) == ["eth1", "eth2"], "published")
        server.apply(*refusing(f"{NODE}/{POOL.name}"))
        changed = [
            listed(dataclasses.replace(VETH, name=name, mtu=9000)) for name in ("eth1", "eth2")
        ]
        publisher.publish([listing(changed[0]), listing(changed[1], pool=second)])

        def mtus() -> list[object]:
            slices = server.cluster.slices(NODE, DRIVER)
            devices = [device for one in slices for device in one["spec"]["devices"]]
            return sorted(device["attributes"]["mtu"]["int"] for device in devices)

        await eventually(lambda: mtus() == [1500, 9000], "one is written")
        await eventually(lambda: "not this one" in publisher.problem, "said")


def refusing(pool: str) -> tuple[Manifest, Manifest]:
    """A policy that takes no change of a pool's slices."""
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["UPDATE"]}
    said = {"expression": f'object.spec.pool.name != "{pool}"', "message": "not this one"}
    spec = {
        "matchConstraints": {"resourceRules": [{**rule, "resources": ["resourceslices"]}]},
        "validations": [said],
    }
    binding = {"policyName": "refusing", "validationActions": ["Deny"]}
    kind, name = "ValidatingAdmissionPolicy", {"name": "refusing"}
    return (
        {"kind": kind, "metadata": name, "spec": spec},
        {"kind": f"{kind}Binding", "metadata": name, "spec": binding},
    )
