"""The keys of a pool that say how it comes by its devices and what is done to them.

Read from a section of the configuration, and written as they are read. What the
keys mean is in docs/reference/configuration.md. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from netdevice_plugin import fields
from netdevice_plugin.model import Frontend, Injection, Pool
from netdevice_plugin.provisioning import (
    MODES,
    BindAt,
    CreatedKind,
    Creation,
    LinkState,
    OpenStack,
    PfCount,
    PortProvider,
    Ports,
    Userspace,
    VfSettings,
)
from netdevice_plugin.sections import Section

if TYPE_CHECKING:
    from cdi.syntax import Plain

DRIVERS = ("vfio-pci", "uio_pci_generic")
RATES = (0, 4_294_967_295)  # Mbit/s: what the kernel has room for
COUNTS = (1, 4096)
MAX_PORTS = 255

_MOVER_ONLY = "needs the mover, and injection: native does without it"
_NO_LINK = "makes no sense with a driver: its devices have no link"
_NO_DRIVER = "is for functions with a driver: the kernel's drivers of links do not outlive it"
_PROVIDERS = "command, grpc or openstack"


def read(section: Section) -> dict[str, Any]:
    """Take a pool's keys, as arguments for a `Pool`."""
    return {
        "vf": _vf(section),
        "reset": section.flag("resetAtReturn", fallback=False),
        "rdma": section.flag("rdma", fallback=False),
        "userspace": _userspace(section),
        "create": _creation(section),
        "ports": _ports(section),
    }


def check(section: Section, pool: Pool) -> None:
    """Note which keys of a pool do not go together."""
    asked = {
        "requireCarrier": pool.require_carrier,
        "vf": pool.vf != VfSettings(),
        "resetAtReturn": pool.reset,
        "rdma": pool.rdma,
        "driver": pool.userspace,
        "create": pool.create,
        "ports": pool.ports,
        "selectors": pool.selectors,
    }
    wrong: list[tuple[Collection[str], str]] = []
    if pool.injection is Injection.NATIVE:
        wrong.append((("vf", "resetAtReturn", "rdma", "create", "driver"), _MOVER_ONLY))
    if pool.userspace:
        wrong.append((("rdma", "requireCarrier"), _NO_LINK))
    elif not pool.create and pool.injection is not Injection.NATIVE:
        wrong.append((("resetAtReturn",), _NO_DRIVER))
    if pool.create:
        others = ("selectors", "driver", "vf", "resetAtReturn", "rdma", "ports")
        wrong.append((others, "is for links that are there, and create makes them"))
    if pool.ports and pool.ports.on_demand:
        _check_on_demand(section, pool)
    for keys, why in wrong:
        for key in keys:
            if asked[key]:
                section.complain(key, why)


def _check_on_demand(section: Section, pool: Pool) -> None:
    """Note what keeps a pool from ports on demand: the node hears of one by a claim alone."""
    if pool.frontend is not Frontend.DRA:
        section.complain("ports", "onDemand needs frontend: dra, where claims ask")
    if pool.injection is Injection.NATIVE:
        section.complain("ports", f"onDemand {_MOVER_ONLY}")
    if pool.userspace:
        section.complain("ports", "onDemand is for links, and a driver leaves none")


def pf_counts(section: Section) -> tuple[PfCount, ...]:
    """Take `sriov`: how many virtual functions each physical one has."""
    found: dict[str, PfCount] = {}
    for node, path in section.nodes("sriov"):
        part = Section(node, path, section.problems)
        part.require("pf")
        part.require("numVfs")
        pf = part.text("pf", fields.link_or_function, "")
        count = PfCount(pf=pf, num_vfs=part.number("numVfs", (0, 65535), 0))
        part.finish()
        if pf and pf in found:
            part.complain("pf", f"{pf} is there twice")
        found[pf] = count
    return tuple(found.values())


