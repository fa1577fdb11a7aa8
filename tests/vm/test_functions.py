"""NICs given to programs by vfio and uio, told to their PF, and home again; VFs made and unmade."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import pathlib
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from netdevice_plugin import inventory
from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.counts import Counts
from netdevice_plugin.functions.lending import GRACE, Functions
from netdevice_plugin.functions.sysfs import Bus
from netdevice_plugin.model import Device, Interface, PciDevice, Pool, pci_device_name
from netdevice_plugin.provisioning import BindAt, LinkState, PfCount, Userspace, VfSettings
from tests.kernel.mover.dump import eventually
from tests.vm.nics import HOST, Nic, Nics

T = TypeVar("T")

VFIO = Pool(name="fast", reset=True, userspace=Userspace(driver="vfio-pci"))
IDLE = dataclasses.replace(VFIO, userspace=Userspace(driver="vfio-pci", bind_at=BindAt.START))
UIO = Pool(name="raw", userspace=Userspace(driver="uio_pci_generic", no_iommu=True))
NOTHING = VfSettings()
SETTINGS = VfSettings(mac="02:00:00:00:00:99", vlan=100, qos=3, spoof_check=False, trust=True)
BUS = Bus()
GET_STATUS = 0x3B67  # VFIO_GROUP_GET_STATUS
VIABLE = 1

# Opens a group, says so, and waits for its standard input to end.
HOLD = "import os, sys; os.open(sys.argv[1], os.O_RDWR); print('open', flush=True); input()"


class Killed(BaseException):
    """The agent is no more."""


def lends(
    path: pathlib.Path, work: Callable[[Functions], Awaitable[T]], *, kill_at: int = -1
) -> T | None:
    """An agent that does this, or is killed before its step of that number."""
    steps: list[str] = []
    now = [time.monotonic()]

    def step(name: str) -> None:
        if len(steps) == kill_at:
            raise Killed
        steps.append(name)

    async def main() -> T | None:
        functions = Functions(path, step=step, clock=lambda: now[0])
        try:
            await functions.load()
            now[0] += GRACE + 1  # a sum of floats less one of them need not be the other
            return await work(functions)
        except Killed:
            return None
        finally:
            await functions.close()

    return asyncio.run(main())


def device(nic: Nic) -> Device:
    """It, as the inventory has it."""
    snapshot = inventory.snapshot()
    everything = (*snapshot.interfaces, *snapshot.functions)
    found = [one for one in everything if one.pci and one.pci.address == nic.pci]
    interface = found[0] if found else Interface(ifindex=0, name="", pci=PciDevice(address=nic.pci))
    return Device(name=pci_device_name(nic.pci), pool="fast", interface=interface)


def outline(nic: Nic) -> dict[str, Any]:
    """What is to be the same again."""
    found: dict[str, Any] = {"driver": BUS.driver(nic.pci), "override": BUS.override(nic.pci)}
    if nic.link:
        link = HOST.links()[nic.link]
        found |= {key: link.get(key) for key in ("ifname", "altnames", "address", "mtu")}
        found["up"] = "UP" in link["flags"]
        shown = HOST.ip("-brief", "address", "show", "dev", nic.link).split()[2:]
        found["addresses"] = sorted(one for one in shown if not one.startswith("fe80"))
    return found


def vf_info(pf: Nic, number: int) -> dict[str, Any]:
    """What ip(8) shows of a VF."""
    (found,) = (vf for vf in HOST.links()[pf.link]["vfinfo_list"] if vf["vf"] == number)
    return {key: value for key, value in found.items() if key != "stats"}


@pytest.fixture(params=["vf0", "virtio"])
def nic(request: pytest.FixtureRequest, all_nics: Nics) -> Iterator[Nic]:
    """A NIC with a name, addresses and settings that are not a driver's."""
    found: Nic = getattr(all_nics, request.param)
    HOST.batch(
        [
            f"link set {found.link} name ndp0 mtu 1400 up",
            "link property add dev ndp0 altname ndp0alt",
            "addr add 10.1.0.5/24 brd + dev ndp0",
            "addr add 2001:db8:1::5/64 dev ndp0",
        ]
    )
    yield found
    assert eventually(HOST, lambda: bool(found.link)), f"{found.name} has no link"
    found.reset()


@pytest.fixture
def vf(all_nics: Nics) -> Iterator[Nic]:
    """The first VF."""
    yield all_nics.vf0
    all_nics.vf0.reset()


def test_a_nic_is_lent_by_vfio_and_comes_home_as_it_was(nic: Nic, tmp_path: pathlib.Path) -> None:
    before = outline(nic)
    assert before["addresses"] == ["10.1.0.5/24", "2001:db8:1::5/64"]
    one = device(nic)

    async def work(functions: Functions) -> None:
        nodes = await functions.lend(one, VFIO, NOTHING)
        assert BUS.driver(nic.pci) == "vfio-pci"
        assert viable(nodes[1].path)
        await functions.release(one.name)
        assert functions.records == {}

    lends(tmp_path, work)
    assert outline(nic) == before


def viable(path: str) -> bool:
    """Whether the kernel takes a group for one whose members no driver of its own has."""
    assert pathlib.Path("/dev/vfio/vfio").is_char_device()
    group = os.open(path, os.O_RDWR)
    try:
        status = fcntl.ioctl(group, GET_STATUS, struct.pack("=II", 8, 0))
    finally:
        os.close(group)
    return bool(struct.unpack("=II", status)[1] & VIABLE)


