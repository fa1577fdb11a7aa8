"""Whether a function can be given to a program: alone in its IOMMU group, and free. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netdevice_plugin.functions.sysfs import Member, State
from netdevice_plugin.provisioning import Userspace

VFIO = "vfio-pci"
UIO = "uio_pci_generic"

_BRIDGE = "0604"  # of PCI to PCI; their drivers do no DMA of their own
_HARMLESS = ("", "pci-stub")  # a member that nobody drives can be kept from memory


class Refusal(NamedTuple):
    """Why not, in words that follow the device's name, and what to do about it."""

    reason: str
    hint: str = ""


class Node(NamedTuple):
    """What a machine and others have to say about it."""

    loaded: bool  # the driver is there
    allows_no_iommu: bool  # vfio's own switch
    lent: Mapping[str, str] = {}  # holders by address, "" for nobody


def is_userspace(driver: str) -> bool:
    """Whether a driver leaves its devices to a program: vfio-pci, mlx5_vfio_pci, igb_uio."""
    return driver.replace("-", "_").endswith("vfio_pci") or driver in (UIO, "igb_uio")


def refuse(state: State, userspace: Userspace, node: Node, *, holder: str = "") -> Refusal | None:
    """Why a function may not have that driver now, for that holder; None if it may."""
    if state.num_vfs:
        return Refusal(f"has {state.num_vfs} virtual functions, which it would lose")
    if state.uppers:
        return Refusal(f"has {', '.join(state.uppers)} on its link")
    if state.driver and not state.links and not is_userspace(state.driver):
        reason = f"is driven by {state.driver}, and its link is in another network namespace"
        return Refusal(reason, "it comes back when whoever has it is gone")
    if not node.loaded:
        return Refusal(f"needs {userspace.driver}, which is not loaded", _load(userspace.driver))
    return _exposed(state, userspace, node) or _shared(state, userspace, node, holder)


def _load(driver: str) -> str:
    return f"modprobe {driver}, and a file in /etc/modules-load.d for the next boot"


def _exposed(state: State, userspace: Userspace, node: Node) -> Refusal | None:
    """Whether it could write to all of the machine's memory, and nobody consented."""
    apart = state.group is not None and not state.group.no_iommu
    if userspace.needs_iommu:
        if not apart:
            hint = "turn the IOMMU on (intel_iommu=on, amd_iommu=on, and in the firmware), "
            return Refusal("has no IOMMU to keep it apart", hint + "or say allowNoIommu: true")
        if userspace.driver == UIO and state.group and state.group.type == "identity":
            hint = "take vfio-pci, or say allowNoIommu: true"
            return Refusal("is let through by the IOMMU, which uio_pci_generic leaves so", hint)
    elif userspace.driver == VFIO and not apart and not node.allows_no_iommu:
        path = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
        return Refusal("has no IOMMU, and vfio takes none without", f"echo 1 > {path}")
    return None


def _shared(state: State, userspace: Userspace, node: Node, holder: str) -> Refusal | None:
    if state.group is None or (userspace.driver == UIO and userspace.no_iommu):
        return None
    others = [member for member in state.members if member.address != state.address]
    if found := obstacles(others, node.lent, holder):
        reason = f"shares IOMMU group {state.group.number} with {', '.join(found)}"
        return Refusal(reason, "what is in one group can only be given together")
    return None


def obstacles(others: Iterable[Member], lent: Mapping[str, str], holder: str) -> tuple[str, ...]:
    """Name the members of a group that keep it from a program, and why each does.

    The kernel lets nobody open a group as long as a member has a driver that does DMA
    for the host (vfio.rst); and it can be opened once only, so that two holders
    cannot share it.
    """
    found = []
    for member in others:
        other = lent.get(member.address, "")
        if other and other != holder:
            found.append(f"{member.address} (lent)")
        elif not _harmless(member):
            found.append(f"{member.address} ({member.driver})")
    return tuple(found)


def _harmless(member: Member) -> bool:
    if member.driver in _HARMLESS or is_userspace(member.driver):
        return True
    return member.pci_class.startswith(_BRIDGE) and member.driver == "pcieport"
