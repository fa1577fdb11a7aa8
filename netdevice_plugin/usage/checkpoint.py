"""The kubelet's own note of what it gave to whom: `kubelet_internal_checkpoint`.

The second source of truth: it has the pods' UIDs and the CDI names that the kubelet
goes on using, and is there while the kubelet is not. Read and never written; the
checksum, over a dump of Go objects, is not checked.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as pb
from netdevice_plugin.errors import KubeletError
from netdevice_plugin.usage.usage import Grant, Pod, is_ours

NAME = Path("device-plugins", "kubelet_internal_checkpoint")
MAX_SIZE = 8 * 2**20  # bytes; an entry has some hundreds, and a node a few hundred entries

_HINT = (
    "the kubelet writes it anew when it next allocates a device or hears of one; until then "
    "only its pod-resources socket tells what pods use"
)
_WORD = re.compile(r"[!-~]{1,512}")  # names, UIDs and devices of ours are printable ASCII


def read(kubelet_dir: Path, prefixes: Collection[str]) -> tuple[Grant, ...]:
    """Read the entries of our kinds; a kubelet that never gave a device away has none.

    Raises KubeletError.
    """
    path = kubelet_dir / NAME
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would block us for ever
            raise _problem(path, "is not a regular file")
        with path.open("rb") as file:
            return parse(file.read(MAX_SIZE + 1), path, prefixes)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KubeletError(f"cannot read {path}: {error.strerror}") from error


def parse(data: bytes, path: Path, prefixes: Collection[str]) -> tuple[Grant, ...]:
    """Parse the file; `path` is what messages call it.

    Keys that are not known are ignored, and so is all that other plugins' entries
    say. Raises KubeletError, which names the place in the file.
    """
    file = _Reader(path)
    root = file.mapping(_load(data, path), "")
    section = file.mapping(root.get("Data"), "Data")
    found = []
    for place, value in file.items(section.get("PodDeviceEntries"), "Data.PodDeviceEntries"):
        entry = file.mapping(value, place)
        kind = file.word(entry.get("ResourceName"), f"{place}.ResourceName")
        if is_ours(kind, prefixes):
            found.append(_grant(file, entry, kind, place))
    return tuple(found)


def _load(data: bytes, path: Path) -> object:
    if len(data) > MAX_SIZE:
        raise _problem(path, f"is larger than {MAX_SIZE} bytes")
    try:
        return json.loads(data.decode())
    except RecursionError:
        raise _problem(path, "is nested too deeply") from None
    except ValueError as error:  # of UTF-8, of JSON, or a number of thousands of digits
        raise _problem(path, f"is not JSON: {str(error)[:120]}") from None


def _grant(file: _Reader, entry: dict[str, object], kind: str, place: str) -> Grant:
    pod = Pod(
        uid=file.word(entry.get("PodUID"), f"{place}.PodUID"),
        container=file.word(entry.get("ContainerName"), f"{place}.ContainerName"),
    )
    devices = file.devices(entry.get("DeviceIDs"), f"{place}.DeviceIDs")
    answer = file.answer(entry.get("AllocResp"), f"{place}.AllocResp")
    names = tuple(
        file.word(device.name, f"{place}.AllocResp.cdi_devices") for device in answer.cdi_devices
    )
    return Grant(kind=kind, devices=devices, pod=pod, cdi_devices=names)


class _Reader:
    """Typed access to plain values, which names the place when one is something else."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mapping(self, value: object, place: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self._wrong(place, "an object", value)
        return value

    def items(self, value: object, place: str) -> Iterator[tuple[str, object]]:
        """List a list's members with their places; Go writes an empty one as null."""
        if value is None:
            return
        if not isinstance(value, list):
            raise self._wrong(place, "a list", value)
        for index, member in enumerate(value):
            yield f"{place}[{index}]", member

    def word(self, value: object, place: str) -> str:
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            raise self._wrong(place, "a name", value)
        return value

    def devices(self, value: object, place: str) -> tuple[str, ...]:
        """List the devices: by NUMA node, or all in one list before Kubernetes 1.20."""
        lists = {"": value} if isinstance(value, list) else self.mapping(value or {}, place)
        found = (
            self.word(device, where)
            for node, members in lists.items()
            for where, device in self.items(members, f"{place}.{node[:20]!r}" if node else place)
        )
        return tuple(sorted(set(found)))

    def answer(self, value: object, place: str) -> pb.ContainerAllocateResponse:
        """Decode what the plugin answered: protobuf in base64."""
        if value is None:
            return pb.ContainerAllocateResponse()
        if not isinstance(value, str):
            raise self._wrong(place, "base64", value)
        try:
            data = base64.b64decode(value, validate=True)
            return pb.ContainerAllocateResponse.FromString(data)
        except (binascii.Error, ValueError):
            raise self._wrong(place, "base64", value) from None
        except DecodeError:
            raise _problem(self.path, f"{place}: is not a ContainerAllocateResponse") from None

    def _wrong(self, place: str, wanted: str, value: object) -> KubeletError:
        kinds = {dict: "an object", list: "a list", type(None): "null"}
        shown = kinds.get(type(value)) or ascii(value)[:40]
        return _problem(self.path, f"{place or 'it'} must be {wanted}, not {shown}")


def _problem(path: Path, what: str) -> KubeletError:
    return KubeletError(f"{path}: {what}", hint=_HINT)
