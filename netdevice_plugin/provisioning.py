"""How a pool comes by its devices, and what is done to them before a pod has them: plain data.

Of the model, and below it: a `Pool` has these, a claim may ask for some of them.
"""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A character device of the host, under the same path in the container.

    So it is for a group without IOMMU, too: DPDK tries /dev/vfio/N first and
    /dev/vfio/noiommu-N if that is not there (lib/eal/linux/eal_vfio.c), while VPP and
    others take the latter alone, by the group's name in sysfs. The other name, which
    the SR-IOV device plugin gives, serves DPDK only.
    """

    path: str

    @property
    def shared(self) -> bool:
        """Whether every program with any function has this one open."""
        return self.path in ("/dev/vfio/vfio", "/dev/iommu")


class BindAt(enum.Enum):
    """When a device is bound to its userspace driver."""

    LENDING = "lending"  # when a pod gets it; meanwhile it is the host's, with its own driver
    START = "start"  # when the agent finds it, for as long as the pool has it


class LinkState(enum.Enum):
    """What a VF is told of its link (IFLA_VF_LINK_STATE_*)."""

    AUTO = "auto"  # the PF's
    ENABLE = "enable"
    DISABLE = "disable"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VfSettings:
    """What the PF's driver is to be told of a VF; None leaves it as it is (ip-link(8), `vf`)."""

    mac: str | None = None
    vlan: int | None = None  # 0 is none, up to 4094
    qos: int | None = None  # priority of the VLAN, 0 to 7; of no use without one
    protocol: str | None = None  # of the VLAN: 802.1Q or 802.1ad, in lower case
    spoof_check: bool | None = None
    trust: bool | None = None
    link_state: LinkState | None = None
    min_tx_rate: int | None = None  # Mbit/s; 0 is no bound
    max_tx_rate: int | None = None

    def over(self, other: VfSettings) -> VfSettings:
        """Take what these say, and where they say nothing what the other ones do."""
        changes = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return dataclasses.replace(other, **changes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Userspace:
    """A pool's devices are driven by a program in the pod, behind a driver that lets it."""

    driver: str  # vfio-pci or uio_pci_generic
    bind_at: BindAt = BindAt.LENDING
    no_iommu: bool = False  # consent to give out devices that can write to all memory

    @property
    def needs_iommu(self) -> bool:
        """Whether nothing but an IOMMU makes it safe, and nobody consented to go without."""
        return not self.no_iommu


class CreatedKind(enum.Enum):
    """Kinds of links that share the NIC below them."""

    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"
    VLAN = "vlan"


MODES = {  # of each kind, the default first
    CreatedKind.MACVLAN: ("bridge", "private", "vepa", "passthru"),
    CreatedKind.IPVLAN: ("l2", "l3", "l3s"),
    CreatedKind.VLAN: (),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A pool's links are made on a parent, in the pod, and are gone when the pod is."""

    kind: CreatedKind
    parent: str  # name or altname of the link below
    mode: str = ""  # one of MODES; none for a VLAN
    count: int = 0  # how many can be lent at once; of VLANs there is one for each number
    vlans: tuple[tuple[int, int], ...] = ()  # ranges of numbers, ends included
    protocol: str = "802.1q"  # of the VLANs
    allow_uplink: bool = False  # the parent may be the node's own link

    @property
    def numbers(self) -> tuple[int, ...]:
        """What tells the pool's links apart: VLAN numbers, or 0, 1, 2, ..."""
        if self.kind is CreatedKind.VLAN:
            found = {one for low, high in self.vlans for one in range(low, high + 1)}
            return tuple(sorted(found))
        return tuple(range(self.count))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenStack:
    """Ports of Neutron, attached by Nova to the server that this node is."""

    cloud: str = ""  # of clouds.yaml; empty takes what the environment says
    network: str  # name or ID
    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    server: str = ""  # ID of this machine; empty asks the metadata service, or its config drive


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortProvider:
    """Who attaches NICs to this machine: exactly one of these."""

    command: tuple[str, ...] = ()
    grpc: Path | None = None  # a socket
    openstack: OpenStack | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A pool's NICs are attached to this machine, itself a virtual one, as they are needed.

    Either `spare` of them are kept in stock, or each is attached for the claim that
    is to have it (`on_demand`), which may then say what port it is to be.
    """

    provider: PortProvider
    spare: int = 1  # that nobody has; 0 on demand
    max: int = 8  # in all
    on_demand: bool = False
    claim_parameters: tuple[str, ...] = ()  # keys of `port` that a claim may set by itself


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PfCount:
    """How many virtual functions a physical one is to have."""

    pf: str  # name or altname of its link, or its PCI address
    num_vfs: int
