"""Functions are bound for whoever gets them, and home when nobody has them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path

import pytest

from netdevice_plugin.agent.readying import Readying
from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.record import FunctionRecord, Link, Phase
from netdevice_plugin.model import Device, Interface, Listed, PciDevice, Pool, Snapshot
from netdevice_plugin.offering import InUse, Listing, Offering
from netdevice_plugin.operations.hardware import HardwareMetrics
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.provisioning import BindAt, Node, Userspace, VfSettings
from netdevice_plugin.serving.errors import UnhealthyDeviceError

POOL = Pool(name="dpdk", userspace=Userspace(driver="vfio-pci"), vf=VfSettings(vlan=7))
KEY = POOL.key
A, B = "0000:03:00.1", "0000:03:00.2"


def device(address: str = A, *nodes: str) -> Device:
    return Device(
        name="pci-" + address.replace(":", "-").replace(".", "-"),
        pool=POOL.name,
        interface=Interface(ifindex=0, name="", pci=PciDevice(address=address)),
        nodes=tuple(map(Node, nodes)),
    )


def offered(*devices: Device, pool: Pool = POOL) -> Offering:
    listing = Listing(pool=pool, devices=tuple(Listed(device=one) for one in devices))
    return Offering(listings={pool.key: listing})


def used(*names: str, key: str = KEY) -> InUse:
    return InUse(devices={key: frozenset(names)}, serial=1, known=True)


NOTHING = used()


class Functions:
    """Binds at once, and notes what was asked of it."""

    def __init__(self) -> None:
        self.records: Mapping[str, FunctionRecord] = {}
        self.unreadable = 0  # attempts to read the records that fail
        self.failing: dict[str, str] = {}
        self.lent: list[tuple[str, str, VfSettings]] = []
        self.released: list[str] = []
        self.reconciled: list[tuple[dict[str, BindAt], frozenset[str]]] = []
        self.claims: set[str] = set()
        self.pulled: set[str] = set()
        self.again = asyncio.Event()
        self.closed = False

    async def load(self) -> None:
        if self.unreadable:
            self.unreadable -= 1
            raise FunctionError("run/functions: Permission denied", hint="be root")

    def faults(self, devices: Iterable[Device], pools: Mapping[str, Pool]) -> Mapping[str, str]:
        return {one.name: self.failing[one.name] for one in devices if one.name in self.failing}

    def nodes(self, device: Device, pool: Pool) -> tuple[Node, ...]:
        return (Node("/dev/vfio/9"),) if device.name in self.records else ()

    async def lend(
        self, device: Device, pool: Pool, settings: VfSettings, *, holder: str = ""
    ) -> tuple[Node, ...]:
        await asyncio.sleep(0)
        self.lent.append((device.name, holder, settings))
        if device.name in self.failing:
            raise FunctionError(self.failing[device.name], hint="wait")
        assert device.interface.pci
        record = FunctionRecord(
            device=device.name,
            address=device.interface.pci.address,
            pool=pool.key,
            phase=Phase.BOUND,
            target="vfio-pci",
            holder=holder,
        )
        self.records = {**self.records, device.name: record}
        return self.nodes(device, pool)

    async def release(self, name: str) -> None:
        self.released.append(name)
        self.records = {key: one for key, one in self.records.items() if key != name}

    def there(self, address: str) -> bool:
        return address not in self.pulled

    def claimed(self, names: Iterable[str]) -> None:
        self.claims.update(names)

    async def reconcile(
        self,
        wanted: Mapping[str, tuple[Device, Pool]],
        in_use: Collection[str],
        asked: float | None = None,
    ) -> None:
        bind_at = {
            name: pool.userspace.bind_at for name, (_, pool) in wanted.items() if pool.userspace
        }
        self.reconciled.append((bind_at, frozenset(in_use)))
        self.again.set()

    async def close(self) -> None:
        self.closed = True


class Scene:
    """An agent with functions; `asked` are the times by which the kubelet is to be asked."""

    def __init__(self, *, kubelet: bool = True) -> None:
        self.functions = Functions()
        self.settled = 0
        self.asked: list[float] = []
        self.readying = Readying(
            self.functions,
            HardwareMetrics(Metrics(Path("/nonexistent"))),
            settled=self._settle,
            ask_at=self.asked.append if kubelet else None,
        )

    async def _settle(self) -> None:
        self.settled += 1

    def look(self, offering: Offering, in_use: InUse = NOTHING) -> Mapping[str, str]:
        return self.readying.look(offering, in_use)

    async def reconcile(self) -> tuple[dict[str, BindAt], frozenset[str]]:
        """What was made so of what was seen last."""
        self.functions.again.clear()
        await self.functions.again.wait()
        return self.functions.reconciled[-1]


def running(
    test: Callable[[Scene], Awaitable[None]], *, kubelet: bool = True
) -> Callable[[], None]:
    """Run a test beside what it is about, with the records read."""

    def run() -> None:
        async def both() -> None:
            scene = Scene(kubelet=kubelet)
            task = asyncio.create_task(scene.readying.run())
            await asyncio.sleep(0)
            await asyncio.wait_for(test(scene), 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert scene.functions.closed

        asyncio.run(both())

    return run


def test_links_cost_nothing() -> None:
    async def test(scene: Scene) -> None:
        plain = Pool(name="net")
        link = Device(name="eth1", pool="net", interface=Interface(ifindex=2, name="eth1"))
        assert scene.look(offered(link, pool=plain)) == {}
        assert scene.readying.ready(plain.key, ["eth1"]) is None
        assert scene.readying.nodes(link, {"net": plain}) == ()
        snapshot = Snapshot(interfaces=(link.interface,))
        assert scene.readying.complete(snapshot) is snapshot

    running(test)()


def test_a_function_that_is_home_is_shown_as_before_until_its_link_is_heard_of() -> None:
    async def test(scene: Scene) -> None:
        a = device(A)
        await scene.functions.lend(a, POOL, VfSettings())
        pci = a.interface.pci
        bound = Snapshot(functions=(dataclasses.replace(a.interface, driver="vfio-pci"),))
        link = Interface(ifindex=7, name="eth1", pci=pci)
        mine = Link(name="eth1", mac="02:00:00:00:00:01")
        records = scene.functions.records = {
            name: dataclasses.replace(record, link=mine)
            for name, record in scene.functions.records.items()
        }
        shown = [scene.readying.complete(bound)]
        scene.functions.records = {}
        between = Snapshot(), bound, Snapshot()  # in whatever order the inventory sees them
        shown += map(scene.readying.complete, between)
        assert [[one.name for one in it.functions] for it in shown] == [["eth1"]] * 4
        home = Snapshot(interfaces=(link,))
        assert scene.readying.complete(home) is home
        assert scene.readying.complete(Snapshot()) == Snapshot()
        scene.functions.records = records
        scene.readying.complete(bound)
        scene.functions.records = {}
        scene.functions.pulled = {A}
        assert scene.readying.complete(Snapshot()) == Snapshot()

    running(test)()


def test_all_devices_of_a_container_are_bound_for_one_holder_with_the_pools_settings() -> None:
    async def test(scene: Scene) -> None:
        a, b = device(A), device(B)
        scene.look(offered(a, b))
        work = scene.readying.ready(KEY, [b.name, a.name])
        assert work
        await work
        assert sorted(scene.functions.lent) == [
            (a.name, f"{a.name},{b.name}", VfSettings(vlan=7)),
            (b.name, f"{a.name},{b.name}", VfSettings(vlan=7)),
        ]
        assert scene.settled == 1  # their nodes are in the CDI file
        assert scene.asked  # whether the kubelet has noted it

    running(test)()


def test_nodes_that_were_known_before_need_no_other_file() -> None:
    async def test(scene: Scene) -> None:
        known = device(A, "/dev/vfio/9")
        scene.look(offered(known))
        work = scene.readying.ready(KEY, [known.name])
        assert work
        await work
        assert not scene.settled

    running(test)()


def test_if_one_of_a_containers_devices_cannot_be_bound_none_is() -> None:
    async def test(scene: Scene) -> None:
        a, b = device(A), device(B)
        scene.look(offered(a, b))
        scene.functions.failing[b.name] = "shares IOMMU group 9 with eth0"
        work = scene.readying.ready(KEY, [a.name, b.name])
        assert work
        with pytest.raises(UnhealthyDeviceError, match="shares IOMMU group 9") as caught:
            await work
        assert caught.value.hint == "wait"
        assert scene.functions.released == [a.name, b.name]

    running(test)()


def test_what_a_pod_has_already_is_not_taken_back() -> None:
    async def test(scene: Scene) -> None:
        a, b = device(A), device(B)
        scene.look(offered(a, b), used(a.name))
        scene.functions.failing[b.name] = "is held"
        work = scene.readying.ready(KEY, [a.name, b.name])
        assert work
        with pytest.raises(UnhealthyDeviceError):
            await work
        assert scene.functions.released == [b.name]

    running(test)()


def test_after_a_boot_what_pods_have_is_bound_before_it_is_healthy() -> None:
    async def test(scene: Scene) -> None:
        a = device(A)
        assert scene.look(offered(a), used(a.name)) == {a.name: "it is in use, and not bound yet"}
        await scene.reconcile()
        while not scene.functions.records:
            await asyncio.sleep(0)
        assert scene.look(offered(a), used(a.name)) == {}

    running(test)()


def test_what_could_not_be_bound_again_is_not_tried_in_a_storm() -> None:
    async def test(scene: Scene) -> None:
        a = device(A)
        scene.functions.failing[a.name] = "is held"
        for _ in range(5):
            scene.look(offered(a), used(a.name))
            await scene.reconcile()
            await asyncio.sleep(0)
        assert len(scene.functions.lent) == 1
        assert scene.look(offered(a), used(a.name)) == {a.name: "is held"}

    running(test)()


def test_a_claims_device_is_the_claims_to_bind() -> None:
    async def test(scene: Scene) -> None:
        pool = dataclasses.replace(POOL, frontend=POOL.frontend.DRA)
        a = device(A)
        assert scene.look(offered(a, pool=pool), used(a.name, key=pool.key)) == {}
        _, in_use = await scene.reconcile()
        assert in_use == {a.name}
        assert scene.functions.claims == {a.name}
        assert scene.functions.lent == []
        assert await scene.readying.lend(a, pool, VfSettings(vlan=9), "claim 1") == (
            Node("/dev/vfio/9"),
        )
        assert scene.functions.lent == [(a.name, "claim 1", VfSettings(vlan=9))]

    running(test)()


def test_while_nobody_knows_what_pods_have_all_that_is_bound_stays() -> None:
    async def test(scene: Scene) -> None:
        a = device(A)
        scene.look(offered(a))
        await scene.readying.lend(a, POOL, VfSettings(), "x")
        scene.look(offered(a), InUse())
        assert (await scene.reconcile())[1] == {a.name}
        scene.look(offered(a), used())
        assert (await scene.reconcile())[1] == frozenset()

    running(test)()


def test_the_kubelet_is_asked_again_as_long_as_its_pods_have_functions() -> None:
    async def test(scene: Scene) -> None:
        a = device(A)
        scene.look(offered(a))
        await scene.reconcile()
        assert scene.asked == []
        await scene.readying.lend(a, POOL, VfSettings(), "x")
        scene.look(offered(a), used(a.name))
        assert scene.functions.claims == set()
        await scene.reconcile()
        await asyncio.sleep(0)
        assert len(scene.asked) == 1

    running(test)()


def test_without_a_kubelet_devices_are_bound_when_they_are_found() -> None:
    async def test(scene: Scene) -> None:
        a = device(A)
        scene.look(offered(a))
        assert await scene.reconcile() == ({a.name: BindAt.START}, frozenset())

    running(test, kubelet=False)()


def test_without_its_records_nothing_is_given_away(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        scene = Scene()
        scene.functions.unreadable = 1
        a = device(A)
        task = asyncio.create_task(scene.readying.run())
        await asyncio.sleep(0)
        why = "run/functions: Permission denied"
        assert scene.look(offered(a)) == {a.name: why}
        work = scene.readying.ready(KEY, [a.name])
        assert work
        with pytest.raises(UnhealthyDeviceError, match=why):
            await work
        with pytest.raises(FunctionError, match=why):
            await scene.readying.lend(a, POOL, VfSettings(), "x")
        assert scene.functions.lent == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(test())
    assert [one.message for one in caplog.records] == ["Records of functions cannot be read"]
