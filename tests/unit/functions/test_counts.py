"""How many virtual functions there are to be, and when that may be changed."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import pathlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.functions.counts import RETRY, Counts, Decision, busy, decide
from netdevice_plugin.functions.record import FunctionRecord, Phase
from netdevice_plugin.model import (
    Address,
    Interface,
    PciDevice,
    PhysicalFunction,
    Protection,
    Snapshot,
    pci_device_name,
)
from netdevice_plugin.provisioning import PfCount
from tests.unit.functions.kernel import PF, VF, Kernel
from tests.unit.inventory.trees import vf_address

OTHER = vf_address(1)


def pf(count: int = 2, *, lent: bool = False) -> Interface:
    return Interface(
        ifindex=1,
        name="ens5f0",
        altnames=("enp3s0f0",),
        pci=PciDevice(address=PF, driver="igb"),
        pf=PhysicalFunction(
            total_vfs=63,
            num_vfs=count,
            vfs=tuple((number, vf_address(number)) for number in range(count)),
        ),
        lent=lent,
    )


def vf(number: int, **more: object) -> Interface:
    link = Interface(ifindex=10 + number, name=f"vf{number}")
    pci = PciDevice(address=vf_address(number), driver="igbvf")
    return dataclasses.replace(link, pci=pci, **more)  # type: ignore[arg-type]


def record(holder: str = "pod") -> FunctionRecord:
    return FunctionRecord(
        device=pci_device_name(VF),
        address=VF,
        pool="fast",
        phase=Phase.BOUND,
        target="vfio-pci",
        holder=holder,
    )


@pytest.mark.parametrize(
    ("wanted", "current", "decision"),
    [
        (4, 4, Decision()),
        (0, 0, Decision()),
        (4, 0, Decision((4,))),
        (4, 2, Decision((0, 4))),
        (0, 2, Decision((0,))),
        (64, 0, Decision(fault="it can have 63 virtual functions, not 64")),
    ],
)
def test_a_count_is_written_where_it_is_another(
    wanted: int, current: int, decision: Decision
) -> None:
    assert decide(wanted, current, 63, {}) == decision


def test_a_count_is_not_changed_while_somebody_has_one_of_them() -> None:
    why = {vf_address(n): "is lent" for n in range(6)}
    found = decide(4, 6, 63, why)
    assert found.writes == ()
    assert found.fault.startswith(f"it has 6 virtual functions, not 4, and keeps them: {VF} is ")
    assert found.fault.endswith(", 2 more")
    assert decide(6, 6, 63, why) == Decision()


@given(
    wanted=st.integers(0, 70),
    current=st.integers(0, 63),
    why=st.dictionaries(st.sampled_from([VF, OTHER]), st.just("is lent")),
)
def test_what_is_written_leads_there_and_takes_nothing_from_anybody(
    wanted: int, current: int, why: Mapping[str, str]
) -> None:
    decision = decide(wanted, current, 63, why)
    now = current
    for number in decision.writes:
        assert not (now and number)  # or the kernel says EBUSY
        assert number <= 63
        now = number
    assert not (decision.writes and current and why)
    assert bool(decision.fault) == (now != wanted)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (vf(0), ""),
        (vf(0, lent=True), "is in a pod"),
        (vf(0, master=7), "(vf0) is a port of another link"),
        (vf(0, addresses=(Address(family=4, address="10.0.0.1", prefix=24),)), "has addresses"),
        (vf(0, addresses=(Address(family=6, address="fe80::1", prefix=64, scope=253),)), ""),
    ],
    ids=["free", "lent", "enslaved", "addresses", "link-local"],
)
def test_a_vf_is_busy_by_what_is_on_its_link(one: Interface, reason: str) -> None:
    snapshot = Snapshot(interfaces=(pf(), one, vf(1)))
    found = busy(snapshot, pf(), ())
    assert list(found) == ([VF] if reason else [])
    assert reason in found.get(VF, "")


@pytest.mark.parametrize("name", ["vf0", pci_device_name(VF)])
def test_a_vf_that_a_pod_was_given_is_busy_wherever_its_link_is(name: str) -> None:
    bare = Interface(ifindex=0, name="", pci=PciDevice(address=VF))
    for snapshot in (
        Snapshot(interfaces=(pf(), vf(0), vf(1))),
        Snapshot(interfaces=(pf(), vf(1)), functions=(bare,)),
    ):
        found = busy(snapshot, pf(), (), {name, "other"})
        linked = any(one.name == name for one in snapshot.interfaces)
        expected = linked or name.startswith("pci-")
        assert found == ({VF: "is given to a pod"} if expected else {})


def test_a_vf_that_is_an_uplink_is_busy() -> None:
    protected = (Protection(ifindex=10, reason="it carries the IPv4 default route"),)
    snapshot = Snapshot(interfaces=(pf(), vf(0), vf(1)), protected=protected)
    assert busy(snapshot, pf(), ()) == {VF: "stays: it carries the IPv4 default route"}


@pytest.mark.parametrize(
    ("driver", "records", "reason"),
    [
        ("", (), ""),
        ("vfio-pci", (), "is driven by vfio-pci"),
        ("vfio-pci", (record(""),), ""),
        ("vfio-pci", (record(),), "is lent"),
    ],
    ids=["nobody", "a stranger", "bound by us", "lent by us"],
)
def test_a_vf_without_a_link_is_busy_by_its_driver(
    driver: str, records: tuple[FunctionRecord, ...], reason: str
) -> None:
    bare = Interface(ifindex=0, name="", pci=PciDevice(address=VF, driver=driver))
    snapshot = Snapshot(interfaces=(pf(), vf(1)), functions=(bare,))
    assert busy(snapshot, pf(), records).get(VF, "") == reason


def test_a_vf_that_is_out_of_sight_is_busy() -> None:
    snapshot = Snapshot(interfaces=(pf(), vf(1)))
    assert busy(snapshot, pf(), ()) == {VF: "has its link in another network namespace"}


@pytest.fixture
def kernel(tmp_path: pathlib.Path) -> Kernel:
    return Kernel(tmp_path, vfs=0)


def faults(kernel: Kernel, wanted: PfCount, *seen: Snapshot, later: float = 0.0) -> list[str]:
    """What is wrong after each look, with that time in between."""
    now = [0.0]

    async def main() -> list[str]:
        counts = Counts(bus=kernel.bus, clock=lambda: now[0])
        found = []
        for snapshot in seen:
            await counts.follow([wanted], snapshot, {})
            found.append(counts.faults.get(wanted.pf, ""))
            now[0] += later
        counts.close()
        return found

    return asyncio.run(main())


@pytest.mark.parametrize("name", ["ens5f0", "enp3s0f0", PF])
def test_a_pf_is_found_by_name_altname_and_address(kernel: Kernel, name: str) -> None:
    snapshot = Snapshot(interfaces=(pf(0),))
    assert faults(kernel, PfCount(pf=name, num_vfs=4), snapshot, snapshot) == ["", ""]
    assert kernel.log == [("sriov_numvfs", "4")]  # once


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (Snapshot(), "it is not there"),
        (Snapshot(interfaces=(pf(0, lent=True),)), "it is in a pod"),
        (Snapshot(interfaces=(dataclasses.replace(pf(0), pf=None),)), "can have no virtual"),
    ],
    ids=["absent", "lent", "no PF"],
)
def test_a_pf_is_waited_for(kernel: Kernel, snapshot: Snapshot, reason: str) -> None:
    there = Snapshot(interfaces=(pf(0),))
    first, second = faults(kernel, PfCount(pf="ens5f0", num_vfs=4), snapshot, there)
    assert reason in first
    assert second == ""
    assert kernel.log == [("sriov_numvfs", "4")]


def test_a_pf_that_a_program_drives_is_left_alone(kernel: Kernel) -> None:
    bare = dataclasses.replace(
        pf(0), ifindex=0, name="", pci=PciDevice(address=PF, driver="vfio-pci")
    )
    (fault,) = faults(kernel, PfCount(pf=PF, num_vfs=4), Snapshot(functions=(bare,)))
    assert fault == "it has no driver that makes virtual functions"


def test_a_vf_that_has_gone_into_a_pod_just_now_keeps_its_number(tmp_path: pathlib.Path) -> None:
    kernel = Kernel(tmp_path)
    (kernel.path(OTHER) / "net").rename(tmp_path / "elsewhere")
    (fault,) = faults(kernel, PfCount(pf=PF, num_vfs=4), Snapshot(interfaces=(pf(), vf(0), vf(1))))
    assert fault.endswith(f"keeps them: {OTHER} has its link in another network namespace")
    assert kernel.log == []


@pytest.mark.parametrize(("later", "writes"), [(1.0, 1), (RETRY, 2)])
def test_a_write_that_failed_is_tried_again_after_a_while(
    kernel: Kernel, later: float, writes: int
) -> None:
    kernel.fail["sriov_numvfs"] = errno.EROFS
    snapshot = Snapshot(interfaces=(pf(0),))
    first, second = faults(kernel, PfCount(pf="ens5f0", num_vfs=4), snapshot, snapshot, later=later)
    assert first == second
    assert "takes no 4 virtual functions: Read-only file system; the agent may not" in first
    assert len(kernel.log) == writes
