"""Devices for programs in pods that drive them: IOMMU, drivers, groups, and memory.

Looked at for pools with `driver` alone. What the groups mean is in the kernel's
Documentation/driver-api/vfio.rst.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator, Sequence

from netdevice_plugin.doctor.finding import Finding, fail, ok, some, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.doctor.modules import Modules, State
from netdevice_plugin.functions.groups import VFIO, obstacles
from netdevice_plugin.functions.sysfs import Member
from netdevice_plugin.model import Device, Pool

_TABLES = {"DMAR": "VT-d", "IVRS": "AMD-Vi", "IORT": "SMMU", "VIOT": "virtual IOMMU"}  # of ACPI
_OFF = re.compile(r"(?:^|\s)((?:intel_iommu|amd_iommu|iommu)=(?:\S+,)?off)\b")
_UNSAFE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
_UNSAFE_GROUP = "vfio-noiommu"  # the name of a group that vfio made up, for want of an IOMMU
_AT_BOOT = "/etc/modules-load.d/netdevice-plugin.conf"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Iommu:
    """What the kernel and the firmware say of it."""

    groups: int = 0  # that an IOMMU keeps apart
    unsafe: bool | None = None  # vfio may do without; None if it cannot be asked
    firmware: str = ""  # what it tells the kernel of; empty is nothing
    tables: bool = False  # the firmware's tables can be seen
    off: str = ""  # what on the kernel's command line switches it off
    asked: bool = False  # intel_iommu=on is there
    intel: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Userspace:
    """What was seen for one pool."""

    pool: Pool
    driver: str
    bound: bool = False  # there is such a driver in the kernel
    module: State = State.UNKNOWN
    backends: tuple[tuple[str, State], ...] = ()  # of vfio: one is enough
    groups: tuple[tuple[str, str, tuple[Member, ...]], ...] = ()  # device, group, the others


def read(host: Host, pool: Pool, devices: Sequence[Device], modules: Modules) -> Userspace:
    """Look at the driver of a pool, and at the groups of its devices."""
    driver = pool.userspace.driver if pool.userspace else ""
    backends = ("vfio_iommu_type1", "iommufd") if driver == VFIO else ()
    addresses = [one.interface.pci.address for one in devices if one.interface.pci]
    return Userspace(
        pool=pool,
        driver=driver,
        bound=host.is_dir(f"/sys/bus/pci/drivers/{driver}"),
        module=modules.state(driver),
        backends=tuple((name, modules.state(name)) for name in backends),
        groups=tuple(_group(host, address) for address in addresses),
    )


def _group(host: Host, address: str) -> tuple[str, str, tuple[Member, ...]]:
    here = f"/sys/bus/pci/devices/{address}/iommu_group"
    if not host.is_dir(here):
        return address, "", ()
    path = host.real(here)
    others = (one for one in host.glob(f"{path}/devices/*") if not one.endswith(f"/{address}"))
    return address, posixpath.basename(path), tuple(_member(host, one) for one in others)


def _member(host: Host, path: str) -> Member:
    driver = f"{path}/driver"
    return Member(
        address=posixpath.basename(path),
        driver=posixpath.basename(host.real(driver)) if host.exists(driver) else "",
        pci_class=host.word(f"{path}/class").removeprefix("0x"),
    )


def read_iommu(host: Host) -> Iommu:
    """Look at groups, command line and firmware."""
    groups = host.glob("/sys/kernel/iommu_groups/*")
    line = host.word("/proc/cmdline")
    off = _OFF.search(line)
    tables = "/sys/firmware/acpi/tables"
    found = [name for table, name in _TABLES.items() if host.exists(f"{tables}/{table}")]
    unsafe = host.word(_UNSAFE)
    return Iommu(
        groups=sum(host.word(f"{group}/name") != _UNSAFE_GROUP for group in groups),
        unsafe=unsafe in ("Y", "1") if unsafe else None,
        firmware=" ".join(found),
        tables=host.is_dir(tables),
        off=off[1] if off else "",
        asked="intel_iommu=on" in line.split(),
        intel="GenuineIntel" in host.head("/proc/cpuinfo", 4096).decode("ascii", "replace")
        if host.exists("/proc/cpuinfo")
        else False,
    )


def check_iommu(facts: Iommu, pools: Sequence[Pool]) -> Iterator[Finding]:
    """Judge it once for all pools with a driver."""
    consents = {bool(pool.userspace and pool.userspace.no_iommu) for pool in pools}
    if facts.groups:
        yield ok("userspace/iommu", "IOMMU", f"is on: {facts.groups} groups")
        return
    if False in consents:
        text, remedy = _why_off(facts)
        yield fail("userspace/iommu", "IOMMU", f"is off: {text}; no device is lent", remedy)
    if True in consents:
        yield _without(facts, pools)


def _why_off(facts: Iommu) -> tuple[str, str]:
    if facts.off:
        return f"{facts.off} on the kernel's command line", f"take {facts.off} away, and reboot"
    if facts.tables and not facts.firmware:
        text = "the firmware tells of none"
        remedy = "switch on VT-d, AMD-Vi or SMMU in its setup; give a virtual machine an IOMMU"
        return text, f"{remedy}; or allowNoIommu: true, if pods may write to all memory"
    if facts.intel and not facts.asked:
        return "the kernel was not asked", "intel_iommu=on on the kernel's command line; reboot"
    return "the kernel says not why", "dmesg | grep -i -e iommu -e dmar"


def _without(facts: Iommu, pools: Sequence[Pool]) -> Finding:
    """Judge pools whose devices may be lent without an IOMMU, as there is none."""
    by_vfio = any(
        pool.userspace and pool.userspace.no_iommu and pool.userspace.driver == VFIO
        for pool in pools
    )
    if by_vfio and not facts.unsafe:
        text = "allowNoIommu is set, but not that vfio does without an IOMMU"
        remedy = f"echo 1 > {_UNSAFE}; options vfio enable_unsafe_noiommu_mode=1 in /etc/modprobe.d"
        return fail("userspace/no-iommu", "vfio", text, remedy)
    text = "is not there, by consent: a pod with a device can write to all of the node's memory"
    return ok("userspace/no-iommu", "IOMMU", text)


def check(facts: Userspace) -> Iterator[Finding]:
    """Judge one pool's driver and groups."""
    yield _driver(facts)
    if facts.backends and State.LOADED not in {state for _, state in facts.backends}:
        names = " nor ".join(name for name, _ in facts.backends)
        loadable = [name for name, state in facts.backends if state is State.LOADABLE]
        remedy = f"modprobe {loadable[0] if loadable else facts.backends[0][0]}"
        text = f"neither {names} is loaded: a program can open its device, and map no memory"
        yield warn("userspace/vfio", facts.pool.kind, text, remedy)
    shared = 0
    for address, group, others in facts.groups:
        if inside := obstacles(others, {}, ""):
            shared += 1
            text = f"is in IOMMU group {group} with what is in use: {some(inside)}"
            remedy = (
                "take the others' driver away too, or have the NIC in a slot that the IOMMU "
                "keeps apart (ACS)"
            )
            yield fail("userspace/group", address, text, remedy)
    grouped = sum(1 for _, group, _ in facts.groups if group)
    if grouped and not shared:
        yield ok("userspace/group", facts.pool.kind, f"{grouped} devices in groups of their own")


def _driver(facts: Userspace) -> Finding:
    name, module = facts.driver, facts.driver.replace("-", "_")
    if facts.bound:
        return ok("userspace/driver", name, f"is there, for {facts.pool.kind}")
    if facts.module is State.MISSING:
        text = "this kernel has no such driver"
        remedy = "the package with the rest of its modules (linux-modules-extra), or another kernel"
        return fail("userspace/driver", name, text, remedy)
    remedy = f"modprobe {name}; echo {module} > {_AT_BOOT}"
    return fail("userspace/driver", name, "is not loaded, and we load nothing", remedy)
