"""What `devices` says of every link and function: who may have it, who has it, or why nobody may.

Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netdevice_plugin import pools
from netdevice_plugin.attachments import Attachment
from netdevice_plugin.cli import claimed
from netdevice_plugin.cli.claimed import Claimed
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.loans.loan import pod
from netdevice_plugin.look import View
from netdevice_plugin.model import (
    Device,
    Frontend,
    Interface,
    PciDevice,
    Pool,
    device_name,
    pci_device_name,
)

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.cli.bound import Bound
    from netdevice_plugin.dra.claim import ClaimRef

HEADINGS = (
    "NAME",
    "KIND",
    "STATE",
    "DRIVER",
    "PCI",
    "NUMA",
    "ADDRESSES",
    "POOL",
    "HOLDER",
    "WHY NOT",
)
# Where DRA is at work.
CLAIMS = (*HEADINGS[:-2], "FRONTEND", "CLAIM", *HEADINGS[-2:])
WIDE = (
    *CLAIMS[:-1],
    "DEVICE",
    "IFINDEX",
    "MAC",
    "MTU",
    "SPEED",
    "VF OF",
    "GROUP",
    "RDMA",
    "ALTNAMES",
    "WHY NOT",
)

_LINK_SCOPE = 253  # RT_SCOPE_LINK: fe80::/10, which says nothing of a link


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A link, or a function without one, and what becomes of it.

    Without a `pool` there is a `reason`; one that is in a pool and has a reason as well
    cannot be had now. `claim` is the one that has it prepared, whatever pool it is in
    by now.
    """

    interface: Interface
    device: str
    pool: str = ""  # networking.k8s.io/netdevice
    frontend: Frontend | None = None
    reason: str = ""
    attachment: Attachment | None = None
    claim: ClaimRef | None = None
    parent: str = ""  # the link that it is made on

    @property
    def name(self) -> str:
        """What people call it: a function without a link by its address."""
        pci = self.interface.pci
        return self.interface.name or (pci.address if pci else "")

    @property
    def state(self) -> str:
        """Where it is, if not on the host; else whether it works."""
        if self.attachment:
            return self.attachment.phase.value
        if self.interface.unlinked:
            return "no link"
        return self.interface.operstate if self.interface.up else "down"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """All links by name, and what is wrong with pools, records and claims."""

    links: tuple[Offer, ...]
    problems: tuple[str, ...] = ()

    @property
    def headings(self) -> tuple[str, ...]:
        """What a narrow table has: nothing of DRA where nobody uses it."""
        dra = any(one.claim or one.frontend is Frontend.DRA for one in self.links)
        return CLAIMS if dra else HEADINGS


def completed(view: View, functions: Bound) -> View:
    """Say of functions that the agent bound what they were before: pools go by that."""
    if not (functions.records or functions.problems):
        return view
    from netdevice_plugin.functions.merge import merge  # noqa: PLC0415 - where there are any

    snapshot = merge(view.snapshot, functions.records.values())
    problems = (*view.problems, *map(AttachmentError, functions.problems))
    return dataclasses.replace(view, snapshot=snapshot, problems=problems)


def offers(view: View, configured: Sequence[Pool], claims: Claimed | None = None) -> Offers:
    """Give each link to its pool, or say why it has none."""
    claims = claims or Claimed()
    assignment = pools.assign(view.snapshot, configured, claims.nics)
    by_name = {pool.name: pool for pool in configured}
    records = {attachment.device: attachment for attachment in view.attachments}

    def refused(one: pools.Refusal) -> Offer:
        link = one.interface
        unnamed = pci_device_name(link.pci.address) if link.unlinked and link.pci else ""
        name = unnamed or device_name(link.name)
        return Offer(
            interface=link,
            device=name,
            reason=one.reason,
            attachment=records.get(name) if link.lent else None,
            claim=claims.holders.get(name),
        )

    def offered(one: Device) -> Offer:
        pool = by_name[one.pool]
        return Offer(
            interface=one.interface,
            device=one.name,
            pool=pool.kind,
            frontend=pool.frontend,
            reason=assignment.faults.get(one.name, ""),
            attachment=records.get(one.name) if one.lent else None,
            claim=claims.holders.get(one.name),
            parent=one.made.parent.name if one.made else "",
        )

    found = [*map(offered, assignment.devices), *map(refused, assignment.refusals)]
    return Offers(
        links=tuple(sorted(found, key=lambda one: (one.name, one.interface.ifindex))),
        problems=(*assignment.problems, *map(str, view.problems), *claims.problems),
    )


