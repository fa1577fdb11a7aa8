"""The API server of the tests: what it refuses. Each limit is met exactly, and passed by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.apiclient import DRIVER, allocation, claim, class_, nic, request, result, slice_of
from tests.fakes.apiserver import ApiServer, Failure, Manifest, Settings

GATES = Settings().gates_on | {"DRAListTypeAttributes"}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer(Settings(gates=GATES)) as running:
        yield running


def problems(server: ApiServer, manifest: Manifest) -> list[str]:
    """The fields for which an object is refused."""
    try:
        server.cluster.create(manifest)
    except Failure as failure:
        return _fields(failure)
    return []


def _fields(failure: Failure) -> list[str]:
    assert failure.code == 422, failure
    return [cause["field"] for cause in failure.details["causes"]]


def devices(count: int, **first: Any) -> list[Manifest]:
    return [{**nic(f"eth{index}"), **(first if not index else {})} for index in range(count)]


def attributes(count: int) -> Manifest:
    return {"name": "a", "attributes": {f"a{index}": {"int": index} for index in range(count)}}


def with_attribute(name: str, **value: Any) -> Manifest:
    return slice_of("n", {"name": "a", "attributes": {name: value}})


def device_of(**fields: Any) -> Manifest:
    return slice_of("n", {"name": "a", **fields})


TAINT = {"key": "example.com/x", "effect": "NoSchedule"}
COUNTER = [{"counterSet": "c", "counters": {"x": {"value": "1"}}}]
POOL = {"name": "n/p", "generation": 1, "resourceSliceCount": 1}
D, A = "spec.devices", "spec.devices[0].attributes"


@pytest.mark.parametrize(
    ("good", "bad", "fields"),
    [
        pytest.param(slice_of("n", *devices(128)), slice_of("n", *devices(129)), [D], id="devices"),
        pytest.param(
            slice_of("n", *devices(64, taints=[TAINT])),
            slice_of("n", *devices(65, taints=[TAINT])),
            [D],
            id="devices with taints",
        ),
        pytest.param(
            slice_of("n", *devices(64, consumesCounters=COUNTER)),
            slice_of("n", *devices(65, consumesCounters=COUNTER)),
            [D],
            id="devices with counters",
        ),
        pytest.param(
            slice_of("n", *devices(64, attributes={"a": {"ints": [1]}})),
            slice_of("n", *devices(65, attributes={"a": {"ints": [1]}})),
            [D],
            id="devices with lists",
        ),
        pytest.param(
            slice_of("n", nic("a"), nic("b")), slice_of("n", nic("a"), nic("a")), [f"{D}[1]"],
            id="names are unique",
        ),
        pytest.param(
            slice_of("n", attributes(32)), slice_of("n", attributes(33)), [f"{D}[0]"],
            id="attributes",
        ),
        pytest.param(
            slice_of("n", {**attributes(31), "capacity": {"a": {"value": "1Gi"}}}),
            slice_of("n", {**attributes(32), "capacity": {"a": {"value": "1Gi"}}}),
            [f"{D}[0]"],
            id="attributes and capacities",
        ),
        pytest.param(
            with_attribute("a", ints=[0] * 48), with_attribute("a", ints=[0] * 49), [f"{D}[0]"],
            id="values",
        ),
        pytest.param(
            with_attribute("a", string="é" * 32), with_attribute("a", string="é" * 32 + "x"),
            [f"{A}[a].string"],
            id="bytes of a string",
        ),
        pytest.param(
            with_attribute("a", string=""), with_attribute("a"), [f"{A}[a]"], id="one value"
        ),
        pytest.param(
            with_attribute("a", int=1), with_attribute("a", int=1, bool=True), [f"{A}[a]"],
            id="one value only",
        ),
        pytest.param(
            with_attribute("a", version="1.2.3-rc.1+b"), with_attribute("a", version="1.2"),
            [f"{A}[a].version"],
            id="semantic version",
        ),
        pytest.param(
            with_attribute("a" * 32, int=1), with_attribute("a" * 33, int=1), [A], id="identifier"
        ),
        pytest.param(
            with_attribute("_a9", int=1), with_attribute("a-b", int=1), [A], id="C identifier"
        ),
        pytest.param(
            with_attribute("d" * 63 + "/a", int=1), with_attribute("d" * 64 + "/a", int=1), [A],
            id="domain",
        ),
        pytest.param(
            with_attribute("d.io/a", int=1), with_attribute("d.io/a/b", int=1), [A], id="one slash"
        ),
        pytest.param(device_of(), slice_of("n", {"name": "eth0.5"}), [f"{D}[0].name"], id="device"),
        pytest.param(
            slice_of("n", nic("a" * 63)), slice_of("n", nic("a" * 64)), [f"{D}[0].name"],
            id="device's length",
        ),
        pytest.param(
            slice_of("n", driver="d" * 63), slice_of("n", driver="d" * 64),
            ["spec.driver"],
            id="driver",
        ),
        pytest.param(
            slice_of("n", pool={**POOL, "name": "a/" + "b" * 251}),
            slice_of("n", pool={**POOL, "name": "a/" + "b" * 252}),
            ["spec.pool.name"],
            id="pool",
        ),
        pytest.param(
            slice_of("n"), slice_of("n", pool={**POOL, "name": "n/P_1"}), ["spec.pool.name"],
            id="pool's characters",
        ),
        pytest.param(
            slice_of("n"), slice_of("n", pool={**POOL, "resourceSliceCount": 0}),
            ["spec.pool.resourceSliceCount"],
            id="slices of a pool",
        ),
        pytest.param(
            slice_of("n", pool={**POOL, "generation": 0}),
            slice_of("n", pool={**POOL, "generation": -1}),
            ["spec.pool.generation"],
            id="generation",
        ),
        pytest.param(slice_of("n"), slice_of("n", nodeName=None), ["spec"], id="a place"),
        pytest.param(slice_of("n"), slice_of("n", allNodes=True), ["spec"], id="one place"),
        pytest.param(
            slice_of("n", allNodes=True, nodeName=None),
            slice_of("n", allNodes=False, nodeName=None),
            ["spec.allNodes", "spec"],
            id="all nodes is true or not there",
        ),
        pytest.param(
            device_of(taints=[TAINT] * 16), device_of(taints=[TAINT] * 17), [f"{D}[0].taints"],
            id="taints",
        ),
        pytest.param(
            device_of(taints=[TAINT]), device_of(taints=[{"key": "x", "effect": "Never"}]),
            [f"{D}[0].taints[0].effect"],
            id="effect",
        ),
        pytest.param(
            device_of(taints=[{**TAINT, "value": "x" * 63}]),
            device_of(taints=[{**TAINT, "value": "x" * 64}]),
            [f"{D}[0].taints[0].value"],
            id="taint's value",
        ),
        pytest.param(
            device_of(bindingConditions=["a"], bindingFailureConditions=["b"]),
            device_of(bindingConditions=["a"]),
            [f"{D}[0].bindingConditions"],
            id="binding conditions",
        ),
        pytest.param(
            device_of(), device_of(nodeName="n"), [f"{D}[0]"], id="a device's own place"
        ),
    ],
)  # fmt: skip
def test_slices(server: ApiServer, good: Manifest, bad: Manifest, fields: list[str]) -> None:
    assert problems(server, good) == []
    assert problems(server, bad) == fields


def opaque(size: int) -> Manifest:
    """Parameters of so many bytes, as compact JSON."""
    return {"opaque": {"driver": DRIVER, "parameters": {"x": "y" * (size - 8)}}}


TOLERATION = {"key": "example.com/x", "operator": "Exists"}
SELECTOR = {"cel": {"expression": "true"}}
E = "spec.devices.requests[0].exactly"


def of(**exactly: Any) -> Manifest:
    return claim("", request(**exactly))


@pytest.mark.parametrize(
    ("good", "bad", "fields"),
    [
        pytest.param(
            claim("", *(request(f"r{i}") for i in range(32))),
            claim("", *(request(f"r{i}") for i in range(33))),
            ["spec.devices.requests"],
            id="requests",
        ),
        pytest.param(
            claim("", request("a"), request("b")), claim("", request("a"), request("a")),
            ["spec.devices.requests[1]"],
            id="names are unique",
        ),
        pytest.param(
            claim("", request("a")), claim("", request("A")), ["spec.devices.requests[0].name"],
            id="name",
        ),
        pytest.param(of(), claim("", {"name": "a"}), ["spec.devices.requests[0]"], id="kind"),
        pytest.param(of(count=5), of(count=-1), [f"{E}.count"], id="count"),
        pytest.param(of(allocationMode="All"), of(allocationMode="Some"), [f"{E}.allocationMode"],
                     id="mode"),
        pytest.param(of(), of(allocationMode="All", count=2), [f"{E}.count"], id="all of some"),
        pytest.param(of(), of(class_name=""), [f"{E}.deviceClassName"], id="class"),
        pytest.param(of(selectors=[SELECTOR] * 32), of(selectors=[SELECTOR] * 33),
                     [f"{E}.selectors"], id="selectors"),
        pytest.param(of(selectors=[SELECTOR]), of(selectors=[{"cel": {"expression": "a &&"}}]),
                     [f"{E}.selectors[0].cel.expression"], id="CEL"),
        pytest.param(
            of(selectors=[{"cel": {"expression": "true" + " " * 10236}}]),
            of(selectors=[{"cel": {"expression": "true" + " " * 10237}}]),
            [f"{E}.selectors[0].cel.expression"],
            id="length of CEL",
        ),
        pytest.param(of(tolerations=[TOLERATION] * 16), of(tolerations=[TOLERATION] * 17),
                     [f"{E}.tolerations"], id="tolerations"),
        pytest.param(of(tolerations=[TOLERATION]), of(tolerations=[{**TOLERATION, "value": "x"}]),
                     [f"{E}.tolerations[0].value"], id="value of Exists"),
        pytest.param(
            claim("", {"name": "a", "firstAvailable": [
                {"name": f"s{i}", "deviceClassName": "nic"} for i in range(8)]}),
            claim("", {"name": "a", "firstAvailable": [
                {"name": f"s{i}", "deviceClassName": "nic"} for i in range(9)]}),
            ["spec.devices.requests[0].firstAvailable"],
            id="alternatives",
        ),
        pytest.param(claim("", config=[opaque(10240)]), claim("", config=[opaque(10241)]),
                     ["spec.devices.config[0].opaque.parameters"], id="parameters"),
        pytest.param(
            claim("", config=[opaque(100)]),
            claim("", config=[{"opaque": {"driver": DRIVER, "parameters": [1]}}]),
            ["spec.devices.config[0].opaque.parameters"],
            id="parameters are an object",
        ),
        pytest.param(claim("", config=[opaque(99)] * 32), claim("", config=[opaque(99)] * 33),
                     ["spec.devices.config"], id="configurations"),
        pytest.param(
            claim("", config=[{"requests": ["nic"], **opaque(99)}]),
            claim("", config=[{"requests": ["nic/a"], **opaque(99)}]),
            ["spec.devices.config[0].requests[0]"],
            id="reference",
        ),
        pytest.param(
            claim("", constraints=[{"matchAttribute": "d.io/a"}]),
            claim("", constraints=[{"matchAttribute": "a"}]),
            ["spec.devices.constraints[0].matchAttribute"],
            id="constraint's attribute",
        ),
        pytest.param(
            claim("", constraints=[{"matchAttribute": "d.io/a"}]),
            claim("", constraints=[{"requests": ["nic"]}]),
            ["spec.devices.constraints[0]"],
            id="constraint",
        ),
    ],
)  # fmt: skip
def test_claims(server: ApiServer, good: Manifest, bad: Manifest, fields: list[str]) -> None:
    for index, manifest in enumerate((good, bad)):
        manifest["metadata"] = {"generateName": f"c{index}-"}
    assert problems(server, good) == []
    assert problems(server, bad) == fields


@pytest.mark.parametrize("name", ["nic", "kubernetes.io/nic", "a b/c", "requests.d.io/nic"])
def test_extended_resources_have_a_domain_of_their_own(server: ApiServer, name: str) -> None:
    good = {"generateName": "good-"}
    made = {**class_(extendedResourceName="d.io/nic"), "metadata": good}
    assert problems(server, made) == []
    assert problems(server, class_("x", extendedResourceName=name)) == ["spec.extendedResourceName"]


def test_admin_access_needs_a_label_on_the_namespace(server: ApiServer) -> None:
    wanted = claim("admin", request(adminAccess=True))
    assert problems(server, wanted) == ["spec.devices.requests.adminAccess"]


def status(server: ApiServer, *statuses: Manifest, **more: Any) -> list[str]:
    """The fields for which a status is refused, of a claim that has one device."""
    name = server.cluster.create({**claim(""), "metadata": {"generateName": "s-"}})["metadata"][
        "name"
    ]
    try:
        with server.cluster.edit("resourceclaims", name, "default", status=True) as made:
            made["status"] = {"allocation": allocation(), "devices": list(statuses), **more}
    except Failure as failure:
        return _fields(failure)
    return []


DEVICE = {name: value for name, value in result().items() if name != "request"}
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Attached",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
S, N = "status.devices[0]", "status.devices[0].networkData"


def network(**data: Any) -> Manifest:
    return {**DEVICE, "networkData": data}


def conditions(count: int) -> Manifest:
    return {**DEVICE, "conditions": [{**CONDITION, "type": f"C{i}"} for i in range(count)]}


def changed(**condition: Any) -> Manifest:
    return {**DEVICE, "conditions": [{**CONDITION, **condition}]}


@pytest.mark.parametrize(
    ("good", "bad", "fields"),
    [
        pytest.param(DEVICE, {**DEVICE, "device": "eth1"}, [S], id="allocated"),
        pytest.param(conditions(8), conditions(9), [f"{S}.conditions"], id="conditions"),
        pytest.param(changed(), changed(reason=""), [f"{S}.conditions[0].reason"], id="reason"),
        pytest.param(changed(), changed(reason="two words"), [f"{S}.conditions[0].reason"],
                     id="reason's form"),
        pytest.param(changed(), changed(lastTransitionTime=None),
                     [f"{S}.conditions[0].lastTransitionTime"], id="since when"),
        pytest.param(changed(), changed(status="Yes"), [f"{S}.conditions[0].status"], id="status"),
        pytest.param(changed(message="m" * 32768), changed(message="m" * 32769),
                     [f"{S}.conditions[0].message"], id="message"),
        pytest.param({**DEVICE, "data": {"x": "y" * 10232}}, {**DEVICE, "data": {"x": "y" * 10233}},
                     [f"{S}.data"], id="data"),
        pytest.param(network(interfaceName="x" * 256), network(interfaceName="x" * 257),
                     [f"{N}.interfaceName"], id="interface"),
        pytest.param(network(hardwareAddress="x" * 128), network(hardwareAddress="x" * 129),
                     [f"{N}.hardwareAddress"], id="MAC"),
        pytest.param(network(ips=[f"10.0.0.{i}/24" for i in range(16)]),
                     network(ips=[f"10.0.0.{i}/24" for i in range(17)]), [f"{N}.ips"], id="IPs"),
        pytest.param(network(ips=["10.0.0.1/24"]), network(ips=["10.0.0.1"]), [f"{N}.ips[0]"],
                     id="prefix"),
        pytest.param(network(ips=["2001:db8::1/64"]), network(ips=["2001:DB8:0::1/64"]),
                     [f"{N}.ips[0]"], id="canonical"),
        pytest.param(network(ips=["10.0.0.1/8"]), network(ips=["10.0.0.01/8"]), [f"{N}.ips[0]"],
                     id="leading zeros"),
        pytest.param(network(ips=["10.0.0.1/8"]), network(ips=["10.0.0.1/8", "10.0.0.1/8"]),
                     [f"{N}.ips[1]"], id="IPs are unique"),
        pytest.param(network(ips=["10.0.0.1/8"]), network(ips=["::ffff:10.0.0.1/104"]),
                     [f"{N}.ips[0]"], id="mapped"),
    ],
)  # fmt: skip
def test_statuses(server: ApiServer, good: Manifest, bad: Manifest, fields: list[str]) -> None:
    assert status(server, good) == []
    assert status(server, bad) == fields


def test_an_allocation_does_not_change(server: ApiServer) -> None:
    server.cluster.create(claim("fixed"))
    with server.cluster.edit("resourceclaims", "fixed", "default", status=True) as made:
        made["status"]["allocation"] = allocation()
    with (
        pytest.raises(Failure, match="field is immutable"),
        server.cluster.edit("resourceclaims", "fixed", "default", status=True) as made,
    ):
        made["status"]["allocation"] = allocation(result("eth1"))


def test_reservations_are_of_allocated_claims(server: ApiServer) -> None:
    users = [{"resource": "pods", "name": f"p{i}", "uid": f"u{i}"} for i in range(257)]
    assert status(server, reservedFor=users[:256]) == []
    assert status(server, reservedFor=users) == ["status.reservedFor"]
    assert status(server, reservedFor=[users[0], users[0]]) == ["status.reservedFor[1]"]
    assert status(server, allocation=None, reservedFor=users[:1]) == ["status.reservedFor"]
