"""A node that gives NICs to programs in pods, by device plugin and by claim; and those pods."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator

from netdevice_plugin.model import pci_device_name
from tests.e2e import dra
from tests.e2e.agent import Agent
from tests.e2e.containerd import Containerd
from tests.fakes.kubelet import ContainerSpec, Kubelet, Pod, PodSpec
from tests.vm.nics import PCI, Nic

DPDK = "networking.k8s.io/dpdk"
RAW = "networking.k8s.io/raw"
RECORDS = pathlib.Path("/run/netdevice-plugin/functions")
_HUGEPAGES = "/dev/hugepages"
_RUNC = ("runc", "--root", "/run/containerd/runc/k8s.io")


def configuration(*, dpdk: str, raw: str, claims: str) -> str:
    """A pool of each way to give a function away, with a selector's key and values."""
    return f"""\
cdiDir: /run/cdi
pools:
- name: dpdk
  driver: vfio-pci
  selectors: [{{{dpdk}}}]
- name: raw
  driver: uio_pci_generic
  allowNoIommu: true
  selectors: [{{{raw}}}]
- name: {dra.POOL}
  frontend: dra
  driver: vfio-pci
  selectors: [{{{claims}}}]
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a container knows of its functions: two variables, and the nodes that it has."""

    addresses: list[str]
    info: dict[str, object]
    nodes: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A node with an agent: its kubelet and runtime, and the API server."""

    kubelet: Kubelet
    containerd: Containerd
    agent: Agent
    claims: dra.Claims

    @contextlib.contextmanager
    def running(self, spec: PodSpec) -> Iterator[Pod]:
        """Run a pod for a while; then nothing is left of it, nor of its claim."""
        pod = self.kubelet.create_pod(spec)
        try:
            self.kubelet.await_running(pod)
            yield pod
        finally:
            self.claims.delete(pod)

    def sh(self, pod: Pod, script: str, container: str = "main") -> str:
        """What a script prints in a container."""
        return self.containerd.cri.sh(pod.container(container), script)

    def told(self, pod: Pod, variable: str) -> Told:
        """What the pod's container is told by a variable and the one with its `_INFO`."""
        names = "ls -d /dev/vfio/* /dev/uio* 2>/dev/null || true"
        said = self.sh(pod, f"echo ${variable}; echo ${variable}_INFO; {names}")
        addresses, info, *found = said.splitlines()
        return Told(addresses.split(","), json.loads(info), found)


def given(name: str, **devices: int) -> PodSpec:
    """A pod with so many devices of pools of the device plugin's."""
    limits = {f"networking.k8s.io/{pool}": count for pool, count in devices.items()}
    return _pod(name, ContainerSpec(limits=limits))


def claiming(name: str) -> PodSpec:
    """A pod with the claim of its name."""
    return dataclasses.replace(_pod(name, ContainerSpec(claims=(name,))), claims={name: name})


def _pod(name: str, main: ContainerSpec) -> PodSpec:
    """One container has the devices, and what DPDK takes besides; the other has nothing."""
    main = dataclasses.replace(main, capabilities=("IPC_LOCK",), mounts={_HUGEPAGES: _HUGEPAGES})
    return PodSpec(name=name, containers=(main, ContainerSpec(name="other")))


def device(nic: Nic) -> str:
    """What a NIC is called when a program is to drive it."""
    return pci_device_name(nic.pci)


def inside(running: Pod) -> tuple[str, ...]:
    """The command that runs another in the pod's container, on our terminal."""
    return (*_RUNC, "exec", "--tty", running.container())


def driver(nic: Nic) -> str:
    """What drives a NIC now."""
    link = PCI / nic.pci / "driver"
    return link.readlink().name if link.is_symlink() else ""


def nodes(nic: Nic) -> list[str]:
    """What a container needs of a NIC that is bound; the last is of that NIC alone."""
    if driver(nic) == "uio_pci_generic":
        return [f"/dev/{path.name}" for path in (PCI / nic.pci / "uio").iterdir()]
    return ["/dev/vfio/vfio", f"/dev/vfio/{(PCI / nic.pci / 'iommu_group').readlink().name}"]


def records() -> list[str]:
    """The devices that the agent has yet to bring home."""
    return sorted(path.stem for path in RECORDS.iterdir())
