"""Who is in the way of a function's being given to a program."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.functions.groups import Node, obstacles, refuse
from netdevice_plugin.functions.sysfs import Group, Member, State
from netdevice_plugin.provisioning import Userspace

ME = "0000:03:10.0"
VFIO = Userspace(driver="vfio-pci")
RAW = Userspace(driver="vfio-pci", no_iommu=True)
UIO = Userspace(driver="uio_pci_generic")
RAW_UIO = Userspace(driver="uio_pci_generic", no_iommu=True)
READY = Node(loaded=True, allows_no_iommu=False)
FREE = State(
    address=ME,
    driver="igbvf",
    group=Group(5, "DMA-FQ"),
    members=(Member(ME, "igbvf", "020000"),),
    links=("eth1",),
)


@pytest.mark.parametrize(
    ("member", "named"),
    [
        (Member("0000:00:1c.0", "pcieport", "060400"), ""),
        (Member("0000:00:1c.0", "", "060400"), ""),
        (Member("0000:00:1c.0", "vfio-pci", "060400"), ""),
        (Member("0000:00:1f.3", "", "0c0500"), ""),
        (Member("0000:00:1f.3", "pci-stub", "0c0500"), ""),
        (Member("0000:00:1f.3", "vfio-pci", "0c0500"), ""),
        (Member("0000:00:1f.3", "mlx5_vfio_pci", "020000"), ""),
        (Member("0000:00:1f.3", "i801_smbus", "0c0500"), "0000:00:1f.3 (i801_smbus)"),
        (Member("0000:00:1c.0", "shpchp", "060400"), "0000:00:1c.0 (shpchp)"),
        (Member("0000:00:1f.0", "pcieport", "060100"), "0000:00:1f.0 (pcieport)"),
    ],
)
def test_a_member_of_the_group_is_in_the_way_unless_nobody_does_dma_with_it(
    member: Member, named: str
) -> None:
    assert obstacles([member], {}, "pod") == ((named,) if named else ())


def test_a_member_that_another_holder_has_is_in_the_way_whatever_its_driver() -> None:
    others = [Member("0000:03:10.2", "vfio-pci"), Member("0000:03:10.4", "vfio-pci")]
    lent = {"0000:03:10.2": "pod", "0000:03:10.4": ""}
    assert obstacles(others, lent, "pod") == ()
    assert obstacles(others, lent, "another") == ("0000:03:10.2 (lent)",)


@pytest.mark.parametrize(
    ("changes", "userspace", "node", "reason"),
    [
        ({}, VFIO, READY, ""),
        ({}, UIO, READY, ""),
        ({"driver": "", "links": ()}, VFIO, READY, ""),
        ({"driver": "vfio-pci", "links": ()}, VFIO, READY, ""),
        ({"num_vfs": 7}, VFIO, READY, "has 7 virtual functions, which it would lose"),
        ({"uppers": ("br0",)}, VFIO, READY, "has br0 on its link"),
        ({"links": ()}, VFIO, READY, "is driven by igbvf, and its link is in another"),
        ({}, VFIO, Node(False, False), "needs vfio-pci, which is not loaded"),
        ({"group": None}, VFIO, READY, "has no IOMMU to keep it apart"),
        ({"group": None}, UIO, READY, "has no IOMMU to keep it apart"),
        ({"group": Group(5, no_iommu=True)}, VFIO, READY, "has no IOMMU to keep it apart"),
        ({"group": None}, RAW, READY, "has no IOMMU, and vfio takes none without"),
        ({"group": None}, RAW, Node(True, True), ""),
        ({"group": None}, RAW_UIO, READY, ""),
        ({"group": Group(5, "identity")}, UIO, READY, "is let through by the IOMMU"),
        ({"group": Group(5, "identity")}, VFIO, READY, ""),
    ],
)
def test_a_function_is_refused_with_the_reason(
    changes: dict[str, object], userspace: Userspace, node: Node, reason: str
) -> None:
    state = dataclasses.replace(FREE, **changes)  # type: ignore[arg-type]
    refusal = refuse(state, userspace, node)
    assert (refusal.reason if refusal else "").startswith(reason)
    assert bool(refusal) == bool(reason)


def test_a_shared_group_is_refused_with_its_number_and_all_names() -> None:
    others = (Member("0000:00:1f.2", "ahci", "010601"), Member("0000:00:1f.3", "i801_smbus"))
    state = dataclasses.replace(FREE, members=(*FREE.members, *others))
    refusal = refuse(state, VFIO, READY)
    assert refusal
    names = "0000:00:1f.2 (ahci), 0000:00:1f.3 (i801_smbus)"
    assert refusal.reason == f"shares IOMMU group 5 with {names}"
    assert refuse(state, RAW_UIO, READY) is None  # whoever consents to no IOMMU has none to share


@given(
    st.lists(
        st.builds(
            Member,
            st.sampled_from(["0000:00:1f.2", "0000:00:1f.3", "0000:00:1f.4"]),
            st.sampled_from(["", "igb", "vfio-pci", "pcieport"]),
            st.sampled_from(["060400", "020000"]),
        )
    )
)
def test_a_driver_of_the_host_s_in_the_group_is_never_passed_over(members: list[Member]) -> None:
    state = dataclasses.replace(FREE, members=(*FREE.members, *members))
    host = any(member.driver == "igb" for member in members)
    assert not host or refuse(state, VFIO, READY)
