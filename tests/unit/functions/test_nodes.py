"""Device nodes, and who has them open."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from netdevice_plugin.functions.holders import holders, taken, told
from netdevice_plugin.functions.nodes import nodes
from tests.unit.functions.kernel import VF, Kernel


@pytest.fixture
def kernel(tmp_path: pathlib.Path) -> Kernel:
    return Kernel(tmp_path)


def paths(kernel: Kernel, driver: str = "vfio-pci") -> list[str]:
    return [node.path for node in nodes(kernel.bus, VF, driver)]


def test_a_group_s_nodes_are_known_before_it_is_bound(kernel: Kernel) -> None:
    assert paths(kernel) == ["/dev/vfio/vfio", "/dev/vfio/10"]
    assert paths(kernel, "uio_pci_generic") == []


def test_without_vfio_s_own_node_it_goes_by_iommufd(kernel: Kernel) -> None:
    (kernel.path(VF) / "vfio-dev/vfio4").mkdir(parents=True)
    kernel.misc("vfio", "iommu")
    assert paths(kernel) == ["/dev/vfio/vfio", "/dev/vfio/10"]
    kernel.misc("iommu")
    assert paths(kernel) == ["/dev/iommu", "/dev/vfio/devices/vfio4"]


def test_an_agent_without_nodes_of_its_own_knows_which_there_are(kernel: Kernel) -> None:
    shutil.rmtree(kernel.dev)
    assert paths(kernel) == ["/dev/vfio/vfio", "/dev/vfio/10"]


def test_only_what_others_have_not_open_too_tells_who_has_it(kernel: Kernel) -> None:
    shared = [node.shared for node in nodes(kernel.bus, VF, "vfio-pci")]
    assert shared == [True, False]


def test_processes_that_have_a_node_open_are_named(kernel: Kernel) -> None:
    kernel.open(90, "/dev/vfio/10", "testpmd")
    kernel.open(9, "/dev/vfio/10", "vpp_main")
    kernel.open(91, "/dev/vfio/11", "other")
    (kernel.proc / "12/fd").mkdir(parents=True)
    (kernel.proc / "self").mkdir()
    assert holders(["/dev/vfio/10"], kernel.proc) == ("vpp_main (9)", "testpmd (90)")


def test_without_proc_nobody_is_seen(tmp_path: pathlib.Path) -> None:
    assert holders(["/dev/vfio/10"], tmp_path / "none") == ()


def test_many_are_counted() -> None:
    assert told(("a (1)", "b (2)")) == "a (1), b (2)"
    assert told(tuple(f"a ({n})" for n in range(5))) == "a (0), a (1), a (2) and 2 more"


def test_a_node_that_can_be_opened_is_free_and_one_that_is_not_there_tells_nothing(
    tmp_path: pathlib.Path,
) -> None:
    assert taken(tmp_path / "none") is None
    (tmp_path / "node").touch()
    assert taken(tmp_path / "node") is False