def rows(links: Iterable[Offer]) -> list[dict[str, str]]:
    """Make the table: the cells of each link by heading."""
    return [_cells(link) for link in links]


def _cells(offer: Offer) -> dict[str, str]:
    interface = offer.interface
    pci, vf = interface.pci, interface.vf
    addresses = [one for one in interface.addresses if one.scope != _LINK_SCOPE]
    holders = offer.attachment.holders if offer.attachment else ()
    return {
        "NAME": offer.name,
        "KIND": interface.kind or interface.link_type,
        "STATE": offer.state,
        "DRIVER": interface.driver,
        "PCI": pci.address if pci else "",
        "NUMA": "" if pci is None or pci.numa_node is None else str(pci.numa_node),
        "ADDRESSES": ",".join(map(str, addresses)),
        "POOL": offer.pool.rpartition("/")[2],
        "FRONTEND": offer.frontend.value if offer.frontend else "",
        "CLAIM": claimed.cell(offer.claim),
        "HOLDER": ",".join(pod(one) or one.container[:12] for one in holders),
        "WHY NOT": offer.reason,
        "DEVICE": f"{offer.pool}={offer.device}" if offer.pool else "",
        "IFINDEX": str(interface.ifindex),
        "MAC": interface.identity_mac,
        "MTU": str(interface.mtu),
        "SPEED": str(interface.speed or ""),
        "VF OF": f"{vf.pf_name or vf.pf_address}#{vf.number}" if vf else "",
        "GROUP": "" if pci is None or pci.iommu_group is None else str(pci.iommu_group),
        "RDMA": interface.rdma,
        "ALTNAMES": ",".join(interface.altnames),
    }


def document(found: Offers) -> Plain:
    """Describe all for programs; docs/reference/cli.md has the keys."""
    return {"links": [_entry(link) for link in found.links], "problems": [*found.problems]}


def _entry(offer: Offer) -> Plain:
    interface = offer.interface
    holders = offer.attachment.holders if offer.attachment else ()
    return {
        "name": offer.name,
        "device": offer.device if offer.pool else None,
        "pool": offer.pool or None,
        "frontend": offer.frontend.value if offer.frontend else None,
        "reason": offer.reason or None,
        "state": offer.state,
        "lent": interface.lent or offer.attachment is not None,
        "holders": [{"container": one.container, "pod": pod(one) or None} for one in holders],
        "claim": claimed.entry(offer.claim) if offer.claim else None,
        "parent": offer.parent or None,
        **_link(interface),
    }


def _link(interface: Interface) -> dict[str, Plain]:
    vf, pf = interface.vf, interface.pf
    return {
        "ifindex": interface.ifindex,
        "altnames": [*interface.altnames],
        "alias": interface.alias or None,
        "kind": interface.kind or None,
        "linkType": interface.link_type,
        "mac": interface.mac or None,
        "permanentMac": interface.permanent_mac or None,
        "mtu": interface.mtu,
        "up": interface.up,
        "carrier": interface.carrier,
        "speed": interface.speed,
        "addresses": [str(address) for address in interface.addresses],
        "driver": interface.driver or None,
        "pci": _pci(interface.pci) if interface.pci else None,
        "vf": {
            "pf": vf.pf_name or None,
            "pfAddress": vf.pf_address,
            "number": vf.number,
            "pfState": vf.pf_state or None,
        }
        if vf
        else None,
        "pf": {
            "totalVfs": pf.total_vfs,
            "numVfs": pf.num_vfs,
            "eswitchMode": pf.eswitch or None,
        }
        if pf
        else None,
        "rdma": interface.rdma or None,
    }


def _pci(pci: PciDevice) -> Plain:
    return {
        "address": pci.address,
        "vendor": pci.vendor or None,
        "device": pci.device or None,
        "driver": pci.driver or None,
        "numaNode": pci.numa_node,
        "root": pci.root or None,
        "iommuGroup": pci.iommu_group,
    }
