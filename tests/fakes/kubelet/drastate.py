"""dra_manager_state: the claims of pods, as the next run of the kubelet finds them.

k8s.io/kubernetes pkg/kubelet/cm/dra: claiminfo.go, state/. The checksum is the CRC-32 of the
text in `Data`, which is JSON once more; a file that is wrong keeps the kubelet from starting.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zlib
from collections.abc import Iterable
from typing import Any

NAME = "dra_manager_state"
_HEADER = {"kind": "DRACheckpoint", "apiVersion": "checkpoint.dra.kubelet.k8s.io/v1"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A device as a driver has told of it."""

    pool: str
    device: str
    requests: tuple[str, ...]  # none is all
    cdi: tuple[str, ...]
    share_id: str = ""


@dataclasses.dataclass(slots=True, kw_only=True)
class ClaimInfo:
    """A claim that some pod here uses, or is about to."""

    namespace: str
    name: str
    uid: str
    pods: set[str]  # uids
    devices: dict[str, list[Prepared]]  # by driver; told twice, a device is there twice
    prepared: bool = False  # in this run: it is not in the file

    def cdi(self, request: str) -> list[str]:
        """The CDI names of a request; of all without one."""
        return [
            name
            for devices in self.devices.values()
            for device in devices
            if not request or not device.requests or request in device.requests
            for name in device.cdi
        ]


def write(directory: pathlib.Path, claims: Iterable[ClaimInfo]) -> None:
    """Replace the file."""
    listed = [_encode(claim) for claim in claims]
    data = json.dumps({**_HEADER, "ClaimInfoStateList": listed})
    text = json.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())})
    temporary = directory / f".{NAME}"
    temporary.write_text(text)
    temporary.rename(directory / NAME)


def read(directory: pathlib.Path) -> list[ClaimInfo]:
    """What the file has; nothing if there is none."""
    try:
        file = json.loads((directory / NAME).read_text())
    except FileNotFoundError:
        return []
    assert zlib.crc32(file["Data"].encode()) == file["Checksum"], "checkpoint is corrupted"
    return [_decode(claim) for claim in json.loads(file["Data"])["ClaimInfoStateList"]]


def _encode(claim: ClaimInfo) -> dict[str, Any]:
    return {
        "ClaimUID": claim.uid,
        "ClaimName": claim.name,
        "Namespace": claim.namespace,
        "PodUIDs": {pod: {} for pod in sorted(claim.pods)},
        "DriverState": {
            driver: {"Devices": [_encode_device(device) for device in devices]}
            for driver, devices in claim.devices.items()
        },
    }


def _encode_device(device: Prepared) -> dict[str, Any]:
    return {
        "PoolName": device.pool,
        "DeviceName": device.device,
        "RequestNames": list(device.requests),
        "CDIDeviceIDs": list(device.cdi),
        "ShareID": device.share_id or None,
    }


def _decode(claim: dict[str, Any]) -> ClaimInfo:
    return ClaimInfo(
        namespace=claim["Namespace"],
        name=claim["ClaimName"],
        uid=claim["ClaimUID"],
        pods=set(claim["PodUIDs"]),
        devices={
            driver: [_decode_device(device) for device in state["Devices"] or ()]
            for driver, state in claim["DriverState"].items()
        },
    )


def _decode_device(device: dict[str, Any]) -> Prepared:
    return Prepared(
        pool=device["PoolName"],
        device=device["DeviceName"],
        requests=tuple(device["RequestNames"] or ()),
        cdi=tuple(device["CDIDeviceIDs"] or ()),
        share_id=device["ShareID"] or "",
    )
