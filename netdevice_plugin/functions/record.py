"""What is written of a function before it is touched: enough to bring it home. Pure.

JSON, read strictly: who brings home what a garbled file says does harm. The keys
are in docs/reference/functions.md.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cdi import Error as CdiError
from cdi import syntax
from netdevice_plugin import fields, provisions
from netdevice_plugin.errors import FunctionError
from netdevice_plugin.model import Address, is_dns_label
from netdevice_plugin.provisioning import VfSettings
from netdevice_plugin.sections import Section
from netdevice_plugin.yamlnode import Node, Problem

if TYPE_CHECKING:
    from cdi.syntax import Plain

FORMAT = 1
MAX_SIZE = 64 * 1024  # bytes; one with a hundred addresses has a tenth of that
REMEDY = "see docs/reference/functions.md for what to do by hand; then remove the file"

_MTU = (0, 2**31 - 1)
_SCOPES = (0, 255)
_U32 = (0, 2**32 - 1)


class Phase(enum.Enum):
    """Where a function is on its way to the userspace driver and back."""

    BINDING = "binding"  # an agent is at work, or died
    BOUND = "bound"
    RETURNING = "returning"  # an agent is at work, died, or failed: it is tried again


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The netdev that the function had: what is put back, and what is shown meanwhile."""

    name: str
    altnames: tuple[str, ...] = ()
    mac: str = ""
    permanent_mac: str = ""
    own_mac: bool = False  # chosen by its driver or by somebody, and not given
    mtu: int = 0
    up: bool = False
    driver: str = ""  # of the netdev's own device, which for virtio is not the function
    addresses: tuple[Address, ...] = ()  # those that somebody set, and for ever


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VfBefore:
    """What the PF said of the VF, as far as we told it something else."""

    pf: str  # PCI address
    number: int
    settings: VfSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRecord:
    """One function that has, or is about to have, a userspace driver by our doing."""

    device: str  # its name in CDI and so on
    address: str
    pool: str  # its key
    phase: Phase
    target: str  # driver that it is given
    driver: str = ""  # that it had; empty for none
    override: str = ""  # that it had
    reset: bool = False  # at return
    stays: bool = False  # bound as long as the pool has it, and not just while it is lent
    holder: str = ""  # for whom it was lent, in the agent's words; empty for nobody
    link: Link | None = None
    vf: VfBefore | None = None


def dumps(record: FunctionRecord) -> bytes:
    """Write a record."""
    content: dict[str, Plain] = {
        "format": FORMAT,
        "device": record.device,
        "address": record.address,
        "pool": record.pool,
        "phase": record.phase.value,
        "target": record.target,
        "driver": record.driver,
        "override": record.override,
        "reset": record.reset,
        "stays": record.stays,
        "holder": record.holder,
    }
    if record.link:
        content["link"] = _link_plain(record.link)
    if record.vf:
        before = provisions.vf_plain(record.vf.settings)
        content["vf"] = {"pf": record.vf.pf, "number": record.vf.number, "before": before}
    return json.dumps(content, indent=1).encode() + b"\n"


def loads(data: bytes, device: str) -> FunctionRecord:
    """Read the record of that device; raises FunctionError with every problem."""
    problems: list[Problem] = []
    try:
        if len(data) > MAX_SIZE:
            raise FunctionError(f"has more than {MAX_SIZE} bytes")
        content = syntax.parse(data, source=device, format="json")
    except CdiError as error:
        raise FunctionError(str(error), hint=REMEDY) from error
    section = Section(_tree(content), "", problems)
    if not problems:
        found = _read(section)
        section.finish()
        if not problems and found.device == device:
            return found
        if not problems:
            section.complain("device", f"is {found.device}, and not what the file is called")
    text = "; ".join(f"{one.path}: {one.text}" if one.path else one.text for one in problems)
    raise FunctionError(text, hint=REMEDY)


def _tree(value: Plain) -> Node:
    """A tree without lines; the syntax bounds its depth."""
    if isinstance(value, Mapping):
        return Node({key: _tree(item) for key, item in value.items()}, 0)
    if isinstance(value, list | tuple):
        return Node([_tree(item) for item in value], 0)
    return Node(value, 0)


