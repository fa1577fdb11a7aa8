from __future__ import annotations

import dataclasses

import pytest

from netdevice_plugin.config import Config
from netdevice_plugin.doctor import privileges
from netdevice_plugin.model import Pool
from netdevice_plugin.provisioning import PfCount, Userspace, VfSettings
from tests.unit.doctor.roots import CONFIG, Root, checks

AGENT = 77
DPDK = Pool(name="dpdk", userspace=Userspace(driver="vfio-pci"))
TAGGED = dataclasses.replace(DPDK, vf=VfSettings(vlan=100))
IN_A_POD = ("/sys", "sysfs", "ro,nosuid")
MOUNTED = ("/sys", "sysfs", "rw,nosuid")


def config(*pools: Pool) -> Config:
    return dataclasses.replace(CONFIG, pools=pools)


def judge(root: Root, given: Config) -> list[tuple[str, str]]:
    return checks(privileges.check(privileges.read(root.host(), AGENT), given))


def running(root: Root, sysfs: tuple[str, str, str], capabilities: int) -> None:
    root.mounts(("/", "overlay", "ro"), sysfs, owner=str(AGENT))
    root.write(f"/proc/{AGENT}/status", f"Name:\tagent\nCapEff:\t{capabilities:016x}\n")


@pytest.mark.parametrize(
    ("sysfs", "capabilities", "pool", "expected"),
    [
        (MOUNTED, 1 << 12, TAGGED, [("ok", "agent/sysfs"), ("ok", "agent/net-admin")]),
        (MOUNTED, 1 << 21, TAGGED, [("ok", "agent/sysfs"), ("fail", "agent/net-admin")]),
        (MOUNTED, 0, DPDK, [("ok", "agent/sysfs"), ("warn", "agent/net-admin")]),
        (IN_A_POD, 1 << 12, DPDK, [("fail", "agent/sysfs"), ("ok", "agent/net-admin")]),
    ],
)
def test_what_the_agent_may_do(
    root: Root,
    sysfs: tuple[str, str, str],
    capabilities: int,
    pool: Pool,
    expected: list[tuple[str, str]],
) -> None:
    running(root, sysfs, capabilities)
    assert judge(root, config(pool)) == expected


def test_making_virtual_functions_takes_no_capability(root: Root) -> None:
    running(root, MOUNTED, 0)
    given = dataclasses.replace(CONFIG, sriov=(PfCount(pf="ens5f0", num_vfs=4),))
    assert judge(root, given) == [("ok", "agent/sysfs")]


def test_an_agent_that_cannot_be_looked_at(root: Root) -> None:
    expected = [("warn", "agent/sysfs"), ("warn", "agent/net-admin")]
    assert judge(root, config(DPDK)) == expected
    assert privileges.writes(config(DPDK))
    assert not privileges.writes(config(Pool(name="plain")))
