"""The words that a configuration is made of: text in, checked value out.

Each function raises ValueError with a reason that follows the place in a
message. docs/reference/config.schema.json says the same as patterns; a test
keeps the two in step.
"""

from __future__ import annotations

import enum
import ipaddress
import os
import re
from pathlib import Path
from typing import TypeVar

from netdevice_plugin.model import PfRange

_Choice = TypeVar("_Choice", bound=enum.Enum)

_DOMAIN = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_DOMAIN_NAME = re.compile(
    r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*"
)
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,61}[A-Za-z0-9]")
_PCI = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(:([0-9a-fA-F]{2}:){13}[0-9a-fA-F]{2})?")
_ID = re.compile(r"[0-9a-fA-F]{4}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RANGES = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*")
_PORT_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
_LINK = re.compile(r"[!-.0-9;-~]{1,127}")  # graphic ASCII but / and :
_VLANS = re.compile(r"[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?")
_NOT_IN_NAMES = re.compile(r"[\s/\x00-\x1f\x7f]")


def prefix(text: str) -> str:
    """Check what resources and CDI kinds begin with.

    A DNS name, since kubelet takes it for the prefix of a qualified name and CDI
    for a vendor. Prefix, pool and the UID of a claim make the name of a CDI file,
    which is why it may not have all of a DNS name's 253 characters.
    """
    if not _DOMAIN.fullmatch(text) or len(text) > 128:
        raise ValueError(
            "must be a DNS name in lower case that begins with a letter, at most 128 characters"
        )
    if len(text) == 1:
        raise ValueError("must have two characters at least: one makes container runtimes crash")
    if text.startswith("requests.") or text.endswith("kubernetes.io"):
        raise ValueError("must not begin with 'requests.' nor end with 'kubernetes.io'")
    return text


def pool_name(text: str) -> str:
    """Check the last part of a resource name, which is a CDI class as well."""
    if len(text) == 1:
        raise ValueError("must have two characters at least: one makes container runtimes crash")
    if not _POOL.fullmatch(text):
        raise ValueError(
            "must begin with a letter, end with a letter or digit, have only letters, digits, "
            "'-', '_' and '.' between, and at most 63 characters"
        )
    if text == "claim":
        raise ValueError("is the class of what ResourceClaims have; choose another")
    return text


def dra_driver(text: str) -> str:
    """Check a prefix that is the name of a DRA driver as well (k8s.io/api/resource/v1)."""
    if len(text) > 63:
        raise ValueError("must have at most 63 characters to be a DRA driver's name")
    return text


def dra_pool(text: str) -> str:
    """Check the name of a pool whose devices are in ResourceSlices, where it is a DNS name."""
    if not _DOMAIN_NAME.fullmatch(text):
        raise ValueError("must be a DNS name in lower case: DRA has it in the name of a pool")
    return text


def node_name(text: str) -> str:
    """Check what Kubernetes calls a node (a DNS subdomain, RFC 1123)."""
    if len(text) > 253 or not _DOMAIN_NAME.fullmatch(text):
        raise ValueError("must be a DNS name in lower case, at most 253 characters")
    return text


def path(text: str) -> Path:
    """Check a path of the host."""
    if not text.startswith("/") or not text.isprintable() or not text.strip("/"):
        raise ValueError("must be an absolute path below /")
    if ".." in text.split("/"):
        raise ValueError("must not have '..' in it")
    if len(os.fsencode(text)) > 1024:
        raise ValueError("must have at most 1024 bytes")
    return Path(text)


