from __future__ import annotations

import pytest

from netdevice_plugin.doctor.modules import Modules, State
from tests.unit.doctor.roots import Root


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("vfio-pci", State.LOADABLE),
        ("vfio_pci", State.LOADABLE),
        ("macvlan", State.LOADED),
        ("8021q", State.LOADED),
        ("iommufd", State.MISSING),
    ],
)
def test_a_module_is_loaded_or_can_be_or_not(root: Root, name: str, state: State) -> None:
    root.modules("kernel/drivers/vfio/pci/vfio-pci.ko.xz", builtin="kernel/net/8021q/8021q.ko")
    root.directory("/sys/module/macvlan")
    assert Modules(root.host()).state(name) is state


def test_without_a_list_nothing_is_known_to_be_missing(root: Root) -> None:
    assert Modules(root.host()).state("vfio-pci") is State.UNKNOWN
    root.write("/proc/sys/kernel/osrelease", "../../etc\n")
    assert Modules(root.host()).state("vfio-pci") is State.UNKNOWN