def plain(pool: Pool) -> dict[str, Plain]:
    """Write what `read` reads, but for what says nothing."""
    result: dict[str, Plain] = {}
    if pool.userspace:
        result["driver"] = pool.userspace.driver
        result["bindAt"] = pool.userspace.bind_at.value
        result["allowNoIommu"] = pool.userspace.no_iommu
    if settings := vf_plain(pool.vf):
        result["vf"] = settings
    result["resetAtReturn"] = pool.reset
    result["rdma"] = pool.rdma
    if pool.create:
        result["create"] = _creation_plain(pool.create)
    if pool.ports:
        result["ports"] = _ports_plain(pool.ports)
    return result


def count_plain(count: PfCount) -> dict[str, Plain]:
    """Write one entry of `sriov`."""
    return {"pf": count.pf, "numVfs": count.num_vfs}


def vf_settings(section: Section) -> VfSettings:
    """Take all settings of a VF but its MAC, and check that they go together."""
    made = VfSettings(
        vlan=section.number("vlan", (0, 4094), None),
        qos=section.number("qos", (0, 7), None),
        protocol=section.text("protocol", fields.vlan_protocol, None),
        spoof_check=section.flag("spoofChk", fallback=None),
        trust=section.flag("trust", fallback=None),
        link_state=section.text("linkState", lambda text: fields.choice(LinkState, text), None),
        min_tx_rate=section.number("minTxRate", RATES, None),
        max_tx_rate=section.number("maxTxRate", RATES, None),
    )
    for key in ("qos", "protocol"):
        if key in section.items and not made.vlan:
            section.complain(key, "is of a VLAN, and there is none: set vlan")
    if made.max_tx_rate and (made.min_tx_rate or 0) > made.max_tx_rate:
        section.complain("minTxRate", f"is more than maxTxRate, {made.max_tx_rate}")
    return made


def vf_plain(settings: VfSettings) -> dict[str, Plain]:
    """Write what `vf_settings` reads, and the MAC."""
    values = {
        "mac": settings.mac,
        "vlan": settings.vlan,
        "qos": settings.qos,
        "protocol": settings.protocol,
        "spoofChk": settings.spoof_check,
        "trust": settings.trust,
        "linkState": settings.link_state.value if settings.link_state else None,
        "minTxRate": settings.min_tx_rate,
        "maxTxRate": settings.max_tx_rate,
    }
    return {key: value for key, value in values.items() if value is not None}


def _vf(section: Section) -> VfSettings:
    part = section.part("vf")
    if part is None:
        return VfSettings()
    part.refuse("mac", "is one device's: a claim may ask for it, a pool has many")
    made = vf_settings(part)
    part.finish()
    return made


def _userspace(section: Section) -> Userspace | None:
    driver = section.text("driver", _driver, "")
    bind_at = section.text("bindAt", lambda text: fields.choice(BindAt, text), BindAt.LENDING)
    consent = section.flag("allowNoIommu", fallback=False)
    if driver:
        return Userspace(driver=driver, bind_at=bind_at, no_iommu=consent)
    for key in ("bindAt", "allowNoIommu"):
        if key in section.items:
            section.complain(key, "is about a driver, and there is none: set driver")
    return None


def _driver(text: str) -> str:
    if text not in DRIVERS:
        raise ValueError(f"must be {' or '.join(DRIVERS)}")
    return text


def _creation(section: Section) -> Creation | None:
    part = section.part("create")
    if part is None:
        return None
    part.require("kind")
    part.require("parent")
    kind = part.text("kind", lambda text: fields.choice(CreatedKind, text), CreatedKind.MACVLAN)
    is_vlan = kind is CreatedKind.VLAN
    modes = MODES[kind]
    others = {"vlans", "protocol"} if not is_vlan else {"mode", "count"}
    for key in others & part.items.keys():
        part.refuse(key, f"is not for kind {kind.value}")
    part.require("vlans" if is_vlan else "count")
    made = Creation(
        kind=kind,
        parent=part.text("parent", fields.link_name, ""),
        mode=part.text("mode", lambda text: _mode(text, modes), next(iter(modes), "")),
        count=part.number("count", COUNTS, 0),
        vlans=part.texts("vlans", fields.vlan_range, empty="is empty and would make nothing"),
        protocol=part.text("protocol", fields.vlan_protocol, "802.1q"),
        allow_uplink=part.flag("allowUplink", fallback=False),
    )
    if made.mode == "passthru" and made.count > 1:
        part.complain("count", "must be 1: a macvlan in mode passthru has its parent for itself")
    part.finish()
    return made


