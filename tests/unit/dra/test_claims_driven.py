"""Claims for functions that a program in the pod drives: bound before their CDI file is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.model import Device, Interface, Listed, PciDevice, VirtualFunction
from netdevice_plugin.offering import LEAVING
from netdevice_plugin.provisioning import Node as DeviceNode
from netdevice_plugin.provisioning import VfSettings
from tests.unit.dra.claimed import POOL, Node, asynchronous, link

ADDRESSES = ("0000:03:10.0", "0000:03:10.2")
NAMES = tuple("pci-" + one.replace(":", "-").replace(".", "-") for one in ADDRESSES)


class Driver:
    """Binds what it is asked to, and notes it; two at least have to be asked for at once."""

    def __init__(self) -> None:
        self.lent: list[tuple[str, str, VfSettings, str]] = []
        self.failing = ""
        self.together = 1
        self._enough = asyncio.Event()

    async def lend(
        self, pool: str, device: Device, settings: VfSettings, holder: str
    ) -> tuple[DeviceNode, ...]:
        self.lent.append((pool, device.name, settings, holder))
        if len(self.lent) >= self.together:
            self._enough.set()
        await asyncio.wait_for(self._enough.wait(), 5)
        if device.name == self.failing:
            raise FunctionError("0000:03:10.0 is held by testpmd (7)", hint="end it")
        return DeviceNode("/dev/vfio/vfio"), DeviceNode(f"/dev/vfio/{NAMES.index(device.name)}")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    for number, (name, address) in enumerate(zip(NAMES, ADDRESSES, strict=True)):
        vf = VirtualFunction(number=number, pf_address="0000:03:00.0")
        function = Interface(ifindex=0, name="", pci=PciDevice(address=address), vf=vf)
        made.links[name] = Listed(device=Device(name=name, pool=POOL, interface=function))
    made.offer(link("eth1"))
    return made


@asynchronous
async def test_all_functions_of_a_claim_are_bound_at_once_and_their_nodes_are_in_its_file(
    node: Node,
) -> None:
    driver = Driver()
    driver.together = 2
    node.lend = driver.lend
    one = node.give(1, *NAMES, vf={"vlan": 7})
    await node.instance().prepare(one)
    holder = f"claim {one.uid}"
    assert set(driver.lent) == {(POOL, name, VfSettings(vlan=7), holder) for name in NAMES}
    nodes = [
        [found.path for found in device.edits.device_nodes]
        for device in node.specs()[one.uid].devices
    ]
    assert nodes == [["/dev/vfio/vfio", "/dev/vfio/0"], ["/dev/vfio/vfio", "/dev/vfio/1"]]


@asynchronous
async def test_a_link_beside_it_is_moved_as_ever(node: Node) -> None:
    driver = Driver()
    node.lend = driver.lend
    one = node.give(1, "eth1", NAMES[0])
    await node.instance().prepare(one)
    assert {name for _, name, _, _ in driver.lent} == {NAMES[0]}
    hooks = {device.name: device.edits.hooks for device in node.specs()[one.uid].devices}
    assert hooks[f"{one.uid}-eth1"]
    assert not hooks[f"{one.uid}-{NAMES[0]}"]


@asynchronous
async def test_what_cannot_be_bound_is_not_the_claims(node: Node) -> None:
    driver = Driver()
    driver.failing = NAMES[0]
    node.lend = driver.lend
    one = node.give(1, *NAMES)
    claims = node.instance()
    with pytest.raises(FunctionError, match="is held by testpmd"):
        await claims.prepare(one)
    assert (claims.held, node.checkpoints(), node.specs()) == ({}, set(), {})
    driver.failing = ""
    await claims.prepare(one)
    assert set(claims.held) == set(NAMES)


@asynchronous
async def test_what_another_claim_has_is_not_touched(node: Node) -> None:
    driver = Driver()
    node.lend = driver.lend
    claims = node.instance()
    await claims.prepare(node.give(1, NAMES[0]))
    driver.lent.clear()
    with pytest.raises(Exception, match="has the device"):
        await claims.prepare(node.give(2, NAMES[0]))
    assert driver.lent == []


@asynchronous
async def test_after_a_restart_they_are_bound_again_before_their_file_is_written(
    node: Node,
) -> None:
    driver = Driver()
    node.lend = driver.lend
    one = node.give(1, NAMES[0])
    await node.instance().prepare(one)
    driver.lent.clear()
    for path in node.cdi_dir.iterdir():  # as a boot does
        path.unlink()
    assert await node.instance().restore() == ()
    assert {name for _, name, _, _ in driver.lent} == {NAMES[0]}
    (device,) = node.specs()[one.uid].devices
    assert [found.path for found in device.edits.device_nodes][1:] == ["/dev/vfio/0"]


@asynchronous
async def test_a_device_that_was_about_to_leave_stays_with_the_claim_that_got_it(
    node: Node,
) -> None:
    node.offer(link("eth1"), fault=LEAVING)
    one = node.give(1, "eth1")
    assert len(await node.instance().prepare(one)) == 1