def address(text: str) -> str:
    """Check an IP address and give its usual form."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address, without a prefix length") from None


def choice(kind: type[_Choice], text: str) -> _Choice:
    """Find the member of an enumeration by its value."""
    try:
        return kind(text)
    except ValueError:
        words = " or ".join(str(member.value) for member in kind)
        raise ValueError(f"must be {words}") from None


def glob(text: str) -> str:
    """Check a pattern for names of links: `*`, `?`, `[a-c]` and `[!a-c]`, as in a shell."""
    if not text or len(os.fsencode(text)) > 127 or _NOT_IN_NAMES.search(text):
        raise ValueError("must be the name of a link or a glob, without spaces and '/'")
    at = text.find("[")
    while at >= 0:
        # A bracket right after the opening one, or after "[!", stands for itself.
        start = at + 2 if text[at + 1 : at + 2] == "!" else at + 1
        end = text.find("]", start + 1)
        if end < 0:
            raise ValueError("has a '[' without its ']'")
        if any(low > high for low, high in re.findall(r"(.)-(.)", text[start:end])):
            raise ValueError("has a range that ends before it begins")
        at = text.find("[", end)
    return text


def port_parameter(text: str) -> str:
    """Check the name of what a provider of ports may be told by a claim."""
    if not _PORT_PARAMETER.fullmatch(text):
        raise ValueError(
            "must begin with a letter, and have at most 63 letters, digits, '.', '_' and '-'"
        )
    return text


def pf_range(text: str) -> PfRange:
    """Read `eth0`, `ens*` or `eth0#0-7,9`: a PF, or some of its VFs by number."""
    name, mark, ranges = text.rpartition("#")
    if not mark:
        return PfRange(name=glob(text))
    if not _RANGES.fullmatch(ranges):
        raise ValueError("must have numbers and ranges of VFs after the '#', like eth0#0-7,9")
    vfs = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        vfs.append((int(low), int(high or low)))
        if vfs[-1][0] > vfs[-1][1]:
            raise ValueError(f"has the range {part}, which ends before it begins")
    return PfRange(name=glob(name), vfs=tuple(vfs))


def pf_text(pf: PfRange) -> str:
    """Write what `pf_range` reads."""
    if pf.vfs is None:
        return pf.name
    return f"{pf.name}#{','.join(str(a) if a == b else f'{a}-{b}' for a, b in pf.vfs)}"


def pci_address(text: str) -> str:
    """Check a PCI address with its domain (which has more than four digits behind a VMD)."""
    if _PCI.fullmatch(f"0000:{text}"):
        raise ValueError(f"must have its domain: 0000:{text}")
    if not _PCI.fullmatch(text):
        raise ValueError("must be a PCI address like 0000:03:00.1")
    return text.lower()


def pci_id(text: str) -> str:
    """Check a vendor or device number of PCI."""
    if not _ID.fullmatch(text):
        raise ValueError("must be four hexadecimal digits, like 8086, without 0x")
    return text.lower()


def mac(text: str) -> str:
    """Check a hardware address of Ethernet (6 bytes) or InfiniBand (20)."""
    if not _MAC.fullmatch(text):
        raise ValueError("must be a MAC address like 02:00:00:00:00:01")
    return text.lower()


def word(text: str) -> str:
    """Check the name of a driver, of a kind or of a type of link."""
    if not _WORD.fullmatch(text):
        raise ValueError("must be a name of letters, digits, '_' and '-'")
    return text


def link_name(text: str) -> str:
    """Check the name or altname of one link: no glob."""
    if not _LINK.fullmatch(text) or text in {".", ".."}:
        raise ValueError("must be the name of a link: plain characters, without '/' and ':'")
    return text


def link_or_function(text: str) -> str:
    """Check the name of a link, or a PCI address."""
    return pci_address(text) if ":" in text else link_name(text)


def vlan_protocol(text: str) -> str:
    """Check the protocol of a VLAN (IEEE 802.1Q and 802.1ad)."""
    if text.lower() not in {"802.1q", "802.1ad"}:
        raise ValueError("must be 802.1q or 802.1ad")
    return text.lower()


def vlan_range(text: str) -> tuple[int, int]:
    """Read `100` or `100-107`: numbers of VLANs, ends included."""
    low, _, high = text.partition("-")
    if not _VLANS.fullmatch(text) or not 1 <= int(low) <= int(high or low) <= 4094:
        raise ValueError("must be a number from 1 to 4094 or a range of such, like 100-107")
    return int(low), int(high or low)


def range_text(numbers: tuple[int, int]) -> str:
    """Write what `vlan_range` reads."""
    low, high = numbers
    return str(low) if low == high else f"{low}-{high}"


def argument(text: str) -> str:
    """Check a word that is handed to another program."""
    if not text or not text.isprintable() or len(text) > 1024:
        raise ValueError("must be 1 to 1024 printable characters")
    return text
