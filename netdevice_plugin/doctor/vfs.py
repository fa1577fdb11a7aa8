"""Virtual functions that the configuration asks for (`sriov`), against what there are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from netdevice_plugin.doctor.finding import Finding, fail, ok, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.model import Snapshot
from netdevice_plugin.provisioning import PfCount

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pf:
    """What was seen of a physical function."""

    asked: PfCount
    address: str = ""  # empty: not found
    total: int | None = None  # None: it can have none
    now: int = 0
    probed: bool = True  # the kernel gives new ones a driver


def read(host: Host, asked: PfCount, snapshot: Snapshot) -> Pf:
    """Look a physical function up by its link or its address."""
    address = asked.pf if _ADDRESS.fullmatch(asked.pf) else _address(snapshot, asked.pf)
    path = f"/sys/bus/pci/devices/{address}"
    if not address or not host.is_dir(path):
        return Pf(asked=asked)
    total = host.word(f"{path}/sriov_totalvfs")
    now = host.word(f"{path}/sriov_numvfs")
    return Pf(
        asked=asked,
        address=address,
        total=int(total) if total.isdecimal() else None,
        now=int(now) if now.isdecimal() else 0,
        probed=host.word(f"{path}/sriov_drivers_autoprobe") != "0",
    )


def _address(snapshot: Snapshot, name: str) -> str:
    link = snapshot.named(name)
    return link.pci.address if link and link.pci else ""


def check(facts: Pf) -> Iterator[Finding]:
    """Judge one."""
    pf, wanted = facts.asked.pf, facts.asked.num_vfs
    if not facts.address:
        text = "there is no such PCI function, nor a link of that name on one"
        remedy = "correct sriov[].pf: ip -details link, or lspci -D -d ::0200"
        yield fail("sriov/count", pf, text, remedy)
    elif not facts.total:
        text = "can have no virtual functions, says its driver"
        remedy = "switch on SR-IOV in the firmware's setup and the NIC's own; or take it out"
        yield fail("sriov/count", pf, text, remedy)
    elif wanted > facts.total:
        text = f"can have {facts.total} virtual functions, and {wanted} are asked for"
        remedy = "lower numVfs, or raise the NIC's own limit with its vendor's tool"
        yield fail("sriov/count", pf, text, remedy)
    elif facts.now != wanted:
        text = f"has {facts.now} virtual functions, and {wanted} are asked for"
        remedy = "netdevice-plugin run changes it, once nobody has one of them: see its log"
        yield warn("sriov/count", pf, text, remedy)
    else:
        yield ok("sriov/count", pf, f"has its {wanted} of {facts.total} virtual functions")
    if facts.total and not facts.probed:
        text = "its new virtual functions get no driver, so they have no link"
        remedy = f"echo 1 > /sys/bus/pci/devices/{facts.address}/sriov_drivers_autoprobe"
        yield warn("sriov/autoprobe", pf, text, remedy)
