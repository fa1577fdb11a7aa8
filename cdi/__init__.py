"""The Container Device Interface for Python: model, codec, registry, injection.

    spec = cdi.Spec(kind="vendor.com/net", devices=(cdi.Device(name="eth1", edits=edits),))
    cdi.write(spec, "/var/run/cdi")
    config = cdi.inject(config, cdi.Registry.load().resolve(["vendor.com/net=eth1"]))

Everything that fails on purpose raises `cdi.Error`. See docs/reference/cdi-library.md.
"""

from __future__ import annotations

from cdi.codec import HOOK_NAMES, decode, dumps, encode, loads
from cdi.errors import (
    Error,
    InjectionError,
    InvalidNameError,
    OciError,
    Problem,
    SpecError,
    StoreError,
    UnresolvedError,
)
from cdi.files import file_name, load, remove, write
from cdi.model import (
    ContainerEdits,
    Device,
    DeviceNode,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    Spec,
)
from cdi.names import QualifiedName, is_qualified, parse_name
from cdi.store import DEFAULT_DIRS, Entry, Registry, SpecFile
from cdi.versions import minimum_version

__all__ = [
    "DEFAULT_DIRS",
    "HOOK_NAMES",
    "ContainerEdits",
    "Device",
    "DeviceNode",
    "Entry",
    "Error",
    "Hook",
    "InjectionError",
    "IntelRdt",
    "InvalidNameError",
    "Mount",
    "NetDevice",
    "OciError",
    "Problem",
    "QualifiedName",
    "Registry",
    "Spec",
    "SpecError",
    "SpecFile",
    "StoreError",
    "UnresolvedError",
    "decode",
    "dumps",
    "encode",
    "file_name",
    "is_qualified",
    "load",
    "loads",
    "minimum_version",
    "parse_name",
    "remove",
    "write",
]
