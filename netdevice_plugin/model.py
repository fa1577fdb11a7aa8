"""The frozen data in the middle: links, snapshots, selectors, pools, devices.

No Kubernetes, protobuf, netlink or YAML type may appear here; each edge
translates into these. Collections are tuples, so that equal means unchanged.
"""

from __future__ import annotations

import base64
import bisect
import dataclasses
import enum
import operator
import re

from netdevice_plugin.provisioning import Creation, Node, Ports, Userspace, VfSettings

VIA_DRA = "@dra"  # ends the key of a pool whose devices DRA hands out; no kind has an @

_AS_THEY_ARE = VfSettings()

_PCI_DEVICE = re.compile(r"pci-([0-9a-f]{4,8})-([0-9a-f]{2})-([0-9a-f]{2})-([0-7])")
_REPRESENTOR = re.compile(r"(c[0-9]+)?pf[0-9]+([vs]f[0-9]+)?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An IPv4 or IPv6 address of a link, as the kernel reports it."""

    family: int  # 4 or 6
    address: str  # canonical text, without the prefix length
    prefix: int
    peer: str = ""  # the far end of a point-to-point address
    broadcast: str = ""
    label: str = ""
    scope: int = 0  # RT_SCOPE_*: 0 universe, 253 link, 254 host
    flags: int = 0  # IFA_F_*, all 32 bits
    # Seconds left, None for ever. They run down without anything having changed, so
    # they do not count when addresses are compared; IFA_F_PERMANENT in `flags` does.
    valid: int | None = dataclasses.field(default=None, compare=False)
    preferred: int | None = dataclasses.field(default=None, compare=False)
    metric: int = 0

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way out of this namespace through one link.

    A multipath route is one `Route` for every link that it uses.
    """

    family: int  # 4 or 6
    destination: str  # "default" or "address/prefix"
    ifindex: int  # the link that it leaves through
    gateway: str = ""  # of either family: IPv4 may go by an IPv6 neighbour (RFC 5549)
    source: str = ""  # preferred source address
    table: int = 254
    metric: int = 0
    protocol: int = 0  # RTPROT_*: 2 kernel, 3 boot, 4 static, 9 ra, 16 dhcp
    scope: int = 0
    type: int = 1  # RTN_*: 1 unicast
    nexthop_id: int = 0  # the nexthop object that it goes by; 0 is none
    encap: str = ""  # lightweight tunnel: mpls, ip, ip6, seg6, ...

    @property
    def is_default(self) -> bool:
        """A unicast route to everywhere, in whatever table."""
        return self.destination == "default" and self.type == 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PciDevice:
    """The PCI function under a link, from sysfs."""

    address: str  # extended BDF, lower-case hex: 0000:03:00.1
    vendor: str = ""  # four lower-case hex digits, no 0x: 8086
    device: str = ""
    driver: str = ""  # bound to the function itself: virtio-pci, igb, mlx5_core
    numa_node: int | None = None  # None where the kernel says -1
    root: str = ""  # PCIe root, pci0000:00
    iommu_group: int | None = None  # None where no IOMMU keeps it apart


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalFunction:
    """What a link that can have virtual functions says of them."""

    total_vfs: int
    num_vfs: int
    vfs: tuple[tuple[int, str], ...] = ()  # (number, PCI address), by number
    eswitch: str = ""  # legacy, switchdev; empty where devlink does not say


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VirtualFunction:
    """Which virtual function of which physical function a link is."""

    number: int
    pf_address: str
    pf_name: str = ""  # empty when the PF has no netdev in sight
    pf_altnames: tuple[str, ...] = ()  # likewise
    pf_state: str = ""  # operstate of the PF's link


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A link in the host network namespace at the time of one snapshot."""

    ifindex: int
    name: str
    altnames: tuple[str, ...] = ()
    kind: str = ""  # IFLA_INFO_KIND; empty for hardware
    link_type: str = "ether"  # ARPHRD_* by its usual name: ether, loopback, infiniband, none
    mac: str = ""  # lower case, colons; empty where the link has none
    permanent_mac: str = ""  # IFLA_PERM_ADDRESS; empty for most virtual links
    mtu: int = 0
    flags: int = 0  # IFF_*
    immovable: bool = False  # the kernel never lets it out of its network namespace
    operstate: str = "unknown"  # up, down, dormant, lowerlayerdown, unknown, ...
    carrier: bool = False  # IFF_LOWER_UP, which a link that is down never has
    alias: str = ""
    port: str = ""  # IFLA_PHYS_PORT_NAME: p0 is a switchdev uplink, pf0vf1 a representor
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    vlan: tuple[str, int] | None = None  # protocol and number of a VLAN: ("802.1q", 100)
    master: int | None = None  # ifindex of the bridge, bond, team or VRF above
    lower: int | None = None  # IFLA_LINK: the link below or veth peer, in this namespace
    peer_netnsid: int | None = None  # IFLA_LINK_NETNSID: the link below or peer is elsewhere
    driver: str = ""  # of the netdev's own device: virtio_net, igb; empty for virtual links
    pci: PciDevice | None = None
    speed: int | None = None  # Mbit/s; None when unknown or down
    pf: PhysicalFunction | None = None
    vf: VirtualFunction | None = None
    rdma: str = ""  # RDMA device on the same function: mlx5_0
    rdma_nodes: tuple[str, ...] = ()  # its character devices: /dev/infiniband/uverbs0
    lent: bool = False  # in a pod; told by its attachment, as it was when it left
    pulled: bool = False  # lent, and the hardware under it is not there any more

    @property
    def up(self) -> bool:
        """Administratively up (IFF_UP)."""
        return bool(self.flags & 1)

    @property
    def loopback(self) -> bool:
        """The loopback device (IFF_LOOPBACK)."""
        return bool(self.flags & 8)

    @property
    def unlinked(self) -> bool:
        """Whether it is a PCI function without a link: one of `Snapshot.functions`."""
        return not self.ifindex and self.pci is not None

    @property
    def identity_mac(self) -> str:
        """The MAC that the link is known by: the permanent one if it has one."""
        return self.permanent_mac or self.mac


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Why a link stays on the host, in one plain line, and how strictly.

    A hard reason is final: a pool that names the link is a mistake. A soft one,
    a link that looks like another program's or has virtual functions, yields to a pool
    whose ifNames name it.
    """

    ifindex: int
    reason: str
    hard: bool = True
    uplink: bool = False  # the node's own, or above or below such: none may be made on it either
    namesake: bool = False  # of a lent link, and nothing else: a device by another name may be it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All links of one namespace at one time, by ifindex, and why some are not offered.

    `protected` is by ifindex too, at most one for a link; the rules are in
    `netdevice_plugin.inventory.uplinks`. A lent link is never protected, but the
    number that it had may be another link's by now: ask `protection_of`.
    """

    interfaces: tuple[Interface, ...] = ()
    protected: tuple[Protection, ...] = ()
    # Network functions without a link, by PCI address: of no driver, or of one for userspace.
    # Their ifindex is 0; name and the like are as before, where we took the driver away.
    functions: tuple[Interface, ...] = ()
    born: frozenset[str] = frozenset()  # devices whose link was made in a pod, and is there now
    bereft: frozenset[str] = frozenset()  # those of them whose parent is no more, nor are they
    # Two with the same number, but 0, agree on what is under links that are not in them:
    # the kernel has told of no change to any hardware in between.
    reading: int = dataclasses.field(default=0, compare=False)

    def named(self, name: str) -> Interface | None:
        """The interface with that name or altname, as `ip link show dev` would find it."""
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        return next((i for i in self.interfaces if name in i.altnames), None)

    def protection(self, ifindex: int) -> Protection | None:
        """What keeps the link on the host, if anything does."""
        at = bisect.bisect_left(self.protected, ifindex, key=operator.attrgetter("ifindex"))
        found = self.protected[at : at + 1]
        return found[0] if found and found[0].ifindex == ifindex else None

    def protection_of(self, interface: Interface) -> Protection | None:
        """What keeps that interface on the host: never anything for a lent one."""
        return None if interface.lent else self.protection(interface.ifindex)

    def reason(self, ifindex: int) -> str:
        """Why the link is protected; empty when it is not."""
        found = self.protection(ifindex)
        return found.reason if found else ""


class Frontend(enum.Enum):
    """Who hands a pool's devices out: never both, they cannot share one device."""

    DEVICE_PLUGIN = "device-plugin"
    DRA = "dra"


class Registration(enum.Enum):
    """How a device plugin makes itself known to the kubelet."""

    SOCKET = "kubelet.sock"  # it calls the kubelet
    WATCHER = "plugins_registry"  # the kubelet finds its socket there


class SlicesAtShutdown(enum.Enum):
    """What becomes of the node's ResourceSlices when the agent ends."""

    KEEP = "keep"  # the next agent finds them, and pods are scheduled meanwhile
    REMOVE = "remove"  # nobody is given what nobody serves


class Injection(enum.Enum):
    """How a link gets into the container: our hooks, or the runtime's netDevices."""

    HOOK = "hook"
    NATIVE = "native"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PfRange:
    """A PF by name glob, and which of its VFs are meant; `None` is all of them."""

    name: str  # or altname
    vfs: tuple[tuple[int, int], ...] | None = None  # inclusive ranges


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Conditions that are ANDed; within one field any value may match.

    An empty field asks for nothing. Names are those of the SR-IOV device plugin
    and of the Cilium network driver.
    """

    if_names: tuple[str, ...] = ()  # globs, matched against name and altnames
    pf_names: tuple[PfRange, ...] = ()
    pci_addresses: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # IFLA_INFO_KIND, or "physical"
    link_types: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A named set of devices that are handed out alike."""

    name: str
    prefix: str = "networking.k8s.io"
    frontend: Frontend = Frontend.DEVICE_PLUGIN
    injection: Injection = Injection.HOOK
    selectors: tuple[Selector, ...] = ()  # ORed; none selects nothing
    require_carrier: bool = False  # a link without carrier is unhealthy
    vf: VfSettings = _AS_THEY_ARE  # for those that are virtual functions
    reset: bool = False  # reset the function when it comes home from a program
    rdma: bool = False  # with a link comes its RDMA device
    userspace: Userspace | None = None
    create: Creation | None = None
    ports: Ports | None = None

    @property
    def kind(self) -> str:
        """The CDI kind and the resource name: networking.k8s.io/netdevice."""
        return f"{self.prefix}/{self.name}"

    @property
    def key(self) -> str:
        """What its devices are listed under: the kind, told apart from it if DRA hands them out.

        A pool that changes its front end is another one to whoever has something of it.
        """
        return self.kind + (VIA_DRA if self.frontend is Frontend.DRA else "")

    @property
    def variable(self) -> str:
        """The kind as the end of an environment variable's name: NETWORKING_K8S_IO_NETDEVICE."""
        return re.sub(r"[^A-Z0-9]", "_", self.kind.upper())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a link is made of that is born in its pod."""

    creation: Creation
    number: int  # one of the creation's
    parent: Interface  # as it is now; of one that is not here nothing but its name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A link as a pool offers it. One name in CDI, device plugin and DRA."""

    name: str
    pool: str
    interface: Interface  # of one that is to be made: as it will be, without an ifindex
    lent: bool = False  # in a pod now; `interface` is how it was when it left
    made: Made | None = None
    driver: str = ""  # of userspace, that it is given out with; empty where its pool is not known
    nodes: tuple[Node, ...] = ()  # that its container needs, as far as they are known now
    on_demand: bool = False  # its NIC is attached for the claim that gets it

    @property
    def userspace(self) -> bool:
        """Whether it is a function that a program in the pod drives: by its name, as no link's."""
        return bool(self.name.startswith("pci-") and pci_address_of(self.name))

    @property
    def pci(self) -> PciDevice | None:
        """The PCI function that it sits on: a link that is to be made on its parent's."""
        return self.made.parent.pci if self.made else self.interface.pci


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A device as a front end lists it: healthy, or not and why."""

    device: Device
    fault: str = ""  # why no pod may have it now, one line; empty is healthy


def representor(port: str) -> bool:
    """Whether a port name (IFLA_PHYS_PORT_NAME) is that of a switchdev representor.

    pf0vf1, pf0sf88, c1pf0: linux/net/core/devlink.c. Their parent device is the PF.
    """
    return bool(port and _REPRESENTOR.fullmatch(port))


def is_dns_label(text: str) -> bool:
    """A DNS label as RFC 1123 has it: what every device name is."""
    return bool(_DNS_LABEL.fullmatch(text))


def device_name(interface_name: str) -> str:
    """Name a device after its link, reversibly, as a DNS label of at most 63 characters.

    The interface name itself where it is a DNS label, else `net-` and its base32
    in lower case without padding (RFC 4648). A label that already starts with
    `net-` is encoded as well, so that no two links share a name.
    """
    if is_dns_label(interface_name) and not interface_name.startswith("net-"):
        return interface_name
    encoded = base64.b32encode(interface_name.encode("utf-8", "surrogateescape")).decode()
    return "net-" + encoded.rstrip("=").lower()


def interface_name(device: str) -> str:
    """Undo `device_name`; raises ValueError for what it can never have made."""
    if not device.startswith("net-"):
        return device
    encoded = device[4:].upper()
    padded = encoded + "=" * (-len(encoded) % 8)
    return base64.b32decode(padded).decode("utf-8", "surrogateescape")


def pci_device_name(address: str) -> str:
    """Name a PCI function that has no netdev: 0000:03:00.1 is pci-0000-03-00-1."""
    return "pci-" + address.lower().replace(":", "-").replace(".", "-")


def pci_address_of(device: str) -> str:
    """Undo `pci_device_name`; empty for any other name. No link's is as long."""
    found = _PCI_DEVICE.fullmatch(device)
    return "{}:{}:{}.{}".format(*found.groups()) if found else ""
