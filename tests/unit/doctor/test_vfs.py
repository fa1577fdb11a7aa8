from __future__ import annotations

import pytest

from netdevice_plugin.doctor import vfs
from netdevice_plugin.doctor.finding import Finding
from netdevice_plugin.model import Interface, PciDevice, Snapshot
from netdevice_plugin.provisioning import PfCount
from tests.unit.doctor.roots import Root, checks, only

ADDRESS = "0000:03:00.0"
PATH = f"/sys/bus/pci/devices/{ADDRESS}"
SNAPSHOT = Snapshot(
    interfaces=(
        Interface(ifindex=3, name="ens5f0", altnames=("pf0",), pci=PciDevice(address=ADDRESS)),
        Interface(ifindex=4, name="eth0"),
    )
)


def judge(root: Root, pf: str, wanted: int) -> list[Finding]:
    facts = vfs.read(root.host(), PfCount(pf=pf, num_vfs=wanted), SNAPSHOT)
    return list(vfs.check(facts))


def have(root: Root, total: str, now: str, probe: str = "1") -> None:
    root.function(ADDRESS, driver="igb")
    root.write(f"{PATH}/sriov_totalvfs", f"{total}\n")
    root.write(f"{PATH}/sriov_numvfs", f"{now}\n")
    root.write(f"{PATH}/sriov_drivers_autoprobe", f"{probe}\n")


@pytest.mark.parametrize("pf", ["ens5f0", "pf0", ADDRESS])
@pytest.mark.parametrize(
    ("total", "now", "wanted", "level"),
    [
        ("7", "4", 4, "ok"),
        ("7", "0", 4, "warn"),
        ("7", "2", 4, "warn"),
        ("7", "4", 8, "fail"),
        ("0", "0", 4, "fail"),
        ("many", "", 4, "fail"),
    ],
)
def test_what_there_is_against_what_is_asked_for(
    root: Root, pf: str, total: str, *, now: str, wanted: int, level: str
) -> None:
    have(root, total, now)
    assert checks(judge(root, pf, wanted)) == [(level, "sriov/count")]


@pytest.mark.parametrize("pf", ["eth7", "eth0", "0000:09:00.0"])
def test_a_physical_function_that_is_not_there(root: Root, pf: str) -> None:
    have(root, "7", "4")
    (found,) = judge(root, pf, 4)
    assert found.text.startswith("there is no such PCI function")


def test_virtual_functions_that_get_no_driver(root: Root) -> None:
    have(root, "7", "4", probe="0")
    assert only(judge(root, "pf0", 4), "sriov/autoprobe").remedy.startswith("echo 1 >")