def _read(section: Section) -> FunctionRecord:
    for key in ("format", "device", "address", "pool", "phase", "target"):
        section.require(key)
    section.number("format", (FORMAT, FORMAT), FORMAT)
    return FunctionRecord(
        device=section.text("device", _device, ""),
        address=section.text("address", fields.pci_address, ""),
        pool=section.text("pool", _plain, ""),
        phase=section.text("phase", lambda text: fields.choice(Phase, text), Phase.RETURNING),
        target=section.text("target", fields.word, ""),
        driver=section.text("driver", _driver, ""),
        override=section.text("override", _driver, ""),
        reset=section.flag("reset", fallback=False),
        stays=section.flag("stays", fallback=False),
        holder=section.text("holder", _plain, ""),
        link=_link(section.part("link")),
        vf=_vf(section.part("vf")),
    )


def _link(section: Section | None) -> Link | None:
    if section is None:
        return None
    section.require("name")
    made = Link(
        name=section.text("name", _name, ""),
        altnames=section.texts("altnames", _name),
        mac=section.text("mac", fields.mac, ""),
        permanent_mac=section.text("permanentMac", fields.mac, ""),
        own_mac=section.flag("ownMac", fallback=False),
        mtu=section.number("mtu", _MTU, 0),
        up=section.flag("up", fallback=False),
        driver=section.text("driver", _driver, ""),
        addresses=_addresses(section),
    )
    section.finish()
    return made


def _link_plain(link: Link) -> dict[str, Plain]:
    texts = {"mac": link.mac, "permanentMac": link.permanent_mac, "driver": link.driver}
    return {
        "name": link.name,
        "altnames": list(link.altnames),
        **{key: text for key, text in texts.items() if text},
        "ownMac": link.own_mac,
        "mtu": link.mtu,
        "up": link.up,
        "addresses": [_address_plain(address) for address in link.addresses],
    }


def _addresses(section: Section) -> tuple[Address, ...]:
    found = []
    for node, path in section.nodes("addresses"):
        part = Section(node, path, section.problems)
        part.require("address")
        interface = part.text("address", ipaddress.ip_interface, None)
        address = Address(
            family=interface.version if interface else 4,
            address=str(interface.ip) if interface else "",
            prefix=interface.network.prefixlen if interface else 0,
            peer=part.text("peer", fields.address, ""),
            broadcast=part.text("broadcast", fields.address, ""),
            label=part.text("label", _plain, ""),
            scope=part.number("scope", _SCOPES, 0),
            flags=part.number("flags", _U32, 0),
            metric=part.number("metric", _U32, 0),
        )
        part.finish()
        found.append(address)
    return tuple(found)


def _address_plain(address: Address) -> dict[str, Plain]:
    texts = {"peer": address.peer, "broadcast": address.broadcast, "label": address.label}
    numbers = {"scope": address.scope, "flags": address.flags, "metric": address.metric}
    return {
        "address": str(address),
        **{key: text for key, text in texts.items() if text},
        **{key: number for key, number in numbers.items() if number},
    }


def _vf(section: Section | None) -> VfBefore | None:
    if section is None:
        return None
    for key in ("pf", "number", "before"):
        section.require(key)
    made = VfBefore(
        pf=section.text("pf", fields.pci_address, ""),
        number=section.number("number", (0, 65_535), 0),
        settings=_settings(section.part("before")),
    )
    section.finish()
    return made


def _settings(section: Section | None) -> VfSettings:
    if section is None:
        return VfSettings()
    mac = section.text("mac", fields.mac, None)
    made = dataclasses.replace(provisions.vf_settings(section), mac=mac)
    section.finish()
    return made


def _device(text: str) -> str:
    if not is_dns_label(text):
        raise ValueError("must be the name of a device")
    return text


def _driver(text: str) -> str:
    return fields.word(text) if text else ""


def _name(text: str) -> str:
    """Check the name of a link, which may have any character but these."""
    if not text or "/" in text or "\0" in text or len(text) > 127:
        raise ValueError("must be the name of a link")
    return text


def _plain(text: str) -> str:
    if len(text) > 512 or "\0" in text:
        raise ValueError("must have at most 512 characters")
    return text
