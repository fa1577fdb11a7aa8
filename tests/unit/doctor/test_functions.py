from __future__ import annotations

import pytest

from netdevice_plugin.doctor import functions
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.doctor.modules import Modules
from netdevice_plugin.model import Device, Interface, PciDevice, Pool
from netdevice_plugin.provisioning import Userspace
from tests.unit.doctor.roots import Root, checks, lines, only

ADDRESS, OTHER, BRIDGE = "0000:03:10.0", "0000:03:10.2", "0000:00:1c.0"
UNSAFE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def pool(driver: str = "vfio-pci", *, consent: bool = False) -> Pool:
    return Pool(name="dpdk", userspace=Userspace(driver=driver, no_iommu=consent))


def device(address: str = ADDRESS, numa: int | None = None) -> Device:
    pci = PciDevice(address=address, numa_node=numa)
    name = f"pci-{address.replace(':', '-').replace('.', '-')}"
    return Device(name=name, pool="dpdk", interface=Interface(ifindex=0, name="", pci=pci))


def iommu(root: Root, *pools: Pool) -> list[Finding]:
    return list(functions.check_iommu(functions.read_iommu(root.host()), pools or (pool(),)))


def judge(root: Root, given: Pool | None = None, *devices: Device) -> list[Finding]:
    host = root.host()
    facts = functions.read(host, given or pool(), devices or (device(),), Modules(host))
    return list(functions.check(facts))


def table(root: Root, name: str) -> None:
    root.write(f"/sys/firmware/acpi/tables/{name}", "x")


def test_an_iommu_that_is_on(root: Root) -> None:
    for number in range(3):
        root.directory(f"/sys/kernel/iommu_groups/{number}")
    assert lines(iommu(root)) == ["userspace/iommu IOMMU: is on: 3 groups"]


def test_a_group_that_vfio_made_up_is_no_iommu(root: Root) -> None:
    root.write("/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n")
    assert checks(iommu(root)) == [("fail", "userspace/iommu")]


@pytest.mark.parametrize(
    ("firmware", "line", "cpu", "why", "remedy"),
    [
        ("FACP", "quiet", "GenuineIntel", "the firmware tells of none", "switch on VT-d"),
        ("DMAR", "quiet", "GenuineIntel", "the kernel was not asked", "intel_iommu=on"),
        ("DMAR", "intel_iommu=on", "GenuineIntel", "the kernel says not why", "dmesg"),
        ("DMAR", "a intel_iommu=off b", "GenuineIntel", "intel_iommu=off on", "take intel_iommu"),
        ("IVRS", "amd_iommu=off", "AuthenticAMD", "amd_iommu=off on", "take amd_iommu=off"),
        ("IVRS", "iommu=pt,off", "AuthenticAMD", "iommu=pt,off on", "take iommu=pt,off"),
        ("IVRS", "iommu=pt", "AuthenticAMD", "the kernel says not why", "dmesg"),
        ("", "quiet", "", "the kernel says not why", "dmesg"),
    ],
)
def test_why_an_iommu_is_off(
    root: Root, firmware: str, line: str, *, cpu: str, why: str, remedy: str
) -> None:
    if firmware:
        table(root, firmware)
    root.write("/proc/cmdline", f"root=/dev/vda1 {line}\n")
    root.write("/proc/cpuinfo", f"processor : 0\nvendor_id : {cpu}\n")
    (found,) = iommu(root)
    assert (found.level, found.check) == (Level.FAIL, "userspace/iommu")
    assert found.text.startswith(f"is off: {why}")
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("driver", "unsafe", "level"),
    [
        ("vfio-pci", "Y", "ok"),
        ("vfio-pci", "N", "fail"),
        ("vfio-pci", None, "fail"),
        ("uio_pci_generic", "N", "ok"),
    ],
)
def test_without_an_iommu_it_takes_consent_and_the_kernels(
    root: Root, driver: str, unsafe: str | None, level: str
) -> None:
    if unsafe:
        root.write(UNSAFE, f"{unsafe}\n")
    (found,) = iommu(root, pool(driver, consent=True))
    assert (found.level.value, found.check) == (level, "userspace/no-iommu")


def test_consent_of_one_pool_is_not_the_others(root: Root) -> None:
    root.write(UNSAFE, "Y\n")
    assert checks(iommu(root, pool(), pool(consent=True))) == [
        ("fail", "userspace/iommu"),
        ("ok", "userspace/no-iommu"),
    ]


def test_a_device_that_has_all_it_needs(root: Root) -> None:
    root.directory("/sys/bus/pci/drivers/vfio-pci")
    root.directory("/sys/module/vfio_iommu_type1")
    root.function(ADDRESS, driver="igbvf", group=7)
    root.function(BRIDGE, driver="pcieport", group=7)
    root.function(OTHER, driver="vfio-pci", group=7)
    assert lines(judge(root)) == [
        "userspace/driver vfio-pci: is there, for networking.k8s.io/dpdk",
        "userspace/group networking.k8s.io/dpdk: 1 devices in groups of their own",
    ]


@pytest.mark.parametrize(
    ("driver", "loadable", "text"),
    [
        ("vfio-pci", ("kernel/drivers/vfio/pci/vfio-pci.ko",), "is not loaded"),
        ("uio_pci_generic", ("kernel/drivers/uio/uio_pci_generic.ko.zst",), "is not loaded"),
        ("uio_pci_generic", ("kernel/drivers/vfio/pci/vfio-pci.ko",), "this kernel has no such"),
    ],
)
def test_a_driver_that_is_not_there(
    root: Root, driver: str, loadable: tuple[str, ...], text: str
) -> None:
    root.modules(*loadable)
    found = only(judge(root, pool(driver)), "userspace/driver")
    assert found.level is Level.FAIL
    assert found.text.startswith(text)
    assert ("modprobe" in found.remedy) is (text == "is not loaded")


@pytest.mark.parametrize("module", ["vfio_iommu_type1", "iommufd"])
def test_vfio_wants_one_of_two_ways_to_map_memory(root: Root, module: str) -> None:
    root.directory("/sys/bus/pci/drivers/vfio-pci")
    root.modules("kernel/drivers/vfio/vfio_iommu_type1.ko")
    found = only(judge(root), "userspace/vfio")
    assert (found.level, found.remedy) == (Level.WARN, "modprobe vfio_iommu_type1")
    root.directory(f"/sys/module/{module}")
    assert [one.check for one in judge(root)] == ["userspace/driver"]


def test_who_is_in_a_group_is_named(root: Root) -> None:
    root.function(ADDRESS, driver="igbvf", group=7)
    root.function(OTHER, driver="nvme", group=7)
    root.function("0000:03:10.4", driver="igb", group=7)
    root.function("0000:03:10.6", driver="ahci", group=8)
    found = only(judge(root), "userspace/group")
    assert (found.level, str(found)) == (
        Level.FAIL,
        f"{ADDRESS}: is in IOMMU group 7 with what is in use: {OTHER} (nvme) 0000:03:10.4 (igb)",
    )
