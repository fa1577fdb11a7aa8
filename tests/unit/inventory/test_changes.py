from __future__ import annotations

import pytest

from netdevice_plugin.inventory.changes import uevent_matters


@pytest.mark.parametrize(
    ("subsystem", "expected"),
    [
        ("pci", True),
        ("virtio", True),
        ("infiniband", True),
        ("vfio-dev", True),
        ("net", False),
        ("block", False),
    ],
)
def test_uevents_about_what_stands_under_links(subsystem: str, expected: bool) -> None:
    data = f"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM={subsystem}\0SEQNUM=1\0"
    assert uevent_matters(data.encode()) is expected
