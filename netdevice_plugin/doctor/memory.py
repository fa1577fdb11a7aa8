"""The memory of programs that drive devices: hugepages, and how much a container may lock."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Sequence

from netdevice_plugin.doctor.finding import Finding, ok, some, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.doctor.mounts import Mount
from netdevice_plugin.doctor.programs import Programs
from netdevice_plugin.model import Device

_DIRECTORY = re.compile(r"/sys/devices/system/node/node([0-9]+)/hugepages/hugepages-([0-9]+)kB")
_WHOLE = re.compile(r"/sys/kernel/mm/hugepages/hugepages-([0-9]+)kB")
_LOCKED = re.compile(r"^Max locked memory +(\S+)", re.MULTILINE)
_RUNTIMES = ("containerd", "crio")
_SIZES = {2048: "2 MiB", 1_048_576: "1 GiB"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Hugepages of one size on one node of memory."""

    size: int  # KiB
    node: int | None  # None on a kernel without NUMA
    total: int
    free: int

    def __str__(self) -> str:
        size = _SIZES.get(self.size, f"{self.size} KiB")
        where = "" if self.node is None else f" on NUMA node {self.node}"
        return f"{self.free} of {self.total} of {size} free{where}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was seen."""

    pages: tuple[Pages, ...] = ()  # only where there are some
    mounted: str = ""  # a hugetlbfs of the host
    wanted: tuple[tuple[int, str], ...] = ()  # NUMA node, and a device there
    runtime: str = ""  # whose containers inherit
    lockable: str = ""  # bytes, or unlimited; empty is not known


def read(
    host: Host, programs: Programs, devices: Collection[Device], table: Sequence[Mount]
) -> Memory:
    """Look at /sys, at mounts, and at the limits of the container runtime."""
    functions = [one for one in devices if one.interface.pci]
    runtime = next(programs.named(*_RUNTIMES), None)
    return Memory(
        pages=_pages(host),
        mounted=next((one.point for one in table if one.kind == "hugetlbfs"), ""),
        wanted=tuple(
            (one.interface.pci.numa_node, one.name)
            for one in functions
            if one.interface.pci and one.interface.pci.numa_node is not None
        ),
        runtime=runtime.name if runtime else "",
        lockable=_lockable(host, runtime.pid) if runtime else "",
    )


def _pages(host: Host) -> tuple[Pages, ...]:
    found = []
    for path in host.glob("/sys/devices/system/node/node*/hugepages/hugepages-*kB"):
        if match := _DIRECTORY.fullmatch(path):
            found.append(_count(host, path, int(match[2]), int(match[1])))
    if not found:
        for path in host.glob("/sys/kernel/mm/hugepages/hugepages-*kB"):
            if match := _WHOLE.fullmatch(path):
                found.append(_count(host, path, int(match[1]), None))
    return tuple(one for one in found if one.total)


def _count(host: Host, path: str, size: int, node: int | None) -> Pages:
    total, free = (host.word(f"{path}/{name}")[:12] for name in ("nr_hugepages", "free_hugepages"))
    return Pages(
        size=size,
        node=node,
        total=int(total) if total.isdecimal() else 0,
        free=int(free) if free.isdecimal() else 0,
    )


def _lockable(host: Host, pid: int) -> str:
    try:
        found = _LOCKED.search(host.text(f"/proc/{pid}/limits"))
    except OSError:
        return ""
    return found[1] if found else ""


def check(facts: Memory) -> Iterator[Finding]:
    """Judge it for a configuration that has a pool with a driver."""
    yield from _judge_pages(facts)
    if facts.lockable == "unlimited":
        yield ok("userspace/memlock", facts.runtime, "lets containers lock all memory")
    elif facts.lockable:
        text = f"lets containers lock {facts.lockable} bytes: DPDK's need the capability IPC_LOCK"
        yield ok("userspace/memlock", facts.runtime, text)


def _judge_pages(facts: Memory) -> Iterator[Finding]:
    if not facts.pages:
        remedy = (
            "sysctl vm.nr_hugepages=N, or hugepagesz=1G hugepages=N on the kernel's command "
            "line; then restart the kubelet, which counts them when it starts"
        )
        text = "none is reserved: DPDK asks for them, unless it is told --no-huge"
        yield warn("userspace/hugepages", "hugepages", text, remedy)
        return
    listed = "; ".join(map(str, facts.pages))
    if any(one.free for one in facts.pages):
        where = (
            f"mounted at {facts.mounted}" if facts.mounted else "not mounted: pods need no mount"
        )
        yield ok("userspace/hugepages", "hugepages", f"{listed}; {where}")
    else:
        remedy = "reserve more, or see which pods have them"
        yield warn("userspace/hugepages", "hugepages", listed, remedy)
    nodes = {one.node for one in facts.pages}
    far = [name for node, name in facts.wanted if node not in nodes]
    if far and None not in nodes:
        text = "on a NUMA node without hugepages: their memory is on the far one"
        remedy = "echo N > /sys/devices/system/node/nodeN/hugepages/…/nr_hugepages, early at boot"
        yield warn("userspace/hugepages", some(far), text, remedy)
