from __future__ import annotations

import pytest

from netdevice_plugin.doctor import created
from netdevice_plugin.doctor.finding import Finding
from netdevice_plugin.doctor.modules import Modules
from netdevice_plugin.model import Interface, Protection, Snapshot
from netdevice_plugin.provisioning import CreatedKind, Creation
from tests.unit.doctor.roots import Root, checks, only

SNAPSHOT = Snapshot(
    interfaces=(
        Interface(ifindex=1, name="lo", flags=9),
        Interface(ifindex=2, name="eth0", flags=1),
        Interface(ifindex=3, name="eth1", altnames=("shared",), flags=1),
        Interface(ifindex=4, name="eth2"),
        Interface(ifindex=5, name="eth3", flags=1, master=6),
        Interface(ifindex=6, name="bond0", flags=1),
        Interface(ifindex=7, name="eth4", flags=1, lent=True),
        Interface(ifindex=8, name="veth1", flags=1),
    ),
    protected=(
        Protection(ifindex=1, reason="is the loopback device"),
        Protection(ifindex=2, reason="carries the IPv4 default route"),
        Protection(ifindex=8, reason="looks like a pod's", hard=False),
    ),
)


def judge(
    root: Root,
    parent: str,
    kind: CreatedKind = CreatedKind.MACVLAN,
    *,
    uplink: bool = False,
) -> list[Finding]:
    create = Creation(kind=kind, parent=parent, allow_uplink=uplink)
    return list(created.check(created.read(create, SNAPSHOT, Modules(root.host()))))


@pytest.mark.parametrize(
    ("parent", "uplink", "level", "text"),
    [
        ("eth1", False, "ok", "is there, and up"),
        ("shared", False, "ok", "is there, and up"),
        ("veth1", False, "ok", "is there, and up"),
        ("eth0", True, "ok", "is there; it carries the IPv4 default route, as allowUplink permits"),
        ("eth0", False, "fail", "it carries the IPv4 default route"),
        ("lo", True, "fail", "it is the loopback device"),
        ("eth2", False, "warn", "is down"),
        ("eth3", False, "fail", "is a port of bond0"),
        ("eth4", False, "fail", "is lent itself"),
        ("eth9", False, "fail", "there is no such link"),
    ],
)
def test_a_parent_is_one_or_not(
    root: Root, parent: str, *, uplink: bool, level: str, text: str
) -> None:
    found = only(judge(root, parent, uplink=uplink), "create/parent")
    assert found.level.value == level
    assert found.text.startswith(text)


@pytest.mark.parametrize(
    ("kind", "level"),
    [(CreatedKind.MACVLAN, "ok"), (CreatedKind.VLAN, "ok"), (CreatedKind.IPVLAN, "fail")],
)
def test_a_kernel_makes_them_or_not(root: Root, kind: CreatedKind, level: str) -> None:
    root.modules("kernel/drivers/net/macvlan.ko", builtin="kernel/net/8021q/8021q.ko")
    assert checks(judge(root, "eth1", kind))[1] == (level, "create/kind")


def test_a_kernel_that_cannot_be_asked(root: Root) -> None:
    assert checks(judge(root, "eth1"))[1] == ("warn", "create/kind")