def test_a_vf_has_its_settings_while_it_is_lent_and_those_before_afterwards(
    vf: Nic, all_nics: Nics, tmp_path: pathlib.Path
) -> None:
    before = vf_info(all_nics.pf1, 0)
    own = outline(vf)
    one = device(vf)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, SETTINGS)
        shown = vf_info(all_nics.pf1, 0)
        assert shown["address"] == SETTINGS.mac
        assert (shown["vlan_list"][0]["vlan"], shown["vlan_list"][0]["qos"]) == (100, 3)
        assert (shown["spoofchk"], shown["trust"]) == (False, True)
        await functions.release(one.name)

    lends(tmp_path, work)
    assert vf_info(all_nics.pf1, 0) == before
    assert outline(vf) == own
    # Its MAC is its own: igb refuses another one if the PF has given it.
    HOST.batch([f"link set {vf.link} up", f"link set {vf.link} address 02:00:00:00:00:77"])
    assert vf_info(all_nics.pf1, 0)["address"] == "02:00:00:00:00:77"


@pytest.mark.parametrize(
    ("lacking", "key"),
    [
        (VfSettings(link_state=LinkState.DISABLE), "linkState"),
        (VfSettings(vlan=7, protocol="802.1ad"), "vlan"),
    ],
    ids=["link state", "802.1ad"],
)
def test_what_the_driver_of_the_pf_lacks_is_named_and_the_rest_undone(
    lacking: VfSettings, key: str, vf: Nic, all_nics: Nics, tmp_path: pathlib.Path
) -> None:
    before = vf_info(all_nics.pf1, 0), outline(vf)
    settings = dataclasses.replace(lacking, mac=SETTINGS.mac, trust=True)

    async def work(functions: Functions) -> None:
        with pytest.raises(FunctionError, match=f"the PF's driver does not set {key}: "):
            await functions.lend(device(vf), VFIO, settings)
        assert functions.records == {}

    lends(tmp_path, work)
    assert (vf_info(all_nics.pf1, 0), outline(vf)) == before


def test_an_agent_killed_at_any_step_is_followed_by_one_that_has_all_home(
    vf: Nic, all_nics: Nics, tmp_path: pathlib.Path
) -> None:
    before = vf_info(all_nics.pf1, 0), outline(vf)
    one = device(vf)

    async def go_home(functions: Functions) -> None:
        await functions.reconcile({}, ())
        assert functions.records == {}

    for kill_at in range(14):  # 6 steps there, 8 back

        async def both(functions: Functions) -> None:
            await functions.lend(device(vf), VFIO, SETTINGS)
            await functions.release(one.name)

        lends(tmp_path, both, kill_at=kill_at)
        lends(tmp_path, go_home)
        assert (vf_info(all_nics.pf1, 0), outline(vf)) == before, f"killed before step {kill_at}"


def test_a_nic_that_a_program_holds_is_said_to_be_and_comes_home_after_that(
    vf: Nic, tmp_path: pathlib.Path
) -> None:
    before = outline(vf)
    one = device(vf)

    async def work(functions: Functions) -> None:
        nodes = await functions.lend(one, VFIO, NOTHING)
        with holding(nodes[1].path) as pid:
            begun = time.monotonic()
            with pytest.raises(FunctionError, match=rf"is held by python\S* \({pid}\)"):
                await functions.release(one.name)
            assert time.monotonic() - begun < 2
        await functions.release(one.name)

    lends(tmp_path, work)
    assert outline(vf) == before


@contextlib.contextmanager
def holding(path: str) -> Iterator[int]:
    """A process has it open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        yield process.pid
        process.communicate(b"\n")


def test_a_pool_that_binds_at_start_has_both_vfs_bound_until_it_is_gone(
    all_nics: Nics, tmp_path: pathlib.Path
) -> None:
    vfs = (all_nics.vf0, all_nics.vf1)
    before = [outline(vf) for vf in vfs]
    devices = [device(vf) for vf in vfs]

    async def work(functions: Functions) -> None:
        await functions.reconcile({one.name: (one, IDLE) for one in devices}, ())
        assert {BUS.driver(vf.pci) for vf in vfs} == {"vfio-pci"}
        await functions.lend(devices[0], IDLE, SETTINGS)
        await functions.release(devices[0].name)
        assert {BUS.driver(vf.pci) for vf in vfs} == {"vfio-pci"}
        await functions.reconcile({}, ())

    lends(tmp_path, work)
    assert [outline(vf) for vf in vfs] == before


def test_uio_gives_a_nic_a_node_of_its_own(all_nics: Nics, tmp_path: pathlib.Path) -> None:
    nic = all_nics.virtio
    before = outline(nic)
    one = device(nic)

    async def work(functions: Functions) -> None:
        (node,) = await functions.lend(one, UIO, NOTHING)
        assert pathlib.Path(node.path).is_char_device()
        await functions.release(one.name)

    lends(tmp_path, work)
    assert outline(nic) == before


def test_a_pf_has_as_many_vfs_as_it_should(all_nics: Nics) -> None:
    pf = all_nics.pf0

    async def follow(number: int) -> str:
        counts = Counts()
        await counts.follow([PfCount(pf=pf.link, num_vfs=number)], inventory.snapshot(), {})
        counts.close()
        assert BUS.num_vfs(pf.pci) == number or counts.faults
        return counts.faults.get(pf.link, "")

    try:
        for number in (1, 1, 2, 0):
            assert asyncio.run(follow(number)) == ""
        assert asyncio.run(follow(8)) == "it can have 7 virtual functions, not 8"
    finally:
        BUS.set_num_vfs(pf.pci, 0)
