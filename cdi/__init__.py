"""The Container Device Interface for Python: model, codec, registry, injection.

    spec = cdi.Spec(kind="vendor.com/net", devices=(cdi.Device(name="eth1", edits=edits),))
    cdi.write(spec, "/var/run/cdi")
    config = cdi.inject(config, cdi.Registry.load().resolve(["vendor.com/net=eth1"]))

Everything that fails on purpose raises `cdi.Error`. See docs/reference/cdi-library.md.
Each name is imported when it is first used: `import cdi` costs nothing.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # type checkers take it for true; importing typing costs 2 ms
if TYPE_CHECKING:
    from cdi.annotations import annotation_key, annotation_value, parse_annotations
    from cdi.codec import HOOK_NAMES, decode, dumps, encode, loads
    from cdi.edits import HostDevice, host_device, inject
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
    from cdi.fragments import Fragment, assemble, fragment
    from cdi.model import ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec
    from cdi.names import QualifiedName, is_qualified, parse_name
    from cdi.store import DEFAULT_DIRS, Entry, Registry, SpecFile
    from cdi.versions import minimum_version
    from cdi.watch import Watcher

_HOMES = {
    "annotations": "annotation_key annotation_value parse_annotations",
    "codec": "HOOK_NAMES decode dumps encode loads",
    "edits": "HostDevice host_device inject",
    "errors": "Error InjectionError InvalidNameError OciError Problem SpecError StoreError "
    "UnresolvedError",
    "files": "file_name load remove write",
    "fragments": "Fragment assemble fragment",
    "model": "ContainerEdits Device DeviceNode Hook IntelRdt Mount NetDevice Spec",
    "names": "QualifiedName is_qualified parse_name",
    "store": "DEFAULT_DIRS Entry Registry SpecFile",
    "versions": "minimum_version",
    "watch": "Watcher",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "DEFAULT_DIRS",
    "HOOK_NAMES",
    "ContainerEdits",
    "Device",
    "DeviceNode",
    "Entry",
    "Error",
    "Fragment",
    "Hook",
    "HostDevice",
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
    "Watcher",
    "annotation_key",
    "annotation_value",
    "assemble",
    "decode",
    "dumps",
    "encode",
    "file_name",
    "fragment",
    "host_device",
    "inject",
    "is_qualified",
    "load",
    "loads",
    "minimum_version",
    "parse_annotations",
    "parse_name",
    "remove",
    "write",
]


if not TYPE_CHECKING:  # or every misspelt name would pass the type checker

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
