"""Pods whose program is testpmd: what a kubelet runs in the guest, with devices of the agent's."""

from __future__ import annotations

import pathlib

from netdevice_plugin.model import pci_device_name
from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.fakes.kubelet import ContainerSpec, Kubelet, Pod, PodSpec
from tests.vm.nics import PCI, Nic

KIND = "networking.k8s.io/dpdk"
VARIABLE = "PCIDEVICE_NETWORKING_K8S_IO_DPDK"
_HUGEPAGES = "/dev/hugepages"
_RUNC = ("runc", "--root", "/run/containerd/runc/k8s.io")


def configuration(*nics: Nic, settings: str = "") -> str:
    """A pool of these for userspace programs, with more settings of its own."""
    addresses = ", ".join(f'"{nic.pci}"' for nic in nics)
    selectors = f"  selectors:\n  - pciAddresses: [{addresses}]\n"
    return f"cdiDir: /run/cdi\npools:\n- name: dpdk\n  driver: vfio-pci\n{settings}{selectors}"


def offer(agents: Agents, kubelet: Kubelet, *nics: Nic) -> None:
    """Start an agent that offers these, and return when the kubelet may give them away."""
    agents.write(configuration(*nics))
    agents.serve(kind=KIND)
    kubelet.await_devices(KIND, {device(nic): "Healthy" for nic in nics})


def device(nic: Nic) -> str:
    """What a NIC is called when a program is to drive it."""
    return pci_device_name(nic.pci)


def pod(name: str, devices: int) -> PodSpec:
    """One container has that many devices, and what DPDK takes besides; the other has nothing."""
    main = ContainerSpec(
        limits={KIND: devices},
        capabilities=("IPC_LOCK",),
        mounts={_HUGEPAGES: _HUGEPAGES},
    )
    return PodSpec(name=name, containers=(main, ContainerSpec(name="other")))


def inside(running: Pod) -> tuple[str, ...]:
    """The command that runs another in the pod's container, on our terminal."""
    return (*_RUNC, "exec", "--tty", running.container())


def addresses(containerd: Containerd, running: Pod) -> list[str]:
    """The PCI addresses that the container is told."""
    text = containerd.cri.sh(running.container(), f"echo ${VARIABLE}")
    return text.strip().split(",")


def driver(nic: Nic) -> str:
    """What drives a NIC now."""
    link = PCI / nic.pci / "driver"
    return link.readlink().name if link.is_symlink() else ""


def group(nic: Nic) -> pathlib.Path:
    """The node of its IOMMU group."""
    return pathlib.Path("/dev/vfio", (PCI / nic.pci / "iommu_group").readlink().name)
