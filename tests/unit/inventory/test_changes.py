from __future__ import annotations

import pytest

from netdevice_plugin.inventory.changes import matters, uevent_matters
from tests.unit.inventory.messages import framed, link, route

LINK, DELETED_ADDRESS, ROUTE, GONE_ROUTE, NEXTHOP = 16, 21, 24, 25, 104
BGP = route(length=24, protocol=186)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (framed(LINK, link(1)), True),
        (framed(DELETED_ADDRESS, bytes(8)), True),
        (framed(NEXTHOP, bytes(8)), True),
        (framed(ROUTE, route()), True),
        (framed(GONE_ROUTE, route()), True),
        (framed(ROUTE, BGP), False),
        (framed(GONE_ROUTE, BGP), False),
        (framed(ROUTE, route(kind=2)), False),
        (framed(ROUTE, BGP) + framed(LINK, link(1)), True),
        (b"", True),  # the kernel dropped some
        (framed(ROUTE, b""), True),  # what we cannot read may be anything
        (b"\1\2\3", True),
    ],
)
def test_what_may_change_a_snapshot(data: bytes, expected: bool) -> None:
    assert matters(data) is expected


@pytest.mark.parametrize(
    ("subsystem", "expected"),
    [("pci", True), ("virtio", True), ("infiniband", True), ("net", False), ("block", False)],
)
def test_uevents_about_what_stands_under_links(subsystem: str, expected: bool) -> None:
    data = f"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM={subsystem}\0SEQNUM=1\0"
    assert uevent_matters(data.encode()) is expected


def test_uevents_that_were_dropped_may_have_been_any() -> None:
    assert uevent_matters(b"")
