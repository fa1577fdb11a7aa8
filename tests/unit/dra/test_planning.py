"""Plans against a model of the API server, with others who are at the slices too. Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netdevice_plugin.dra import planning
from netdevice_plugin.dra.packing import LIMIT, LIMIT_TAINTED
from netdevice_plugin.dra.planning import Node, Plan, plan
from netdevice_plugin.dra.slices import WantedPool
from tests.unit.dra.listed import DRIVER

Object = dict[str, Any]

NODE = Node(name="worker-1", uid="0ab")
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "worker-1", "uid": "0ab", "controller": True}
POOL = "worker-1/netdevice"
ILL = {"key": "networking.k8s.io/unhealthy", "value": "it-is-lost", "effect": "NoSchedule"}


def device(name: str, *, ill: bool = False, mtu: int = 1500) -> Object:
    made: Object = {"name": name, "attributes": {"mtu": {"int": mtu}}}
    return {**made, "taints": [ILL]} if ill else made


def pool(*devices: Object, name: str = POOL) -> WantedPool:
    return WantedPool(name=name, devices=devices)


def many(count: int) -> list[Object]:
    return [device(f"eth{index:03}") for index in range(count)]


class Server:
    """Slices, as the API server keeps them."""

    def __init__(self) -> None:
        self.slices: dict[str, Object] = {}
        self.made = 0

    def create(self, one: Object) -> str:
        self.made += 1
        metadata = {**one["metadata"], "resourceVersion": str(self.made)}
        name = metadata.setdefault("name", f"{metadata.pop('generateName', '')}{self.made}")
        assert name not in self.slices
        self.slices[name] = self.kept({**one, "metadata": metadata})
        return str(name)

    def update(self, one: Object) -> None:
        name = one["metadata"]["name"]
        before = self.slices[name]
        assert one["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        for key in ("driver", "nodeName"):
            assert one["spec"][key] == before["spec"][key]
        assert one["spec"]["pool"]["name"] == before["spec"]["pool"]["name"]
        self.made += 1
        metadata = {**one["metadata"], "resourceVersion": str(self.made)}
        self.slices[name] = self.kept({**one, "metadata": metadata})

    def delete(self, one: Object) -> None:
        del self.slices[one["metadata"]["name"]]

    @staticmethod
    def kept(one: Object) -> Object:
        """Check the limits, and note since when a taint is there."""
        devices = one["spec"].get("devices", [])
        tainted = any("taints" in each for each in devices)
        assert len(devices) <= (LIMIT_TAINTED if tainted else LIMIT)
        assert sum(bool(each.get("controller")) for each in one["metadata"]["ownerReferences"]) < 2
        made = copy.deepcopy(one)
        for each in made["spec"].get("devices", []):
            for taint in each.get("taints", []):
                taint.setdefault("timeAdded", "2026-08-01T00:00:00Z")
        return made

    def writes(self, plan: Plan) -> list[Callable[[], object]]:
        """Return the requests of a plan in their order."""
        return [
            *(lambda one=one: self.delete(one) for one in plan.deletes),
            *(lambda one=one: self.update(one) for one in plan.updates),
            *(lambda one=one: self.create(one) for one in plan.creates),
        ]

    def plan(self, *wanted: WantedPool) -> Plan:
        before = copy.deepcopy(self.slices)
        made = plan(self.slices.values(), wanted, driver=DRIVER, node=NODE)
        assert self.slices == before
        return made

    def apply(self, *wanted: WantedPool) -> Plan:
        """Plan and write; a second look finds nothing to do."""
        made = self.plan(*wanted)
        for write in self.writes(made):
            write()
        assert self.plan(*wanted) == Plan()
        return made

    def of(self, name: str) -> list[Object]:
        """Our slices of a pool."""
        found = [one for one in self.slices.values() if one["spec"]["pool"]["name"] == name]
        return [one for one in found if one["spec"]["driver"] == DRIVER]

    def edit(self, name: str, **spec: object) -> None:
        """Let somebody else write."""
        one = self.slices[name]
        self.update({**one, "spec": {**one["spec"], **spec}})


def consumed(slices: Iterable[Object]) -> list[str] | None:
    """What the scheduler sees of a pool, with duplicates; None while it is incomplete.

    It believes the count of any one slice of the newest generation: whichever it has first.
    """
    several = list(slices)
    newest = max((one["spec"]["pool"]["generation"] for one in several), default=None)
    current = [one for one in several if one["spec"]["pool"]["generation"] == newest]
    if current and all(
        one["spec"]["pool"]["resourceSliceCount"] != len(current) for one in current
    ):
        return None
    return [each["name"] for one in current for each in one["spec"].get("devices", [])]


class Consumer:
    """Somebody who looks at a pool after each write, as the scheduler may."""

    def __init__(self, slices: Sequence[Object]) -> None:
        self.saw: set[str] = set()
        self.counts: dict[int, int] = {}  # by generation
        self.look(slices, ())

    def look(self, slices: Sequence[Object], wanted: Collection[str]) -> None:
        """See no device twice, miss none that was there and is to stay, and no two sizes."""
        for placed in (one["spec"]["pool"] for one in slices):
            count = self.counts.setdefault(placed["generation"], placed["resourceSliceCount"])
            assert placed["resourceSliceCount"] == count, f"generation {placed['generation']}"
        seen = consumed(slices)
        if seen is not None:
            assert len(seen) == len(set(seen))
            assert self.saw & set(wanted) <= set(seen)
            self.saw = set(seen)


def generations(slices: Iterable[Object]) -> set[int]:
    return {one["spec"]["pool"]["generation"] for one in slices}


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_first_slice_is_made_for_its_node(server: Server) -> None:
    made = server.apply(pool(device("eth1")))
    assert not made.deletes
    assert not made.updates
    assert made.creates == (
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {
                "generateName": "worker-1-networking.k8s.io-",
                "ownerReferences": [OWNER],
            },
            "spec": {
                "driver": DRIVER,
                "nodeName": "worker-1",
                "pool": {"name": POOL, "generation": 1, "resourceSliceCount": 1},
                "devices": [device("eth1")],
            },
        },
    )


def test_a_pool_without_devices_is_an_empty_slice(server: Server) -> None:
    server.apply(pool())
    (one,) = server.of(POOL)
    assert "devices" not in one["spec"]
    assert consumed([one]) == []


@pytest.mark.parametrize("nothing", [None, []])
def test_however_the_server_writes_no_devices_there_is_nothing_to_do(
    server: Server, nothing: object
) -> None:
    server.apply(pool())
    (one,) = server.of(POOL)
    one["spec"]["devices"] = nothing
    assert plan([one], [pool()], driver=DRIVER, node=NODE).writes == 0


def test_the_last_device_that_goes_leaves_an_empty_slice(server: Server) -> None:
    server.apply(pool(device("eth1")))
    made = server.apply(pool())
    assert (made.writes, len(made.updates)) == (1, 1)
    assert consumed(server.of(POOL)) == []


def test_a_pool_that_is_gone_has_no_slice(server: Server) -> None:
    server.apply(pool(*many(200)), pool(name="worker-1/fast"))
    made = server.apply(pool(name="worker-1/fast"))
    assert (made.writes, len(made.deletes)) == (2, 2)
    assert not server.of(POOL)


def test_a_change_of_devices_is_a_write_of_their_slice_in_the_same_generation(
    server: Server,
) -> None:
    devices = many(200)
    server.apply(pool(*devices))
    devices[0] = device("eth000", mtu=9000)
    made = server.apply(pool(*devices[:-1]))
    assert (made.writes, len(made.updates)) == (2, 2)
    assert generations(server.of(POOL)) == {1}
    devices[0] = device("eth000", mtu=1400)
    assert server.apply(pool(*devices[:-1])).writes == 1


def test_one_slice_more_or_less_is_a_new_generation_of_all(server: Server) -> None:
    server.apply(pool(*many(LIMIT)))
    made = server.apply(pool(*many(2 * LIMIT + 1)))
    assert (len(made.updates), len(made.creates)) == (1, 2)
    assert generations(server.of(POOL)) == {2}
    made = server.apply(pool(*many(LIMIT)))
    assert (len(made.deletes), len(made.updates)) == (1, 2)
    assert generations(server.of(POOL)) == {3}


def test_a_slice_that_its_last_device_has_left_is_kept_for_the_next(server: Server) -> None:
    server.apply(pool(*many(LIMIT + 1)))
    for count in (LIMIT, LIMIT + 1, LIMIT):
        made = server.apply(pool(*many(count)))
        assert (made.writes, len(made.updates)) == (1, 1)
    assert generations(server.of(POOL)) == {1}


def test_updates_of_devices_alone_need_not_be_made_together(server: Server) -> None:
    server.apply(pool(*many(200)), pool(device("eth8"), name="worker-1/fast"))
    changed = [device(str(one["name"]), mtu=9000) for one in many(200)]
    other = pool(device("eth8", mtu=9000), name="worker-1/fast")
    made = server.plan(pool(*changed), other)
    assert planning.apart(made, server.slices.values()) == made.updates
    more = server.plan(pool(*changed, *many(2 * LIMIT + 1)[200:]), other)
    (alone,) = planning.apart(more, server.slices.values())
    assert (len(more.updates), alone["spec"]["pool"]["name"]) == (3, "worker-1/fast")


def test_a_device_that_changes_its_slice_makes_a_new_generation(server: Server) -> None:
    devices = many(LIMIT + 1)
    server.apply(pool(*devices))
    devices[3] = device("eth003", ill=True)
    made = server.apply(pool(*devices))
    assert (len(made.updates), len(made.creates)) == (2, 0)
    assert generations(server.of(POOL)) == {2}


def test_a_rollout_that_was_stopped_is_continued(server: Server) -> None:
    server.apply(pool(*many(LIMIT)))
    wanted = pool(*many(3 * LIMIT))
    for write in server.writes(server.plan(wanted))[:2]:
        write()
    assert consumed(server.of(POOL)) is None
    made = server.apply(wanted)
    assert (len(made.deletes), len(made.updates), len(made.creates)) == (0, 0, 1)
    assert generations(server.of(POOL)) == {2}


def test_what_others_changed_is_changed_back(server: Server) -> None:
    server.apply(pool(device("eth1"), device("eth2")))
    (name,) = server.slices
    before = server.slices[name]["spec"]
    edited = {**device("eth1", mtu=1), "allowMultipleAllocations": True}
    server.edit(name, devices=[edited], sharedCounters=[{"name": "a"}])
    assert server.apply(pool(device("eth1"), device("eth2"))).writes == 1
    assert server.slices[name]["spec"] == before


def test_what_nobody_here_knows_is_left_as_it_is(server: Server) -> None:
    server.apply(pool(device("eth1")))
    (name,) = server.slices
    server.slices[name]["metadata"]["labels"] = {"of": "others"}
    server.edit(name, devices=[{**device("eth1"), "novel": 1}], novel=2)
    assert server.plan(pool(device("eth1"))).writes == 0
    server.apply(pool(device("eth1", mtu=9000)))
    one = server.slices[name]
    assert one["spec"]["devices"] == [{**device("eth1", mtu=9000), "novel": 1}]
    assert (one["spec"]["novel"], one["metadata"]["labels"]) == (2, {"of": "others"})


def test_since_when_a_taint_is_there_is_kept(server: Server) -> None:
    server.apply(pool(device("eth1", ill=True)))
    made = server.apply(pool(device("eth1", ill=True, mtu=9000)))
    (update,) = made.updates
    assert update["spec"]["devices"][0]["taints"] == [{**ILL, "timeAdded": "2026-08-01T00:00:00Z"}]


def test_a_node_that_was_made_anew_owns_its_slices_again(server: Server) -> None:
    server.apply(pool(device("eth1")))
    (name,) = server.slices
    others = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}
    stale = [{**OWNER, "uid": "gone"}, others]
    server.slices[name]["metadata"]["ownerReferences"] = stale
    assert server.apply(pool(device("eth1"))).writes == 1
    assert server.slices[name]["metadata"]["ownerReferences"] == [others, OWNER]


def test_a_slice_that_waits_for_a_finalizer_is_outlived(server: Server) -> None:
    server.apply(pool(device("eth1")))
    (dying,) = server.slices.values()
    dying["metadata"]["deletionTimestamp"] = "2026-08-01T00:00:00Z"
    made = server.apply(pool(device("eth1")))
    assert (len(made.creates), made.writes) == (1, 1)
    assert consumed(server.of(POOL)) == ["eth1"]
    assert generations(server.of(POOL)) == {1, 2}


def test_a_generation_that_none_can_follow_is_deleted(server: Server) -> None:
    server.apply(pool(device("eth1")))
    (name,) = server.slices
    last = {"name": POOL, "generation": 2**63 - 1, "resourceSliceCount": 1}
    server.edit(name, pool=last)
    made = server.apply(pool(device("eth1")))
    assert (len(made.deletes), len(made.creates)) == (1, 1)
    assert generations(server.of(POOL)) == {1}


def test_a_node_with_a_long_name_has_slices_too(server: Server) -> None:
    name = ".".join(["a" * 59] * 4)
    node = Node(name=name, uid="1")
    (made,) = plan([], [pool()], driver=DRIVER, node=node).creates
    prefix = made["metadata"]["generateName"]
    assert len(prefix) < 200
    assert ".-" not in prefix
    assert made["spec"]["nodeName"] == name


def test_fields_that_a_server_drops_are_named() -> None:
    sent = {"spec": {"devices": [device("eth1", ill=True), device("eth2")]}}
    came_back = {"spec": {"devices": [device("eth1"), device("eth2")]}}
    assert planning.dropped(sent, came_back) == {"taints"}
    assert not planning.dropped(sent, sent)
    assert not planning.dropped({"spec": {}}, {"spec": {"devices": None}})


numbers = st.sets(st.integers(0, 299), max_size=5)  # of devices, in turn
counts = st.sampled_from([0, 1, 3, 64, 65, 128, 129, 300])
pools = st.sampled_from([POOL, "worker-1/fast"])
runs = st.sampled_from([(0, 0), (3, 4), (100, 140), (128, 130), (0, 66), (0, 200), (64, 300)])


class Slices(RuleBasedStateMachine):
    """Devices come, go, fall ill; writes are cut short; others delete, edit and add slices."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.wanted: dict[str, dict[str, Object]] = {}
        self.consumers: dict[str, Consumer] = {}  # by pool
        self.orderly = True  # nobody else was at the slices since they were right
        self.foreign: dict[str, Object] = {}

    @initialize(count=counts, ill=runs)
    def begin(self, count: int, ill: tuple[int, int]) -> None:
        """Have devices, and slices that are none of ours to touch."""
        specs: tuple[Object, ...] = (
            {"driver": DRIVER, "nodeName": "worker-2"},
            {"driver": "gpu.example.com", "nodeName": "worker-1"},
            {"driver": DRIVER, "allNodes": True},
        )
        for number, spec in enumerate(specs):
            placed = {"name": POOL, "generation": 9, "resourceSliceCount": 1}
            metadata = {"name": f"foreign-{number}", "ownerReferences": []}
            self.server.create({"metadata": metadata, "spec": {**spec, "pool": placed}})
        self.foreign = copy.deepcopy(self.server.slices)
        self.relist(POOL, count, ill)

    def everything(self) -> list[WantedPool]:
        return [
            pool(*(devices[name] for name in sorted(devices)), name=name)
            for name, devices in sorted(self.wanted.items())
        ]

    @rule(name=pools, count=counts, ill=runs)
    def list_devices(self, name: str, count: int, ill: tuple[int, int]) -> None:
        self.wanted[name] = {one["name"]: one for one in many(count)}
        for one in self.some(name, range(*ill)):
            self.wanted[name][one] = device(one, ill=True)

    @rule(name=pools, count=counts, ill=runs)
    def relist(self, name: str, count: int, ill: tuple[int, int]) -> None:
        self.list_devices(name, count, ill)
        self.write()

    @rule(name=pools)
    def remove_pool(self, name: str) -> None:
        self.wanted.pop(name, None)
        self.consumers.pop(name, None)

    def some(self, name: str, which: Iterable[int]) -> set[str]:
        devices = sorted(self.wanted.get(name, {}))
        return {devices[number % len(devices)] for number in which} if devices else set()

    @rule(name=pools, which=numbers, ill=st.booleans(), mtu=st.integers(1, 3))
    def change(self, name: str, which: set[int], ill: bool, mtu: int) -> None:
        for one in self.some(name, which):
            self.wanted[name][one] = device(one, ill=ill, mtu=mtu)

    @rule(name=pools, which=numbers)
    def lose(self, name: str, which: set[int]) -> None:
        for one in self.some(name, which):
            del self.wanted[name][one]

    @rule()
    def write(self) -> None:
        self.carry_out(None)
        self.check()
        self.orderly = True

    @rule(count=st.integers(0, 3))
    def write_and_stop(self, count: int) -> None:
        self.carry_out(count)

    def carry_out(self, count: int | None) -> None:
        """Write as planned; between the writes nobody sees nonsense."""
        for request in self.server.writes(self.server.plan(*self.everything()))[:count]:
            watched = self.wanted if self.orderly else ()
            consumers = {name: self.consumer(name) for name in watched}
            request()
            for name, consumer in consumers.items():
                consumer.look(self.of(name), self.wanted[name])

    def consumer(self, name: str) -> Consumer:
        """The one of a pool, from the first write to it on."""
        return self.consumers.setdefault(name, Consumer(self.of(name)))

    def disturbed(self, *, orderly: bool = True) -> None:
        """What others did is no writer's fault."""
        self.consumers.clear()
        self.orderly &= orderly

    @rule()
    def wipe(self) -> None:
        """What the kubelet does when it starts."""
        for name in self.mine():
            self.server.delete(self.server.slices[name])
        self.orderly = True
        self.disturbed()

    @precondition(lambda self: self.mine())
    @rule(data=st.data())
    def delete_one(self, data: st.DataObject) -> None:
        self.server.delete(self.server.slices[data.draw(st.sampled_from(self.mine()))])
        self.disturbed()

    @precondition(lambda self: self.mine())
    @rule(data=st.data(), which=numbers)
    def edit_one(self, data: st.DataObject, which: set[int]) -> None:
        name = data.draw(st.sampled_from(self.mine()))
        self.server.edit(name, devices=[device(f"eth{one:03}", mtu=7) for one in sorted(which)])
        self.disturbed(orderly=False)

    @precondition(lambda self: self.mine())
    @rule(data=st.data(), by=st.integers(-2, 2), count=st.integers(1, 3))
    def duplicate_one(self, data: st.DataObject, by: int, count: int) -> None:
        one = self.server.slices[data.draw(st.sampled_from(self.mine()))]
        generation = max(0, one["spec"]["pool"]["generation"] + by)
        placed = {**one["spec"]["pool"], "generation": generation, "resourceSliceCount": count}
        metadata = {"ownerReferences": [], "generateName": data.draw(st.sampled_from("az"))}
        self.server.create({"metadata": metadata, "spec": {**one["spec"], "pool": placed}})
        self.disturbed(orderly=False)

    def mine(self) -> list[str]:
        return sorted(self.server.slices.keys() - self.foreign.keys())

    def check(self) -> None:
        for name, devices in self.wanted.items():
            found = self.of(name)
            assert sorted(consumed(found) or ()) == sorted(devices)
            assert consumed(found) is not None
            assert len(generations(found)) == 1
            assert all(OWNER in one["metadata"]["ownerReferences"] for one in found)
        assert {
            one["spec"]["pool"]["name"] for one in map(self.server.slices.get, self.mine()) if one
        } == (self.wanted.keys())
        assert self.server.plan(*self.everything()) == Plan()

    def of(self, name: str) -> list[Object]:
        return [one for one in self.server.of(name) if one["metadata"]["name"] in self.mine()]

    @invariant()
    def what_is_of_others_is_not_touched(self) -> None:
        assert self.foreign.items() <= self.server.slices.items()


TestSlices = Slices.TestCase
TestSlices.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("count", [129, 300])
def test_nobody_misses_a_device_that_goes_to_another_slice(count: int) -> None:
    machine = Slices()
    machine.begin(count, (0, 0))
    machine.relist(POOL, count, (3, 4))  # a slice with a taint takes 64
