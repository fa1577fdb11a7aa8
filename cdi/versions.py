"""Which CDI version each feature needs, and so which version a Spec needs.

A runtime refuses a file whose `cdiVersion` is not in the list of the library it
was built with, or is lower than what its fields require (specs-go/version.go).
Hence the lowest possible version is the one that most runtimes read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdi.model import ContainerEdits, Spec

KNOWN = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
EARLIEST = "0.3.0"  # the lowest that any library still accepts
LATEST = KNOWN[-1]


def minimum_version(spec: Spec) -> str:
    """Return the lowest version that allows everything in the Spec."""
    return newest_feature(spec)[0]


def newest_feature(spec: Spec) -> tuple[str, str]:
    """Return that version, and the path of the first field that needs it; empty if none does."""
    version, path = EARLIEST, ""
    for needed, place in _features(spec):
        if KNOWN.index(needed) > KNOWN.index(version):
            version, path = needed, place
    return version, path


def is_lower(version: str, other: str) -> bool:
    """Whether the one known version came before the other."""
    return KNOWN.index(version) < KNOWN.index(other)


def _features(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.annotations:
        yield "0.6.0", "annotations"
    if "." in spec.kind.partition("/")[2]:
        yield "0.6.0", "kind"
    yield from _edits_features(spec.edits, "containerEdits")
    for index, device in enumerate(spec.devices):
        if device.name and device.name[0] in "0123456789":
            yield "0.5.0", f"devices[{index}].name"
        if device.annotations:
            yield "0.6.0", f"devices[{index}].annotations"
        yield from _edits_features(device.edits, f"devices[{index}].containerEdits")


def _edits_features(edits: ContainerEdits, path: str) -> Iterator[tuple[str, str]]:
    for index, mount in enumerate(edits.mounts):
        if mount.type:
            yield "0.4.0", f"{path}.mounts[{index}].type"
    for index, node in enumerate(edits.device_nodes):
        if node.host_path:
            yield "0.5.0", f"{path}.deviceNodes[{index}].hostPath"
    if edits.additional_gids:
        yield "0.7.0", f"{path}.additionalGids"
    if edits.net_devices:
        yield "1.1.0", f"{path}.netDevices"
    if edits.intel_rdt is not None:
        yield "0.7.0", f"{path}.intelRdt"
        if edits.intel_rdt.schemata:
            yield "1.1.0", f"{path}.intelRdt.schemata"
        if edits.intel_rdt.enable_monitoring:
            yield "1.1.0", f"{path}.intelRdt.enableMonitoring"
