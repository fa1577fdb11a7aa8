"""kubelet_internal_checkpoint: what survives a restart of the kubelet, and a reboot.

Format: k8s.io/kubernetes pkg/kubelet/cm/devicemanager/checkpoint. The checksum there is
over a Go object; nobody but the kubelet can know it, so any number will do here.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from tests.fakes.kubelet.wire import deviceplugin as api

NAME = "kubelet_internal_checkpoint"
NO_NODE = -1  # the place of devices without topology


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The devices of one resource that a container was given, and what the plugin said."""

    pod: str  # uid
    container: str
    resource: str
    devices: Mapping[int, tuple[str, ...]]  # by NUMA node
    response: api.ContainerAllocateResponse

    @property
    def ids(self) -> frozenset[str]:
        """The devices, each once."""
        return frozenset(name for names in self.devices.values() for name in names)


def write(
    directory: pathlib.Path, entries: Iterable[Entry], registered: Mapping[str, Iterable[str]]
) -> None:
    """Replace the file; `registered` is the healthy devices by resource."""
    data = {
        "PodDeviceEntries": [_encode(entry) for entry in entries] or None,
        "RegisteredDevices": {name: sorted(ids) for name, ids in registered.items()},
    }
    checksum = zlib.crc32(json.dumps(data).encode())
    temporary = directory / f".{NAME}.new"
    temporary.write_text(json.dumps({"Data": data, "Checksum": checksum}))
    temporary.rename(directory / NAME)


def read(directory: pathlib.Path) -> tuple[list[Entry], list[str]]:
    """The allocations, and the resources that were registered; nothing if there is no file."""
    try:
        data = json.loads((directory / NAME).read_text())["Data"]
    except FileNotFoundError:
        return [], []
    entries = [_decode(entry) for entry in data["PodDeviceEntries"] or ()]
    return entries, list(data["RegisteredDevices"])


def _encode(entry: Entry) -> dict[str, Any]:
    return {
        "PodUID": entry.pod,
        "ContainerName": entry.container,
        "ResourceName": entry.resource,
        "DeviceIDs": {str(node): list(ids) for node, ids in entry.devices.items()},
        "AllocResp": base64.b64encode(entry.response.SerializeToString()).decode(),
    }


def _decode(entry: dict[str, Any]) -> Entry:
    devices = {int(node): tuple(ids) for node, ids in entry["DeviceIDs"].items()}
    response = api.ContainerAllocateResponse.FromString(base64.b64decode(entry["AllocResp"]))
    return Entry(
        pod=entry["PodUID"],
        container=entry["ContainerName"],
        resource=entry["ResourceName"],
        devices=devices,
        response=response,
    )
