"""What a claim's CDI file says: its devices, each under a name that is never used again. Pure.

One file for a claim, `networking.k8s.io-claim_UID.json`, of the kind
`networking.k8s.io/claim`, with the devices `UID-DEVICE`: runtimes remember what a name
stood for. What moves the link is as in the file of a pool (`cdifiles`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

import cdi
from netdevice_plugin import cdifiles, pciinfo
from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters import Parameters, mover_options, pod_name
from netdevice_plugin.model import Device
from netdevice_plugin.provisioning import Node, VfSettings

CLASS = "claim"

# No device name of ours has a dot: one that a claim both has and looks at has two names.
_ADMIN = ".admin"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A device as a claim gets it."""

    result: Result
    device: Device
    parameters: Parameters
    delivery: Delivery

    @property
    def name(self) -> str:
        """What the link, or the VLAN on top of it, is called in the pod; empty if there is none."""
        return "" if self.device.userspace else pod_name(self.parameters, self.device.interface)

    @property
    def vf(self) -> VfSettings:
        """What a virtual function is to be like: the claim's word, else the pool's."""
        return self.parameters.vf.over(self.delivery.vf)

    def with_nodes(self, nodes: tuple[Node, ...]) -> Given:
        """Give these device nodes with a userspace device, once they are known."""
        return dataclasses.replace(self, device=dataclasses.replace(self.device, nodes=nodes))


def kind(prefix: str) -> str:
    """Name the kind that all claims' devices are of: networking.k8s.io/claim."""
    return f"{prefix}/{CLASS}"


def file_name(prefix: str, uid: str) -> str:
    """Name a claim's file in the CDI directory."""
    return cdi.file_name(kind(prefix), transient_id=uid)


def device_name(uid: str, result: Result) -> str:
    """Name a device in a claim's file."""
    return f"{uid}-{result.device}{_ADMIN if result.admin else ''}"


def qualified_name(prefix: str, uid: str, result: Result) -> str:
    """Name a device as the kubelet tells it to the runtime."""
    return f"{kind(prefix)}={device_name(uid, result)}"


def build(prefix: str, uid: str, given: Sequence[Given]) -> cdi.Spec:
    """Describe a claim's devices. One with adminAccess stays where it is, and has but a name."""
    devices = {}
    for one in sorted(given, key=lambda one: (one.result.device, one.result.admin)):
        name = device_name(uid, one.result)
        requests = {
            other.result.main_request for other in given if device_name(uid, other.result) == name
        }
        devices[name] = cdi.Device(name=name, edits=_edits(one, _environment(requests, given)))
    return cdi.Spec(kind=kind(prefix), devices=tuple(devices.values()))


def _edits(one: Given, environment: tuple[str, ...]) -> cdi.ContainerEdits:
    if one.result.admin:
        return cdi.ContainerEdits(env=environment)
    edits = cdifiles.edits(
        one.device,
        one.delivery,
        name=one.name,
        vf=one.vf,
        options=mover_options(one.parameters),
    )
    return dataclasses.replace(edits, env=(*edits.env, *environment))


def _environment(requests: Iterable[str], given: Sequence[Given]) -> tuple[str, ...]:
    """Name all devices of these requests: every device of one says the same."""
    return tuple(line for request in sorted(requests) for line in _lines(request, given))


def _lines(request: str, given: Sequence[Given]) -> Iterator[str]:
    mine = [one for one in given if one.result.main_request == request]
    word = re.sub(r"[^A-Z0-9]", "_", request.upper())
    if names := [one.name for one in mine if one.name]:
        yield f"NETDEVICE_{word}={','.join(names)}"
    devices = [(one.with_nodes(()) if one.result.admin else one).device for one in mine]
    rdma = any(one.delivery.rdma for one in mine)
    for name, value in pciinfo.variables(word, devices, rdma=rdma):
        yield f"{name}={value}"
