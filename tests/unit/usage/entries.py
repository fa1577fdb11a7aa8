"""The kubelet's checkpoint, written as the kubelet writes it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as pb

KIND = "networking.k8s.io/netdevice"
PREFIXES = ("networking.k8s.io",)
PATH = Path("/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint")


def answer(*names: str) -> str:
    """What a plugin answered to Allocate, as the checkpoint keeps it."""
    devices = [pb.CDIDevice(name=name) for name in names]
    response = pb.ContainerAllocateResponse(envs={"A": "b"}, cdi_devices=devices)
    return base64.b64encode(response.SerializeToString()).decode()


def entry(
    *devices: str, uid: str = "uid-1", container: str = "app", kind: str = KIND, **changes: object
) -> dict[str, object]:
    """What one container was given of one resource; `changes` replace keys."""
    if "AllocResp" not in changes:
        changes["AllocResp"] = answer(*(f"{kind}={device}" for device in devices))
    made: dict[str, object] = {
        "PodUID": uid,
        "ContainerName": container,
        "ResourceName": kind,
        "DeviceIDs": {"-1": list(devices)},
    }
    return made | changes


def checkpoint(*entries: object, **changes: object) -> bytes:
    """The whole file; `changes` replace keys of Data."""
    data: dict[str, object] = {
        "PodDeviceEntries": list(entries) or None,
        "RegisteredDevices": {KIND: ["eth1", "eth2"]},
    }
    return json.dumps({"Data": data | changes, "Checksum": 2803128734}).encode()