def _mode(text: str, modes: Sequence[str]) -> str:
    if text not in modes:
        raise ValueError(f"must be {' or '.join(modes)}")
    return text


def _creation_plain(create: Creation) -> dict[str, Plain]:
    if create.kind is CreatedKind.VLAN:
        numbers: dict[str, Plain] = {
            "vlans": [fields.range_text(one) for one in create.vlans],
            "protocol": create.protocol,
        }
    else:
        numbers = {"mode": create.mode, "count": create.count}
    return {
        "kind": create.kind.value,
        "parent": create.parent,
        **numbers,
        "allowUplink": create.allow_uplink,
    }


def _ports(section: Section) -> Ports | None:
    part = section.part("ports")
    if part is None:
        return None
    part.require("provider")
    below = part.part("provider")
    provider = PortProvider() if below is None else _provider(below)
    on_demand = part.flag("onDemand", fallback=False)
    if on_demand:
        part.refuse("spare", "is not for onDemand: a port is attached when a claim asks")
    else:
        part.refuse("claimParameters", "is for onDemand: true")
    made = Ports(
        provider=provider,
        spare=0 if on_demand else part.number("spare", (0, MAX_PORTS), 1),
        max=part.number("max", (0, MAX_PORTS), 8),
        on_demand=on_demand,
        claim_parameters=part.texts("claimParameters", fields.port_parameter),
    )
    if made.spare > made.max:
        part.complain("spare", f"is more than max, {made.max}")
    part.finish()
    return made


def _provider(section: Section) -> PortProvider:
    made = PortProvider(
        command=section.texts("command", fields.argument, empty="is empty and would run nothing"),
        grpc=section.text("grpc", fields.path, None),
        openstack=_openstack(section),
    )
    given = [key for key in ("command", "grpc", "openstack") if key in section.items]
    if len(given) != 1:
        section.report(section.node, section.path, f"must have just one of {_PROVIDERS}")
    if made.command and not made.command[0].startswith("/"):
        section.complain("command", "must begin with the absolute path of a program")
    section.finish()
    return made


def _openstack(section: Section) -> OpenStack | None:
    part = section.part("openstack")
    if part is None:
        return None
    part.require("network")
    made = OpenStack(
        cloud=part.text("cloud", fields.argument, ""),
        network=part.text("network", fields.argument, ""),
        subnet=part.text("subnet", fields.argument, ""),
        security_groups=part.texts("securityGroups", fields.argument),
        server=part.text("server", fields.argument, ""),
    )
    part.finish()
    return made


def _ports_plain(ports: Ports) -> dict[str, Plain]:
    provider: dict[str, Plain] = {}
    if ports.provider.command:
        provider["command"] = list(ports.provider.command)
    if ports.provider.grpc:
        provider["grpc"] = str(ports.provider.grpc)
    if cloud := ports.provider.openstack:
        values: dict[str, Plain] = {
            "cloud": cloud.cloud,
            "network": cloud.network,
            "subnet": cloud.subnet,
            "securityGroups": list(cloud.security_groups),
            "server": cloud.server,
        }
        provider["openstack"] = {key: value for key, value in values.items() if value}
    if not ports.on_demand:
        return {"provider": provider, "spare": ports.spare, "max": ports.max}
    return {
        "provider": provider,
        "onDemand": True,
        "claimParameters": list(ports.claim_parameters),
        "max": ports.max,
    }
