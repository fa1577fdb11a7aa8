from __future__ import annotations

import pytest

from netdevice_plugin import pools
from netdevice_plugin.doctor import created
from netdevice_plugin.doctor.finding import Finding
from netdevice_plugin.doctor.modules import Modules
from netdevice_plugin.model import Interface, Pool, Protection, Snapshot
from netdevice_plugin.provisioning import CreatedKind, Creation
from tests.unit.doctor.roots import Root, checks, only

SNAPSHOT = Snapshot(
    interfaces=(
        Interface(ifindex=1, name="lo", link_type="loopback", flags=9),
        Interface(ifindex=2, name="eth0", flags=1),
        Interface(ifindex=3, name="eth1", altnames=("shared",), flags=1),
        Interface(ifindex=4, name="eth2"),
        Interface(ifindex=5, name="eth3", flags=1, master=6),
        Interface(ifindex=6, name="bond0", flags=1),
        Interface(ifindex=7, name="eth4", flags=1, lent=True),
        Interface(ifindex=8, name="veth1", flags=1),
        Interface(ifindex=9, name="eth5", flags=1),
        Interface(ifindex=10, name="own0", kind="macvlan", flags=1, lower=9),
        Interface(ifindex=11, name="eth5.7", kind="vlan", flags=1, lower=9, vlan=("802.1q", 7)),
    ),
    protected=(
        Protection(ifindex=1, reason="is the loopback device", uplink=True),
        Protection(ifindex=2, reason="carries the IPv4 default route", uplink=True),
        Protection(ifindex=8, reason="looks like a pod's", hard=False),
        Protection(ifindex=9, reason="is used by own0"),
    ),
    bereft=frozenset({"lan-0"}),
)


def judge(
    root: Root,
    parent: str,
    kind: CreatedKind = CreatedKind.MACVLAN,
    *,
    uplink: bool = False,
) -> list[Finding]:
    create = Creation(
        kind=kind, parent=parent, count=2, vlans=((7, 8),), mode="", allow_uplink=uplink
    )
    several = [Pool(name="lan", create=create)]
    assignment = pools.assign(SNAPSHOT, several)
    (found,) = created.read(several, assignment, SNAPSHOT, Modules(root.host()))
    return list(created.check(found))


@pytest.mark.parametrize(
    ("parent", "uplink", "level", "text", "remedy"),
    [
        ("eth1", False, "ok", "is there, and up", ""),
        ("shared", False, "ok", "is there, and up", ""),
        ("veth1", False, "ok", "is there, and up", ""),
        ("eth5", False, "ok", "is there, and up", ""),
        ("eth0", True, "ok", "is there; it carries the IPv4 default route, as allowUplink", ""),
        ("eth0", False, "fail", "carries the IPv4 default route", "allowUplink: true"),
        ("lo", True, "fail", "is of type loopback", "another create.parent"),
        ("eth2", False, "fail", "is down", "ip link set eth2 up"),
        ("eth3", False, "fail", "is a port of bond0", "create.parent: bond0"),
        ("eth4", False, "fail", "is in a pod", "the other pool"),
        ("eth9", False, "fail", "is gone", "correct create.parent"),
    ],
)
def test_a_parent_is_one_or_not(
    root: Root, parent: str, *, uplink: bool, level: str, text: str, remedy: str
) -> None:
    found = only(judge(root, parent, uplink=uplink), "create/parent")
    assert found.level.value == level
    assert found.text.startswith(text)
    assert remedy in found.remedy


def test_a_link_of_the_host_may_leave_no_room_for_others(root: Root) -> None:
    found = only(judge(root, "eth5", CreatedKind.IPVLAN), "create/parent")
    assert found.level.value == "fail"
    assert found.text == "has own0, a macvlan, beside which there can be no ipvlan"


def test_a_vlan_that_the_host_has_is_left_to_it(root: Root) -> None:
    found = only(judge(root, "eth5", CreatedKind.VLAN), "create/parent")
    assert found.level.value == "fail"
    assert found.text == "does not do for lan-7: VLAN 7 of eth5 is eth5.7 already"


@pytest.mark.parametrize(
    ("kind", "level"),
    [(CreatedKind.MACVLAN, "ok"), (CreatedKind.VLAN, "ok"), (CreatedKind.IPVLAN, "fail")],
)
def test_a_kernel_makes_them_or_not(root: Root, kind: CreatedKind, level: str) -> None:
    root.modules("kernel/drivers/net/macvlan.ko", builtin="kernel/net/8021q/8021q.ko")
    assert checks(judge(root, "eth1", kind))[1] == (level, "create/kind")


def test_a_kernel_that_cannot_be_asked(root: Root) -> None:
    assert checks(judge(root, "eth1"))[1] == ("warn", "create/kind")
