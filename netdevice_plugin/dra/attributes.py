"""What a device says of itself in a ResourceSlice: one table, and the rules for values. Pure.

docs/reference/dra-attributes.md is this table in words. Rules: k8s.io/api/resource/v1
and its validation; one value that breaks them costs the whole slice, so it stays out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from netdevice_plugin.model import Address, Device, Interface
from netdevice_plugin.provisioning import CreatedKind

MAX_ATTRIBUTES = 32  # of a device, capacities among them
MAX_NAME = 32  # bytes, without the domain
MAX_VALUE = 64  # bytes of UTF-8

Value = str | int | bool
Attributes = dict[str, dict[str, Value]]  # as in the slice: {"mtu": {"int": 1500}}

_TYPES = {str: "string", int: "int", bool: "bool"}
_UNIVERSE = 0  # RT_SCOPE_UNIVERSE: neither of the link nor of the host alone
# IFA_F_SECONDARY, which is IFA_F_TEMPORARY of IPv6, and IFA_F_DADFAILED
_NOT_THE_ONE = 0x01 | 0x08


@dataclasses.dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table.

    `of` finds the value; None is none, and so is the empty text but for what is always
    there. A name without a domain is in that of the driver.
    """

    name: str
    type: type[Value]
    of: Callable[[Device], Value | None]
    # CEL fails where a selector uses what is not there: these are there on every device.
    always: bool = False


def _link(name: str, kind: type[Value], *, always: bool = False, called: str = "") -> Attribute:
    """Make a row of a field of the interface."""

    def of(device: Device) -> Value | None:
        found: Value | None = getattr(device.interface, name)
        return found

    return Attribute(called or name, kind, of, always)


def _pci(name: str, kind: type[Value], *, called: str = "") -> Attribute:
    """Make a row of a field of the PCI function."""

    def of(device: Device) -> Value | None:
        found: Value | None = getattr(device.interface.pci, name, None)
        return found

    return Attribute(called or name, kind, of)


def _place(name: str, kind: type[Value], called: str) -> Attribute:
    """Make a row of where a device sits: one that is to be made with its parent."""

    def of(device: Device) -> Value | None:
        found: Value | None = getattr(device.pci, name, None)
        return found

    return Attribute(called, kind, of)


def _pf(name: str, kind: type[Value], called: str) -> Attribute:
    """Make a row of what a physical function says of its virtual ones."""

    def of(device: Device) -> Value | None:
        found: Value | None = getattr(device.interface.pf, name, None)
        return found

    return Attribute(called, kind, of)


def _vf(name: str, kind: type[Value], called: str) -> Attribute:
    """Make a row of what is known of a virtual function."""

    def of(device: Device) -> Value | None:
        found: Value | None = getattr(device.interface.vf, name, None)
        return found

    return Attribute(called, kind, of)


def _address(family: int) -> Callable[[Device], str | None]:
    """Find the first address of a family that a peer elsewhere could use."""

    def of(device: Device) -> str | None:
        found = (one.address for one in device.interface.addresses if _is_meant(one, family))
        return next(found, None)

    return of


def _is_meant(address: Address, family: int) -> bool:
    usable = address.scope == _UNIVERSE and not address.flags & _NOT_THE_ONE
    return address.family == family and usable


def _parent(device: Device) -> str | None:
    return device.made.parent.name if device.made else None


def _vlan(device: Device) -> int | None:
    """Find the number of a VLAN that is to be made."""
    made = device.made
    return made.number if made and made.creation.kind is CreatedKind.VLAN else None


def kind(interface: Interface) -> str:
    """Name the kind of link as the configuration's `kinds` do: hardware is `physical`."""
    return interface.kind or "physical"


STANDARD = "resource.kubernetes.io/"

TABLE = (
    _place("root", str, f"{STANDARD}pcieRoot"),
    _pci("address", str, called=f"{STANDARD}pciBusID"),
    _link("name", str, always=True, called="ifName"),
    _link("alias", str),
    Attribute("pool", str, lambda device: device.pool, always=True),
    Attribute("kind", str, lambda device: kind(device.interface), always=True),
    _link("link_type", str, always=True, called="type"),
    _link("mac", str),
    _link("permanent_mac", str, called="permanentMac"),
    _link("mtu", int, always=True),
    _link("operstate", str, always=True, called="state"),
    _link("carrier", bool, always=True),
    _link("speed", int),
    _link("driver", str),
    _pci("vendor", str),
    _pci("device", str),
    _place("numa_node", int, "numaNode"),
    _pci("iommu_group", int, called="iommuGroup"),
    Attribute("userspace", bool, lambda device: device.userspace, always=True),
    Attribute("userspaceDriver", str, lambda device: device.driver),
    Attribute("sriovPf", bool, lambda device: device.interface.pf is not None, always=True),
    _pf("total_vfs", int, "totalVfs"),
    _pf("num_vfs", int, "numVfs"),
    _pf("eswitch", str, "eswitchMode"),
    Attribute("sriovVf", bool, lambda device: device.interface.vf is not None, always=True),
    _vf("number", int, "vfNumber"),
    _vf("pf_name", str, "pfName"),
    _vf("pf_address", str, "pfPciBusID"),
    _vf("pf_state", str, "pfState"),
    Attribute("parent", str, _parent),
    Attribute("vlan", int, _vlan),
    Attribute("onDemand", bool, lambda device: device.on_demand, always=True),
    Attribute("rdma", bool, lambda device: bool(device.interface.rdma), always=True),
    _link("rdma", str, called="rdmaDevice"),
    Attribute("ipv4", str, _address(4)),
    Attribute("ipv6", str, _address(6)),
)


def of(device: Device) -> tuple[Attributes, tuple[str, ...]]:
    """Describe a device, and say in a line for each what had to be left out."""
    found: Attributes = {}
    problems = []
    for row in TABLE:
        value = row.of(device)
        if value is None or (value == "" and not row.always):
            continue
        if problem := _problem(value):
            problems.append(f"{device.name}: attribute {row.name} is left out: {problem}")
        else:
            found[row.name] = {_TYPES[row.type]: value}
    return found, tuple(problems)


def _problem(value: Value) -> str:
    """Say what the API server would have against a value."""
    if not isinstance(value, str):
        return ""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # names and aliases are bytes to the kernel
        return "it is not UTF-8"
    return f"{size} bytes, at most {MAX_VALUE} are allowed" if size > MAX_VALUE else ""
