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
from netdevice_plugin import cdifiles
from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters import Parameters, mover_options, pod_name
from netdevice_plugin.model import Interface

CLASS = "claim"

# No device name of ours has a dot: one that a claim both has and looks at has two names.
_ADMIN = ".admin"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A device as a claim gets it."""

    result: Result
    interface: Interface
    parameters: Parameters
    delivery: Delivery

    @property
    def name(self) -> str:
        """What the link, or the VLAN on top of it, is called in the pod."""
        return pod_name(self.parameters, self.interface)


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
        one.result.device,
        one.interface,
        one.delivery,
        name=one.name,
        options=mover_options(one.parameters),
    )
    return dataclasses.replace(edits, env=environment)


def _environment(requests: Iterable[str], given: Sequence[Given]) -> tuple[str, ...]:
    """Name all devices of these requests: every device of one says the same."""
    return tuple(line for request in sorted(requests) for line in _lines(request, given))


def _lines(request: str, given: Sequence[Given]) -> Iterator[str]:
    mine = [one for one in given if one.result.main_request == request]
    word = re.sub(r"[^A-Z0-9]", "_", request.upper())
    yield f"NETDEVICE_{word}={','.join(one.name for one in mine)}"
    addresses = [one.interface.pci.address for one in mine if one.interface.pci]
    if addresses:
        yield f"PCIDEVICE_{word}={','.join(addresses)}"
