from __future__ import annotations

from netdevice_plugin.doctor import memory, mounts
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.model import Device
from tests.unit.doctor.roots import Root, lines, only
from tests.unit.doctor.test_functions import device


def judge(root: Root, *devices: Device) -> list[Finding]:
    host, programs = root.programs()
    root.mounts(("/", "ext4", "rw"), ("/dev/hugepages", "hugetlbfs", "rw"))
    table = mounts.parse(host.mountinfo())
    return list(memory.check(memory.read(host, programs, devices, table)))


def pages(root: Root, node: int, size: int, total: str, free: str) -> None:
    here = f"/sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB"
    root.write(f"{here}/nr_hugepages", f"{total}\n")
    root.write(f"{here}/free_hugepages", f"{free}\n")


def test_none_is_a_warning(root: Root) -> None:
    pages(root, 0, 2048, "0", "0")
    pages(root, 1, 2048, "nonsense", "")
    found = only(judge(root), "userspace/hugepages")
    assert (found.level, found.text[:16]) == (Level.WARN, "none is reserved")


def test_what_is_free_is_told_by_node_and_size(root: Root) -> None:
    pages(root, 0, 2048, "1024", "512")
    pages(root, 0, 1048576, "4", "0")
    assert lines(judge(root, device(numa=0))) == [
        "userspace/hugepages hugepages: 0 of 4 of 1 GiB free on NUMA node 0; "
        "512 of 1024 of 2 MiB free on NUMA node 0; mounted at /dev/hugepages"
    ]


def test_none_free_is_a_warning(root: Root) -> None:
    pages(root, 0, 2048, "16", "0")
    assert [one.level for one in judge(root)] == [Level.WARN]


def test_pages_on_another_node_than_the_device(root: Root) -> None:
    pages(root, 0, 2048, "16", "16")
    far = judge(root, device(numa=1), device("0000:04:00.0", numa=0))[1]
    assert (far.level, far.subject) == (Level.WARN, "pci-0000-03-10-0")


def test_a_kernel_without_numa(root: Root) -> None:
    root.write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n")
    root.write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "8\n")
    (found,) = judge(root, device(numa=0))
    assert found.text.startswith("8 of 8 of 2 MiB free; mounted")


def test_what_containers_may_lock(root: Root) -> None:
    root.process(70, "/usr/bin/containerd", program="/usr/bin/containerd")
    limits = "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         8388608   9  bytes\n"
    root.write("/proc/70/limits", limits)
    found = only(judge(root), "userspace/memlock")
    assert (found.level, found.text.partition(":")[0]) == (
        Level.OK,
        "lets containers lock 8388608 bytes",
    )
    root.write("/proc/70/limits", limits.replace("8388608", "unlimited"))
    assert only(judge(root), "userspace/memlock").text == "lets containers lock all memory"
